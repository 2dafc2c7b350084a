package ledger

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// held is a command that can wait for approval. It is dated when it is carried
// out, and then has every signature.
type held interface {
	Command
	approve(at time.Time, envelope []byte, keys []string)
}

// holdable are the numbers of the commands that can wait: decoding goes no
// deeper than one of them.
var holdable = []reflect.Type{
	reflect.TypeFor[*PutTask](), reflect.TypeFor[*SetTaskState](), reflect.TypeFor[*PutOrders](), reflect.TypeFor[*PutCalendar](),
	reflect.TypeFor[*DropCalendar](), reflect.TypeFor[*Adopt](), reflect.TypeFor[*Release](),
}

func (cmd *PutTask) approve(at time.Time, envelope []byte, keys []string) {
	cmd.At, cmd.Envelope, cmd.Signers = at, envelope, append(cmd.Signers, keys...)
}

func (cmd *SetTaskState) approve(at time.Time, envelope []byte, keys []string) {
	cmd.At, cmd.Envelope, cmd.Signers = at, envelope, append(cmd.Signers, keys...)
}

func (cmd *Adopt) approve(at time.Time, envelope []byte, keys []string) {
	cmd.Adoption.At, cmd.Envelope, cmd.Signers = at, envelope, append(cmd.Signers, keys...)
}

func (cmd *PutOrders) approve(at time.Time, envelope []byte, _ []string) {
	cmd.At, cmd.Envelope = at, envelope
}

func (cmd *PutCalendar) approve(at time.Time, envelope []byte, _ []string) {
	cmd.At, cmd.Envelope = at, envelope
}

func (cmd *DropCalendar) approve(at time.Time, envelope []byte, _ []string) {
	cmd.At, cmd.Envelope = at, envelope
}

func (cmd *Release) approve(at time.Time, envelope []byte, _ []string) {
	cmd.At, cmd.Envelope = at, envelope
}

// PutRequest keeps a sealed change that waits for other people. It returns the
// fleet.Request. The very same one again is the one that waits; another one
// about the same object takes its place, and its approvals begin anew.
type PutRequest struct {
	Request fleet.Request
	Signers []string // ids of the keys that the requester signed with
	Action  string   // of the audit entry once it is carried out
	Command Command  // PutTask, SetTaskState, PutOrders, PutCalendar, DropCalendar, Adopt or Release
}

// requestBody is a PutRequest in an entry.
type requestBody struct {
	Request fleet.Request `json:"request"`
	Signers []string      `json:"signers"`
	Action  string        `json:"action"`
	Entry   []byte        `json:"entry"`
}

// heldRow is a request on disk.
type heldRow struct {
	fleet.Request
	Signers []string `json:"signers"`
	Action  string   `json:"action"`
	Entry   []byte   `json:"entry"`
}

// MarshalCBOR writes the form that UnmarshalCBOR reads.
func (cmd PutRequest) MarshalCBOR() ([]byte, error) {
	if !slices.Contains(holdable, reflect.TypeOf(cmd.Command)) {
		return nil, fmt.Errorf("%T cannot wait for approval", cmd.Command)
	}
	entry, err := Encode(cmd.Command)
	if err != nil {
		return nil, err
	}
	return encoding.Marshal(requestBody{cmd.Request, cmd.Signers, cmd.Action, entry})
}

// UnmarshalCBOR reads the body of an entry.
func (cmd *PutRequest) UnmarshalCBOR(data []byte) error {
	var body requestBody
	if err := decoding.Unmarshal(data, &body); err != nil {
		return err
	}
	command, err := decodeHeld(body.Entry)
	if err != nil {
		return err
	}
	*cmd = PutRequest{body.Request, body.Signers, body.Action, command}
	return nil
}

// decodeHeld reads a command that can wait, and nothing that holds another.
func decodeHeld(entry []byte) (held, error) {
	if len(entry) >= 2 {
		if row, err := kindNumbered(entry[0], entry[1]); err == nil && !slices.Contains(holdable, reflect.TypeOf(row.command())) {
			return nil, fmt.Errorf("%T cannot wait for approval", row.command())
		}
	}
	command, err := Decode(entry)
	if err != nil {
		return nil, err
	}
	return command.(held), nil
}

