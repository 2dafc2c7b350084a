package cron

import "strings"

// busybox keeps its five sets in one block of memory, one byte an entry, and a
// number one below its set (month 0) lands in the set before. The order is the
// daemon's.
const (
	boxDow     = 0
	boxMonths  = boxDow + 7
	boxHours   = boxMonths + 12
	boxDays    = boxHours + 24
	boxMinutes = boxDays + 32
	boxSize    = boxMinutes + 60
)

// boxUnit is how busybox sees a field.
type boxUnit struct {
	name         string
	base, modulo int // where in the block, and how many entries
	offset       int // added to a number; names need none
	names        []string
}

var boxUnits = [5]boxUnit{
	{"minute", boxMinutes, 60, 0, nil},
	{"hour", boxHours, 24, 0, nil},
	{"day of month", boxDays, 32, 0, nil},
	{"month", boxMonths, 12, -1, monthNames},
	{"day of week", boxDow, 7, 0, dayNames[:7]},
}

// parseBusybox reads five fields as busybox crond would. It refuses only a line
// that is too short.
func parseBusybox(expr string, fields []field) (Schedule, error) {
	if len(fields) < 5 {
		return Schedule{}, fail(expr, "expression", "", len(expr)+1, "too few fields, busybox ignores the line")
	}
	if len(fields) > 5 {
		f := fields[5]
		return Schedule{}, fail(expr, "expression", f.text, f.column, "more than five fields")
	}
	var b box
	flags := wallOnly
	for i, u := range boxUnits {
		if fields[i].text[0] == '*' {
			flags |= units[i].star
		}
		if !b.parse(u, fields[i].text) {
			flags |= complained
		}
	}
	b.fixDays()
	return Schedule{
		second: 1,
		minute: b.bits(boxMinutes, 60),
		hour:   uint32(b.bits(boxHours, 24)),
		dom:    uint32(b.bits(boxDays, 32)),
		month:  uint16(b.bits(boxMonths, 12) << 1),
		dow:    uint8(b.bits(boxDow, 7)),
		flags:  flags,
	}, nil
}

// busyboxComplaint names each field of a line that busybox logs an error for.
func busyboxComplaint(text string) string {
	fields, _ := split(text)
	var said []string
	var b box
	for i, u := range boxUnits {
		if i < len(fields) && !b.parse(u, fields[i].text) {
			said = append(said, "parse error at "+fields[i].text)
		}
	}
	return strings.Join(said, "; ")
}

// box is busybox's block of sets.
type box [boxSize]bool

func (b *box) bits(base, n int) uint64 {
	var set uint64
	for i := range n {
		if b[base+i] {
			set |= 1 << i
		}
	}
	return set
}

// fixDays empties the day set that restricts nothing when the other one does;
// after that either set matching is enough.
func (b *box) fixDays() {
	week := b.bits(boxDow, 7) != span(0, 6)
	days := b.bits(boxDays, 32) != span(0, 31)
	if week == days {
		return
	}
	if week {
		clear(b[boxDays : boxDays+32])
	} else {
		clear(b[boxDow : boxDow+7])
	}
}

// parse sets the entries of one field and reports false where busybox
// complains; what was set until then stays.
func (b *box) parse(u boxUnit, text string) bool {
	for {
		low, high, rest, ok := u.item(text)
		if !ok {
			return false
		}
		step := 1
		if strings.HasPrefix(rest, "/") {
			step, rest = boxStep(rest[1:])
		}
		if !b.fill(u, low, high, step) {
			return false
		}
		if !strings.HasPrefix(rest, ",") {
			return rest == ""
		}
		text = rest[1:]
	}
}

// item reads one number, name, star or range. A value of -1 counts as not
// there yet, so month 0 is overwritten by what follows the dash.
func (u boxUnit) item(text string) (low, high int, rest string, ok bool) {
	low, high = -1, -1
	for {
		if text, ok = u.value(text, &low, &high); !ok {
			return 0, 0, "", false
		}
		if high < 0 && strings.HasPrefix(text, "-") {
			text = text[1:]
			continue
		}
		if high < 0 {
			high = low
		}
		return low, high, text, true
	}
}

func (u boxUnit) value(text string, low, high *int) (string, bool) {
	put := func(n int) {
		if *low < 0 {
			*low = n
		} else {
			*high = n
		}
	}
	if strings.HasPrefix(text, "*") {
		*low, *high = 0, u.modulo-1
		return text[1:], true
	}
	if text != "" && isDigit(text[0]) {
		put(int(int32(strtol(text) + int64(u.offset))))
		return strings.TrimLeft(text, "0123456789"), true
	}
	for i, name := range u.names {
		if len(text) >= 3 && equalFold(name, text[:3]) {
			put(i)
			return text[3:], true
		}
	}
	return text, false
}

// boxStep reads a step as C's strtol would: blanks cannot occur, a sign can,
// and no number at all leaves everything unread and the step 0.
func boxStep(text string) (int, string) {
	unsigned := strings.TrimPrefix(text, "-")
	if unsigned == text {
		unsigned = strings.TrimPrefix(text, "+")
	}
	if unsigned == "" || !isDigit(unsigned[0]) {
		return 0, text
	}
	n := strtol(unsigned)
	if text[0] == '-' {
		n = -n
	}
	return int(int32(n)), strings.TrimLeft(unsigned, "0123456789")
}

// fill walks from low round to high, setting every step-th entry. It gives up
// at the 1,024th entry, when the end is none of the set's: by then all are set.
func (b *box) fill(u boxUnit, low, high, step int) bool {
	countdown := 1
	n := low - 1
	for range 1024 {
		n = (n + 1) % u.modulo
		if countdown--; countdown == 0 {
			if at := u.base + n; at >= 0 {
				b[at] = true
			}
			countdown = step
		}
		if n == high {
			return true
		}
	}
	return false
}
