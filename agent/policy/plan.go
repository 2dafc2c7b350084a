package policy

import (
	"crypto/sha256"
	"fmt"
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
	first, _ := g.follow(plan, nil, func(*fleet.Kept) error { return nil })
	return first.plan, first.refused
}

// Follow opens a plan that takes the place of another one, and has it saved with
// what goes on beside it (nil: nothing) before the book notes what is in it: a
// crash between the two leaves a plan whose statements the book lets begin. On an
// error nothing has changed.
func (g *Gate) Follow(plan, before *fleet.Plan, save func(*fleet.Kept) error) (*fleet.Plan, error) {
	first, err := g.follow(plan, before, save)
	if err != nil {
		return nil, err
	}
	return first.plan, nil
}

func (g *Gate) follow(plan, before *fleet.Plan, save func(*fleet.Kept) error) (*passage, error) {
	stood := held(plan, before)
	g.prepare(plan)
	g.prepare(&fleet.Plan{Assignments: stood.Assignments, Sealed: stood.Sealed})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now, g.used, g.etc = time.Now(), map[[32]byte]bool{}, g.etc.once()
	g.dropped()
	first := g.pass(plan, stood)
	if err := save(first.beside()); err != nil {
		return nil, err
	}
	if g.changed {
		if err := g.keep(); err != nil { // then nothing new is taken
			g.log.Error("book of the policy not written: nothing new is taken", "error", err)
			why := &objection{codeReplay, "this host cannot write down that it takes it: " + err.Error(), 0}
			first = g.passKnown(plan, stood, why)
			if err := save(first.beside()); err != nil {
				return nil, err
			}
		}
	}
	for sum := range g.cache {
		if !g.used[sum] {
			delete(g.cache, sum)
		}
	}
	g.used = nil
	g.publish(first)
	return first, nil
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

// maxGeneration is more than any task comes to. The collectors choose the number,
// and one that cannot be counted on from would make two definitions one.
const maxGeneration = 1 << 53

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

	before   fleet.Kept            // what may go on though the plan does not give it
	kept     fleet.Kept            // what of that does
	withheld []string              // objects among them
	heard    map[[32]byte]bool     // envelopes of assignments in the plan
	sure     map[fleet.TaskID]bool // listed, and as the last statement says
	// known, where it is set, is why nothing is taken that was not before.
	known *objection
}

// pass hears everything in a plan.
func (g *Gate) pass(plan *fleet.Plan, before fleet.Kept) *passage {
	return g.passKnown(plan, before, nil)
}

func (g *Gate) passKnown(plan *fleet.Plan, before fleet.Kept, known *objection) *passage {
	g.staged, g.changed = g.book.copy(), false
	p := &passage{
		gate: g, plan: &fleet.Plan{Host: g.host.ID, Index: plan.Index, Assignments: []fleet.Assignment{}, Orders: []fleet.Order{}},
		tasks: map[fleet.TaskID]*fleet.Assignment{}, calendars: map[string]*hearing{}, listed: map[fleet.TaskID]bool{},
		accepted: map[fleet.TaskID]*acceptance{}, wishes: map[fleet.TaskID]*objection{}, known: known,
		before: before, heard: map[[32]byte]bool{}, sure: map[fleet.TaskID]bool{},
	}
	if known != nil {
		defer func() { g.staged, g.changed = g.book.copy(), false }()
	}
	for _, text := range plan.Tombstones {
		p.tombstone(text)
	}
	for _, text := range plan.Revoked {
		p.revoked(text)
	}
	for i, text := range plan.Sealed {
		p.calendar(i, text)
	}
	p.calendarsFor(plan)
	for i := range plan.Adoptions {
		p.adoption(&plan.Adoptions[i])
	}
	p.latter(plan.Tombstones)
	for i := range plan.Assignments {
		p.assignment(&plan.Assignments[i])
	}
	p.goOn()
	for id := range p.accepted {
		p.outdate(id)
	}
	p.plan.Adoptions = slices.DeleteFunc(p.plan.Adoptions, p.disturbs)
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
	if h.vouched() || p.gate.entries.admit(object+no.code, p.gate.now) {
		p.entries = append(p.entries, entry)
	}
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
		p.give(h)
	}
}

// give puts a calendar into the opened plan.
func (p *passage) give(h *hearing) {
	s := h.sealed.statement
	if p.calendars[s.Name] != nil {
		return
	}
	p.calendars[s.Name] = h
	p.plan.Calendars = append(p.plan.Calendars, *s.Calendar.Definition)
	p.plan.Sealed = append(p.plan.Sealed, h.text)
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
		Task: h.id(), Host: p.gate.host.ID, State: a.State, Job: a.Job, Handed: sooner(a.Handed, p.gate.now), Asked: entry.Asked, At: a.At, Why: a.Why,
		By: names(h.signers), Envelope: a.Envelope,
	}
	if s.Adopt != nil {
		out.Job.ID, out.Job.Source, out.Job.Line, out.Job.Fingerprint, out.Force = s.Adopt.Job, s.Adopt.Source, s.Adopt.Line, s.Adopt.Fingerprint, s.Adopt.Force
	}
	p.wishes[out.Task] = nil
	p.plan.Adoptions = append(p.plan.Adoptions, out)
}

