package simulation

import (
	"slices"
	"time"
)

// batch is how many records travel at once.
const batch = 256

// store is what the collectors have of one host: the numbers of the records, in
// the order in which they were counted.
type store struct {
	host    *host
	applied uint64
	counted []uint32
}

// take counts the records that it does not have yet.
func (s *store) take(sequences []uint64) {
	s.host.settleLeases(sequences)
	for _, sequence := range sequences {
		if sequence > s.applied || s.host.Mutant == Undeduped {
			s.counted = append(s.counted, uint32(sequence))
		}
	}
	s.applied = max(s.applied, sequences[len(sequences)-1])
}

// send delivers what is new, and again what was not acknowledged.
func (h *host) send() {
	if h.sending || h.state == nil || int(h.disk.acked) >= len(h.disk.entries) {
		return
	}
	h.sending = true
	h.after(h.spell(20*time.Millisecond, 200*time.Millisecond), h.alive(h.deliver))
}

func (h *host) deliver() {
	sequences := h.disk.outbox(h.disk.acked)
	last := sequences[len(sequences)-1]
	travel := func() time.Duration { return h.spell(time.Millisecond, 50*time.Millisecond) }
	again := h.alive(func() {
		h.sending = false
		h.send()
	})
	h.after(travel(), func() {
		if h.away {
			h.after(h.spell(time.Second, 30*time.Second), again)
			return
		}
		if h.Mutant == Careless && h.chance(50) { // it says that it has what it has not
		} else {
			h.collector.take(sequences)
		}
		if h.chance(50) { // the answer is lost
			h.after(h.spell(time.Second, 10*time.Second), again)
			return
		}
		h.after(travel(), h.alive(func() {
			h.disk.acked = max(h.disk.acked, last)
			again()
		}))
	})
}

// outbox is what travels next; what a later record of the same batch says again
// is left out.
func (d *disk) outbox(after uint64) []uint64 {
	to := min(uint64(len(d.entries)), after+batch)
	newest := d.newest
	clear(newest)
	for sequence := after + 1; sequence <= to; sequence++ {
		if e := &d.entries[sequence-1]; !e.stint {
			newest[e.id] = sequence
		}
	}
	var sequences []uint64
	for sequence := after + 1; sequence <= to; sequence++ {
		if e := &d.entries[sequence-1]; e.stint || newest[e.id] == sequence {
			sequences = append(sequences, sequence)
		}
	}
	return slices.Clip(sequences)
}
