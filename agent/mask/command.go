package mask

import "strings"

// maxDepth is how deep quotes within quotes are looked into.
const maxDepth = 3

// how a value is secret.
type how uint8

const (
	nothing      how = iota
	whole            // all of it
	random           // all of it, if it looks like a key
	afterColon       // user:password
	afterComma       // user,password
	afterPercent     // user%password
	afterSlash       // user/password@database
	withEquals       // all of it, if there is a = in it
	header           // a header's value: a scheme may go before it
	toEnd            // all up to the end of the quotes
)

// command is the simple command that is gone through.
type command struct {
	flags    []flag
	program  string
	first    bool   // no word of it was seen but settings
	pending  how    // what the next word is
	name     string // the word before, if it may be a name
	echoes   []span // what an echo before the pipe wrote
	says     []span // what this echo writes
	isEcho   bool
	operand  how // what a word is that is no option
	commandy bool
}

// commands goes through the commands in a stretch of text, word by word.
func (f *finder) commands(start, end, depth int) {
	open := make(map[quote]bool)
	c := command{first: true}
	for i := start; i < end; {
		b := f.text[i]
		switch {
		case isBlank(b):
			i++
			continue
		case isOperator(b):
			next := command{first: true}
			if b == '|' && c.isEcho {
				next.echoes = c.says
			}
			c = next
			i++
			continue
		case (b == '<' || b == '>') && placeholder(f.text[i:end]) == 0:
			c.pending = nothing
			i++
			continue
		}
		stop := f.wordEnd(i, end, depth, open)
		f.word(&c, i, max(stop, i+1), end, depth)
		i = max(stop, i+1)
	}
}

