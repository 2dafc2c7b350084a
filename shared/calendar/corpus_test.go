package calendar

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// corpusDir is the directory of real files beside the repository, or nothing.
func corpusDir(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(filepath.Dir(dir), "shared", "corpus")
		}
	}
	return ""
}

type truthRun struct {
	TZ       string
	Base     string   // with its zone
	Local    string   `json:"base_local"`
	Next     []string // in UTC
	NextOfTZ []string `json:"next_utc"`
}

type truthEvent struct {
	Spec, Normalized, Error string
	Runs                    []truthRun
	UTC                     []truthRun
	DST                     []truthRun `json:"local_dst"`
}

// TestCorpus holds events and spans to what systemd makes of them.
func TestCorpus(t *testing.T) {
	rows := 0
	for _, file := range []string{"calendar-truth.jsonl", "timer-truth.jsonl"} {
		f, err := os.Open(filepath.Join(corpusDir(t), file))
		if os.IsNotExist(err) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); rows++ {
			var row struct {
				truthEvent
				Calendar  []truthEvent
				Timespans []struct {
					Value, Error string
					Usec         *int64
				}
			}
			if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
				t.Fatal(err)
			}
			for _, event := range append(row.Calendar, row.truthEvent) {
				if event.Spec != "" {
					checkEvent(t, event)
				}
			}
			for _, span := range row.Timespans {
				switch got, err := ParseSpan(span.Value); {
				case (err != nil) != (span.Error != ""):
					t.Errorf("span %q: %v, want error %q", span.Value, err, span.Error)
				case span.Usec != nil && got.Microseconds() != *span.Usec:
					t.Errorf("span %q: %v, want %d µs", span.Value, got, *span.Usec)
				}
			}
		}
		f.Close()
	}
	t.Logf("%d rows", rows)
}

func checkEvent(t *testing.T, want truthEvent) {
	t.Helper()
	e, err := Parse(want.Spec)
	if (err != nil) != (want.Error != "") || e.String() != want.Normalized {
		t.Errorf("%q: %q, %v; want %q, %s", want.Spec, e, err, want.Normalized, want.Error)
		return
	}
	for _, run := range append(append(want.Runs, want.UTC...), want.DST...) {
		after, err := time.Parse("2006-01-02 15:04:05 MST", run.Base)
		if run.Local != "" {
			after, err = time.ParseInLocation(time.DateTime, run.Local, mustLoad(t, run.TZ))
		}
		if err != nil {
			t.Fatal(err)
		}
		next := append(run.Next, run.NextOfTZ...)
		if slices.Equal(next, []string{"never"}) {
			next = nil
		}
		var got []string
		for at, ok := e.Next(after); ok && len(got) < max(1, len(next)); at, ok = e.Next(at) {
			got = append(got, at.UTC().Format("2006-01-02T15:04:05Z"))
		}
		if diff := cmp.Diff(next, got); diff != "" {
			t.Errorf("%q after %v (-want +got):\n%s", want.Spec, after, diff)
		}
	}
}
