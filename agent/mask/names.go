package mask

import "strings"

// strength says how sure a name makes it that its value is a secret.
type strength uint8

const (
	harmless strength = iota
	weak              // only if the value looks like a key
	strong
)

// What the parts of a name say. A name is cut where another case or a sign
// that is no letter begins a new part: DB_PASSWORD, dbPassword, db-password.
var (
	// nouns are secrets as the whole of a part; endings also at a part's end,
	// as in PGPASSWORD.
	nouns = set("pass", "pw", "dsn", "cred", "creds", "psk", "authorization", "auth-token", "otp", "passcode")
	// endings begin with the ones that most often fit.
	endings = []string{
		"password", "passwd", "passphrase", "secret", "token", "pwd", "apikey", "credential", "credentials", "secrets",
		"tokens", "passwords", "passwort", "accesskey", "secretkey", "privatekey", "authkey", "userpass", "dbpass", "rootpw",
	}
	// words that end in pass and are none
	notPass = set("bypass", "compass", "trespass", "encompass", "surpass", "overpass", "underpass", "multipass", "singlepass", "keepass", "lastpass")
	// qualifiers make a key a secret one
	qualifiers = set("api", "secret", "access", "private", "priv", "encryption", "encrypt", "enc", "auth", "master", "signing", "hmac", "aes",
		"crypt", "license", "licence", "service", "account", "storage", "shared", "session", "app", "application", "client", "deploy",
		"webhook", "write", "ingest", "integration", "consumer", "vault", "jwt")
	// open ones make it one that everybody may know
	open = set("recv", "public", "pub", "host", "sort", "cache", "primary", "partition", "known", "authorized", "search", "send", "list", "signed", "foreign", "dearmor", "fingerprint", "delete", "export")
	// not: a part before the noun that takes it back
	not = set("no", "not", "without", "skip", "ask", "prompt", "has", "is", "show", "list", "check", "ignore", "disable", "max", "min", "num")
	// about: a part after the noun that makes the name speak about a secret
	about = set("file", "files", "filename", "path", "dir", "directory", "fd", "env", "stdin", "prompt", "name", "names", "id", "ids", "ttl",
		"length", "len", "min", "max", "url", "uri", "cmd", "command", "policy", "type", "user", "users", "username", "expiry", "expire",
		"expires", "expiration", "age", "days", "timeout", "size", "ring", "store", "server", "host", "port", "manager", "provider",
		"backend", "endpoint", "count", "limit", "algo", "algorithm", "format", "version", "source", "from", "script", "program", "helper",
		"agent", "field", "column", "table", "parameter", "param", "arg", "var", "ref", "arn", "region", "engine", "mode", "required",
		"less", "free", "only", "through", "thru", "protected", "change", "rotate", "rotation", "renew", "check", "list", "show", "generate",
		"generator", "location", "mount", "prefix", "suffix", "bits", "callback", "fields", "namespace", "interactive")
)

func set(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, word := range words {
		m[word] = true
	}
	return m
}

// maxName is how long a name may be that is looked at.
const maxName = 80

// strengthOf says what a name tells of its value.
func strengthOf(name string) strength {
	if len(name) < 2 || len(name) > maxName {
		return harmless
	}
	if name == "PWD" || name == "OLDPWD" || name == "pwd" || name == "cwd" {
		return harmless // directories
	}
	found, key, qualified, everybodys, taken := harmless, false, false, false, false
	for part := range parts(name) {
		switch {
		case about[part]:
			found, key = harmless, false
		case noun(part):
			found = strong
		case part == "key" || part == "keys" || strings.HasSuffix(part, "key"):
			key = true
		case part == "auth":
			found = max(found, weak)
		}
		everybodys, taken = everybodys || open[part], taken || not[part] && found == harmless
		qualified = qualified || qualifiers[part]
	}
	switch {
	case taken:
		return harmless
	case key && everybodys:
	case key && qualified:
		return strong
	case key:
		return max(found, weak)
	}
	return found
}

func noun(part string) bool {
	if nouns[part] {
		return true
	}
	for _, ending := range endings {
		if strings.HasSuffix(part, ending) {
			return true
		}
	}
	return strings.HasSuffix(part, "pass") && !notPass[part] || strings.HasSuffix(part, "pw") && len(part) > 3
}

// parts yields the parts of a name in lower case, without the digits at their
// ends.
func parts(name string) func(func(string) bool) {
	return func(yield func(string) bool) {
		var lower [maxName]byte
		n := 0
		flush := func() bool {
			for n > 0 && lower[n-1] >= '0' && lower[n-1] <= '9' {
				n--
			}
			if n == 0 {
				return true
			}
			part := string(lower[:n])
			n = 0
			return yield(part)
		}
		for i := range len(name) {
			c := name[i]
			switch {
			case c >= 'A' && c <= 'Z':
				if i > 0 && isLower(name[i-1]) || i > 0 && i+1 < len(name) && isUpper(name[i-1]) && isLower(name[i+1]) {
					if !flush() {
						return
					}
				}
				c += 'a' - 'A'
			case isLower(c) || c >= '0' && c <= '9':
			default:
				if !flush() {
					return
				}
				continue
			}
			lower[n] = c
			n++
		}
		flush()
	}
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isName reports whether c may stand in a name.
func isName(c byte) bool {
	return isLower(c) || isUpper(c) || isDigit(c) || c == '_' || c == '-' || c == '.'
}
