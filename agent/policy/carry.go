package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// What was taken stands until a signed word ends it. What a plan leaves out, and
// what it puts in its place that nobody trusted has signed, changes nothing.

// withheldFor is how long something is not given before people hear of it: a
// signed end may be on its way.
const withheldFor = time.Minute

// held collects what may go on though the plan does not give it: what was kept
// beside the plan before, and what stood in it.
func held(plan, before *fleet.Plan) (all fleet.Kept) {
	for _, p := range []*fleet.Plan{plan, before} {
		if p != nil && p.Kept != nil {
			all.Assignments = append(all.Assignments, p.Kept.Assignments...)
			all.Sealed = append(all.Sealed, p.Kept.Sealed...)
		}
	}
	if before != nil {
		all.Assignments = append(all.Assignments, before.Assignments...)
		all.Sealed = append(all.Sealed, before.Sealed...)
	}
	return all
}

// noted returns what the book says of what a statement is about, and whether it
// was the last about that.
func (p *passage) noted(o *opened) (entry noted, last bool) {
	if o.statement == nil {
		return noted{}, false
	}
	entry = p.gate.staged.Objects[o.statement.Object()]
	return entry, entry.Digest == o.digest
}

// stands reports whether an envelope says a task that was taken here and that
// nobody has ended since.
func (p *passage) stands(text []byte) (*opened, bool) {
	o, err := p.gate.open(text)
	if err != nil {
		return nil, false
	}
	entry, last := p.noted(o)
	return o, last && entry.stands() && o.task() != nil && !p.gaveBack(o)
}

// stands reports whether a task is this host's until a signed word says otherwise.
func (n *noted) stands() bool { return n.Here && !n.Gone && !n.Dropped }

// task returns the task that a statement gives; nil: it gives none.
func (o *opened) task() *fleet.Task {
	if o.statement == nil || o.statement.Task == nil || o.wrong != nil {
		return nil
	}
	return o.statement.Task.Definition
}

// gaveBack reports whether the job in whose place the task ran runs by itself.
func (p *passage) gaveBack(o *opened) bool {
	s := o.statement
	if p.gate.silent(fleet.NewTaskID(s.Namespace, s.Name)) {
		return false
	}
	back := p.gate.staged.Objects["adoption "+s.Namespace+"/"+s.Name]
	entry := p.gate.staged.Objects[s.Object()]
	return s.Kind == seal.KindAdopt || entry.Instead || back.Gone && back.Serial > s.Serial
}

// latter hears the newer statements about tasks that stand here, and that mean
// this host: a plan that has them among its tombstones gives them all the same.
func (p *passage) latter(texts [][]byte) {
	for _, text := range texts {
		o, err := p.gate.open(text)
		if err != nil || o.task() == nil {
			continue
		}
		s := o.statement
		entry, last := p.noted(o)
		if last || !entry.stands() || s.Serial <= entry.Serial {
			continue
		}
		p.resume(o, &fleet.Assignment{
			Task: *o.task(), State: s.Task.State, Generation: entry.Generation + 1, Since: p.gate.now.UTC(),
			Document: []byte(s.Task.Document), MediaType: s.Task.MediaType, Envelope: text,
		})
	}
}

// goOn lets what stands go on that the plan does not give, as it was taken: first
// by the envelope under which it was, for another one may say the same and have
// signatures that are none.
func (p *passage) goOn() {
	var others []*fleet.Assignment
	for i := range p.before.Assignments {
		a := &p.before.Assignments[i]
		if p.heard[sha256.Sum256(a.Envelope)] {
			continue
		}
		o, stands := p.stands(a.Envelope)
		if !stands {
			continue
		}
		if entry, _ := p.noted(o); entry.Envelope != sumOf(a.Envelope) {
			others = append(others, a)
			continue
		}
		p.resume(o, a)
	}
	for _, a := range others {
		o, _ := p.stands(a.Envelope)
		p.resume(o, a)
	}
}

// sumOf is the SHA-256 of an envelope, in hex.
func sumOf(envelope []byte) string {
	sum := sha256.Sum256(envelope)
	return hex.EncodeToString(sum[:])
}

