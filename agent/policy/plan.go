package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// maxRefused is how many refusals are reported.
const maxRefused = 500

// Open returns the plan as its sealed statements say it, and what was refused.
// The plan itself stays as it is. What is returned may be carried out: that it
// was taken is on disk. Refused tasks and orders to run stay in it, marked, so
// that each of their instants has an outcome.
func (g *Gate) Open(plan *fleet.Plan) (*fleet.Plan, []fleet.Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now, g.used, g.etc = time.Now(), map[[32]byte]bool{}, g.etc.once()
	first := g.pass(plan)
	if g.changed {
		if err := g.keep(); err != nil { // then nothing new is taken
			g.log.Error("book of the policy not written: nothing new is taken", "error", err)
			why := &objection{codeReplay, "this host cannot write down that it takes it: " + err.Error(), 0}
			first = g.passKnown(plan, why)
		}
	}
	for sum := range g.cache {
		if !g.used[sum] {
			delete(g.cache, sum)
		}
	}
	g.used = nil
	g.publish(first)
	return first.plan, first.refused
}

// keep makes what was staged the book.
func (g *Gate) keep() error {
	if g.now.After(g.staged.Seen) {
		g.staged.Seen = g.now.UTC()
	}
	g.staged.prune()
	if err := g.staged.save(g.file(bookName)); err != nil {
		return err
	}
	g.book = g.staged
	return nil
}

// passage is a plan on its way through the gate.
type passage struct {
	gate      *Gate
	plan      *fleet.Plan
	tasks     map[fleet.TaskID]*fleet.Assignment // of those accepted
	listed    map[fleet.TaskID]bool              // of all
	calendars map[string]*hearing
	accepted  map[fleet.TaskID]*acceptance
	wishes    map[fleet.TaskID]*objection
	refused   []fleet.Refusal
	entries   []Entry
	// known, where it is set, is why nothing is taken that was not before.
	known *objection
}

// pass hears everything in a plan.
func (g *Gate) pass(plan *fleet.Plan) *passage { return g.passKnown(plan, nil) }

func (g *Gate) passKnown(plan *fleet.Plan, known *objection) *passage {
	g.staged, g.changed = g.book.copy(), false
	p := &passage{
		gate: g, plan: &fleet.Plan{Host: g.host.ID, Index: plan.Index, Assignments: []fleet.Assignment{}, Orders: []fleet.Order{}},
		tasks: map[fleet.TaskID]*fleet.Assignment{}, calendars: map[string]*hearing{}, listed: map[fleet.TaskID]bool{},
		accepted: map[fleet.TaskID]*acceptance{}, wishes: map[fleet.TaskID]*objection{}, known: known,
	}
	if known != nil {
		defer func() { g.staged, g.changed = g.book.copy(), false }()
	}
	for _, text := range plan.Tombstones {
		p.tombstone(text)
	}
	for i, text := range plan.Sealed {
		p.calendar(i, text)
	}
	for i := range plan.Adoptions {
		p.adoption(&plan.Adoptions[i])
	}
	for i := range plan.Assignments {
		p.assignment(&plan.Assignments[i])
	}
	for i := range plan.Orders {
		p.order(&plan.Orders[i])
	}
	return p
}

// hear takes one envelope through the rules.
func (p *passage) hear(h *hearing) *objection {
	h.gate = p.gate
	before := p.gate.staged
	if p.known != nil {
		p.gate.staged = before.copy()
	}
	p.gate.changed = p.gate.changed && p.known == nil
	no := h.hear()
	if p.known != nil {
		if p.gate.changed && no == nil {
			no = p.known
		}
		p.gate.staged, p.gate.changed = before, false
	}
	return no
}

// refuse notes a refusal.
func (p *passage) refuse(object string, h *hearing, no *objection) *fleet.Refusal {
	r := fleet.Refusal{Object: object, Code: no.code, Why: clip(no.why), Line: no.line}
	if len(p.refused) < maxRefused {
		p.refused = append(p.refused, r)
	}
	entry := Entry{Action: "refused", Object: object, Code: no.code, Why: no.why}
	if h.sealed != nil {
		entry.Digest = h.sealed.digest
	}
	p.entries = append(p.entries, entry)
	return &r
}

