package mask

import "strings"

// Most commands hold no secret, and nothing that could make any rule of this
// package see one. One pass over their bytes says so.

// hints are what every name that speaks of a secret holds, in any case, and
// the words that announce one without such a name. The parts of names are in
// the tables of names.
var hints = []string{
	"pass", "pw", "dsn", "cred", "psk", "auth", "otp", "secret", "token", "key", // names
	"cookie", "bearer",
}

// hintThirds are, by the first two letters of a hint, the third ones: a letter
// is the five bits in which its cases agree.
var hintThirds = func() (thirds [1 << 10]uint32) {
	for _, hint := range hints {
		at := pair(hint[0], hint[1])
		if len(hint) == 2 {
			thirds[at] = ^uint32(0)
			continue
		}
		thirds[at] |= 1 << (hint[2] & 31)
	}
	return thirds
}()

func pair(a, b byte) int { return int(a&31)<<5 | int(b&31) }

// programLengths are, by the first byte of a program that is known to take
// secrets or to write them, the lengths of such programs' names.
var programLengths = func() (lengths [256]uint32) {
	for name := range programs {
		lengths[name[0]] |= 1 << len(name)
	}
	for name := range writers {
		lengths[name[0]] |= 1 << len(name)
	}
	return lengths
}()

// writers write what follows them, perhaps into a pipe that a password is read
// from.
var writers = set("echo", "printf", "yes")

// shortestToken is the least that any row of tokens asks for.
const shortestToken = 20

// sign is what a byte means while a text is passed over.
type sign uint8

const (
	between sign = iota // names, and says nothing
	ofName
	telling // it may be a part of what is a secret by its shape
	tellingName
)

var signs = func() (signs [256]sign) {
	for c := range 256 {
		switch {
		case c == '.' || c == '-':
			signs[c] = tellingName
		case isName(byte(c)):
			signs[c] = ofName
		case c >= 0x80 || strings.IndexByte("%:@=", byte(c)) >= 0:
			signs[c] = telling
		}
	}
	return signs
}()

// innocent reports whether there is surely no secret in a text. It may be
// wrong in one way only: where it says no, there may be none all the same.
func innocent(text string, crontab bool) bool {
	start, digits := -1, false // of the name that is passed over
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch signs[c] {
		case tellingName:
			if tells(text, i, crontab) {
				return false
			}
			fallthrough
		case ofName:
			if start < 0 {
				start, digits = i, false
			}
			digits = digits || isDigit(c)
			if i+1 < len(text) {
				if thirds := hintThirds[pair(c, text[i+1])]; thirds != 0 && hinted(text[i:], thirds) {
					return false
				}
			}
			continue
		case telling:
			if tells(text, i, crontab) {
				return false
			}
		}
		if start >= 0 && telltale(text, start, i, digits) {
			return false
		}
		start = -1
	}
	return start < 0 || !telltale(text, start, len(text), digits)
}

// tells reports whether the byte at i is part of a shape.
func tells(text string, i int, crontab bool) bool {
	rest := text[i+1:]
	switch text[i] {
	case '%':
		return crontab
	case ':':
		return strings.HasPrefix(rest, "//")
	case '@':
		return strings.HasPrefix(rest, "tcp(")
	case '=':
		return strings.HasSuffix(text[:i], "sig") || strings.HasSuffix(text[:i], "Signature")
	case '.':
		return strings.HasPrefix(rest, "com/") || strings.HasPrefix(rest, "org/bot")
	case '-':
		return strings.HasPrefix(rest, "----")
	}
	return true // no ASCII: folding and cut texts are left to the rules
}

// hinted reports whether text begins with a hint, in any case.
func hinted(text string, thirds uint32) bool {
	if len(text) > 2 && thirds>>(text[2]&31)&1 == 0 {
		return false
	}
	for _, hint := range hints {
		if len(text) >= len(hint) && (text[0]^hint[0])&31 == 0 && strings.EqualFold(text[:len(hint)], hint) {
			return true
		}
	}
	return false
}

// telltale reports whether a name, which ends where no byte of a name follows,
// may be a token, or a program whose arguments are to be looked at.
func telltale(text string, start, end int, digits bool) bool {
	if digits && end-start >= shortestToken {
		return true
	}
	lengths := programLengths[text[start]]
	if lengths == 0 {
		return false
	}
	if takesSecrets(text[start:end], lengths, text[end:]) {
		return true
	}
	short := end // mysqldump-8.0
	for short > start && (isDigit(text[short-1]) || text[short-1] == '.' || text[short-1] == '-') {
		short--
	}
	return short < end && takesSecrets(text[start:short], lengths, text[end:])
}

func takesSecrets(name string, lengths uint32, rest string) bool {
	if len(name) > 31 || lengths>>len(name)&1 == 0 {
		return false
	}
	if _, known := programs[name]; known {
		return true
	}
	return writers[name] && strings.IndexByte(rest, '|') >= 0
}
