package discover

import "strings"

// shellWord is a word of a command as the shell would read it. It is plain
// when the text alone says what it becomes.
type shellWord struct {
	text  string
	plain bool
}

// simple is a simple command: words and the operator after it.
type simple struct {
	words []shellWord
	op    string // ";", "&&", "||", "|", "&"; empty at the end
}

// Bounds of what is read of a command.
const (
	maxSimple     = 30
	maxShellWords = 300
	maxShellText  = 16 << 10
)

// readShell splits a command into simple commands. It returns false for what
// cannot be told without being a shell: what then comes out is what stood
// before it.
func readShell(text string) (list []simple, whole bool) {
	r := shellReader{text: text, list: make([]simple, 0, 3), words: make([]shellWord, 0, 8)}
	if len(text) > maxShellText {
		return nil, false
	}
	whole = r.read()
	return r.list, whole
}

type shellReader struct {
	text  string
	at    int
	list  []simple
	words []shellWord // of all commands
	begin int         // of the words of the command that is read
}

// again is what readShell does, in the room of what was read before, which is
// then no more.
func (r *shellReader) again(text string) []simple {
	*r = shellReader{text: text, list: r.list[:0], words: r.words[:0]}
	if len(text) <= maxShellText {
		r.read()
	}
	return r.list
}

func (r *shellReader) end(op string) {
	if n := len(r.words); n > r.begin {
		r.list = append(r.list, simple{r.words[r.begin:n:n], op})
		r.begin = n
	}
}

func (r *shellReader) read() bool {
	for r.at < len(r.text) {
		if len(r.list) >= maxSimple || len(r.words) >= maxShellWords {
			return false
		}
		rest := r.text[r.at:]
		switch c := rest[0]; {
		case c == ' ' || c == '\t' || c == '\r' && len(rest) == 1:
			r.at++
		case c == '\n' || c == ';':
			if strings.HasPrefix(rest, ";;") {
				return false
			}
			r.end(";")
			r.at++
		case strings.HasPrefix(rest, "&&") || strings.HasPrefix(rest, "||"):
			r.end(rest[:2])
			r.at += 2
		case strings.HasPrefix(rest, "&>"):
			r.at++
		case c == '&' || c == '|':
			r.end(rest[:1])
			r.at++
			if strings.HasPrefix(rest, "|&") {
				r.at++
			}
		case c == '#':
			if i := strings.IndexByte(rest, '\n'); i >= 0 {
				r.at += i
			} else {
				r.at = len(r.text)
			}
		case c == '<' || c == '>' || isRedirect(rest):
			if !r.redirect() {
				return false
			}
		case c == '(' || c == ')':
			return false
		default:
			word, ok := r.word()
			if !ok {
				return false
			}
			r.words = append(r.words, word)
		}
	}
	r.end("")
	return true
}

// isRedirect reports whether digits and a sign of redirection follow.
func isRedirect(text string) bool {
	i := 0
	for i < len(text) && text[i] >= '0' && text[i] <= '9' {
		i++
	}
	return i > 0 && i < len(text) && (text[i] == '<' || text[i] == '>')
}

// redirect passes over a redirection and its file.
func (r *shellReader) redirect() bool {
	for r.at < len(r.text) && r.text[r.at] >= '0' && r.text[r.at] <= '9' {
		r.at++
	}
	rest := r.text[r.at:]
	if strings.HasPrefix(rest, "<<") && !strings.HasPrefix(rest, "<<<") || strings.HasPrefix(rest, "<(") || strings.HasPrefix(rest, ">(") {
		return false
	}
	for r.at < len(r.text) && strings.IndexByte("<>&| \t", r.text[r.at]) >= 0 {
		r.at++
	}
	if r.at >= len(r.text) {
		return true
	}
	_, ok := r.word()
	return ok
}

// wordSigns are the bytes that end a word or make it more than its text.
var wordSigns = func() (is [256]bool) {
	for _, c := range []byte(" \t\n;&|<>()\\'\"$`*?[{~") {
		is[c] = true
	}
	return is
}()

// word reads a word up to a blank or an operator.
func (r *shellReader) word() (shellWord, bool) {
	end := r.at
	for end < len(r.text) && !wordSigns[r.text[end]] {
		end++
	}
	if end > r.at {
		if end == len(r.text) || strings.IndexByte(" \t\n;&|<>)", r.text[end]) >= 0 {
			word := shellWord{r.text[r.at:end], true} // most are like that
			r.at = end
			return word, true
		}
	}
	var b strings.Builder
	plain := true
	for r.at < len(r.text) {
		c := r.text[r.at]
		switch c {
		case ' ', '\t', '\n', ';', '&', '|', '<', '>', '(', ')':
			if c == '(' {
				return shellWord{}, false
			}
			return shellWord{b.String(), plain}, true
		case '\\':
			if r.at++; r.at < len(r.text) {
				b.WriteByte(r.text[r.at])
				r.at++
			}
		case '\'':
			end := strings.IndexByte(r.text[r.at+1:], '\'')
			if end < 0 {
				return shellWord{}, false
			}
			b.WriteString(r.text[r.at+1 : r.at+1+end])
			r.at += end + 2
		case '"':
			r.at++
			ok, literal := r.quoted(&b)
			if !ok {
				return shellWord{}, false
			}
			plain = plain && literal
		case '$', '`':
			if !r.expansion(&b) {
				return shellWord{}, false
			}
			plain = false
		case '*', '?', '[', '{', '~':
			if c != '[' && c != '{' || b.Len() > 0 {
				home := c == '~' && (b.Len() > 0 || strings.HasPrefix(r.text[r.at:], "~/"))
				plain = plain && home
			}
			b.WriteByte(c)
			r.at++
		default:
			b.WriteByte(c)
			r.at++
		}
	}
	return shellWord{b.String(), plain}, true
}

// quoted reads what stands in double quotes.
func (r *shellReader) quoted(b *strings.Builder) (ok, literal bool) {
	literal = true
	for r.at < len(r.text) {
		switch c := r.text[r.at]; c {
		case '"':
			r.at++
			return true, literal
		case '\\':
			if r.at++; r.at < len(r.text) {
				if strings.IndexByte("\"\\$`", r.text[r.at]) < 0 {
					b.WriteByte('\\')
				}
				b.WriteByte(r.text[r.at])
				r.at++
			}
		case '$', '`':
			if literal = false; !r.expansion(b) {
				return false, false
			}
		default:
			b.WriteByte(c)
			r.at++
		}
	}
	return false, false
}

// expansion passes over $NAME, ${…}, $(…) or `…`.
func (r *shellReader) expansion(b *strings.Builder) bool {
	begin := r.at
	defer func() { b.WriteString(r.text[begin:r.at]) }()
	if r.text[r.at] == '`' {
		end := strings.IndexByte(r.text[r.at+1:], '`')
		r.at += end + 2
		return end >= 0
	}
	r.at++
	if r.at >= len(r.text) {
		return true
	}
	shut := map[byte]byte{'(': ')', '{': '}'}[r.text[r.at]]
	if shut == 0 {
		return true // the name follows like other text
	}
	depth := 0
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '\\':
			r.at++
		case c == '\'':
			end := strings.IndexByte(r.text[r.at+1:], '\'')
			if end < 0 {
				return false
			}
			r.at += end + 1
		case c == r.text[begin+1]:
			depth++
		case c == shut:
			if depth--; depth == 0 {
				r.at++
				return true
			}
		}
	}
	r.at = min(r.at, len(r.text))
	return false
}