// resume hears an envelope that the plan does not give. Of several that say the
// same one is kept: that which is accepted, or else the first.
func (p *passage) resume(o *opened, a *fleet.Assignment) {
	id := o.task().ID()
	at := slices.IndexFunc(p.kept.Assignments, func(other fleet.Assignment) bool { return other.Task.ID() == id })
	if taken := p.accepted[id]; taken != nil {
		if taken.digest == o.digest && len(o.signed) > taken.signed && at < 0 { // when a key goes, the others must not be lost
			p.kept.Assignments = append(p.kept.Assignments, *a)
		}
		return
	}
	h, no := p.hearTask(a)
	if _, last := p.noted(o); !last || no != nil && no.code == codeTarget {
		return // nobody trusted signed it, or by this host's own word it is not for it
	}
	switch {
	case at < 0:
		p.kept.Assignments = append(p.kept.Assignments, *a)
	case no == nil:
		p.kept.Assignments[at] = *a
	}
	if no == nil || !p.sure[id] {
		p.list(a, h, no)
	}
	if no == nil && len(o.task().Where.Networks) == 0 { // with them the collectors may know better where this host is
		p.withheld = append(p.withheld, "task "+string(id))
	}
}

// disturbs reports whether a wish that was refused is about a task that stands,
// or a job that is silent: it would keep the one from its turn, and wake the other.
func (p *passage) disturbs(wish fleet.Adoption) bool {
	entry := p.gate.staged.Objects["task "+string(wish.Task)]
	return p.wishes[wish.Task] != nil && (entry.stands() || p.gate.silent(wish.Task))
}

// calendarsFor lets the calendars stand that tasks name and the plan does not
// give: also one that was dropped meanwhile, while the version of its task that
// does without it has not come.
func (p *passage) calendarsFor(plan *fleet.Plan) {
	named := map[string]bool{}
	for _, list := range [][]fleet.Assignment{plan.Assignments, p.before.Assignments} {
		for i := range list {
			if o, err := p.gate.open(list[i].Envelope); err == nil && o.task() != nil {
				for _, name := range o.task().On.Blackout {
					named[name] = true
				}
			}
		}
	}
	kept := map[string]int{}
	for _, text := range p.before.Sealed {
		o, err := p.gate.open(text)
		if err != nil || o.statement == nil || o.statement.Kind != seal.KindCalendar || !named[o.statement.Name] || p.calendars[o.statement.Name] != nil {
			continue
		}
		name := o.statement.Name
		entry, last := p.noted(o)
		if !last && (!entry.Gone || entry.Was != o.digest) || o.statement.Calendar.Definition == nil {
			continue
		}
		at, known := kept[name]
		if !known {
			at = len(p.kept.Sealed)
			kept[name], p.kept.Sealed = at, append(p.kept.Sealed, text)
		}
		h := &hearing{claim: claimCalendar, text: text, stood: true}
		if p.hear(h) == nil {
			p.kept.Sealed[at] = text
			p.give(h)
			p.withheld = append(p.withheld, "calendar "+name)
		}
	}
}

// tellWithheld adds what has been withheld for long enough to what is refused:
// people see it there.
func (g *Gate) tellWithheld(p *passage) {
	since := make(map[string]time.Time, len(p.withheld))
	var told []fleet.Refusal
	for _, object := range p.withheld {
		at, known := g.withheld[object]
		if !known || g.now.Before(at) {
			at = g.now
		}
		if since[object] = at; g.now.Sub(at) < withheldFor {
			continue
		}
		why := "the collectors give it no longer, and nobody that this host trusts has signed that it ends: it goes on as it was"
		told = append(told, fleet.Refusal{Object: object, Code: fleet.RefusalWithheld, Why: why})
		p.entries = append(p.entries, Entry{Action: "refused", Object: object, Code: fleet.RefusalWithheld, Why: why})
	}
	g.withheld = since
	p.refused = append(told, p.refused...)
	p.refused = p.refused[:min(len(p.refused), maxRefused)]
}

// beside returns what goes on beside the plan; nil: nothing.
func (p *passage) beside() *fleet.Kept {
	if len(p.kept.Assignments)+len(p.kept.Sealed) == 0 {
		return nil
	}
	return &p.kept
}

// holds lists the tasks that stand here and are refused now.
func (p *passage) holds() (tasks []fleet.TaskID) {
	for i := range p.plan.Assignments {
		a := &p.plan.Assignments[i]
		if a.Refused == nil {
			continue
		}
		if entry := p.gate.staged.Objects["task "+string(a.Task.ID())]; entry.stands() {
			tasks = append(tasks, a.Task.ID())
		}
	}
	return tasks
}

// Held lists the tasks that stand here and that this host does not let begin now.
// The collectors are told, so that they send how these end.
func (g *Gate) Held() []fleet.TaskID {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.held)
}
