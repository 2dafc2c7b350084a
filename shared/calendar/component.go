package calendar

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// field is one part of an expression: its name and the numbers it may hold.
// Seconds count in microseconds, all others in ones.
type field struct {
	name      string
	low, high int
	unit      int  // of what is written without a fraction
	back      bool // counted from the end
}

const second = 1_000_000 // microseconds

var (
	yearField   = field{"year", 1970, 2199, 1, false}
	monthField  = field{"month", 1, 12, 1, false}
	dayField    = field{"day", 1, 31, 1, false}
	fromEnd     = field{"day", 1, 28, 1, true} // what every month has, counted from its end
	hourField   = field{"hour", 0, 23, 1, false}
	minuteField = field{"minute", 0, 59, 1, false}
	secondField = field{"second", 0, 60*second - 1, second, false}
)

// component is one of the numbers of a field: a value, a range, or either with
// a repetition.
type component struct {
	start  int
	stop   int // the last, included; -1: no range
	repeat int // 0: the start alone
}

// components is a field's list; nil is a star: every number.
type components []component

// maxComponents bounds a list as systemd does.
const maxComponents = 240

// from returns the least number of the list that is at least n and at most high.
func (l components) from(n, high int) (int, bool) {
	if l == nil {
		return n, n <= high
	}
	least := high + 1
	for _, c := range l {
		last := c.stop
		switch {
		case c.repeat == 0:
			last = c.start
		case c.stop < 0:
			last = high
		}
		next := max(n, c.start)
		if c.repeat > 0 {
			next = c.start + (next-c.start+c.repeat-1)/c.repeat*c.repeat
		}
		if next <= last {
			least = min(least, next)
		}
	}
	return least, least <= high
}

// set returns the numbers of the list within the field as bits.
func (l components) set(f field) uint64 {
	var bits uint64
	for n, ok := l.from(f.low, f.high); ok; n, ok = l.from(n+1, f.high) {
		bits |= 1 << n
	}
	return bits
}

// check refuses what is outside the field. A repetition that cannot repeat
// within it is refused as well. Of days from the end of the month, systemd
// takes three fewer with every further one in the list.
func (l components) check(f field) error {
	for i, c := range l {
		last := max(c.start, c.stop)
		if i > 0 && f.back {
			f.high -= 3
		}
		switch {
		case c.start < f.low || last > f.high:
			return fmt.Errorf("it must be %d to %d", f.low/f.unit, f.high/f.unit)
		case c.stop >= 0 && c.stop < c.start:
			return errors.New("a range must not go backwards")
		case c.stop < 0 && c.repeat > f.room(c.start):
			return errors.New("a repetition must come at least once more before the end")
		}
	}
	return nil
}

// room is how far a repetition can go from a start. Days from the end of the
// month go down to 1.
func (f field) room(start int) int {
	if f.back {
		return start - f.low
	}
	return f.high - start
}

// normal puts a list into systemd's order, each range cut to what it reaches.
func (l components) normal() components {
	for i := range l {
		c := &l[i]
		if c.stop > c.start {
			c.stop -= (c.stop - c.start) % c.repeat
		}
		if c.stop == c.start {
			c.stop, c.repeat = -1, 0
		}
	}
	slices.SortFunc(l, func(a, b component) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.stop, b.stop), cmp.Compare(a.repeat, b.repeat))
	})
	return slices.Compact(l)
}

// write appends a list in normal form.
func (l components) write(b *strings.Builder, f field) {
	if l == nil {
		b.WriteByte('*')
		return
	}
	for i, c := range l {
		if i > 0 {
			b.WriteByte(',')
		}
		f.write(b, c.start, 2)
		if c.stop >= 0 {
			b.WriteString("..")
			f.write(b, c.stop, 2)
		}
		if c.repeat > 0 && (c.stop < 0 || c.repeat != f.unit) {
			b.WriteByte('/')
			f.write(b, c.repeat, 1)
		}
	}
}

// write appends a number of the field, with its fraction if it has one.
func (f field) write(b *strings.Builder, n, digits int) {
	fmt.Fprintf(b, "%0*d", digits, n/f.unit)
	if fraction := n % f.unit; fraction != 0 {
		fmt.Fprintf(b, ".%06d", fraction)
	}
}
