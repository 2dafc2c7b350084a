package mask

import "strings"

// token is a secret that is known by how it begins.
type token struct {
	begin string
	least int  // bytes in all
	dots  bool // they may be in it
}

// tokens is every such secret there is.
var tokens = []token{
	{"AKIA", 20, false}, {"ASIA", 20, false}, // AWS
	{"ghp_", 20, false}, {"gho_", 20, false}, {"ghu_", 20, false}, {"ghs_", 20, false}, {"ghr_", 20, false}, {"github_pat_", 30, false},
	{"glpat-", 20, true}, {"gldt-", 20, true}, {"glrt-", 20, true}, {"glptt-", 20, true}, {"glcbt-", 20, true},
	{"xoxb-", 20, false}, {"xoxp-", 20, false}, {"xoxa-", 20, false}, {"xoxr-", 20, false}, {"xoxs-", 20, false}, {"xapp-", 20, false}, // Slack
	{"sk_live_", 20, false}, {"rk_live_", 20, false}, {"sk_test_", 20, false}, {"whsec_", 20, false}, // Stripe
	{"sk-ant-", 24, false}, {"sk-proj-", 24, false}, {"sk-", 40, false}, {"AIza", 35, false}, {"ya29.", 24, true},
	{"npm_", 36, false}, {"pypi-AgE", 30, false}, {"SG.", 50, true}, {"hf_", 30, false}, {"dop_v1_", 40, false}, {"shpat_", 30, false},
	{"hvs.", 24, true}, {"hvb.", 24, true}, {"dckr_pat_", 24, false}, {"AGE-SECRET-KEY-", 30, false},
	{"eyJ", 20, true}, // a JSON web token, or JSON in base 64
}

// paths are the beginnings of addresses whose rest is a secret.
var paths = []string{
	"hooks.slack.com/services/", "hooks.slack.com/workflows/", "discord.com/api/webhooks/", "discordapp.com/api/webhooks/",
	"webhook.office.com/webhookb2/", "outlook.office.com/webhook/", "api.telegram.org/bot",
}

// signatures are parameters of addresses that let in whoever has the address.
var signatures = []string{"sig=", "Signature=", "X-Amz-Signature=", "X-Goog-Signature="}

// firsts are the bytes tokens begin with.
var firsts = func() (is [256]bool) {
	for _, t := range tokens {
		is[t.begin[0]] = true
	}
	return is
}()

// shapes finds what is a secret wherever it stands.
func (f *finder) shapes() {
	f.knownTokens()
	for at := 0; ; {
		i := strings.Index(f.text[at:], "://")
		if i < 0 {
			break
		}
		f.userinfo(at+i, at+i+3)
		at += i + 3
	}
	for at := 0; ; { // Go's MySQL addresses have no scheme
		i := strings.Index(f.text[at:], "@tcp(")
		if i < 0 {
			break
		}
		begin := at + strings.LastIndexAny(f.text[at:at+i], " \t\n\"'=") + 1
		if colon := strings.IndexByte(f.text[begin:at+i], ':'); colon >= 0 && isSecret(f.text[begin+colon+1:at+i], strong) {
			f.add(begin+colon+1, at+i)
		}
		at += i + 5
	}
	for _, path := range paths {
		for at := 0; ; {
			i := strings.Index(f.text[at:], path)
			if i < 0 {
				break
			}
			at += i + len(path)
			end := at + stretch(f.text[at:], " \t\n\"'`<>;&|)")
			if end > at && isSecret(f.text[at:end], strong) {
				f.add(at, end)
			}
			at = end
		}
	}
	f.signed()
	f.privateKeys()
}

// signed finds the signatures of addresses.
func (f *finder) signed() {
	for at := 0; ; {
		i := strings.IndexAny(f.text[at:], "?&")
		if i < 0 {
			return
		}
		at += i + 1
		for _, name := range signatures {
			if value, ok := strings.CutPrefix(f.text[at:], name); ok {
				from := at + len(name)
				if to := from + stretch(value, " \t\n\"'`<>;&|)"); from < to && isSecret(f.text[from:to], strong) {
					f.add(from, to)
				}
			}
		}
	}
}

