package link

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Told is a value of which only the latest is of interest. Whoever follows it
// hears of it when it is another.
type Told[T any] struct {
	mu      sync.Mutex
	version uint64 // zero: nothing was said yet
	value   T
	changed chan struct{}
}

// NewTold returns one of which nothing was said.
func NewTold[T any]() *Told[T] { return &Told[T]{changed: make(chan struct{})} }

// Set says what it is now.
func (t *Told[T]) Set(value T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.version == 0 { // of no earlier program
		t.version = rand.Uint64()>>1 + 1
	} else {
		t.version++
	}
	t.value = value
	close(t.changed)
	t.changed = make(chan struct{})
}

// Word is what it is, and by which it is known that it is another.
type Word[T any] struct {
	Version uint64 `json:"version"`
	Value   T      `json:"value"`
}

// After returns what it is once that is not the version named.
func (t *Told[T]) After(ctx context.Context, version uint64) (Word[T], error) {
	for {
		t.mu.Lock()
		word, changed := Word[T]{t.version, t.value}, t.changed
		t.mu.Unlock()
		if word.Version != 0 && word.Version != version {
			return word, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Word[T]{}, ctx.Err()
		}
	}
}

// HandleTold lets a server tell a value to whoever follows it.
func HandleTold[T any](s *Server, v Verb[uint64, Word[T]], told *Told[T]) {
	Handle(s, v, func(ctx context.Context, version *uint64) (Word[T], error) { return told.After(ctx, *version) })
}

// How long it is waited before a part that does not answer is asked again.
const (
	followFirst = 250 * time.Millisecond
	followMost  = 8 * time.Second
	// A part that is replaced comes back before that.
	followLost = 4 * time.Second
)

// Follow hears what a value is, and each time when it is another, until ctx ends.
// Lost is called when it is not heard for some seconds, with the reason; nil:
// nobody listens.
func Follow[T any](ctx context.Context, to Caller, v Verb[uint64, Word[T]], hear func(T), lost func(error)) error {
	var version uint64
	for wait := followFirst; ctx.Err() == nil; {
		word, err := v.Call(ctx, to, version)
		if err == nil {
			version, wait = word.Version, followFirst
			hear(word.Value)
			continue
		}
		if ctx.Err() == nil && wait == followLost && lost != nil {
			lost(err)
		}
		pause(ctx, wait)
		wait = min(2*wait, followMost)
	}
	return nil
}
