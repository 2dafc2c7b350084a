package findings

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestThePaceRests: work that takes longer than a slice is interrupted, and
// what somebody waits for is not.
func TestThePaceRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waiting atomic.Int32
		begun := time.Now()
		p := &pace{waiting: &waiting, since: begun}
		for range 100 {
			p.step()
		}
		if rested := time.Since(begun); rested != 0 {
			t.Errorf("rested %s within a slice", rested)
		}
		time.Sleep(slice)
		for range 100 {
			p.step()
		}
		if rested := time.Since(begun) - slice; rested <= 0 || rested > slice {
			t.Errorf("rested %s after a slice", rested)
		}
		if p.rested != time.Since(begun)-slice {
			t.Errorf("rested %s, it says", p.rested)
		}
		waiting.Store(1)
		begun = time.Now()
		time.Sleep(slice)
		p.step()
		if time.Since(begun) != slice {
			t.Error("what somebody waits for rested")
		}
	})
}
