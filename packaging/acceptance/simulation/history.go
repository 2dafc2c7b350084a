package simulation

import (
	"maps"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// going are the ids of the commands that the host knows, in order.
func (h *host) going() []fleet.RunID { return slices.Sorted(maps.Keys(h.commands)) }

// history is what happened on the host, for the checker.
func (h *host) history() *checker.History {
	for _, at := range slices.Collect(maps.Keys(h.opened)) {
		h.close(at.kind, at.task)
	}
	if h.state != nil && !h.away {
		h.settleUp()
	}
	id := fleet.JournalID(h.id)
	told := &checker.History{
		Until: h.wall(), Given: h.plan.history, Applied: h.plan.applied, Orders: h.plan.reached, Windows: h.windows, Probes: h.probes, Lives: h.lives,
		Healed:    later(epoch.Add(h.Last-h.Last/6+h.offset), h.latest()),
		Tolerance: checker.Tolerance{Queue: 6 * time.Hour}, Slots: map[fleet.HostID]int{h.id: h.slots},
	}
	entries := make([]checker.Delivery, 0, len(h.disk.entries))
	for i := range h.disk.entries {
		e := &h.disk.entries[i]
		d := checker.Delivery{Host: h.id, Journal: id, Sequence: uint64(i + 1)}
		if e.stint {
			d.Stint = h.stintOf(e)
		} else {
			d.Run = h.runOf(e)
		}
		entries = append(entries, d)
	}
	for _, sequence := range h.collector.counted {
		told.Deliveries = append(told.Deliveries, entries[sequence-1])
	}
	told.Journals = []checker.Journal{{Host: h.id, ID: id, Tail: uint64(len(entries)), Entries: entries}}
	return told
}

// settleUp delivers what was written last, and was still on its way.
func (h *host) settleUp() {
	for h.disk.acked < uint64(len(h.disk.entries)) {
		sequences := h.disk.outbox(h.disk.acked)
		h.collector.take(sequences)
		h.disk.acked = sequences[len(sequences)-1]
	}
}

// latest is when the last fault was over.
func (h *host) latest() time.Time {
	var last time.Time
	for _, w := range h.windows {
		if w.Kind != checker.Paused && w.Kind != checker.Cancelled && w.Kind != checker.Blackout {
			last = later(last, w.To)
		}
	}
	return last
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// forget lets go of what was judged.
func (h *host) forget() {
	h.disk, h.probes, h.lives, h.windows, h.collector.counted = disk{}, nil, nil, nil, nil
	h.plan.history, h.plan.applied, h.plan.reached = nil, nil, nil
}