// stretch returns how much of text comes before one of the stops.
func stretch(text, stops string) int {
	if i := strings.IndexAny(text, stops); i >= 0 {
		return i
	}
	return len(text)
}

// knownTokens finds the tokens of the table.
func (f *finder) knownTokens() {
	for i := 0; i < len(f.text); i++ {
		if !firsts[f.text[i]] || i > 0 && (isName(f.text[i-1]) && f.text[i-1] != '-' && f.text[i-1] != '.' && f.text[i-1] != '_') {
			continue
		}
		for _, t := range tokens {
			if !strings.HasPrefix(f.text[i:], t.begin) {
				continue
			}
			end := i + len(t.begin)
			for end < len(f.text) && (isName(f.text[end]) && f.text[end] != '.' || t.dots && f.text[end] == '.') {
				end++
			}
			least := t.least
			if f.cut(end) {
				least = min(least, len(t.begin)+6)
			}
			switch digits := hasDigit(f.text[i+len(t.begin) : end]); {
			case digits && end-i >= least:
				f.add(i, end)
				i = end
			case !digits:
				i = end // no token in it has any either
			}
			break
		}
	}
}

// cut reports whether the text was cut off there.
func (f *finder) cut(at int) bool {
	return strings.HasPrefix(f.text[at:], "…") || strings.HasPrefix(f.text[at:], " …")
}

func hasDigit(text string) bool { return strings.ContainsAny(text, "0123456789") }

// maxAddress is how much of a URL is looked at for a password.
const maxAddress = 500

// userinfo finds the password in a URL whose scheme ends at colon and whose
// authority begins at start.
func (f *finder) userinfo(colon, start int) {
	if colon < 2 || !isLower(f.text[colon-1]) && !isUpper(f.text[colon-1]) && !isDigit(f.text[colon-1]) {
		return
	}
	rest := f.text[start:min(len(f.text), start+maxAddress)]
	word := rest[:stretch(rest, " \t\n\"'`|;")]
	authority := word[:stretch(word, "/?#")]
	at := strings.LastIndexByte(authority, '@')
	pass := strings.IndexByte(authority, ':')
	switch {
	case at >= 0 && pass >= 0 && pass < at:
		f.part(whole, start+pass+1, start+at, 0)
	case at >= 0:
		if looksRandom(authority[:at]) {
			f.add(start, start+at)
		}
	case pass >= 0 && pass+1 < len(authority) && !isDigit(authority[pass+1]) && strings.IndexByte("$<{[%*", authority[pass+1]) < 0 && authority[0] != '[':
		// No port: a password with a sign that should have been escaped, or
		// one that was cut off in the midst.
		if at = strings.LastIndexByte(word, '@'); at > pass {
			f.add(start+pass+1, start+at)
		} else if f.cut(start+len(word)) || start+len(word) == len(f.text) || strings.HasSuffix(word, "…") {
			f.add(start+pass+1, start+len(strings.TrimSuffix(word, "…")))
		}
	}
}

const keyBegin, keyEnd = "-----BEGIN ", "-----END "

// privateKeys finds what stands between the lines of a private key.
func (f *finder) privateKeys() {
	for at := 0; ; {
		i := strings.Index(f.text[at:], keyBegin)
		if i < 0 {
			return
		}
		at += i + len(keyBegin)
		title, _, ok := strings.Cut(f.text[at:min(len(f.text), at+60)], "-----")
		if !ok || !strings.HasSuffix(title, "PRIVATE KEY") && !strings.HasSuffix(title, "PRIVATE KEY BLOCK") {
			continue
		}
		at += len(title) + 5
		end := len(f.text)
		if i := strings.Index(f.text[at:], keyEnd); i >= 0 {
			end = at + i
		}
		if strings.Trim(f.text[at:end], " \n\\") != "" && !isPlaceholder(f.text[at:end]) {
			f.add(at, end)
		}
		at = end
	}
}
