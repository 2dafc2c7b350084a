package policy

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// claim is what the collectors say an envelope is about.
type claim uint8

const (
	claimTask claim = iota
	claimOrder
	claimCalendar
	claimAdoption
	claimTombstone
	claimRevoked
)

// claims says which kinds of statements may be what.
var claims = map[claim][]seal.Kind{
	claimTask:      {seal.KindTask, seal.KindAdopt},
	claimOrder:     {seal.KindOrder, seal.KindEvent},
	claimCalendar:  {seal.KindCalendar},
	claimAdoption:  {seal.KindAdopt, seal.KindRelease},
	claimTombstone: {seal.KindTask, seal.KindAdopt, seal.KindRelease, seal.KindCalendar},
	claimRevoked:   {seal.KindNode},
}

// Codes of the rules that are not the policy's own.
const (
	codeExecute   = policyCode + "execute"
	codeAdoption  = policyCode + "adoption"
	codeOrders    = policyCode + "orders"
	codeSize      = "size"
	codeSignature = "signature"
	codeParse     = "parse"
	codeCluster   = "cluster"
	codeTarget    = "target"
	codeTime      = "time"
	codeReplay    = "replay"
	codeApproval  = "approval"
	codeRate      = "rate"
	codeDropped   = "dropped"
)

const (
	// leeway is by how much the clocks of people and hosts may differ.
	leeway = 10 * time.Minute
	// setBack is by how much a clock may go back before it is not believed.
	setBack = time.Minute
)

// hearing is one envelope before the gate.
type hearing struct {
	gate  *Gate
	claim claim
	text  []byte
	task  fleet.TaskID              // beside an order: whose it is said to be
	waits *fleet.Task               // beside an event: the task that waits for it, as it was signed; nil: none
	given uint64                    // beside a task: its generation
	since time.Time                 // beside a task: from when on it is said to count
	stood bool                      // of a calendar: the book was asked already
	ready func(*hearing) *objection // beside a task: whether it can be carried out, were it taken; nil: that is not asked
	asked time.Time                 // beside an adoption
	done  bool                      // beside an adoption: it is said to be carried out

	sealed  *opened
	signers []*Key // that may speak for it
	dangers []fleet.Danger
}

// rules is the way of an envelope through the gate. The first that objects
// stops it.
var rules = []struct {
	name  string // for explain
	check func(*hearing) *objection
}{
	{"policy in force", (*hearing).checkExecute},
	{"size and form", (*hearing).checkForm},
	{"signatures", (*hearing).checkSignatures},
	{"statement", (*hearing).checkStatement},
	{"namespace", (*hearing).checkNamespace},
	{"what its keys are for", (*hearing).checkMay},
	{"cluster", (*hearing).checkCluster},
	{"target", (*hearing).checkTarget},
	{"time", (*hearing).checkTime},
	{"replay", (*hearing).checkReplay},
	{"what runs", (*hearing).checkPolicy},
	{"two people", (*hearing).checkApproval},
	{"rate", (*hearing).checkRate},
}

// hear takes the envelope through the rules.
func (h *hearing) hear() *objection {
	for i := range rules {
		if no := rules[i].check(h); no != nil {
			return no
		}
	}
	return nil
}

func (h *hearing) checkExecute() *objection {
	g := h.gate
	switch {
	case g.policy == nil:
		return &objection{codeExecute, "policy ignored: " + g.problem, 0}
	case g.policy.Execute || h.claim == claimTombstone || h.claim == claimRevoked || h.claim == claimCalendar || h.claim == claimOrder || h.claim == claimAdoption && h.done:
		return nil // what only stops something is judged further down
	}
	return &objection{codeExecute, "the policy of this host does not let anything run (execute: off)", g.policy.line("execute")}
}

func (h *hearing) checkForm() *objection {
	if len(h.text) == 0 {
		return &objection{codeSignature, "nobody signed it", 0}
	}
	sealed, err := h.gate.open(h.text)
	if err != nil {
		code := codeSignature // what has no signature that counts
		if e, ok := errors.AsType[*fleet.Error](err); ok && e.Code == codeSize {
			code = codeSize
		}
		return &objection{code, "the envelope is none: " + err.Error(), 0}
	}
	h.sealed = sealed
	return nil
}

