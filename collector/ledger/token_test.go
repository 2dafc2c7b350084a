package ledger

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func newToken(id string, change ...func(*fleet.Token)) *PutToken {
	token := fleet.Token{ID: id, Name: "ann", Hash: hashOf(id), Roles: []fleet.Role{fleet.Viewer}, Namespaces: []string{"data"}, Created: noon, Expires: noon.Add(time.Hour), By: "init"}
	for _, fn := range change {
		fn(&token)
	}
	return &PutToken{Token: token}
}

func TestPutToken(t *testing.T) {
	l := newLedger(t)
	for name, change := range map[string]func(*fleet.Token){
		"no id":         func(t *fleet.Token) { t.ID = "" },
		"a NUL":         func(t *fleet.Token) { t.ID = "a\x00b" },
		"no hash":       func(t *fleet.Token) { t.Hash = nil },
		"a short hash":  func(t *fleet.Token) { t.Hash = t.Hash[:31] },
		"no name":       func(t *fleet.Token) { t.Name = "" },
		"no role":       func(t *fleet.Token) { t.Roles = nil },
		"another role":  func(t *fleet.Token) { t.Roles = []fleet.Role{"root"} },
		"no namespace":  func(t *fleet.Token) { t.Namespaces = nil },
		"a bad one":     func(t *fleet.Token) { t.Namespaces = []string{"A B"} },
		"over already":  func(t *fleet.Token) { t.Expires = noon },
		"for two years": func(t *fleet.Token) { t.Expires = noon.Add(2 * MaxTokenLife) },
	} {
		t.Run(name, func(*testing.T) { l.refused("invalid", newToken("abc", change)) })
	}
	_, changed := l.Watch(Tokens)
	made := l.must(newToken("abc")).(fleet.Token)
	<-changed
	if made.Hash != nil || made.ID != "abc" {
		t.Errorf("%+v", made)
	}
	l.refused("exists", newToken("abc"))
	want := newToken("abc").Token
	want.Hash = nil
	for range 2 {
		if got, err := l.Token(everywhere, "abc"); err != nil || !cmp.Equal(want, got) {
			t.Errorf("%v %s", err, cmp.Diff(want, got))
		}
		if list := l.Tokens(everywhere); len(list) != 1 || list[0].Hash != nil {
			t.Errorf("%+v", list)
		}
		l.reopen()
	}
}

// TestAttack31_TokensEnd brings tokens that do not count any more, or never did.
func TestAttack31_TokensEnd(t *testing.T) {
	l := newLedger(t)
	l.must(newToken("live"), newToken("dead", func(t *fleet.Token) { t.Expires = noon.Add(time.Minute) }), newToken("lost"))
	l.must(&RevokeToken{ID: "lost", At: noon.Add(time.Second), Actor: "bob"})
	again := l.must(&RevokeToken{ID: "lost", At: noon.Add(time.Hour)}).(fleet.Token)
	if !again.Revoked.Equal(noon.Add(time.Second)) || again.Hash != nil {
		t.Errorf("%+v", again)
	}
	l.refused("not_found", &RevokeToken{ID: "none", At: noon})
	l.refused("not_found", &RevokeToken{ID: "", At: noon})
	now := noon.Add(30 * time.Minute)
	texts := map[string][]string{}
	for name, c := range map[string]struct {
		id   string
		hash []byte
		code string
	}{
		"good": {"live", hashOf("live"), ""}, "expired": {"dead", hashOf("dead"), "token_expired"}, "revoked": {"lost", hashOf("lost"), "token_revoked"},
		"unknown": {"none", hashOf("none"), "token_invalid"}, "another's secret": {"live", hashOf("dead"), "token_invalid"},
		"no secret": {"live", nil, "token_invalid"}, "nothing": {"", nil, "token_invalid"}, "zero bytes for nobody": {"none", make([]byte, 32), "token_invalid"},
		"expired and wrong": {"dead", hashOf("x"), "token_invalid"}, "revoked and wrong": {"lost", hashOf("x"), "token_invalid"},
	} {
		token, err := l.Admit(c.id, c.hash, now)
		if c.code == "" {
			if err != nil || token.ID != c.id || token.Hash != nil {
				t.Errorf("%s: %+v, %v", name, token, err)
			}
			continue
		}
		refusal, _ := IsRefusal(err)
		if refusal == nil || refusal.Kind != fleet.Unauthenticated || refusal.Code != c.code || refusal.Hint == "" || token.ID != "" {
			t.Errorf("%s: %+v, %v", name, token, err)
			continue
		}
		texts[c.code] = append(texts[c.code], err.Error()+refusal.Hint)
	}
	if same := slices.Compact(texts["token_invalid"]); len(same) != 1 {
		t.Errorf("unknown and wrong differ: %q", same)
	}
	if _, err := l.Admit("dead", hashOf("dead"), noon.Add(time.Minute)); err == nil {
		t.Error("it counts at the instant at which it expires")
	}
}

