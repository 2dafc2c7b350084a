package identity_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestTokenIsReadAsItWasWritten(t *testing.T) {
	id, text, hash := identity.NewToken()
	if !strings.HasPrefix(text, "fct1_"+id+"_") || len(text) != 5+8+1+43 || len(hash) != 32 {
		t.Errorf("id %q, text %q", id, text)
	}
	gotID, gotHash, err := identity.ParseToken(text + "\n")
	if err != nil || gotID != id || !bytes.Equal(gotHash, hash) {
		t.Errorf("read as %q %x, %v", gotID, gotHash, err)
	}
}

func TestTextsThatAreNoToken(t *testing.T) {
	_, good, _ := identity.NewToken()
	for name, text := range map[string]string{
		"empty": "", "bearer": "Bearer " + good, "short": good[:len(good)-1], "long": good + "A",
		"another version": "fct2" + good[4:], "capital id": "fct1_" + strings.ToUpper(good[5:13]) + good[13:],
		"two": good + "\n" + good, "NUL": good[:20] + "\x00" + good[21:],
	} {
		_, _, err := identity.ParseToken(text)
		if codeOf(err) != "token_invalid" || fleet.KindOf(err) != fleet.Unauthenticated || strings.Contains(err.Error(), good[14:]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	_, text, _ := identity.NewToken()
	f.Add(text)
	f.Add("fct1__")
	f.Fuzz(func(t *testing.T, text string) {
		id, hash, err := identity.ParseToken(text)
		if err == nil && (len(id) != 8 || len(hash) != 32 || !strings.Contains(text, id)) {
			t.Errorf("%q was read as %q", text, id)
		}
	})
}

func TestAttack56_LoginCodes(t *testing.T) {
	s := identity.NewSessions()
	now := time.Now()
	anna := fleet.Principal{Kind: fleet.PersonKind, Name: "anna", Token: "abcd1234", Scope: []string{"data"}}
	code, expires, err := s.Offer(anna, now)
	if err != nil || !expires.Equal(now.Add(time.Minute)) {
		t.Fatalf("expires %v, %v", expires, err)
	}
	if _, _, err := s.Open(code, now.Add(time.Minute)); codeOf(err) != "login_code_invalid" {
		t.Errorf("after 60 s: %v", err)
	}
	code, _, _ = s.Offer(anna, now)
	cookie, _, err := s.Open(code, now.Add(59*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Open(code, now.Add(59*time.Second)); codeOf(err) != "login_code_invalid" || fleet.KindOf(err) != fleet.Unauthenticated {
		t.Errorf("the second time: %v", err)
	}
	if who, in := s.Who(cookie, now.Add(8*time.Hour)); !in || who.Name != "anna" {
		t.Errorf("within 8 h: %v, %v", who, in)
	}
	for name, cookie := range map[string]string{"none": "", "the code": code, "another": cookie + "x"} {
		if _, in := s.Who(cookie, now); in {
			t.Errorf("%s is a cookie", name)
		}
	}
	if _, in := s.Who(cookie, now.Add(8*time.Hour+time.Minute)); in {
		t.Error("the session outlives 8 h")
	}
}

func TestSessionsEnd(t *testing.T) {
	s := identity.NewSessions()
	now := time.Now()
	login := func(token string) string {
		code, _, err := s.Offer(fleet.Principal{Token: token}, now)
		if err != nil {
			t.Fatal(err)
		}
		cookie, _, err := s.Open(code, now)
		if err != nil {
			t.Fatal(err)
		}
		return cookie
	}
	one, two, three := login("one"), login("two"), login("three")
	waiting, _, _ := s.Offer(fleet.Principal{Token: "two"}, now)
	s.Close(one)
	s.CloseToken("two")
	for name, cookie := range map[string]string{"logged out": one, "token revoked": two} {
		if _, in := s.Who(cookie, now); in {
			t.Errorf("%s: still in", name)
		}
	}
	if _, _, err := s.Open(waiting, now); err == nil {
		t.Error("a code of a revoked token counts")
	}
	if _, in := s.Who(three, now); !in {
		t.Error("somebody else was logged out")
	}
	for range 5000 {
		if _, _, err := s.Offer(fleet.Principal{Token: "greedy"}, now); err != nil {
			t.Fatalf("one token keeps itself out: %v", err)
		}
	}
	for n := range 5000 {
		if _, _, err := s.Offer(fleet.Principal{Token: fmt.Sprint(n)}, now); err != nil {
			if n < 4000 {
				t.Errorf("one token took the room of %d others", 4096-n)
			}
			if codeOf(err) != "sessions_full" {
				t.Error(err)
			}
			if _, _, err := s.Offer(fleet.Principal{}, now.Add(time.Hour)); err != nil {
				t.Errorf("old codes are not forgotten: %v", err)
			}
			return
		}
	}
	t.Error("codes are not bounded")
}
