package mask

import "strings"

// plain are values that no secret has.
var plain = set("true", "false", "yes", "no", "on", "off", "null", "none", "nil", "undefined", "prompt", "ask", "stdin", "-", "0", "1", "")

// roots are the directories a path begins with; anything else that begins with
// "/" may well be a secret.
var roots = set("etc", "var", "run", "root", "home", "opt", "usr", "srv", "tmp", "dev", "mnt", "proc", "data", "app", "secrets", "media", "nix",
	"snap", "sys", "boot", "bin", "sbin", "lib", "backup", "backups", "config", "export", "vault", "credentials", "keys", "Users", "private")

// isSecret reports whether a value, without its quotes, is a secret rather
// than a reference to one, the name of a file or a switch.
func isSecret(value string, s strength) bool {
	value = strings.Trim(value, " \t\r")
	switch {
	case plain[lower(value)] || isPlaceholder(value) || isPath(value) || isStars(value):
		return false
	case referenceOnly(value):
		return false
	case s == weak:
		return looksRandom(value)
	}
	return true
}

// lower is value in lower case if it is short enough to be a plain word.
func lower(value string) string {
	if len(value) > 10 {
		return "-long-"
	}
	return strings.ToLower(value)
}

// isPlaceholder reports whether value is what this package puts in a secret's
// place.
func isPlaceholder(value string) bool { return placeholder(value) == len(value) && value != "" }

// placeholder returns the length of the placeholder that text begins with, or 0.
func placeholder(text string) int {
	if !strings.HasPrefix(text, "<redacted") {
		return 0
	}
	text = text[len("<redacted"):]
	if strings.HasPrefix(text, ">") {
		return len(Redacted)
	}
	if len(text) < 10 || text[0] != ':' || text[9] != '>' {
		return 0
	}
	for i := 1; i < 9; i++ {
		if !isDigit(text[i]) && (text[i] < 'a' || text[i] > 'f') {
			return 0
		}
	}
	return len(Redacted) + 9
}

func isPath(value string) bool {
	for _, begin := range [...]string{"./", "../", "~/", "file:", "env:", "fd:", "@/", "@./"} {
		if strings.HasPrefix(value, begin) {
			return true
		}
	}
	if !strings.HasPrefix(value, "/") || strings.ContainsAny(value, "@:=+ ") {
		return false
	}
	first, _, more := strings.Cut(value[1:], "/")
	return more && roots[first]
}

// isStars reports whether somebody has blotted the value out already.
func isStars(value string) bool {
	return strings.Trim(value, "*") == "" || strings.Trim(value, "x") == "" || strings.Trim(value, "X") == "" || strings.Trim(value, ".…") == ""
}

// fewLetters may stand beside a reference without being a secret.
const fewLetters = 3

// referenceOnly reports whether value is made of $NAME, ${NAME}, $(command)
// and `command`, with hardly anything between.
func referenceOnly(value string) bool {
	if !strings.ContainsAny(value, "$`<") {
		return false
	}
	literal, references := 0, 0
	for i := 0; i < len(value); {
		n, own := reference(value[i:])
		if n > 0 {
			i += n
			literal += own
			references++
			continue
		}
		if isName(value[i]) && value[i] != '-' && value[i] != '.' && value[i] != '_' || value[i] >= 0x80 {
			literal++
		}
		i++
	}
	return references > 0 && literal <= fewLetters
}

// reference returns the length of the reference that text begins with, and how
// many bytes of it are a value to fall back on.
func reference(text string) (length, own int) {
	if n := placeholder(text); n > 0 {
		return n, 0
	}
	switch {
	case text[0] == '`':
		if end := strings.IndexByte(text[1:], '`'); end >= 0 {
			return end + 2, 0
		}
		return len(text), 0
	case text[0] != '$':
		return 0, 0
	case len(text) == 1:
		return 1, 0
	case text[1] == '(':
		if end := strings.LastIndexByte(text, ')'); end >= 0 {
			return end + 1, 0
		}
		return len(text), 0
	case text[1] == '{':
		end := strings.IndexByte(text, '}')
		if end < 0 {
			return len(text), 0
		}
		name := 2
		for name < end && (isName(text[name]) || text[name] == '!' || text[name] == '#') && text[name] != '-' {
			name++
		}
		fallback := strings.TrimLeft(text[name:end], ":-+=?[]@*")
		if strings.HasPrefix(fallback, "$") {
			return end + 1, 0
		}
		return end + 1, len(fallback)
	}
	n := 1
	for n < len(text) && (isLower(text[n]) || isUpper(text[n]) || isDigit(text[n]) || text[n] == '_') {
		n++
	}
	if n == 1 {
		return 0, 0
	}
	return n, 0
}

// looksRandom reports whether value looks like a key that a machine made.
func looksRandom(value string) bool {
	if len(value) < 16 {
		return false
	}
	if user, pass, ok := strings.Cut(value, ":"); ok && len(value) < 100 && !strings.Contains(pass, "/") && user != "" && len(pass) > 3 {
		return true // of a name like AUTH
	}
	var upper, low, digit, mark, hexadecimal int
	for i := range len(value) {
		c := value[i]
		switch {
		case isUpper(c):
			upper++
		case isLower(c):
			low++
		case isDigit(c):
			digit++
		case strings.IndexByte("+/=_.~-", c) >= 0:
			mark++
			continue
		default:
			return false
		}
		if isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' {
			hexadecimal++
		}
	}
	if strings.HasPrefix(value, "/") || digit == 0 {
		return false
	}
	return upper > 0 && low > 0 && mark <= len(value)/8 || hexadecimal+mark == len(value) && mark <= 4 || mark == 0 && len(value) >= 20
}