// took notes what was taken that was not before.
func (p *passage) took(object string, h *hearing, known bool) {
	if !known {
		p.entries = append(p.entries, Entry{Action: "taken", Object: object, Digest: h.sealed.digest})
	}
}

func (p *passage) tombstone(text []byte) {
	h := &hearing{claim: claimTombstone, text: text}
	_ = p.hear(h) // one that is refused says nothing, and is asked for nothing
}

func (p *passage) calendar(i int, text []byte) {
	h := &hearing{claim: claimCalendar, text: text}
	no := p.hear(h)
	object := fmt.Sprintf("calendar %d of the plan", i+1)
	if h.sealed != nil && h.sealed.statement != nil {
		object = h.sealed.statement.Object()
	}
	switch {
	case no != nil:
		p.refuse(object, h, no)
	case h.sealed.statement.Calendar.Definition == nil:
	case h.sealed.statement.Calendar.Definition.Name != h.sealed.statement.Name:
		p.refuse(object, h, &objection{codeParse, "the calendar within has another name", 0})
	default:
		p.calendars[h.sealed.statement.Name] = h
		p.plan.Calendars = append(p.plan.Calendars, *h.sealed.statement.Calendar.Definition)
		p.plan.Sealed = append(p.plan.Sealed, text)
	}
}

func (p *passage) adoption(a *fleet.Adoption) {
	h := &hearing{claim: claimAdoption, text: a.Envelope, asked: a.Asked, done: a.State != fleet.AdoptionWanted}
	object := "adoption " + string(a.Task)
	known := func() bool { return p.gate.book.Objects[h.key()].Taken && h.known() }
	no := p.hear(h)
	if no == nil {
		no = p.suits(a, h)
	}
	if no != nil {
		p.refuse(object, h, no)
		if p.wishes[a.Task] = no; a.State == fleet.AdoptionWanted { // the adopter asks, and answers
			p.plan.Adoptions = append(p.plan.Adoptions, fleet.Adoption{Task: a.Task, Host: p.gate.host.ID, Job: a.Job, State: a.State, Asked: a.Asked})
		}
		return
	}
	s := h.sealed.statement
	p.took(object, h, known())
	entry := p.gate.staged.Objects[h.key()]
	if !entry.Taken {
		entry.Taken = true
		p.gate.staged.Objects[h.key()] = entry
		p.gate.changed = p.gate.changed || p.known == nil
	}
	out := fleet.Adoption{
		Task: h.id(), Host: p.gate.host.ID, State: a.State, Job: a.Job, Handed: a.Handed, Asked: entry.Asked, At: a.At, Why: a.Why,
		By: names(h.signers), Envelope: a.Envelope,
	}
	if s.Adopt != nil {
		out.Job.ID, out.Job.Source, out.Job.Line, out.Job.Fingerprint, out.Force = s.Adopt.Job, s.Adopt.Source, s.Adopt.Line, s.Adopt.Fingerprint, s.Adopt.Force
	}
	p.wishes[out.Task] = nil
	p.plan.Adoptions = append(p.plan.Adoptions, out)
}

// suits reports what the collectors say beside the statement of an adoption that
// it does not say.
func (p *passage) suits(a *fleet.Adoption, h *hearing) *objection {
	s := h.sealed.statement
	adopts := s.Kind == seal.KindAdopt
	switch {
	case a.Task != h.id():
		return &objection{codeSignature, "what is sealed is about another task: " + string(h.id()), 0}
	case adopts && a.State != fleet.AdoptionWanted && a.State != fleet.AdoptionAdopted:
		return &objection{codeSignature, fmt.Sprintf("what is sealed is to adopt the job, and not %s", a.State), 0}
	case !adopts && a.State != fleet.AdoptionReleasing && a.State != fleet.AdoptionStuck:
		return &objection{codeSignature, fmt.Sprintf("what is sealed is to give the job back, and not %s", a.State), 0}
	case adopts && (a.Job.Fingerprint != s.Adopt.Fingerprint || a.Job.ID != s.Adopt.Job || a.Job.Source != s.Adopt.Source):
		return &objection{codeSignature, "the job beside the statement is another than the one that was sealed", 0}
	}
	return nil
}

