package mask

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// FuzzInnocent holds the one pass to the rules: it may let nothing through
// that they would mask.
func FuzzInnocent(f *testing.F) {
	for _, text := range []string{
		"mysqldump -phunter2 shop", "A=b C_PASSWORD=hunter2 run", "echo hunter2 | sudo -S true", "curl https://ann:pw@h/", "x --password hunter2",
		"'curl' -u ann:hunter2", "ann:hunter2@tcp(db)/shop", "hooks.slack.com/services/T/B/x1", "x '?sig=abcdef'", "-----BEGIN PRIVATE KEY-----\nabc",
		"ghp_0123456789abcdefgh", "date +%Y", "Bearer abc", "set api_key abc", "sqlplus scott/tiger@db", "7z a -phunter2 x", "-H \"Cookie: a\"", "\u212aey",
	} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, crontab bool) {
		if innocent(text, crontab) && len(find(text, crontab)) > 0 {
			t.Fatalf("%q holds a secret", text)
		}
		if name, _, _ := strings.Cut(text, " "); innocent(name, false) && strengthOf(name) != harmless {
			t.Fatalf("%q is the name of a secret", name)
		}
	})
}

// TestInnocentLetsNothingThrough puts what the rules look for together by
// chance, which finds more in a second than single bytes do in an hour.
func TestInnocentLetsNothingThrough(t *testing.T) {
	pieces := []string{
		" ", " ", " ", " ", "=", ":", "'", "\"", "\\\"", "`", "$(", ")", "|", "&&", ";", "\n", "<", ">", "/", "//", "@", "@tcp(", "?", "&", "%", "\\", "-", "--", ",", "{", "}", "…", ".", "_",
		"Bearer", "bearer", "Cookie:", "Authorization:", "Basic", "set", "put", "add", "a", "hunter2", "s3cr3tValue", "user", "x1", "10", "8.0", "1234567890abcdefABCDEF",
		"AKIA0123456789ABCDEF", "eyJhbGciOiJIUzI1NiJ9", "https://", "sig=", "Signature=", "X-Amz-Signature=", keyBegin, "PRIVATE KEY-----", "-H", "-p", "-phunter2", "-u", "-uann:hunter2",
		"-a", "-P", "-k", "-w", "-U", "-S", "/p:x", "pass:", "fd:0", "--stdin", "chpasswd", "su", "sudo", "echo", "printf", "yes", "scott/tiger",
	}
	pieces = append(append(pieces, paths...), endings...)
	for _, row := range tokens {
		pieces = append(pieces, row.begin, row.begin+"0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdef")
	}
	for _, table := range []map[string]bool{nouns, qualifiers, open, glued} {
		for word := range table {
			pieces = append(pieces, word, strings.ToUpper(word), strings.ToUpper(word[:1])+word[1:])
		}
	}
	for name := range programs {
		pieces = append(pieces, name, name+" ", name+"-8.0 ")
	}
	random := rand.New(rand.NewPCG(1, 2))
	masked, quick := 0, 0
	for range 60_000 {
		var b strings.Builder
		for range 1 + random.IntN(9) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		text, crontab := b.String(), random.IntN(2) == 0
		secrets := find(text, crontab)
		if len(secrets) > 0 {
			masked++
		}
		if !innocent(text, crontab) {
			continue
		}
		quick++
		if len(secrets) > 0 {
			t.Fatalf("%q holds a secret", text)
		}
	}
	if masked < 1000 || quick < 1000 {
		t.Errorf("of 60,000 texts %d hold a secret, %d surely none", masked, quick)
	}
}

// TestInnocentKnowsTheTables: what the tables hold is what the pass looks for.
func TestInnocentKnowsTheTables(t *testing.T) {
	for name := range programs {
		if len(name) > 31 || innocent("x; /usr/bin/"+name+" -x", false) {
			t.Errorf("%s is let through", name)
		}
	}
	names := append([]string{"key", "auth", "api_key"}, endings...)
	for _, table := range []map[string]bool{nouns, glued} {
		for name := range table {
			names = append(names, name)
		}
	}
	for _, name := range names {
		for _, text := range []string{name, "x --" + name + " hunter2", "x " + strings.ToUpper(name) + "=hunter2", "put " + name + " hunter2"} {
			if innocent(text, false) {
				t.Errorf("%q is let through", text)
			}
		}
	}
	for _, text := range []string{"x -H 'cookie: hunter2'", "x Bearer hunter2", "x '&sig=hunter2", "echo hunter2 | x --stdin", "yes hunter2|x", "printf x | x"} {
		if innocent(text, false) {
			t.Errorf("%q is let through", text)
		}
	}
	for _, name := range signatures {
		if innocent("x ?"+name+"hunter2", false) {
			t.Errorf("%s is let through", name)
		}
	}
	for _, row := range tokens {
		if row.least < shortestToken {
			t.Errorf("%s may be %d bytes short", row.begin, row.least)
		}
	}
	for _, path := range paths {
		if innocent(path+"x", false) {
			t.Errorf("%s is let through", path)
		}
	}
}

// TestMostCommandsAreInnocent: usual commands cost one pass.
func TestMostCommandsAreInnocent(t *testing.T) {
	for _, text := range []string{
		"cd / && run-parts --report /etc/cron.hourly", "test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )",
		"[ -x /usr/lib/package-7/nightly ] && flock -n /run/x nice /usr/lib/package-7/nightly --quiet --mail=ops@example.org >/dev/null 2>&1",
		"/usr/bin/find /tmp -mtime +7 -delete", "/opt/backup/bin/backup.sh --full > /var/log/backup.log", "echo done || true; echo again",
	} {
		if want := !strings.Contains(text, "echo"); innocent(text, true) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}
