package findings

import (
	"runtime"
	"sync/atomic"
	"time"
)

// slice is how long work in the background goes on before it rests.
const slice = 10 * time.Millisecond

// pace has work that can wait give way to those who ask something else:
// between its steps others may run at once, and after each slice it rests, the
// shorter the more cores there are, so that it never keeps one busy. It does
// not rest while somebody waits for the work. A nil pace does nothing.
type pace struct {
	waiting *atomic.Int32 // how many wait for the work
	since   time.Time
	rested  time.Duration // in all
}

// step is called between two steps, of less than a millisecond each.
func (p *pace) step() {
	if p == nil {
		return
	}
	runtime.Gosched()
	if p.waiting.Load() > 0 || time.Since(p.since) < slice {
		return
	}
	rest := slice / time.Duration(runtime.GOMAXPROCS(0))
	time.Sleep(rest)
	p.since = time.Now()
	p.rested += rest
}
