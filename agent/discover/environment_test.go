package discover

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnitWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                         nil,
		" A=1  B=2\t":              {"A=1", "B=2"},
		`"A=b c" 'D=e "f"'`:        {"A=b c", `D=e "f"`},
		`A="b c"d`:                 {"A=b cd"},
		`A=\x41\n\"\q\`:            {"A=A\n\"\\q\\"},
		`"" A=`:                    {"", "A="},
		`A=\x4 "open quote to end`: {`A=\x4`, "open quote to end"},
	} {
		if diff := cmp.Diff(want, unitWords(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

// TestServiceEnvironment: what a timer's service sets is the job's, drop-ins
// and resets included.
func TestServiceEnvironment(t *testing.T) {
	const units = "-- etc/systemd/system/a.timer --\n[Timer]\nOnCalendar=daily\n-- etc/systemd/system/a.service --\n[Service]\nExecStart=/bin/a\nEnvironment=GONE=1\nEnvironment=\n" +
		"Environment=\"LEVEL=full of it\" UNIT=%n no-name\n-- etc/systemd/system/a.service.d/x.conf --\n[Service]\nEnvironment=LEVEL=some\n"
	want := map[string]string{"LEVEL": "some", "UNIT": "a.service"}
	if diff := cmp.Diff(want, scanned(t, plant(t, units)).Jobs[0].Env); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzUnitWords holds that no value breaks the cutting, and that words without
// quotes, blanks and backslashes come out as they went in.
func FuzzUnitWords(f *testing.F) {
	f.Add(`"A=b c" D=\x41`)
	f.Add(`\`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, word := range unitWords(text) {
			if len(word) > len(text) {
				t.Errorf("%q of %q", word, text)
			}
		}
	})
}
