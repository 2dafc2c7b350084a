package discover

import (
	"runtime"
	"sync"
)

const (
	// maxHands bounds the goroutines that share one work: a scan is not to
	// have a large machine to itself.
	maxHands = 2
	// leastEach is what makes another goroutine worth while.
	leastEach = 64
)

// stretch is [from, to) of a list.
type stretch struct{ from, to int }

// stretches cuts a list of n into as many stretches as goroutines are to work
// on it; it is one at least. What comes of them is put together in their order,
// so that a report does not depend on how many there were.
func stretches(n int) []stretch {
	hands := max(1, min(maxHands, runtime.GOMAXPROCS(0), n/leastEach))
	list := make([]stretch, hands)
	for i := range list {
		list[i] = stretch{n * i / hands, n * (i + 1) / hands}
	}
	return list
}

// spread does the work of each stretch, all at once, and returns when all is
// done.
func spread(list []stretch, work func(i int, of stretch)) {
	var others sync.WaitGroup
	for i := 1; i < len(list); i++ {
		others.Go(func() { work(i, list[i]) })
	}
	work(0, list[0])
	others.Wait()
}
