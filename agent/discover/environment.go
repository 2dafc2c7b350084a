package discover

import "strings"

// sets is what a service's Environment= lines set, quotes removed as
// systemd removes them; nil: nothing. What EnvironmentFile= names is not read.
func (u *unit) sets() map[string]string {
	var set map[string]string
	for _, line := range u.all("Service", "Environment") {
		for _, word := range unitWords(line) {
			name, value, ok := strings.Cut(word, "=")
			if !ok || name == "" {
				continue
			}
			if set == nil {
				set = make(map[string]string)
			}
			set[printable(name)] = printable(value)
		}
	}
	return set
}

// unitEscapes are systemd's, after a backslash.
var unitEscapes = map[byte]byte{'a': 7, 'b': 8, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11, '\\': '\\', '"': '"', '\'': '\'', 's': ' '}

// unitWords cuts a value into words at blanks. Quotes keep blanks in a word,
// and a backslash escapes.
func unitWords(value string) []string {
	var words []string
	var word []byte
	quote, within := byte(0), false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && i+1 < len(value):
			within = true
			i++
			if hex := value[i:]; hex[0] == 'x' && len(hex) > 2 && hexDigit(hex[1]) >= 0 && hexDigit(hex[2]) >= 0 {
				word = append(word, byte(hexDigit(hex[1])<<4|hexDigit(hex[2])))
				i += 2
			} else if escaped, known := unitEscapes[value[i]]; known {
				word = append(word, escaped)
			} else {
				word = append(word, '\\', value[i])
			}
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, within = c, true
		case quote == 0 && strings.IndexByte(unitBlanks, c) >= 0:
			if within {
				words = append(words, string(word))
			}
			word, within = word[:0], false
		default:
			word, within = append(word, c), true
		}
	}
	if within {
		words = append(words, string(word))
	}
	return words
}