// checkSignatures counts who signed, by the keys' own bytes.
func (h *hearing) checkSignatures() *objection {
	p := h.gate.policy
	var late []string
	for i := range p.Keys {
		key := &p.Keys[i]
		switch {
		case !slices.ContainsFunc(h.sealed.signed, func(k ed25519.PublicKey) bool { return k.Equal(key.Public) }):
		case key.inForce(h.gate.latest()):
			h.signers = append(h.signers, key)
		default:
			late = append(late, key.String())
		}
	}
	if len(h.signers) >= p.Threshold {
		return nil
	}
	why := fmt.Sprintf("%d of %d needed signatures are by keys that this host trusts", len(h.signers), p.Threshold)
	if len(late) > 0 {
		why += fmt.Sprintf("; out of date: %s", strings.Join(late, ", "))
	}
	var hints []string
	for _, s := range h.sealed.envelope.Signatures {
		hints = append(hints, fmt.Sprintf("%.20q", s.KeyID))
	}
	return &objection{codeSignature, why + "; it says it is signed by " + strings.Join(hints, ", "), p.line("keys")}
}

// wrongFields says which rule a wrong field of a statement is about.
var wrongFields = []struct{ field, code string }{
	{"run.user", policyCode + "user"}, {"run.group", policyCode + "groups"}, {"run.env", policyCode + "env"}, {"run.command", policyCode + "command"},
	{"run.dir", policyCode + "dir"}, {"params", codeParams}, {"expires", codeTime}, {"issued", codeTime}, {"cluster", codeCluster}, {"where", codeTarget}, {"hosts", codeTarget},
}

func unreadable(err error) *objection {
	code := codeParse
	if e, ok := errors.AsType[*fleet.Error](err); ok && len(e.Fields) > 0 && e.Code == "" {
		for _, wrong := range wrongFields {
			if strings.HasPrefix(strings.TrimPrefix(e.Fields[0].Field, "task.definition."), wrong.field) {
				code = wrong.code
				break
			}
		}
	}
	return &objection{code, "the statement cannot be read: " + err.Error(), 0}
}

func (h *hearing) checkStatement() *objection {
	s := h.sealed.statement
	if s == nil {
		return unreadable(h.sealed.problem)
	}
	if !slices.Contains(claims[h.claim], s.Kind) {
		return &objection{codeParse, fmt.Sprintf("it is a statement of the kind %s, and stands where none belongs", s.Kind), 0}
	}
	if h.sealed.wrong != nil {
		return unreadable(h.sealed.wrong)
	}
	return nil
}

// checkNamespace leaves of the signers those that may speak for the namespace.
func (h *hearing) checkNamespace() *objection {
	s, p := h.sealed.statement, h.gate.policy
	namespace := s.Namespace
	switch {
	case s.Kind == seal.KindCalendar:
		return nil // whose tasks it serves is asked of each task
	case s.Kind == seal.KindEvent:
		namespace = h.task.Namespace()
	case s.Kind == seal.KindNode: // of no namespace: who may speak for all
		namespace = fleet.Everywhere
	}
	now := h.gate.latest()
	var some []string
	h.signers = slices.DeleteFunc(slices.Clone(h.signers), func(k *Key) bool {
		outside := !k.holds(namespace, now)
		if outside {
			some = append(some, k.String())
		}
		return outside
	})
	if len(h.signers) >= p.Threshold {
		return nil
	}
	return &objection{codeSignature, fmt.Sprintf("%d of %d needed signatures are by keys for namespace %s; not for it: %s", len(h.signers), p.Threshold, namespace, strings.Join(some, ", ")), p.line("keys")}
}

func (h *hearing) checkCluster() *objection {
	switch own := h.gate.config.Cluster; {
	case own == "":
		return &objection{codeCluster, "this host is not enrolled in a cluster", 0}
	case h.sealed.statement.Cluster != own:
		return &objection{codeCluster, fmt.Sprintf("it is for cluster %s, this host is of %s", h.sealed.statement.Cluster, own), 0}
	}
	return nil
}

// checkTarget compares with what this host says of itself, and with nothing
// that the collectors say of it. Networks are asked at each begin.
func (h *hearing) checkTarget() *objection {
	s, host := h.sealed.statement, &h.gate.host
	if len(s.Hosts) > 0 && h.claim != claimTombstone && !slices.Contains(s.Hosts, host.ID) {
		return &objection{codeTarget, "it is for other hosts", 0}
	}
	if h.claim != claimTask && h.claim != claimAdoption || s.Task.Definition == nil {
		return nil
	}
	if where := &s.Task.Definition.Where; !h.meansHere(where) {
		h.note() // what was meant for this host before is no longer
		return &objection{codeTarget, fmt.Sprintf("its where (%s) does not mean this host, whose name is %s and whose labels are %s", whereText(where), host.Name, labelText(host.Labels)), h.gate.policy.line("labels")}
	}
	return nil
}