// TestAttack34_TheFirstTokenEnds makes another admin, after which the bootstrap
// token is refused, for ever.
func TestAttack34_TheFirstTokenEnds(t *testing.T) {
	l := newLedger(t)
	everyone := func(t *fleet.Token) { t.Namespaces = []string{"*"} }
	admin := func(t *fleet.Token) { t.Roles = []fleet.Role{fleet.Admin} }
	l.must(newToken("boot", everyone, admin, func(t *fleet.Token) { t.Bootstrap, t.Expires = true, noon.Add(24*time.Hour) }))
	opens := func(want string) {
		t.Helper()
		_, err := l.Admit("boot", hashOf("boot"), noon.Add(time.Minute))
		if refusal, _ := IsRefusal(err); (err == nil) != (want == "") || err != nil && refusal.Code != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
	opens("")
	l.must(newToken("viewer", everyone), newToken("admin-of-data", admin), newToken("boot2", everyone, admin, func(t *fleet.Token) { t.Bootstrap = true }))
	opens("") // none of them could do what it is for
	l.must(newToken("admin", everyone, admin))
	opens("bootstrap_closed")
	if _, err := l.Admit("boot2", hashOf("boot2"), noon); err == nil {
		t.Error("another bootstrap token is open")
	}
	if _, err := l.Admit("boot", hashOf("x"), noon); !strings.Contains(err.Error(), "not known") {
		t.Errorf("whoever does not have it is told of it: %v", err)
	}
	l.must(&RevokeToken{ID: "admin", At: noon})
	opens("bootstrap_closed")
	l.must(&Prune{At: noon.Add(time.Hour), TrustBefore: noon.Add(1000 * time.Hour)})
	opens("bootstrap_closed")
	l.reopen()
	opens("bootstrap_closed")
}

func TestPruneTokens(t *testing.T) {
	l := newLedger(t)
	l.must(newToken("old"), newToken("revoked", func(t *fleet.Token) { t.Expires = noon.Add(1000 * time.Hour) }), newToken("live", func(t *fleet.Token) { t.Expires = noon.Add(1000 * time.Hour) }),
		&RevokeToken{ID: "revoked", At: noon})
	l.must(&Prune{At: noon.Add(2 * time.Hour)})
	if n := len(l.Tokens(everywhere)); n != 3 {
		t.Errorf("%d tokens without TrustBefore", n)
	}
	l.must(&Prune{At: noon.Add(2 * time.Hour), TrustBefore: noon.Add(2 * time.Hour)})
	if list := l.Tokens(everywhere); len(list) != 1 || list[0].ID != "live" {
		t.Errorf("%+v", list)
	}
	l.reopen()
	if list := l.Tokens(everywhere); len(list) != 1 {
		t.Errorf("%+v", list)
	}
}

// TestABackupHoldsHashes looks through a snapshot, which is what a backup is made
// of: it has the hash that a token is known by, so that a restored cluster knows
// its people, and no secret.
func TestABackupHoldsHashes(t *testing.T) {
	const secret = "fct1_abcd1234_canary"
	l := newLedger(t)
	l.must(newToken("abcd1234", func(t *fleet.Token) { t.Hash = hashOf(secret) }),
		&PutJoinToken{Token: fleet.JoinToken{ID: "efgh5678", Hash: hashOf("canary"), Namespaces: []string{"*"}, Created: noon, Expires: noon.Add(time.Hour)}})
	text := string(snapshotOf(t, l.Ledger))
	if !strings.Contains(text, string(hashOf(secret))) || !strings.Contains(text, string(hashOf("canary"))) {
		t.Error("a hash is missing")
	}
	if strings.Contains(text, "canary") || strings.Contains(text, "PRIVATE KEY") {
		t.Error("a secret is in it")
	}
	other := newLedger(t)
	if err := other.Restore(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Admit("abcd1234", hashOf(secret), noon); err != nil {
		t.Error(err)
	}
}
