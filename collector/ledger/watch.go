package ledger

import "github.com/fleetcron/fleetcron/shared/fleet"

// Topic is something that can be watched for change.
type Topic struct{ name, key string }

// The topics that concern the whole fleet.
var (
	Hosts       = Topic{name: "hosts"} // descriptions of hosts
	Jobs        = Topic{name: "jobs"}  // inventories
	Tasks       = Topic{name: "tasks"}
	Runs        = Topic{name: "runs"}
	Orders      = Topic{name: "orders"}
	Collectors  = Topic{name: "collectors"}
	Generations = Topic{name: "generations"} // which host runs which generation
	Pins        = Topic{name: "pins"}
	Annotations = Topic{name: "annotations"}
	Acks        = Topic{name: "acks"}
	Adoptions   = Topic{name: "adoptions"}
	Calendars   = Topic{name: "calendars"}
	Standings   = Topic{name: "standings"} // how tasks stand on hosts, and orders about that
	Audit       = Topic{name: "audit"}
	Tokens      = Topic{name: "tokens"} // join tokens too
	Nodes       = Topic{name: "nodes"}
	Rules       = Topic{name: "rules"}
	Requests    = Topic{name: "requests"}
	Policies    = Topic{name: "policies"}
	Proofs      = Topic{name: "proofs"}
)

// PlanOf is the topic of one host's plan: its assignments and orders.
func PlanOf(host fleet.HostID) Topic { return Topic{"plan", string(host)} }

// RunsOf is the topic of one task's runs.
func RunsOf(task fleet.TaskID) Topic { return Topic{"runs", string(task)} }

// watch is what is known of a topic that was watched or has changed.
type watch struct {
	index   uint64
	changed chan struct{} // nil while nobody waits
}

// Watch returns the index at which the topic last changed, as far as this
// process knows (after a start: the index of the start), and a channel that is
// closed when it changes next. What is read after Watch returned is at least
// as new as index.
func (l *Ledger) Watch(topic Topic) (index uint64, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.watches[topic]
	if w == nil {
		w = &watch{index: l.opened}
		l.watches[topic] = w
	}
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.index, w.changed
}

// notify records a change of the topic and wakes who waits. It needs mu.
func (l *Ledger) notify(topic Topic, index uint64) {
	w := l.watches[topic]
	if w == nil {
		w = new(watch)
		l.watches[topic] = w
	}
	w.index = index
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// notifyAll wakes everyone: everything may have changed. It needs mu.
func (l *Ledger) notifyAll(index uint64) {
	l.opened = index
	for topic := range l.watches {
		l.notify(topic, index)
	}
}

// OnHost calls fn with each host whose description, inventory or evidence
// changed, after the change can be read, from the goroutine that applies: fn must return at
// once and call nothing of the ledger. After a Restore it is called for every
// host. It must be set before entries are applied.
func (l *Ledger) OnHost(fn func(fleet.HostID)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onHost = append(l.onHost, fn)
}

func (l *Ledger) hooks() []func(fleet.HostID) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.onHost
}