// word looks at one word of a command; limit is where the quotes end that the
// command stands in.
func (f *finder) word(c *command, start, end, limit, depth int) {
	from, to, quoted := f.unquoted(start, end, depth)
	text := f.text[from:to]
	pending := c.pending
	c.pending = nothing
	if pending != nothing && f.pendingValue(c, pending, start, end, limit, depth) {
		c.name = ""
		return
	}
	done := f.named(c, from, to, limit, depth, quoted)
	if !done {
		done = f.option(c, text, from, to, depth)
	}
	switch {
	case done:
	case strings.HasSuffix(text, ":") && headerPending(text, depth) != nothing:
		c.pending = headerPending(text, depth)
	case strings.EqualFold(text, "Bearer"):
		c.pending = whole
	case (text == "=" || text == ":") && strengthOf(c.name) == strong:
		c.pending = whole
	case c.commandy && strengthOf(text) == strong:
		c.pending = whole // set NAME VALUE
	default:
		f.operandOrProgram(c, text, from, to)
	}
	c.commandy = text == "set" || text == "put" || text == "add"
	c.name = strings.Trim(text, `"'\`)
	if c.isEcho && !c.first && !strings.HasPrefix(text, "-") && base(text) != c.program {
		c.says = append(c.says, span{from, to})
	}
	if !done && depth < maxDepth {
		f.within(start, end, depth)
		if q := f.quoteAt(start, end, depth); q != "" && !quoted && strings.ContainsAny(text, " \t") {
			f.commands(start+len(q), end, depth+1) // 'a 'b' c': quotes within quotes, as they are meant
		}
	}
}

// readers take a password from their input when one of their words says so.
var readers = map[string]string{
	"-S": "sudo", "--stdin": "", "--password-stdin": "", "--passphrase-fd": "", "stdin": "", "fd:0": "", "chpasswd": "", "kinit": "",
	"cryptsetup": "", "smbpasswd": "", "su": "", "passwd": "",
}

// operandOrProgram looks at a word that is neither setting nor option.
func (f *finder) operandOrProgram(c *command, text string, from, to int) {
	if c.first && strings.IndexByte(text, '=') > 0 {
		return // a setting before the program
	}
	program := strings.TrimSuffix(base(strings.TrimLeft(text, `"'`)), ":") // as programs begin what they complain of
	if _, known := programs[program]; !known {
		program = strings.TrimRight(program, "0123456789.-") // mysqldump-8.0
	}
	if with, reads := readers[text]; reads && (with == "" || with == c.program) {
		f.piped(c)
	} else if _, reads := readers[program]; reads && c.first {
		f.piped(c)
	}
	switch flags, known := programs[program]; {
	case known && (c.first || !onlyFirst[program]):
		c.flags, c.operand, c.program = flags, operands[program], program
	case c.first || program == "sudo" || program == "echo" || program == "printf":
		c.program = program
		c.isEcho = program == "echo" || program == "printf" || program == "yes"
	case c.operand != nothing && !strings.HasPrefix(text, "-"):
		f.part(c.operand, from, to, 0)
		c.operand = nothing
	}
	c.first = false
}

// piped notes what echo wrote into the pipe that a password is read from.
func (f *finder) piped(c *command) {
	for _, s := range c.echoes {
		f.value(s.start, s.end, 0, strong)
	}
	c.echoes = nil
}

// pendingValue notes the word that follows an option or a header's name. It
// reports whether the word is used up by that.
func (f *finder) pendingValue(c *command, what how, start, end, limit, depth int) bool {
	text := f.text[start:end]
	switch what {
	case header:
		switch strings.ToLower(strings.Trim(text, `"'\`)) {
		case "bearer", "basic", "token", "digest", "apikey", "negotiate", "aws4-hmac-sha256":
			c.pending = whole
			if depth > 0 {
				c.pending = toEnd
			}
			return true
		}
		if depth == 0 {
			limit = end
		}
		return f.value(start, limit, depth, strong)
	case toEnd:
		return f.value(start, limit, depth, strong)
	case whole, random:
		if text[0] == '-' && len(text) > 1 && what == whole && (text[1] == '-' || len(text) == 2) {
			return false // the next option
		}
		if q := f.quoteAt(start, end, depth); q != "" && f.closing(q, start+len(q), limit) < 0 {
			start, end = start+len(q), limit // cut off in the midst
		} else if q != "" {
			if at := f.closing(q, start+len(q), end); at >= 0 && strings.Trim(f.text[at+len(q):end], ",}];") == "" {
				end = at + len(q) // JSON goes on
			}
		}
		if strings.HasPrefix(text, "pass:") { // openssl
			start += len("pass:")
		}
		if what == random {
			return f.value(start, end, depth, weak)
		}
		return f.value(start, end, depth, strong)
	}
	if what == withEquals && !strings.Contains(text, "=") {
		return false // the name of a file
	}
	return f.part(what, start, end, depth)
}

// part notes the secret part of a word.
func (f *finder) part(what how, start, end, depth int) bool {
	start, end, _ = f.unquoted(start, end, depth)
	text := f.text[start:end]
	sign := map[how]string{afterColon: ":", afterComma: ",", afterPercent: "%", afterSlash: "/"}[what]
	if sign == "" {
		return f.value(start, end, depth, strong)
	}
	at := strings.Index(text, sign)
	if at < 0 || at == 0 && what == afterSlash {
		return false
	}
	from, to := start+at+1, end
	if from == to && what == afterColon && looksRandom(text[:at]) { // a token in the user's place
		f.add(start, start+at)
	}
	if i := strings.LastIndexByte(f.text[from:to], '@'); what == afterSlash && i >= 0 {
		to = from + i
	}
	if from < to && isSecret(f.text[from:to], strong) {
		f.add(from, to)
	}
	return true
}

// named looks at NAME=value and --name=value.
func (f *finder) named(c *command, from, to, limit, depth int, quoted bool) bool {
	text := f.text[from:to]
	eq := strings.IndexByte(text, '=')
	if eq < 1 || eq > maxName+3 {
		return false
	}
	name := strings.TrimLeft(text[:eq], "-")
	for i := range len(name) {
		if !isName(name[i]) {
			return false
		}
	}
	s := strengthOf(name)
	if s == harmless {
		if what := longOption(c.flags, text[:eq]); what != nothing {
			return f.part(what, from+eq+1, to, depth)
		}
		return false
	}
	start := from + eq + 1
	if quoted && text[0] != '-' && strings.ContainsAny(text, " \t\n;|&") {
		return false // a command in quotes; it is looked into
	}
	if start < to {
		if q := f.quoteAt(start, to, depth); q != "" && f.closing(q, start+len(q), to) < 0 {
			start, to = start+len(q), limit // cut off in the midst
		}
	}
	return f.value(start, to, depth, s) || s == strong
}

// option looks at -x, -xvalue and --name.
func (f *finder) option(c *command, text string, from, to, depth int) bool {
	if len(text) < 2 || text[0] != '-' && text[0] != '/' {
		return false
	}
	for _, flag := range c.flags {
		switch {
		case text == flag.name && flag.apart:
			c.pending = flag.what
			return true
		case flag.what == withEquals && text == flag.name, flag.apart && c.program == "curl" && clustered(text, flag.name):
			c.pending = flag.what
			return true
		case flag.glued && len(text) > len(flag.name) && strings.HasPrefix(text, flag.name) && !strings.HasPrefix(text, "--"):
			return f.part(flag.what, from+len(flag.name), to, depth) || flag.what == whole
		}
	}
	if _, reads := readers[text]; reads {
		f.piped(c)
	}
	name := strings.TrimLeft(text, "-")
	if len(name) < 2 || len(name) < 3 && name != "pw" || strings.ContainsAny(name, "=:/") {
		return false
	}
	switch strengthOf(name) {
	case strong:
		c.pending = whole
		return true
	case weak:
		c.pending = random
		return true
	}
	return false
}

// clustered reports whether short options in one word end with that one.
func clustered(text, name string) bool {
	if len(name) != 2 || len(text) < 3 || len(text) > 8 || text[len(text)-1] != name[1] {
		return false
	}
	for i := 1; i < len(text); i++ {
		if !isLower(text[i]) && !isUpper(text[i]) {
			return false
		}
	}
	return true
}

func longOption(flags []flag, name string) how {
	for _, flag := range flags {
		if flag.name == name && strings.HasPrefix(name, "--") {
			return flag.what
		}
	}
	return nothing
}

// headerPending says what follows a word that ends with a colon.
func headerPending(text string, depth int) how {
	name := text[:len(text)-1]
	inQuotes := strings.TrimRight(name, `"'\`) != name
	name = strings.TrimRight(name, `"'\`)
	for i := len(name) - 1; i >= 0; i-- {
		if !isName(name[i]) {
			name = name[i+1:]
			break
		}
	}
	low := strings.ToLower(name)
	switch {
	case strengthOf(name) == harmless && low != "cookie" && low != "set-cookie":
		return nothing
	case inQuotes: // JSON
		if strengthOf(name) == weak {
			return random
		}
		return whole
	case strengthOf(name) == weak:
		return random
	case low == "authorization" || low == "proxy-authorization" || depth > 0:
		return header
	}
	return whole
}

// within looks into the quotes of a word, and at the pairs in it.
func (f *finder) within(start, end, depth int) {
	f.pairs(start, end, depth)
	for i := start; i < end; i++ {
		q := f.quoteAt(i, end, depth)
		if q == "" {
			if f.text[i] == '\\' {
				i++
			}
			continue
		}
		at := f.closing(q, i+len(q), end)
		if at < 0 {
			continue
		}
		if strings.ContainsAny(f.text[i+len(q):at], " \t\n;|&`$") {
			f.commands(i+len(q), at, depth+1)
		}
		i = at + len(q) - 1
	}
}

// glued are the names whose value may follow a colon at once.
var glued = set("pass", "password", "passwd", "token", "secret", "passphrase", "apikey", "api_key", "authorization", "x-api-key",
	"x-auth-token", "private-token", "x-token")

// pairs looks at every name=value and "name":"value" in a word.
func (f *finder) pairs(start, end, depth int) {
	for i := start + 1; i < end; i++ {
		c := f.text[i]
		if c != '=' && c != ':' {
			continue
		}
		stop := i
		for stop > start && strings.IndexByte(`"'\`, f.text[stop-1]) >= 0 && i-stop < 2 {
			stop--
		}
		begin := stop
		for begin > start && stop-begin < maxName && isName(f.text[begin-1]) {
			begin--
		}
		name := f.text[begin:stop]
		if len(name) < 2 || c == ':' && stop == i && !glued[strings.ToLower(name)] {
			continue
		}
		s := strengthOf(name)
		if s == harmless {
			continue
		}
		from, to := i+1, 0
		if from < end && f.quoteAt(from, end, max(depth, 1)) != "" {
			q := f.quoteAt(from, end, max(depth, 1))
			from += len(q)
			if to = f.closing(q, from, end); to < 0 {
				to = end
			}
		} else {
			to = f.pairEnd(from, end)
		}
		if from < to && isSecret(f.text[from:to], s) {
			f.add(from, to)
		}
		i = max(i, to-1)
	}
}

// pairEnd returns where a value in a list of pairs ends.
func (f *finder) pairEnd(i, end int) int {
	for ; i < end; i++ {
		switch c := f.text[i]; {
		case strings.IndexByte("&;\"'|)} \t\n", c) >= 0:
			return i
		case c == ',' && f.pairFollows(i+1, end):
			return i
		case c == '\\' && i+1 < end && strings.IndexByte(`"'`, f.text[i+1]) >= 0:
			return i
		}
	}
	return end
}

// pairFollows reports whether a name and a sign follow, or nothing at all.
func (f *finder) pairFollows(i, end int) bool {
	for n := 0; n < 40; n++ {
		if i+n >= end {
			return true
		}
		switch c := f.text[i+n]; {
		case c == '=' || c == ':' || c == '"':
			return true
		case !isName(c):
			return false
		}
	}
	return false
}