func (cmd *PutRequest) apply(c *change) any {
	request := cmd.Request
	if c.auditor != nil {
		request.By = c.auditor.By // who asks is known, whatever the request says
	}
	switch {
	case !keyable(request.ID):
		return fleet.Invalidf("request", request.ID, "want 1–%d bytes", maxKeyPart)
	case request.Object == "":
		return fleet.Invalidf("object", "", "is missing")
	case request.Needs < 1 || request.Needs > 2:
		return fleet.Invalidf("needs", strconv.Itoa(request.Needs), "want 1 or 2 approvals")
	case len(cmd.Signers) == 0:
		return fleet.Invalidf("signers", "", "is missing")
	case !request.Expires.After(request.At) || request.Expires.Sub(request.At) > MaxRequestLife:
		return fleet.Invalidf("expires", "", "want an end within %s", fleet.Duration(MaxRequestLife))
	}
	if old, found := stored[heldRow](c, inHeld, key(request.ID)); found && old.Expires.After(request.At) {
		return old.Request
	}
	if asked(c, &request.By) >= maxAsked {
		return fleet.Errorf(fleet.Conflict, "%d changes of %s wait for approval already", maxAsked, request.By.Name).WithCode("too_many_requests").
			WithHint("fleetctl approve lists them; take back what is not meant any more")
	}
	dropRequests(c, request.Object)
	request.Approved, request.Index = nil, c.index
	putRequest(c, heldRow{request, cmd.Signers, cmd.Action, encodeEntry(cmd.Command)})
	return request
}

// maxAsked is how many changes of one person may wait: every collector holds
// them in memory, and looks through them when a task changes.
const maxAsked = 200

// asked counts what waits of a person.
func asked(c *change, by *fleet.Principal) (n int) {
	for _, k := range c.keys(inHeld, nil) {
		if row, _ := stored[heldRow](c, inHeld, k); samePerson(&row.By, by) {
			n++
		}
	}
	return n
}

// encodeEntry writes a command that was read from an entry.
func encodeEntry(command Command) []byte {
	data, err := Encode(command)
	if err != nil {
		panic(unwritten{err}) // it was decoded by the same table
	}
	return data
}

// Approve adds a person's approval, with the signature that the envelope now
// has, to a request. It returns Approved. When enough people approved, the
// change is carried out in the same entry.
type Approve struct {
	ID       string         `json:"id"`
	IfIndex  uint64         `json:"if_index"` // Index of the request that was read
	Envelope []byte         `json:"envelope"` // with every signature so far
	Approval fleet.Approval `json:"approval"`
	At       time.Time      `json:"at"`
}

// Approved is a request as it stands after an approval. Done: the change was
// carried out, with what came of it.
type Approved struct {
	Request  fleet.Request         `json:"request"`
	Done     bool                  `json:"done,omitempty"`
	Task     *fleet.TaskRecord     `json:"task,omitempty"`
	Orders   []fleet.Order         `json:"orders,omitempty"`
	Calendar *fleet.CalendarRecord `json:"calendar,omitempty"`
	Adoption *fleet.Adoption       `json:"adoption,omitempty"`
}

func (cmd *Approve) apply(c *change) any {
	row, found := storedRequest(c, cmd.ID)
	if !found {
		return noRequest(cmd.ID)
	}
	if !row.Expires.After(cmd.At) {
		return fleet.Errorf(fleet.Conflict, "request %s expired at %s", cmd.ID, row.Expires.UTC().Format(time.RFC3339)).WithCode("request_expired").
			WithHint("who asked for it asks again")
	}
	approval := cmd.Approval
	if c.auditor != nil {
		approval.By = c.auditor.By
	}
	again, refusal := row.another(&approval)
	switch {
	case refusal != nil:
		return refusal
	case again:
		return Approved{Request: row.Request}
	case row.Index != cmd.IfIndex:
		return fleet.Errorf(fleet.Conflict, "request %s was changed since it was read", cmd.ID).WithCode("stale").WithHint("read it again and repeat the approval")
	}
	row.Envelope, row.Index = cmd.Envelope, c.index
	row.Approved = append(slices.Clip(row.Approved), approval)
	if len(row.Approved) < row.Needs {
		putRequest(c, row)
		return Approved{Request: row.Request}
	}
	return row.carryOut(c, cmd.At)
}

// another refuses an approval by who asked for the change, or with a key that
// signed already; again: by somebody who approved already.
func (row *heldRow) another(approval *fleet.Approval) (again bool, refusal *fleet.Error) {
	by := &approval.By
	switch {
	case by.Name == "" || approval.Key == "":
		return false, fleet.Invalidf("approval", "", "names no person or no key")
	case samePerson(by, &row.By):
		return false, fleet.Errorf(fleet.Refused, "%s asked for it and cannot approve it", by.Name).WithCode("approval_self").
			WithHint("somebody else approves: fleetctl approve %s", row.ID)
	case slices.ContainsFunc(row.Approved, func(old fleet.Approval) bool { return samePerson(by, &old.By) }):
		return true, nil
	case slices.Contains(row.Signers, approval.Key),
		slices.ContainsFunc(row.Approved, func(old fleet.Approval) bool { return old.Key == approval.Key }):
		return false, fleet.Errorf(fleet.Refused, "key %s signed it already: another person's approval needs another key", approval.Key).WithCode("approval_key").
			WithHint("fleetctl key list")
	}
	return false, nil
}

// samePerson reports whether two are one, by their token or by the name that
// several tokens of one person have.
func samePerson(a, b *fleet.Principal) bool {
	return a.Name == b.Name || a.Token != "" && a.Token == b.Token
}

