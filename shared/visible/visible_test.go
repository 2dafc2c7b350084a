package visible

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWhatIsHiddenIsSpelledOut(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"plain\ttext\n":          "plain\ttext\n",
		"Größe 鐘 🚀":              "Größe 鐘 🚀",
		"\x1b[2J\a":              `\x1b[2J\x07`,
		"a\rb\x00\x7f":           `a\rb\x00\x7f`,
		"\u009b31m":              `\x9b31m`,
		"gpj.\u202eexe":          `gpj.\u202eexe`,
		"\u2066x\u2069\u061c":    `\u2066x\u2069\u061c`,
		"line\u2028para\u2029":   `line\u2028para\u2029`,
		"\xff\xc3(":              `\xff\xc3(`,
		"\ufeff":                 `\ufeff`,
		"zero\u200bwidth\u00ad":  `zero\u200bwidth\xad`,
		"می\u200cخواهم 👩\u200d🔧": "می\u200cخواهم 👩\u200d🔧",
		"\U000e0041":             `\U000e0041`,
		"replacement \ufffd too": "replacement \ufffd too",
	} {
		if got := Text(text); got != want {
			t.Errorf("Text(%q) = %q, want %q", text, got, want)
		}
		if got := string(Bytes([]byte(text))); got != want {
			t.Errorf("Bytes(%q) = %q, want %q", text, got, want)
		}
		want = strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(want)
		if got := Line(text); got != want {
			t.Errorf("Line(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestPiecesDoNotMatter(t *testing.T) {
	text := "a\x1b[2J 鐘\u202e \xe9\x90 🚀\xf0\x9f"
	for size := 1; size < 6; size++ {
		var out bytes.Buffer
		w := NewWriter(&out)
		for piece := []byte(text); len(piece) > 0; {
			n := min(size, len(piece))
			if wrote, err := w.Write(piece[:n]); wrote != n || err != nil {
				t.Fatal(wrote, err)
			}
			piece = piece[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != Text(text) {
			t.Errorf("in pieces of %d: %q, want %q", size, got, Text(text))
		}
	}
	if _, err := NewWriter(failing{}).Write([]byte("x")); err == nil {
		t.Error("an error of what is written to is lost")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, bytes.ErrTooLarge }

func FuzzBytes(f *testing.F) {
	for _, text := range []string{"plain", "\x1b]0;x\x07", "\u202e\u2066", "\xff\xfe", "<script>&\"'", "\U000e0041"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		got := Bytes(text)
		if !bytes.Equal(before, text) {
			t.Fatal("the input was changed")
		}
		if !utf8.Valid(got) || First(got) >= 0 {
			t.Fatalf("%q still hides something", got)
		}
		if !bytes.Equal(Bytes(got), got) {
			t.Fatal("not stable")
		}
		for _, c := range []byte(`<>&"'$` + "`") {
			if bytes.Count(got, []byte{c}) != bytes.Count(text, []byte{c}) {
				t.Fatalf("%q came or went", c)
			}
		}
		if line := Line(string(text)); strings.ContainsAny(line, "\n\t\r") {
			t.Fatalf("%q is more than a line", line)
		}
	})
}