func sooner(a, b time.Time) time.Time {
	if a.After(b) {
		return b.UTC()
	}
	return a
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
	h, no := p.hearTask(a)
	if h.sealed != nil && h.sealed.task() != nil && h.sealed.task().ID() == a.Task.ID() { // and not beside another task
		p.heard[sha256.Sum256(a.Envelope)] = true
	}
	p.list(a, h, no)
}

// hearTask takes the envelope of an assignment through the rules.
func (p *passage) hearTask(a *fleet.Assignment) (*hearing, *objection) {
	h := &hearing{claim: claimTask, text: a.Envelope, given: min(a.Generation, maxGeneration), since: a.Since, ready: p.blackout}
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
	if h.sealed == nil { // no policy is in force; what was taken before says what it is about
		if o, stands := p.stands(h.text); stands {
			h.sealed = o
		}
	}
	return h, no
}

// list puts an assignment into the opened plan, accepted or refused.
func (p *passage) list(a *fleet.Assignment, h *hearing, no *objection) {
	out := p.rewrite(a, h)
	id := out.Task.ID()
	entry, known := p.gate.staged.Objects["task "+string(id)]
	p.outdate(id)
	sure := h.sealed != nil && entry.Digest == h.sealed.digest && entry.stands()
	if no != nil {
		out.Refused = p.refuse("task "+string(id), h, no)
		switch {
		case no.code == codeDropped, p.sure[id]:
			return
		case !known && !h.vouched() && !p.gate.tasks.admit(string(id), p.gate.now):
			return
		}
	} else {
		p.took("task "+string(id), h, p.gate.book.Objects[h.key()].Digest == h.sealed.digest)
		p.settle(h)
		p.accepted[id] = &acceptance{digest: h.sealed.digest, expires: h.expires(), namespace: h.sealed.statement.Namespace, word: wordOf(h.sealed.statement), signers: h.signers, signed: len(h.sealed.signed)}
		sure = true
	}
	if !h.valid() && out.Unread == "" && out.Task.Validate() != nil || p.tasks[id] != nil {
		return // nobody could tell when it is due, or it is given twice
	}
	if p.listed[id] { // the one before was refused
		p.unlist(id)
	}
	p.listed[id], p.sure[id] = true, sure
	p.plan.Assignments = append(p.plan.Assignments, out)
	if no == nil {
		p.tasks[id] = &out
	}
}

// outdate takes a task back whose newer statement stands further down in the
// same plan.
func (p *passage) outdate(id fleet.TaskID) {
	a, entry := p.accepted[id], p.gate.staged.Objects["task "+string(id)]
	if a == nil || p.known != nil || a.digest == entry.Digest || a.digest == entry.Was && p.gate.silent(id) {
		return // what is to be given back runs on until it is
	}
	p.unlist(id)
	delete(p.accepted, id)
}

// unlist takes a task out of the opened plan.
func (p *passage) unlist(id fleet.TaskID) {
	p.plan.Assignments = slices.DeleteFunc(p.plan.Assignments, func(a fleet.Assignment) bool { return a.Task.ID() == id })
	delete(p.tasks, id)
	delete(p.listed, id)
	delete(p.sure, id)
}

// settle notes that the task is this host's until a signed word says otherwise,
// and whether it runs in place of a job.
func (p *passage) settle(h *hearing) {
	entry, known := p.gate.staged.Objects[h.key()]
	was := entry
	if !known || entry.Gone || entry.Digest != h.sealed.digest || p.known != nil {
		return
	}
	entry.Here, entry.Instead, entry.Envelope = true, p.gate.silent(h.id()), sumOf(h.text)
	if entry != was {
		p.gate.staged.Objects[h.key()] = entry
		p.gate.changed = true
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
	out.Since = sooner(out.Since, p.gate.now)
	floor := s.Issued
	if was := p.gate.staged.Objects[s.Object()]; was.Digest == h.sealed.digest {
		if was.Generation > 0 {
			out.Generation = was.Generation
		}
		if !was.Floor.IsZero() {
			floor = was.Floor
		}
		if !was.Since.IsZero() {
			out.Since = was.Since
		}
	}
	if out.Since.Before(floor) {
		out.Since = floor.UTC()
	}
	return out
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
	g.tellWithheld(p)
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
	g.accepted, g.wishes, g.refused, g.held = p.accepted, p.wishes, p.refused, p.holds()
	if g.setBack() {
		g.refused = append(slices.Clone(g.refused), fleet.Refusal{Object: "whatever is ordered once", Code: codeTime, Why: "the clock of this host has shown " + g.book.Seen.UTC().Format(time.RFC3339) + ": if it is right now, a person says `fleetcron-agent policy confirm` there"})
		g.log.Warn("the clock of this host was set back: nothing that is ordered once is done until it is later", "now", g.now, "seen", g.book.Seen)
	}
	if g.problem == "" && !g.book.Lost.IsZero() {
		g.refused = append(slices.Clone(g.refused), fleet.Refusal{Object: "whatever is ordered once", Code: codeReplay, Why: "this host lost what it has done before: a person says `fleetcron-agent policy confirm` there"})
	}
	if err := g.chain.sync(); err != nil {
		g.log.Error("audit chain not on disk", "error", err)
	}
}
