package link

import (
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// How many values a text may hold: in all, and in the lists of its outermost
// object. What is three bytes on the way may be a thousand in memory, and whoever
// runs things must not be the one that a hostile part makes the host run out with.
const (
	maxValues  = 1_000_000
	maxEntries = 100_000
)

// weigh refuses a JSON text that would take far more memory than it has bytes.
// It need not know whether the text is JSON at all.
func weigh(text []byte) error {
	values, entries, depth, quoted := 0, 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ',':
			if values++; depth <= 2 {
				entries++
			}
		}
		if values >= maxValues || entries >= maxEntries { // there is one more than commas
			return fleet.Errorf(fleet.TooLarge, "a text that holds more than %d values, or lists of more than %d entries", maxValues, maxEntries)
		}
	}
	return nil
}
