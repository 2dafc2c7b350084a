package pki_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/pki"
)

func TestJoinSecretIsReadAsItWasWritten(t *testing.T) {
	s := pki.NewJoinSecret(strings.Repeat("ab", 32))
	got, err := pki.ParseJoinSecret(" " + s.Text() + "\n")
	if err != nil || got != s {
		t.Errorf("%v, %v", got, err)
	}
	if parts := strings.Split(s.Text(), "."); len(parts) != 4 || len(parts[1]) != 8 || len(parts[2]) != 43 || len(parts[3]) != 64 {
		t.Errorf("text %q", s.Text())
	}
	if shown := fmt.Sprint(s); strings.Contains(s.Text(), strings.TrimSuffix(shown, "…")+"AAAA") || len(shown) > 20 {
		t.Errorf("shown as %q", shown)
	}
	if pki.NewJoinSecret(s.Pin) == s || len(s.Hash()) != 32 {
		t.Error("drawn twice, or no hash")
	}
}

func TestTextsThatAreNoJoinToken(t *testing.T) {
	good := pki.NewJoinSecret(strings.Repeat("ab", 32)).Text()
	id, rest := good[5:13], good[14:]
	for name, text := range map[string]string{
		"empty":            "",
		"a person's token": "fct1_" + id + "_" + rest[:43],
		"another version":  "fcj2" + good[4:],
		"no pin":           good[:57],
		"a short pin":      good[:len(good)-1],
		"capital pin":      good[:58] + strings.ToUpper(good[58:]),
		"one part more":    good + ".x",
		"short secret":     "fcj1." + id + "." + rest[1:],
		"an id too long":   "fcj1.x" + good[5:],
		"an id of dots":    "fcj1......" + good[13:],
		"white space":      good[:20] + " " + good[20:],
	} {
		if s, err := pki.ParseJoinSecret(text); err == nil {
			t.Errorf("%s: taken: %v", name, s)
		} else if err != nil && strings.Contains(err.Error(), rest[:43]) {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
}

func FuzzParseJoinSecret(f *testing.F) {
	f.Add(pki.NewJoinSecret(strings.Repeat("0f", 32)).Text())
	f.Add("")
	f.Add("fcj1...")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := pki.ParseJoinSecret(text)
		if err == nil && s.Text() != strings.TrimSpace(text) {
			t.Errorf("%q was read as %q", text, s.Text())
		}
	})
}