// carryOut does what was asked for. If that is refused now, nothing changes.
func (row *heldRow) carryOut(c *change, at time.Time) any {
	command, err := decodeHeld(row.Entry)
	if err != nil {
		panic(unwritten{fmt.Errorf("held command: %w", err)})
	}
	names, keys := make([]string, len(row.Approved)), make([]string, len(row.Approved))
	for i := range row.Approved {
		names[i], keys[i] = row.Approved[i].By.Name, row.Approved[i].Key
	}
	command.approve(at, row.Envelope, keys)
	result := command.apply(c)
	if _, refused := IsRefusal(result); refused {
		return result
	}
	dropRequest(c, row.ID)
	why := "approved by " + strings.Join(names, " and ")
	if row.Reason != "" {
		why = row.Reason + "; " + why
	}
	c.link(fleet.AuditEntry{At: at, By: row.By, Action: row.Action, Object: row.Object, Namespace: row.Namespace, Decision: AuditDone, Why: why})
	done := Approved{Request: row.Request, Done: true}
	switch result := result.(type) {
	case fleet.TaskRecord:
		done.Task = &result
	case []fleet.Order:
		done.Orders = result
	case fleet.CalendarRecord:
		done.Calendar = &result
	case fleet.Adoption:
		done.Adoption = &result
	}
	return done
}

// DropRequest takes a request back, or declines it.
type DropRequest struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Actor  string    `json:"actor,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

func (cmd *DropRequest) apply(c *change) any {
	if _, found := storedRequest(c, cmd.ID); !found {
		return noRequest(cmd.ID)
	}
	dropRequest(c, cmd.ID)
	return nil
}

func storedRequest(c *change, id string) (heldRow, bool) {
	if !keyable(id) {
		return heldRow{}, false
	}
	return stored[heldRow](c, inHeld, key(id))
}

func noRequest(id string) *fleet.Error {
	return fleet.Errorf(fleet.NotFound, "no request %s waits", id).WithHint("fleetctl approve lists those that do")
}

func putRequest(c *change, row heldRow) {
	c.put(inHeld, key(row.ID), encode(row))
	c.notify(Requests)
	c.after(func(l *Ledger) { l.memory.requests[row.ID] = &row.Request })
}

func dropRequest(c *change, id string) {
	c.delete(inHeld, key(id))
	c.notify(Requests)
	c.after(func(l *Ledger) { delete(l.memory.requests, id) })
}

// dropRequests drops what waits about an object that changes: nobody approved
// the change of what it is now.
func dropRequests(c *change, object string) {
	for _, k := range c.keys(inHeld, nil) {
		if row, _ := stored[heldRow](c, inHeld, k); row.Object == object {
			dropRequest(c, row.ID)
		}
	}
}

// dropOrdersOf drops the orders that wait for a task that changes: what would
// run is not what those who approve have looked at.
func dropOrdersOf(c *change, task fleet.TaskID) {
	for _, k := range c.keys(inHeld, nil) {
		row, _ := stored[heldRow](c, inHeld, k)
		command, err := decodeHeld(row.Entry)
		if err != nil {
			panic(unwritten{fmt.Errorf("held command: %w", err)})
		}
		if put, is := command.(*PutOrders); is && slices.ContainsFunc(put.Orders, func(order fleet.Order) bool { return order.Task == task }) {
			dropRequest(c, row.ID)
		}
	}
}

// expireRequests drops requests that nobody approved in time.
func (cmd *Prune) expireRequests(c *change) {
	for _, k := range c.keys(inHeld, nil) {
		if row, _ := stored[heldRow](c, inHeld, k); !row.Expires.After(cmd.At) {
			dropRequest(c, row.ID)
		}
	}
}

// Requests returns the requests that wait in the namespaces of the scope, by
// id. Those without a namespace are for who sees everything.
func (l *Ledger) Requests(scope fleet.Scope) []fleet.Request {
	l.mu.RLock()
	defer l.mu.RUnlock()
	requests := []fleet.Request{}
	for _, request := range sorted(l.memory.requests) {
		if scope.Holds(request.Namespace) {
			requests = append(requests, shownRequest(scope, request))
		}
	}
	return requests
}

// Request returns one request that waits.
func (l *Ledger) Request(scope fleet.Scope, id string) (fleet.Request, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	request := l.memory.requests[id]
	if request == nil || !scope.Holds(request.Namespace) {
		return fleet.Request{}, noRequest(id)
	}
	return shownRequest(scope, request), nil
}

// shownRequest returns the request without what else its people may see.
func shownRequest(scope fleet.Scope, request *fleet.Request) fleet.Request {
	shown := *request
	if scope.All() {
		return shown
	}
	shown.By.Scope = namesWithin(scope, shown.By.Scope)
	shown.Approved = slices.Clone(shown.Approved)
	for i := range shown.Approved {
		by := &shown.Approved[i].By
		by.Scope = namesWithin(scope, by.Scope)
	}
	return shown
}