func whereText(where *fleet.Where) string {
	text, _ := json.Marshal(where)
	return string(text)
}

func labelText(labels map[string]string) string {
	text, _ := json.Marshal(labels)
	return string(text)
}

// once reports whether the statement is about something that is done once.
func (h *hearing) once() bool {
	return h.claim == claimOrder || h.claim == claimAdoption
}

func (h *hearing) checkTime() *objection {
	s, g := h.sealed.statement, h.gate
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	if s.Issued.After(g.latest().Add(leeway)) {
		return &objection{codeTime, fmt.Sprintf("it was made at %s, and here it is %s: one of the two clocks is wrong", at(s.Issued), at(g.now)), 0}
	}
	switch {
	case h.once() && h.known():
		return nil // it was taken in time
	case h.once() && g.setBack():
		return &objection{codeTime, fmt.Sprintf("the clock of this host shows %s and has shown %s before: what is ordered once is not believed until it is later than that, or a person says `fleetcron-agent policy confirm` here", at(g.now), at(g.book.Seen)), 0}
	case h.claim == claimTombstone, h.claim == claimTask && s.Kind == seal.KindAdopt: // adopting has its end, the task has none
		return nil
	case !s.Expires.IsZero() && !g.latest().Before(s.Expires):
		if !h.once() {
			h.note()
		}
		return &objection{codeTime, "it expired at " + at(s.Expires), 0}
	}
	return nil
}

// key names what the statement is about, for the book.
func (h *hearing) key() string {
	s := h.sealed.statement
	if h.claim == claimAdoption {
		return "adoption " + s.Namespace + "/" + s.Name
	}
	return s.Object()
}

// orderKey names what is done once.
func (h *hearing) orderKey() string {
	s := h.sealed.statement
	if s.Kind == seal.KindEvent {
		return "event " + s.Event.ID + " " + string(h.task)
	}
	return s.Object()
}

// known reports whether the very same was taken before.
func (h *hearing) known() bool {
	b := h.gate.staged
	if h.claim == claimOrder {
		was, known := b.Orders[h.orderKey()]
		return known && was.Digest == h.sealed.digest && was.Journal == h.gate.config.Journal && !was.Never
	}
	was := b.Objects[h.key()]
	if h.claim == claimAdoption && !was.Taken { // what is so needs no second word
		return h.done && h.sealed.statement.Kind == seal.KindAdopt && h.gate.silent(h.id())
	}
	return was.Digest == h.sealed.digest
}

func (h *hearing) checkReplay() *objection {
	g, s := h.gate, h.sealed.statement
	if h.once() && !h.known() {
		switch {
		case !g.book.Lost.IsZero():
			return &objection{codeReplay, fmt.Sprintf("this host lost at %s what it has done before: what is ordered once waits until a person looks and says `fleetcron-agent policy confirm` here", g.book.Lost.Format(time.RFC3339)), 0}
		case s.Issued.Before(g.book.Since):
			return &objection{codeReplay, fmt.Sprintf("it was ordered at %s, before this host began its book anew at %s", s.Issued.UTC().Format(time.RFC3339), g.book.Since.Format(time.RFC3339)), 0}
		}
	}
	if h.claim == claimOrder {
		return h.checkOrder()
	}
	was, known := g.staged.Objects[h.key()]
	back := g.staged.Objects["adoption "+s.Namespace+"/"+s.Name]
	switch {
	case h.stood:
		return nil
	case h.claim == claimRevoked:
		h.note()
		return nil
	case h.claim == claimTombstone:
		if !h.goesOn() {
			h.note()
		}
		return nil
	case h.claim == claimTask && was.Dropped && s.Serial <= was.Serial:
		return &objection{codeDropped, "root of this host wants nothing of it (fleetcron-agent policy drop), until somebody signs a newer statement about it", 0}
	case h.claim == claimTask && s.Task.State != fleet.TaskRetired && back.Gone && g.silent(h.id()) && s.Serial < back.Serial && (!known || s.Serial == was.Serial || back.Serial == was.Serial && (was.Was == "" || was.Was == h.sealed.digest)):
		return nil // the job shall come back; until it does the task runs, as it was last
	case known && s.Serial < was.Serial:
		return &objection{codeReplay, fmt.Sprintf("a newer statement about %s was taken before (serial %d, this one has %d)", h.key(), was.Serial, s.Serial), 0}
	case known && s.Serial == was.Serial && was.Digest != h.sealed.digest:
		return &objection{codeReplay, fmt.Sprintf("another statement about %s with the serial %d was taken before", h.key(), s.Serial), 0}
	case h.claim == claimTask && s.Task.State == fleet.TaskRetired, known && was.Gone && s.Serial == was.Serial && h.claim != claimAdoption:
		h.note()
		return &objection{codeReplay, h.key() + " was deleted", 0}
	}
	if h.claim == claimTask && back.Gone && back.Serial > s.Serial {
		return &objection{codeReplay, "the job was given back, and with that the task was deleted", 0}
	}
	if h.ready != nil && was.stands() && was.Digest != h.sealed.digest {
		if no := h.ready(h); no != nil { // then the version before goes on
			return no
		}
	}
	h.note()
	return nil
}

