package uplink

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// signed is what a host signed; a block's number is that of its first line.
type signed struct {
	mu      sync.Mutex
	blocks  []proof.Block
	proven  uint64
	changed chan struct{}
}

func (s *signed) add(chain string, lines int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks = append(s.blocks, proof.Block{Chain: chain, First: uint64(len(s.blocks) + 1), Lines: make([]proof.Entry, lines)})
	poke(s.changed)
}

func (s *signed) Proofs(ctx context.Context, after uint64, bytes int) ([]proof.Block, uint64, error) {
	for {
		s.mu.Lock()
		waiting := s.blocks[max(after, s.proven):]
		s.mu.Unlock()
		waiting = waiting[:min(len(waiting), max(1, bytes>>10))]
		if n := len(waiting); n > 0 {
			return waiting, waiting[n-1].First, nil
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

func (s *signed) Proven(_ context.Context, last uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proven = last
	return nil
}

func (c *collectors) DeliverProofs(_ context.Context, _ fleet.HostID, batch api.ProofBatch) (receipt api.ProofReceipt, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("proofs"); err != nil {
		return receipt, err
	}
	for i := range batch.Blocks {
		if batch.Blocks[i].Chain == "poison" && len(batch.Blocks) > 1 {
			return receipt, fleet.Errorf(fleet.TooLarge, "too much")
		}
		if batch.Blocks[i].Chain == "poison" {
			return receipt, fleet.Errorf(fleet.Invalid, "nothing but poison")
		}
	}
	c.proven = append(c.proven, batch.Blocks...)
	return receipt, c.reply("proofs")
}

func (c *collectors) told(call string) (times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.calls {
		if one == call {
			times++
		}
	}
	return times
}

// brought is up to which block the host knows them kept, and how many are.
func (w *world) brought() (noted uint64, kept int) {
	synctest.Wait() // until whoever has something to do at this instant has done it
	w.signed.mu.Lock()
	defer w.signed.mu.Unlock()
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	return w.signed.proven, len(w.c.proven)
}

func TestProofsAreBroughtUntilKept(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.c.set(func() { w.c.down = true })
		w.signed.add("a", 1)
		time.Sleep(time.Hour)
		w.c.set(func() { w.c.down = false })
		time.Sleep(time.Minute)
		if noted, kept := w.brought(); noted != 1 || kept != 1 {
			t.Errorf("%d brought, %d noted", kept, noted)
		}
	})
}

// TestFewBlocksAreFewCalls signs something each second for a minute, and then
// much at once.
func TestFewBlocksAreFewCalls(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for range 60 {
			w.signed.add("a", 1)
			time.Sleep(time.Second)
		}
		time.Sleep(proofEvery)
		noted, _ := w.brought()
		if times := w.c.told("proofs"); times < 5 || times > 8 || noted != 60 {
			t.Errorf("%d calls in a minute, %d of 60 blocks brought", times, noted)
		}
		for range 5 * api.MaxBlocks {
			w.signed.add("a", proofLines)
		}
		time.Sleep(2 * proofEvery)
		if noted, _ := w.brought(); noted != 60+5*api.MaxBlocks {
			t.Errorf("%d blocks brought: it dawdles", noted)
		}
	})
}

// TestABlockThatNobodyTakes shows that it does not hold up the others.
func TestABlockThatNobodyTakes(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for _, chain := range []string{"a", "poison", "b", "c"} {
			w.signed.add(chain, 1)
		}
		time.Sleep(10 * time.Minute)
		if noted, kept := w.brought(); noted != 4 || kept != 3 {
			t.Errorf("%d brought, %d noted", kept, noted)
		}
	})
}
