package gossip

import (
	"slices"
	"time"

	"github.com/hashicorp/serf/serf"
)

// EventKind says what happened to a member, or that someone knocked.
type EventKind uint8

// The kinds of events.
const (
	Joined  EventKind = iota + 1 // it is here, new or again
	Left                         // it said goodbye
	Failed                       // it stopped answering, or the way to it is cut
	Updated                      // its tags changed
	Knock                        // somebody means this member: look for news now
)

var eventNames = [...]string{Joined: "joined", Left: "left", Failed: "failed", Updated: "updated", Knock: "knock"}

// String returns the kind in one lower-case word.
func (k EventKind) String() string { return eventNames[k] }

// Event is a change of another member, or a knock (whose Member is empty).
type Event struct {
	Kind   EventKind
	Member Member
}

// memberEvents maps the library's events to ours. A reaped member left or
// failed long ago, so its second end is not an event.
var memberEvents = map[serf.EventType]EventKind{
	serf.EventMemberJoin:   Joined,
	serf.EventMemberLeave:  Left,
	serf.EventMemberFailed: Failed,
	serf.EventMemberUpdate: Updated,
}

// Who rings without need must not make the whole fleet run to the door: after
// a burst of knocks the next ones are one, and wait.
const (
	knocksBurst = 10
	knocksEvery = 5 * time.Second
)

// patience says when the next knock may be handed out.
type patience struct {
	left  float64 // knocks that may be handed out at once
	asked time.Time
}

// wait returns how long a knock must wait; zero: it may be handed out.
func (p *patience) wait(now time.Time) time.Duration {
	if !p.asked.IsZero() {
		p.left = min(knocksBurst, p.left+now.Sub(p.asked).Seconds()/knocksEvery.Seconds())
	}
	p.asked = now
	if p.left >= 1 {
		return 0
	}
	return time.Duration((1 - p.left) * float64(knocksEvery))
}

// waiting holds what the consumer has not taken yet: the latest event of each
// member and at most one knock, so it never holds more than there are members.
type waiting struct {
	order []string // names in the order they changed first
	last  map[string]Event
	knock bool
}

func (w *waiting) add(name string, event Event) {
	before, known := w.last[name]
	if !known {
		w.order = append(w.order, name)
	}
	if known && event.Kind == Updated && before.Kind == Joined {
		event.Kind = Joined // to one who has not heard of it, it is new
	}
	w.last[name] = event
}

// next returns the event to hand out, and how to strike it off once taken.
// patient holds a knock back.
func (w *waiting) next(patient bool) (event Event, taken func(), some bool) {
	if w.knock && !patient {
		return Event{Kind: Knock}, func() { w.knock = false }, true
	}
	if len(w.order) == 0 {
		return Event{}, nil, false
	}
	name := w.order[0]
	return w.last[name], func() {
		w.order = slices.Delete(w.order, 0, 1)
		delete(w.last, name)
	}, true
}

// pump takes every event from the library at once, however slow the consumer
// is, and hands them on one by one. It returns when closing is closed.
func (m *Mesh) pump(from <-chan serf.Event) {
	defer close(m.events)
	pending, knocks := waiting{last: make(map[string]Event)}, patience{left: knocksBurst}
	for {
		var to chan<- Event
		var again <-chan time.Time
		if pending.knock {
			if wait := knocks.wait(time.Now()); wait > 0 {
				again = time.After(wait)
			}
		}
		event, taken, some := pending.next(again != nil)
		if some {
			to = m.events
		}
		select {
		case arrived := <-from:
			m.note(&pending, arrived)
		case to <- event:
			taken()
			if event.Kind == Knock {
				knocks.left--
			}
		case <-again:
		case <-m.closing:
			return
		}
	}
}

// note adds what the library reported to the events that wait.
func (m *Mesh) note(pending *waiting, arrived serf.Event) {
	switch event := arrived.(type) {
	case serf.MemberEvent:
		kind, known := memberEvents[event.Type]
		for _, member := range event.Members {
			comes := kind == Joined || kind == Updated
			if !known || member.Name == m.name || comes && m.door.check(member.Name, member.Tags) != nil {
				continue
			}
			pending.add(member.Name, Event{Kind: kind, Member: asMember(member)})
		}
	case serf.UserEvent:
		if event.Name == knockName && means(event.Payload, m.name) {
			pending.knock = true
		}
	}
}