func (p *passage) assignment(a *fleet.Assignment) {
	h := &hearing{claim: claimTask, text: a.Envelope, given: a.Generation}
	known := func() bool {
		was := p.gate.book.Objects[h.key()]
		return was.Digest == h.sealed.digest
	}
	no := p.hear(h)
	if no == nil && h.id() != a.Task.ID() {
		no = &objection{codeSignature, "what is sealed is another task: " + string(h.id()), 0}
	}
	if no == nil {
		no = p.adopted(h)
	}
	if no == nil {
		no = p.blackout(h)
	}
	out := p.rewrite(a, h)
	if no != nil {
		out.Refused = p.refuse("task "+string(out.Task.ID()), h, no)
	} else {
		p.took("task "+string(out.Task.ID()), h, known())
		p.accepted[out.Task.ID()] = &acceptance{expires: h.expires(), persons: persons(h.signers)}
	}
	if !h.valid() && out.Unread == "" && out.Task.Validate() != nil || p.tasks[out.Task.ID()] != nil {
		return // nobody could tell when it is due, or it is given twice
	}
	if p.listed[out.Task.ID()] { // the one before was refused
		p.plan.Assignments = slices.DeleteFunc(p.plan.Assignments, func(other fleet.Assignment) bool { return other.Task.ID() == out.Task.ID() })
	}
	p.listed[out.Task.ID()] = true
	p.plan.Assignments = append(p.plan.Assignments, out)
	if no == nil {
		p.tasks[out.Task.ID()] = &out
	}
}

// valid reports whether there is a statement whose task can be carried out.
func (h *hearing) valid() bool {
	return h.sealed != nil && h.sealed.statement != nil && h.sealed.statement.Task != nil && h.sealed.statement.Task.Definition != nil && h.sealed.wrong == nil
}

// expires is when the task may no longer begin; zero: never.
func (h *hearing) expires() time.Time {
	if h.sealed.statement.Kind == seal.KindAdopt {
		return time.Time{}
	}
	return h.sealed.statement.Expires
}

// adopted refuses the task of an adoption whose job still runs by itself.
func (p *passage) adopted(h *hearing) *objection {
	if h.sealed.statement.Kind != seal.KindAdopt || p.gate.silent(h.id()) {
		return nil
	}
	no, wished := p.wishes[h.id()]
	if !wished {
		return &objection{codeAdoption, "its job was not taken over here, and nobody asks for that", 0}
	}
	return no
}

// blackout refuses a task whose calendars are not sealed by those who may speak
// for its namespace: without them it would be due when it must not be.
func (p *passage) blackout(h *hearing) *objection {
	for _, name := range h.sealed.statement.Task.Definition.On.Blackout {
		calendar := p.calendars[name]
		if calendar == nil {
			return &objection{codeSignature, fmt.Sprintf("its calendar %s is not in the plan, or not sealed", name), 0}
		}
		now, for_ := p.gate.latest(), 0
		for _, key := range calendar.signers {
			if key.holds(h.sealed.statement.Namespace, now) {
				for_++
			}
		}
		if for_ < p.gate.policy.Threshold {
			return &objection{codeSignature, fmt.Sprintf("its calendar %s is signed by %d of %d needed keys for namespace %s", name, for_, p.gate.policy.Threshold, h.sealed.statement.Namespace), p.gate.policy.line("keys")}
		}
	}
	return nil
}

