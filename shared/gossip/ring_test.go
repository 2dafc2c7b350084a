package gossip

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestRingIsReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "gossip.key")
	made, err := MakeRing(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Rotate(time.Now()); err != nil {
		t.Fatal(err)
	}
	read, err := OpenRing(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made.Texts(), read.Texts()); diff != "" || len(read.Texts()) != 2 {
		t.Error(diff, read.Texts())
	}
	if made.Digest() != read.Digest() {
		t.Error("one ring has two digests")
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if _, err := MakeRing(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a ring was overwritten: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRingThatIsWrong(t *testing.T) {
	key := `"` + strings.Repeat("A", 43) + `="`
	for name, text := range map[string]string{
		"empty": "", "no list": `"x"`, "no key": `[]`, "no base64": `["%%"]`, "short": `["c2hvcnQ="]`,
		"second short": `[` + key + `,"c2hvcnQ="]`, "twice": `[` + key + `,` + key + `]`,
		"no time": `["` + strings.Trim(key, `"`) + ` yesterday"]`, "too many": `[` + strings.Repeat(key+",", keysMax) + key + `]`,
	} {
		path := filepath.Join(t.TempDir(), "ring")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenRing(path); fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	open := filepath.Join(t.TempDir(), "open")
	os.WriteFile(open, []byte("[]"), 0o644)
	if _, err := OpenRing(open); err == nil || !strings.Contains(err.Error(), "0644") {
		t.Errorf("a ring for all to read: %v", err)
	}
}

func TestAnothersRingIsTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	mine, err := MakeRing(path)
	if err != nil {
		t.Fatal(err)
	}
	theirs := NewRing(NewKey(), NewKey())
	_, changed := mine.state()
	if err := mine.Take([]string{"nonsense"}); err == nil {
		t.Fatal("nonsense was taken")
	}
	if err := mine.Take(theirs.Texts()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told")
	}
	if read, err := OpenRing(path); err != nil || mine.Digest() != theirs.Digest() || read.Digest() != theirs.Digest() {
		t.Errorf("kept %v, %v", read, err)
	}
}

// TestRotationInSteps: installed, used, the old one gone, each step once its
// time has come and whoever leads by then.
func TestRotationInSteps(t *testing.T) {
	began := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	old := NewKey()
	ring := NewRing(old)
	if wait, err := ring.Step(began); wait != 0 || err != nil {
		t.Fatalf("a ring at rest waits for %v, %v", wait, err)
	}
	if err := ring.Rotate(began); err != nil {
		t.Fatal(err)
	}
	if err := ring.Rotate(began.Add(time.Minute)); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("two rotations at once: %v", err)
	}
	for _, step := range []struct {
		after    time.Duration
		usesOld  bool
		keys     int
		nextStep time.Duration
	}{
		{0, true, 2, installFor},
		{installFor - time.Second, true, 2, time.Second},
		{installFor, false, 2, useFor},
		{installFor + useFor - time.Second, false, 2, time.Second},
		{installFor + useFor, false, 1, 0},
	} {
		texts := ring.Texts() // another leads from here on
		ring = NewRing()
		if err := ring.Take(texts); err != nil {
			t.Fatal(err)
		}
		wait, err := ring.Step(began.Add(step.after))
		keys, _ := ring.state()
		if err != nil || wait != step.nextStep || len(keys) != step.keys || bytes.Equal(keys[0].Secret, old) != step.usesOld {
			t.Errorf("after %v: %d keys, uses the old one: %v, waits %v (%v); want %+v", step.after, len(keys), bytes.Equal(keys[0].Secret, old), wait, err, step)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(Key{Secret: NewKey(), Made: time.Now()}.text())
	f.Add(Key{Secret: NewKey()}.text())
	f.Add("")
	f.Add(" 2026-11-21T00:00:00Z")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := parseKey(text)
		if err != nil {
			return
		}
		again, err := parseKey(key.text())
		if err != nil || !bytes.Equal(again.Secret, key.Secret) || len(key.Secret) != KeySize {
			t.Errorf("%q became %v, %v", text, again, err)
		}
	})
}

// TestLibraryHoldsWhatTheRingHolds goes from any ring to any other, and looks
// whether a key that is read at this moment stays what it is.
func TestLibraryHoldsWhatTheRingHolds(t *testing.T) {
	pool := [][]byte{NewKey(), NewKey(), NewKey(), NewKey()}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) [][]byte {
			return rapid.Permutation(pool).Draw(t, name)[:rapid.IntRange(1, len(pool)).Draw(t, name+" size")]
		}
		from, to := draw("from"), draw("to")
		library, err := memberlist.NewKeyring(from, from[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := rekey(library, to); err != nil {
			t.Fatal(err)
		}
		have := library.GetKeys()
		if !bytes.Equal(have[0], to[0]) || len(have) != len(to) {
			t.Fatalf("%d keys, want %d", len(have), len(to))
		}
		for _, key := range to {
			if !slices.ContainsFunc(have, func(other []byte) bool { return bytes.Equal(key, other) }) {
				t.Fatal("a key is missing")
			}
		}
	})
}
