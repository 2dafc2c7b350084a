package backup

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

var header = Header{Cluster: "c0ffee", Index: 42, Taken: time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC), Version: "0.1.0"}

func written(t testing.TB, content string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, header, strings.NewReader(content), func(sum []byte) ([]byte, error) { return append([]byte("I, c1, say "), sum...), nil }); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestABackupComesBackWhole(t *testing.T) {
	for _, content := range []string{"", "x", strings.Repeat("line\n", 100_000), "fleetcron backup 2\n{}\n"} {
		got, word, content2, err := Open(bytes.NewReader(written(t, content)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(content2)
		if err != nil || string(text) != content {
			t.Errorf("%d bytes came back as %d, %v", len(content), len(text), err)
		}
		if want := "I, c1, say " + string(word.Sum); string(word.Text) != want {
			t.Errorf("the word is %q, want %q", word.Text, want)
		}
		if diff := cmp.Diff(header, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestEveryDamageIsSeen(t *testing.T) {
	whole := written(t, "some content")
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1
		if _, _, _, err := Open(bytes.NewReader(damaged)); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("byte %d flipped: %v", i, err)
		}
		if _, _, _, err := Open(bytes.NewReader(whole[:i])); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("cut off at byte %d: %v", i, err)
		}
	}
	if _, _, _, err := Open(bytes.NewReader(append(whole, 'x'))); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("a byte too many: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(written(f, "content"))
	f.Add([]byte(magic))
	f.Add([]byte(magic + "{}\n" + strings.Repeat("x", 40)))
	f.Fuzz(func(t *testing.T, data []byte) {
		header, _, content, err := Open(bytes.NewReader(data))
		if err != nil {
			if fleet.KindOf(err) != fleet.Invalid {
				t.Fatalf("no sentence for people: %v", err)
			}
			return
		}
		if _, err := io.ReadAll(content); err != nil || header.Cluster == "" {
			t.Fatalf("%+v, %v", header, err)
		}
	})
}