// rewrite returns the assignment as the statement says it; where there is none
// that can be read, as the collectors say it, to be shown.
func (p *passage) rewrite(a *fleet.Assignment, h *hearing) fleet.Assignment {
	out := *a
	out.Refused = nil
	if h.sealed == nil || h.sealed.statement == nil || h.sealed.statement.Task == nil || h.sealed.statement.Task.Definition == nil {
		return out
	}
	s := h.sealed.statement
	out = fleet.Assignment{
		Task: *s.Task.Definition, State: s.Task.State, Generation: a.Generation, Since: a.Since, Unread: h.sealed.unread,
		Document: []byte(s.Task.Document), MediaType: s.Task.MediaType, Envelope: a.Envelope,
	}
	floor := s.Issued
	if was := p.gate.staged.Objects[s.Object()]; was.Digest == h.sealed.digest {
		if was.Generation > 0 {
			out.Generation = was.Generation
		}
		if !was.Floor.IsZero() {
			floor = was.Floor
		}
	}
	if out.Since.Before(floor) {
		out.Since = floor.UTC()
	}
	return out
}

// orderKinds says of each kind of order whether it names a run.
var orderKinds = map[fleet.OrderKind]bool{
	fleet.OrderRun: true, fleet.OrderCancel: true,
	fleet.OrderStart: false, fleet.OrderStop: false, fleet.OrderRestart: false, fleet.OrderReset: false,
}

func (p *passage) order(o *fleet.Order) {
	object := fmt.Sprintf("order %s %s", o.Kind, o.Task)
	if len(o.Envelope) == 0 && o.Cause != "" {
		p.unsigned(o, object)
		return
	}
	h := &hearing{claim: claimOrder, text: o.Envelope, task: o.Task}
	if given := p.tasks[o.Task]; given != nil {
		h.waits = &given.Task
	}
	var known bool
	no := p.hear(h)
	if no == nil {
		known = p.gate.book.Orders[h.orderKey()].Digest == h.sealed.digest
		no = wrongOrder(h)
	}
	if no != nil {
		p.refuseOrder(o, object, h, no)
		return
	}
	out := h.rewriteOrder(o, p.gate.host.ID)
	p.took(fmt.Sprintf("order %s %s", out.Kind, out.Task), h, known)
	p.plan.Orders = append(p.plan.Orders, out)
}

func wrongOrder(h *hearing) *objection {
	if order := h.sealed.statement.Order; order != nil {
		if _, known := orderKinds[order.Kind]; !known {
			return &objection{codeParse, fmt.Sprintf("the order is of the kind %q, which this version does not know", order.Kind), 0}
		}
	}
	return nil
}

// rewriteOrder returns the order as the statement says it.
func (h *hearing) rewriteOrder(o *fleet.Order, host fleet.HostID) fleet.Order {
	s := h.sealed.statement
	out := fleet.Order{
		Host: host, Task: h.id(), Expires: s.Expires, By: names(h.signers), Envelope: o.Envelope,
	}
	if s.Event != nil {
		out.Kind, out.Due, out.Payload, out.Cause = fleet.OrderRun, s.Event.Due, s.Event.Payload, "event "+s.Name
		out.ID, out.Run = seal.OrderID(s.Event.ID, host, h.task), seal.RunID(s.Event.ID, host, h.task)
		return out
	}
	out.ID, out.Kind, out.Due, out.Payload, out.Reason = seal.OrderID(s.Order.ID, host, out.Task), s.Order.Kind, s.Order.Due, s.Order.Payload, s.Order.Reason
	switch s.Order.Kind {
	case fleet.OrderRun:
		out.Run = seal.RunID(s.Order.ID, host, out.Task)
		if uuidForm.MatchString(string(o.Parent)) {
			out.Parent = o.Parent // for people; it decides nothing
		}
	case fleet.OrderCancel:
		out.Run = s.Order.Run
	}
	return out
}

var uuidForm = regexp.MustCompile(`\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z`)

