package policy

import "time"

// strangers bounds what no key that this host trusts has signed and that is
// shown all the same: each leaves records on this disk, and who holds the
// collectors could fill it with them.
type strangers struct {
	most  int           // that come at once
	every time.Duration // between two that come later

	known map[string]bool
	spent int       // of those that may come at once
	since time.Time // from when the next may count
}

// maxKnown bounds what is remembered of strangers.
const maxKnown = 20_000

// The strangers of a gate.
func strangeTasks() strangers  { return strangers{most: maxRefused, every: time.Minute} }
func strangeOrders() strangers { return strangers{most: 100, every: 10 * time.Second} }
func strangeWords() strangers  { return strangers{most: maxRefused, every: 10 * time.Second} }

// admit reports whether a stranger is shown. Who was shown is again.
func (s *strangers) admit(name string, now time.Time) bool {
	if s.known[name] {
		return true
	}
	if s.known == nil || len(s.known) >= maxKnown {
		s.known = map[string]bool{}
	}
	if now.Before(s.since) { // the clock was set back
		s.since = now
	}
	if back := int(now.Sub(s.since) / s.every); back >= s.spent {
		s.spent, s.since = 0, now
	} else {
		s.spent, s.since = s.spent-back, s.since.Add(time.Duration(back)*s.every)
	}
	if s.spent >= s.most {
		return false
	}
	s.spent++
	s.known[name] = true
	return true
}

// vouched reports whether a key that this host trusts signed it, whatever else
// is wrong with it.
func (h *hearing) vouched() bool { return h.sealed != nil && len(h.sealed.signed) > 0 }