// goesOn reports whether a tombstone ends nothing: it is a newer statement that
// means this host, a calendar as it shall be, or it asks for a job to be put back
// that still is silent.
func (h *hearing) goesOn() bool {
	s := h.sealed.statement
	switch {
	case s.Calendar != nil:
		return s.Calendar.Definition != nil
	case s.Task == nil:
		return false
	case s.Kind == seal.KindRelease:
		return h.gate.silent(h.id())
	case s.Task.Definition == nil:
		return false
	}
	return h.meansHere(&s.Task.Definition.Where)
}

// meansHere reports whether a where means this host, networks aside.
func (h *hearing) meansHere(said *fleet.Where) bool {
	where := *said
	if len(where.Networks) > 0 && where.Labels == "" && len(where.Hosts) == 0 {
		where.Labels = "*"
	}
	where.Networks = nil
	return where.Pick != fleet.PickNone && where.Matches(&h.gate.host)
}

// id is the task that the statement is about.
func (h *hearing) id() fleet.TaskID {
	if s := h.sealed.statement; s.Kind != seal.KindEvent {
		return fleet.NewTaskID(s.Namespace, s.Name)
	}
	return h.task
}

// checkOrder lets each order be carried out once.
func (h *hearing) checkOrder() *objection {
	was, known := h.gate.staged.Orders[h.orderKey()]
	s := h.sealed.statement
	switch {
	case !known && s.Order != nil && s.Order.Kind.Stands() && s.Serial < h.gate.staged.Stood[h.id()]:
		return &objection{codeReplay, fmt.Sprintf("a newer order to start, stop, restart or reset %s was carried out before", h.id()), 0}
	case !known || h.known():
		return nil
	case was.Never:
		return &objection{codeRate, "it was refused before: it came too soon after another", h.gate.policy.line("orders.every")}
	case was.Digest != h.sealed.digest:
		return &objection{codeReplay, "another order with this id was taken before", 0}
	}
	return &objection{codeReplay, "it was taken before, under a journal that this host no longer has", 0}
}

// note stages that the statement was seen, so that none before it counts.
func (h *hearing) note() {
	s, b := h.sealed.statement, h.gate.staged
	key := h.key()
	was, known := b.Objects[key]
	if known && s.Serial < was.Serial || s.Issued.After(h.gate.latest().Add(leeway)) {
		return
	}
	now := noted{Serial: s.Serial, Digest: h.sealed.digest}
	if known && was.Serial == s.Serial {
		if was.Digest != now.Digest { // the first counts
			return
		}
		now = was
	}
	switch {
	case s.Task != nil && s.Task.Definition != nil && h.claim != claimAdoption:
		h.noteTask(&now, &was)
	case s.Kind == seal.KindNode:
		now.Gone = true
	case s.Kind == seal.KindCalendar:
		now.Gone = s.Calendar.Definition == nil
	case s.Task != nil:
		now.Gone, now.Generation = s.Task.State == fleet.TaskRetired, was.Generation
	}
	if h.claim == claimAdoption && !now.Taken {
		now.Asked = h.asked
	}
	switch {
	case now.Gone && was.Gone:
		now.Was = was.Was
	case now.Gone && was.Digest != now.Digest:
		now.Was = was.Digest
	}
	if now != was {
		b.Objects[key] = now
		h.gate.changed = true
	}
}