// unsigned judges an order that no person gave.
func (p *passage) unsigned(o *fleet.Order, object string) {
	g, h := p.gate, &hearing{gate: p.gate, claim: claimOrder}
	no := h.checkExecute()
	key := "unsigned " + string(o.ID)
	was, known := g.staged.Orders[key]
	task := p.tasks[o.Task]
	switch {
	case no != nil:
	case !g.policy.Execute:
		no = &objection{codeExecute, "the policy of this host does not let anything run (execute: off)", g.policy.line("execute")}
	case o.Cause != "webhook" || !slices.Contains(g.policy.Unsigned, o.Cause):
		no = &objection{codeSignature, fmt.Sprintf("nobody signed it, and the policy does not let a %.30q come unsigned (unsigned_triggers)", o.Cause), g.policy.line("unsigned_triggers")}
	case task == nil || !task.Task.On.Webhook:
		no = &objection{codeTarget, "no task here that may run waits for it", 0}
	case o.Kind != fleet.OrderRun || !uuidForm.MatchString(string(o.ID)) || !uuidForm.MatchString(string(o.Run)) || len(o.Payload) > fleet.MaxPayload || o.Expires.After(o.Due.Add(seal.MaxOrderLife)):
		no = &objection{codeParse, "it is not what a webhook makes", 0}
	case known && was.Never:
		no = &objection{codeRate, "it was refused before: it came too soon after another", g.policy.line("orders.every")}
	case !known && !g.book.Lost.IsZero():
		no = &objection{codeReplay, "this host lost what it has done before: fleetcron-agent policy confirm", 0}
	case !known && (g.setBack() || !g.latest().Before(o.Expires)):
		no = &objection{codeTime, "it has expired, or the clock of this host was set back", 0}
	case !known && p.known != nil:
		no = p.known
	case !known:
		no = g.tooSoon(o.Task, true)
		g.staged.Orders[key] = ordered{Expires: o.Expires, Journal: g.config.Journal, Never: no != nil}
		g.changed = true
	}
	if no != nil {
		p.refuseOrder(o, object, h, no)
		return
	}
	p.plan.Orders = append(p.plan.Orders, fleet.Order{
		ID: o.ID, Kind: fleet.OrderRun, Host: g.host.ID, Task: o.Task, Run: o.Run, Due: o.Due, Expires: o.Expires, Cause: o.Cause, Payload: o.Payload,
	})
}

// refuseOrder lets the run of a refused order have an outcome; what was to be
// done beside running is left out.
func (p *passage) refuseOrder(o *fleet.Order, object string, h *hearing, no *objection) {
	r := p.refuse(object, h, no)
	_, err := fleet.ParseTaskID(string(o.Task))
	if o.Kind != fleet.OrderRun || err != nil || !uuidForm.MatchString(string(o.ID)) || !uuidForm.MatchString(string(o.Run)) {
		return
	}
	p.plan.Orders = append(p.plan.Orders, fleet.Order{
		ID: o.ID, Kind: o.Kind, Host: p.gate.host.ID, Task: o.Task, Run: o.Run, Due: o.Due, Expires: o.Expires, Refused: r,
	})
}

func names(keys []*Key) string {
	list := make([]string, len(keys))
	for i, key := range keys {
		list[i] = key.String()
	}
	return strings.Join(list, ", ")
}

// publish makes what was found the state of the gate.
func (g *Gate) publish(p *passage) {
	told := map[string]bool{}
	for _, r := range g.refused {
		told[r.Object+r.Code+r.Why] = true
	}
	for _, e := range p.entries {
		if e.Action != "refused" || !told[e.Object+e.Code+clip(e.Why)] {
			g.tell(e)
		}
	}
	for _, r := range p.refused {
		if !told[r.Object+r.Code+r.Why] {
			g.log.Warn("refused", "object", r.Object, "code", r.Code, "why", r.Why, "line", r.Line)
		}
	}
	g.accepted, g.wishes, g.refused = p.accepted, p.wishes, p.refused
	if g.setBack() {
		g.log.Warn("the clock of this host was set back: nothing that is ordered once is done until it is later", "now", g.now, "seen", g.book.Seen)
	}
	if g.problem == "" && !g.book.Lost.IsZero() {
		g.refused = append(slices.Clone(g.refused), fleet.Refusal{Object: "whatever is ordered once", Code: codeReplay, Why: "this host lost what it has done before: a person says `fleetcron-agent policy confirm` there"})
	}
	if err := g.chain.sync(); err != nil {
		g.log.Error("audit chain not on disk", "error", err)
	}
}

