package vitals

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestNotes(t *testing.T) {
	for _, test := range []struct {
		line string
		want Note
		bad  string
	}{
		{"HEARTBEAT", Note{Kind: Heartbeat}, ""},
		{"HEARTBEAT copying db-3", Note{Kind: Heartbeat, Text: "copying db-3"}, ""},
		{"HEARTBEAT\r", Note{Kind: Heartbeat}, ""},
		{"READY", Note{Kind: Ready}, ""},
		{"PROGRESS 40 loading", Note{Kind: Progress, Percent: 40, Text: "loading"}, ""},
		{"PROGRESS  42.5%  two  words ", Note{Kind: Progress, Percent: 42.5, Text: "two  words"}, ""},
		{"PROGRESS 100", Note{Kind: Progress, Percent: 100}, ""},
		{"PROGRESS 7 \x1b[31mred\x07\u202e\x00\tend", Note{Kind: Progress, Percent: 7, Text: "[31mred end"}, ""},
		{"PROGRESS", Note{}, "want percent"},
		{"PROGRESS loading", Note{}, `progress "loading": want percent`},
		{"PROGRESS -1", Note{}, "want percent"},
		{"PROGRESS 100.1", Note{}, "want percent"},
		{"PROGRESS NaN", Note{}, "want percent"},
		{"PROGRESS 1e1", Note{}, "want percent"},
		{"PROGRESS 0x1", Note{}, "want percent"},
		{"CHECKPOINT  {\"offset\":\t7} ", Note{Kind: Checkpoint, Text: " {\"offset\":\t7} "}, ""},
		{"CHECKPOINT", Note{Kind: Checkpoint}, ""},
		{"CHECKPOINT a\x00b", Note{}, "control characters"},
		{"CHECKPOINT \xff", Note{}, "UTF-8"},
		{"CHECKPOINT " + strings.Repeat("x", MaxNote), Note{}, "at most 4096 bytes"},
		{"heartbeat", Note{}, "want HEARTBEAT"},
		{"", Note{}, "want HEARTBEAT"},
		{"Segmentation fault", Note{}, "want HEARTBEAT"},
	} {
		got, err := ParseNote(test.line)
		if test.bad != "" {
			if err == nil || !strings.Contains(err.Error(), test.bad) {
				t.Errorf("%q: %v, want %q", test.line, err, test.bad)
			}
			continue
		}
		if err != nil || got != test.want {
			t.Errorf("%q: %v %s", test.line, err, cmp.Diff(test.want, got))
		}
	}
}

func TestANoteThatNoLineSaysIsRefused(t *testing.T) {
	for _, note := range []Note{
		{Kind: "HELLO"}, {Kind: Heartbeat, Text: "two\nlines"}, {Kind: Heartbeat, Text: "\x1b[2J"}, {Kind: Progress, Percent: 101},
		{Kind: Progress, Percent: -1}, {Kind: Checkpoint, Text: "a\nREADY"}, {Kind: Checkpoint, Text: "\x00"},
		{Kind: Heartbeat, Text: strings.Repeat("x", MaxNote)},
	} {
		if line, err := note.Line(); err == nil {
			t.Errorf("%+v is written as %q", note, line)
		}
	}
}

func FuzzNote(f *testing.F) {
	for _, seed := range []string{"HEARTBEAT x", "PROGRESS 42.5% words", "CHECKPOINT {}", "READY", "PROGRESS \xff", "HEARTBEAT \u202e\x00", "CHECKPOINT \r"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		note, err := ParseNote(line)
		if err != nil {
			if !utf8.ValidString(err.Error()) || len(err.Error()) > 200 {
				t.Fatalf("an error that cannot be shown: %q", err)
			}
			return
		}
		if note.Percent < 0 || note.Percent > 100 || len(note.Text) > MaxNote {
			t.Fatalf("%+v", note)
		}
		if note.Kind != Checkpoint && strings.ContainsFunc(note.Text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q cannot be printed", note.Text)
		}
		if strings.Contains(line, "\n") {
			return
		}
		written, err := note.Line()
		if err != nil {
			t.Fatalf("%+v was read and cannot be written: %v", note, err)
		}
		if back, err := ParseNote(strings.TrimSuffix(written, "\n")); err != nil || back != note {
			t.Fatalf("%+v became %+v, %v", note, back, err)
		}
	})
}