// noteTask keeps of a task what may not change without another statement.
func (h *hearing) noteTask(now, was *noted) {
	s := h.sealed.statement
	now.Definition, now.Floor = h.sealed.definition, s.Issued.UTC()
	if was.Definition == now.Definition && !was.Floor.IsZero() {
		now.Floor = was.Floor // a pause does not make it begin anew
	}
	if h.claim != claimTask {
		return
	}
	now.Here = was.Here && !was.Gone && h.meansHere(&s.Task.Definition.Where)
	switch {
	case was.Definition == now.Definition && !was.Since.IsZero():
		now.Since = was.Since
	case h.since.Before(now.Floor):
		now.Since = now.Floor
	default:
		now.Since = sooner(h.since, h.gate.now).UTC()
	}
	switch {
	case was.Serial == s.Serial && was.Generation > 0:
		now.Generation = was.Generation
	case was.Definition != now.Definition && was.Generation > 0:
		now.Generation = max(h.given, was.Generation+1)
	default:
		now.Generation = max(1, h.given, was.Generation)
	}
}

func (h *hearing) checkPolicy() *objection {
	s, p := h.sealed.statement, h.gate.policy
	switch h.claim {
	case claimTask:
		return h.judge(s.Task.Definition)
	case claimAdoption:
		h.dangers = append(h.dangers, fleet.DangerAdoption)
		if s.Kind == seal.KindRelease {
			return nil // it only undoes
		}
		if !p.Adoption {
			return &objection{codeAdoption, "the policy does not let jobs of this host be taken over", p.line("adoption")}
		}
		return h.judge(s.Task.Definition)
	case claimOrder:
		if s.Kind == seal.KindEvent || begins(s.Order.Kind) {
			return h.checkRun()
		}
	}
	return nil
}

func (h *hearing) judge(task *fleet.Task) *objection {
	if h.sealed.unread != "" {
		return nil // it is not begun
	}
	dangers, no := h.gate.policy.judge(h.gate.etc, task, h.gate.now, false)
	h.dangers = append(h.dangers, dangers...)
	return no
}

// begins reports whether an order makes something run.
func begins(kind fleet.OrderKind) bool {
	return kind == fleet.OrderRun || kind == fleet.OrderStart || kind == fleet.OrderRestart
}

func (h *hearing) checkRun() *objection {
	s, p := h.sealed.statement, h.gate.policy
	switch {
	case !p.Execute:
		return &objection{codeExecute, "the policy of this host does not let anything run (execute: off)", p.line("execute")}
	case s.Kind == seal.KindEvent:
		if h.waits == nil || h.waits.On.Event != s.Name {
			return &objection{codeTarget, fmt.Sprintf("task %s does not wait for event %s here", h.task, s.Name), 0}
		}
		return nil
	case !p.Orders:
		return &objection{codeOrders, "the policy does not let anybody order a run", p.line("orders.run")}
	}
	h.dangers = append(h.dangers, fleet.DangerOneShot)
	return h.checkParams()
}

// checkApproval asks for a second person where the policy wants one.
func (h *hearing) checkApproval() *objection {
	p := h.gate.policy
	i := slices.IndexFunc(p.TwoPerson, func(d fleet.Danger) bool { return slices.Contains(h.dangers, d) })
	if i < 0 || persons(h.signers) >= 2 {
		return nil
	}
	return &objection{codeApproval, fmt.Sprintf("it is dangerous (%s) and needs the signatures of two people: fleetctl approve adds the second", p.TwoPerson[i]), p.line(fmt.Sprintf("two_person[%d]", i))}
}

// persons counts people: keys of one name are one person's.
func persons(keys []*Key) int {
	names := map[string]bool{}
	for _, key := range keys {
		if key.Name != "" {
			names["name "+key.Name] = true
		} else {
			names["key "+string(key.Public)] = true
		}
	}
	return len(names)
}

// checkRate is the last: whoever comes here is carried out.
func (h *hearing) checkRate() *objection {
	if h.claim != claimOrder || h.known() {
		return nil
	}
	g, s, run := h.gate, h.sealed.statement, h.sealed.statement.Kind == seal.KindEvent || begins(h.sealed.statement.Order.Kind)
	entry := ordered{Digest: h.sealed.digest, Expires: s.Expires, Journal: g.config.Journal}
	no := g.tooSoon(h.id(), run)
	entry.Never = no != nil
	g.staged.Orders[h.orderKey()] = entry
	if s.Order != nil && s.Order.Kind.Stands() && no == nil {
		g.staged.Stood[h.id()] = max(g.staged.Stood[h.id()], s.Serial)
	}
	g.changed = true
	return no
}