// May reports whether a task may begin now, with the words that are to be
// executed: who it runs as may be locked by now, and the policy another.
func (g *Gate) May(task *fleet.Task) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now, g.etc = time.Now(), g.etc.once()
	a := g.accepted[task.ID()]
	switch {
	case g.policy == nil:
		return refusal(&objection{codeExecute, "policy ignored: " + g.problem, 0})
	case !g.policy.Execute:
		return refusal(&objection{codeExecute, "the policy of this host does not let anything run (execute: off)", g.policy.line("execute")})
	case a == nil:
		return refusal(&objection{codeSignature, "no sealed statement gives this task to this host", 0})
	case !a.expires.IsZero() && !g.latest().Before(a.expires):
		return refusal(&objection{codeTime, "it expired at " + a.expires.UTC().Format(time.RFC3339), 0})
	}
	dangers, no := g.policy.judge(g.etc, task, g.now)
	if no != nil {
		return refusal(no)
	}
	for i, danger := range g.policy.TwoPerson {
		if a.persons < 2 && slices.Contains(dangers, danger) {
			return refusal(&objection{codeApproval, fmt.Sprintf("it is dangerous (%s) and needs the signatures of two people", danger), g.policy.line(fmt.Sprintf("two_person[%d]", i))})
		}
	}
	return nil
}

// MayAdopt reports whether a job may be taken over as the plan wishes. run is
// what the job really runs, where that is known.
func (g *Gate) MayAdopt(wish *fleet.Adoption, run *fleet.Execute) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now, g.etc = time.Now(), g.etc.once()
	no, judged := g.wishes[wish.Task]
	switch {
	case g.policy == nil || !judged:
		return refusal(&objection{codeSignature, "nothing sealed asks for it", 0})
	case no != nil:
		return refusal(no)
	case run == nil:
		return nil
	}
	if _, no := g.policy.judge(g.etc, &fleet.Task{Name: wish.Task.Name(), Namespace: wish.Task.Namespace(), Run: *run}, g.now); no != nil {
		return refusal(no)
	}
	return nil
}

// WouldAdopt reports whether a job might be taken over, once somebody signs that
// it shall be.
func (g *Gate) WouldAdopt(wish *fleet.Adoption, run *fleet.Execute) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now, g.etc = time.Now(), g.etc.once()
	switch {
	case g.policy == nil:
		return refusal(&objection{codeExecute, "policy ignored: " + g.problem, 0})
	case !g.policy.Execute:
		return refusal(&objection{codeExecute, "the policy of this host does not let anything run (execute: off)", g.policy.line("execute")})
	case !g.policy.Adoption:
		return refusal(&objection{codeAdoption, "the policy does not let jobs of this host be taken over", g.policy.line("adoption")})
	case run == nil:
		return nil
	}
	if _, no := g.policy.judge(g.etc, &fleet.Task{Name: wish.Task.Name(), Namespace: wish.Task.Namespace(), Run: *run}, g.now); no != nil {
		return refusal(no)
	}
	return nil
}

// refusal is an objection as an error.
func refusal(no *objection) error {
	return fleet.Errorf(fleet.Refused, "%s", (&fleet.Refusal{Code: no.code, Why: no.why, Line: no.line}).String()).WithCode(no.code)
}

// readStatement reads what is said. A task that says what this version does not
// know is read as far as it goes, to be shown: it is not begun.
func (o *opened) readStatement() {
	o.statement, o.problem = o.envelope.Statement()
	if o.statement != nil && o.statement.Task != nil && o.statement.Task.Definition != nil {
		o.wrong = o.statement.Task.Definition.Validate()
		text, _ := json.Marshal(o.statement.Task.Definition) // it came from JSON
		sum := sha256.Sum256(text)
		o.definition = hex.EncodeToString(sum[:])
	}
	e, ok := errors.AsType[*fleet.Error](o.problem)
	if !ok || e.Code != "unknown_field" {
		return
	}
	var s seal.Statement
	if json.NewDecoder(bytes.NewReader(o.envelope.Payload)).Decode(&s) != nil || s.Validate() != nil || s.Task == nil || s.Task.Definition == nil {
		return
	}
	o.statement, o.unread = &s, e.Error()
}
