package checker

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// History is what happened to some hosts in a while, told by everyone who saw
// it. Instants are what the clock of the host in question showed, except where
// they are durations: those are on one clock that all hosts share and nobody
// sets, such as CLOCK_MONOTONIC of the one machine that plays all of them.
type History struct {
	Until  time.Time // when it ended; what is due too shortly before may be open
	Healed time.Time // from then on nothing was done to the fleet; zero: until the end something was

	Given   []Given              // every generation of every task
	Applied []Applied            // which host had it from when on, by whoever gave it
	Orders  []Ordered            // runs that people ordered, and that reached a host
	Windows []Window             // what was done to the fleet, and what people decided
	Lives   []Life               // when agents started; nil: not known
	Slots   map[fleet.HostID]int // how many runs may go on at once on a host, without supervised ones; nil: not known

	Deliveries []Delivery // records in the order in which a collector took them in
	Journals   []Journal  // what the agents' journals hold at the end
	Probes     []Probe
	Samples    []Sample // of the account
	Looked     bool     // somebody looked for leftovers
	Leftovers  []Leftover

	Tolerance Tolerance
	Minima    Minima
}

// Given is one generation of a task.
type Given struct {
	Task       fleet.Task
	Generation uint64
	Since      time.Time // when it was accepted
}

// Applied says that from At on a host had a generation of a task; zero: that it
// had it no more.
type Applied struct {
	Host       fleet.HostID
	Task       fleet.TaskID
	Generation uint64
	At         time.Time
}

// Ordered is an order to run, and when it reached its host. The instants in the
// order itself are by the collectors' clock, which may be another.
type Ordered struct {
	fleet.Order
	At time.Time // by the host's clock; zero: when it was due
}

// Delivery is one record of a host's journal: a run, or a stint.
type Delivery struct {
	Host     fleet.HostID
	Journal  fleet.JournalID
	Sequence uint64 // zero: not known
	Run      fleet.Run
	Stint    *fleet.Stint // set: there is no run
}

// Journal is what one journal holds at the end.
type Journal struct {
	Host fleet.HostID
	ID   fleet.JournalID
	Tail uint64 // sequence of its newest record that travels
	// Entries are all that ever became durable in it; nil: not known.
	Entries []Delivery
}

// Probe is one start of a command, written by the command.
type Probe struct {
	Occurrence fleet.Occurrence
	Attempt    int // from 1
	Fence      uint64
	PID        int
	At         time.Time     // what the host's clock showed at the start
	Start      time.Duration // on the shared clock
	End        time.Duration // zero: it did not come to write its end
}

// Sample is one answer to the question for an account.
type Sample struct {
	At                                          time.Time
	Task                                        fleet.TaskID
	Host                                        fleet.HostID // empty: all of them
	Due, Ran, Skipped, Missed, Unknown, Pending int
}

// Leftover is something that should not be there at the end.
type Leftover struct {
	Kind   string // "process", "zombie", "descriptors", …
	PID    int
	Detail string
}

// Tolerance is what may lie between an event and its being seen. Zero fields
// have defaults.
type Tolerance struct {
	Early  time.Duration // that a probe may be before its instant; zero: 1ms
	Late   time.Duration // between a decision and the first instruction of the command; zero: 2s
	Record time.Duration // between the start in the record and in the probe; zero: 50ms
	Settle time.Duration // until an outcome has arrived; zero: 1m
	Gather time.Duration // that an outcome may wait in an agent's memory; zero: 61s
	Notice time.Duration // until an agent sees that its clock was set; zero: 31s
	Queue  time.Duration // that an instant may wait for a run to end; zero: 2h
}

func (t Tolerance) withDefaults() Tolerance {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Early, time.Millisecond}, {&t.Late, 2 * time.Second}, {&t.Record, 50 * time.Millisecond},
		{&t.Settle, time.Minute}, {&t.Gather, 61 * time.Second}, {&t.Notice, 31 * time.Second}, {&t.Queue, 2 * time.Hour},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return t
}
