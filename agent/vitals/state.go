package vitals

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// state is what is known of all runs that go on. It is a pure function of its
// events and their instants.
type state struct {
	subjects map[fleet.RunID]*subject
	asking   int // probes that have not been answered and are not given up
}

// subject is one run.
type subject struct {
	going   Going
	began   time.Time // by the clock of the events
	doomed  bool      // it was condemned
	pulse   pulse
	use     usage
	checkup checkup
}

// pulse is what the command says about itself.
type pulse struct {
	beat     time.Time // zero: none yet
	percent  *float64
	message  string
	last     string // note but for checkpoints, for the sentence about a stall
	ready    bool
	kept     *keep // the last checkpoint; nil: none yet
	unread   int
	unreadBy string // what was wrong with the last of them
}

func newState() *state { return &state{subjects: map[fleet.RunID]*subject{}} }

// step takes in one event and returns what follows from it.
func (s *state) step(now time.Time, e event) []action {
	switch e := e.(type) {
	case seen:
		s.see(now, e.runs)
	case over:
		return s.end(now, e)
	case noted:
		if subject := s.subjects[e.run]; subject != nil {
			return subject.hear(now, &e.page)
		}
	case measured:
		var all []action
		for _, run := range slices.Sorted(maps.Keys(e.uses)) {
			if subject := s.subjects[run]; subject != nil {
				all = append(all, subject.weigh(e.uses[run])...)
			}
		}
		return all
	case answered:
		return s.answer(now, e)
	case tick:
		return s.judge(now)
	}
	return nil
}

// see takes in which runs there are.
func (s *state) see(now time.Time, runs []Going) {
	there := make(map[fleet.RunID]bool, len(runs))
	for _, going := range runs {
		there[going.Run.ID] = true
		if subject := s.subjects[going.Run.ID]; subject != nil {
			subject.renew(now, going)
			continue
		}
		s.subjects[going.Run.ID] = newSubject(now, going)
	}
	for run := range s.subjects {
		if !there[run] {
			s.forget(run)
		}
	}
}

func newSubject(now time.Time, going Going) *subject {
	subject := &subject{going: going, began: now}
	subject.began = now.Add(-going.age)
	subject.checkup.begin(subject)
	return subject
}

// renew takes in another definition of the task.
func (u *subject) renew(now time.Time, going Going) {
	same := going.Task == u.going.Task ||
		going.Task != nil && u.going.Task != nil && reflect.DeepEqual(going.Task.Health, u.going.Task.Health)
	u.going = going
	if !same {
		u.checkup.failed, u.checkup.next = 0, now
	}
}

// end hears the last words of a run, which may be the first ones too.
func (s *state) end(now time.Time, e over) []action {
	subject := s.subjects[e.run.ID]
	if subject == nil {
		subject = newSubject(now, Going{Run: e.run})
	}
	s.forget(e.run.ID)
	return subject.hear(now, &e.page)
}

func (s *state) forget(run fleet.RunID) {
	subject := s.subjects[run]
	if subject == nil {
		return
	}
	if subject.checkup.pending() {
		s.asking--
	}
	delete(s.subjects, run)
}

// hear takes in notes.
func (u *subject) hear(now time.Time, p *page) []action {
	u.pulse.unread += p.unread
	if p.unread > 0 {
		u.pulse.unreadBy = p.why
	}
	var kept *keep
	for _, note := range p.notes {
		switch note.Kind {
		case Progress:
			percent := note.Percent
			u.pulse.percent = &percent
		case Checkpoint:
			kept = &keep{u.going.Run.Task, u.going.Run.ID, note.Text}
			continue
		case Ready:
			u.pulse.ready = true
			u.checkup.next = now
		}
		if note.Text != "" {
			u.pulse.message = note.Text
		}
		u.pulse.last, _ = note.Line()
	}
	if len(p.notes) > 0 {
		if u.pulse.beat.IsZero() { // what an agent finds when it starts is as old as the file
			u.pulse.beat = now.Add(-min(max(0, now.Round(0).Sub(p.written)), now.Sub(u.began)))
		} else {
			u.pulse.beat = now
		}
	}
	if kept == nil || u.pulse.kept != nil && u.pulse.kept.value == kept.value {
		return nil
	}
	u.pulse.kept = kept
	return []action{*kept}
}

// judge looks at everybody because time has passed.
func (s *state) judge(now time.Time) (all []action) {
	var due []*subject
	for _, run := range slices.Sorted(maps.Keys(s.subjects)) {
		subject := s.subjects[run]
		all = append(all, subject.stalled(now)...)
		actions, wants := s.checkUp(now, subject)
		all = append(all, actions...)
		if wants {
			due = append(due, subject)
		}
	}
	// Who has waited longest is asked first; the others stay due.
	slices.SortFunc(due, func(a, b *subject) int {
		return cmp.Or(a.checkup.next.Compare(b.checkup.next), cmp.Compare(a.going.Run.ID, b.going.Run.ID))
	})
	for _, subject := range due {
		if s.asking == mostAsked {
			break
		}
		s.asking++
		all = append(all, subject.ask(now))
	}
	return all
}

// stalled condemns a run that gives no sign of life for too long.
func (u *subject) stalled(now time.Time) []action {
	if u.going.Task == nil || u.going.Task.Limits.Stall == 0 {
		return nil
	}
	stall := u.going.Task.Limits.Stall
	last := u.began
	if u.pulse.beat.After(last) {
		last = u.pulse.beat
	}
	if now.Sub(last) < time.Duration(stall) {
		return nil
	}
	detail := fmt.Sprintf("neither heartbeat nor progress for %s", stall)
	switch {
	case u.pulse.beat.IsZero():
		detail += "; it never gave any"
	case u.pulse.last != "":
		detail += fmt.Sprintf("; the last was %q", Printable(u.pulse.last, 80))
	}
	return u.condemn(fleet.RanStalled, detail)
}

// condemn says once that the run ought to be stopped.
func (u *subject) condemn(reason fleet.Reason, detail string) []action {
	if u.doomed {
		return nil
	}
	u.doomed = true
	return []action{condemn{u.going.Run.Task, u.going.Run.ID, reason, detail}}
}

// live is what people are shown of the runs, the oldest first.
func (s *state) live() []fleet.LiveRun {
	runs := make([]fleet.LiveRun, 0, len(s.subjects))
	for _, subject := range s.subjects {
		runs = append(runs, subject.live())
	}
	slices.SortFunc(runs, func(a, b fleet.LiveRun) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Run, b.Run))
	})
	return runs
}

func (u *subject) live() fleet.LiveRun {
	run := &u.going.Run
	live := fleet.LiveRun{
		Run: run.ID, Task: run.Task, PID: run.PID, Attempt: run.Attempt,
		Processes: u.use.processes, Samples: slices.Clone(u.use.samples),
		Progress: u.pulse.percent, Message: Printable(u.pulse.message, messageMost), Ready: u.pulse.ready,
		Health: u.checkup.health, HealthDetail: u.checkup.detail,
		Unread: u.pulse.unread, UnreadBecause: u.pulse.unreadBy,
	}
	if run.Started != nil {
		live.Started = run.Started.UTC()
	}
	if n := len(live.Samples); n > 0 {
		live.Sample = &live.Samples[n-1]
	}
	if !u.pulse.beat.IsZero() {
		beat := u.pulse.beat.Round(0).UTC()
		live.Beat = &beat
	}
	return live
}

// messageMost is how many bytes of a message people are shown.
const messageMost = 512
