package blackout

import (
	"slices"
	"sort"
	"time"
)

// fixed is windows that are there once: by their beginning, those that touch made
// one, so that at most one lies around an instant.
type fixed []span

func newFixed(spans []span) fixed {
	slices.SortStableFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	var out fixed
	for _, s := range spans {
		last := len(out) - 1
		if last < 0 || s.from.After(out[last].to) {
			out = append(out, s)
			continue
		}
		if s.to.After(out[last].to) {
			out[last].to = s.to
		}
	}
	return out
}

// around is the window around an instant; the zero span: there is none.
func (f fixed) around(t time.Time) span {
	i := sort.Search(len(f), func(i int) bool { return f[i].from.After(t) }) - 1
	if i >= 0 && f[i].to.After(t) {
		return f[i]
	}
	return span{}
}

// after is when the first one begins after an instant.
func (f fixed) after(t time.Time) (time.Time, bool) {
	i := sort.Search(len(f), func(i int) bool { return f[i].from.After(t) })
	if i == len(f) {
		return time.Time{}, false
	}
	return f[i].from, true
}
