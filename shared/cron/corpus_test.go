package cron

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// corpus opens a file of the shared corpus beside the repository. Where there
// is none the check has nothing to do; the package's own tables still run.
func corpus(t *testing.T, name string) *bufio.Scanner {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	f, err := os.Open(filepath.Join(filepath.Dir(dir), "shared", "corpus", name))
	if os.IsNotExist(err) {
		return bufio.NewScanner(strings.NewReader(""))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	return lines
}

// TestCorpusNext holds Next to what the daemons' own main loops did.
func TestCorpusNext(t *testing.T) {
	type row struct {
		Expr, Kind, TZ string
		Base           time.Time
		Next           []time.Time
		Vixie          []time.Time `json:"vixie_next"`
		Wall           []time.Time `json:"wall_next"`
		Wild           bool
	}
	rows := 0
	for lines := corpus(t, "next-truth.jsonl"); lines.Scan(); rows++ {
		var r row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		loc, err := Load(r.TZ)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []Dialect{Strict, Debian, Cronie} {
			s, err := d.Parse(r.Expr)
			if err != nil {
				t.Fatalf("%s: %v", d, err)
			}
			vixie, wall := r.Vixie, r.Wall
			switch r.Kind {
			case "ordinary":
				vixie, wall = r.Next, r.Next
			case "reboot":
				if !s.Reboot() {
					t.Errorf("%s is not @reboot", r.Expr)
				}
			}
			if r.Kind != "reboot" && s.Wildcard() != r.Wild {
				t.Errorf("%s %q: wildcard %v, want %v", d, r.Expr, s.Wildcard(), r.Wild)
			}
			if got := upcoming(s, r.Base.In(loc), 5); !slices.EqualFunc(got, vixie, time.Time.Equal) {
				t.Errorf("%s %q in %s from %s:\n got %s\nwant %s", d, r.Expr, r.TZ, r.Base, got, vixie)
			}
			if got := upcoming(s.Wall(), r.Base.In(loc), 5); !slices.EqualFunc(got, wall, time.Time.Equal) {
				t.Errorf("%s %q by the wall in %s from %s:\n got %s\nwant %s", d, r.Expr, r.TZ, r.Base, got, wall)
			}
		}
	}
	t.Logf("%d rows", rows)
}

// upcoming returns the next n instants in UTC; none is an empty list.
func upcoming(s Schedule, from time.Time, n int) []time.Time {
	var list []time.Time
	for len(list) < n {
		next, ok := s.Next(from)
		if !ok {
			break
		}
		list = append(list, next.UTC())
		from = next
	}
	return list
}

// truthJob is one job as a daemon's parser sees it.
type truthJob struct {
	Line                          int
	Minute, Hour, Dom, Month, Dow string
	Flags                         []string
	Reboot, Random                bool
	LastError                     string `json:"last_error"`
}

// TestCorpusFields holds Dialect.Parse to the daemons' own parsers, for every
// line of the corpus whose fields can be had by plain splitting.
func TestCorpusFields(t *testing.T) {
	type truth struct{ Jobs []truthJob }
	type row struct {
		File, Kind              string
		Debian, Cronie, Busybox *truth
	}
	jobs := 0
	for _, name := range []string{"crontab-truth.jsonl", "tricky-truth.jsonl"} {
		for lines := corpus(t, name); lines.Scan(); {
			var r row
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			text := corpusFile(t, r.File)
			for d, truth := range map[Dialect]*truth{Debian: r.Debian, Cronie: r.Cronie, Busybox: r.Busybox} {
				if truth == nil {
					continue
				}
				for _, job := range truth.Jobs {
					jobs++
					checkTruth(t, d, r.File, text[job.Line-1], job)
				}
			}
		}
	}
	t.Logf("%d jobs", jobs)
}

func corpusFile(t *testing.T, name string) []string {
	t.Helper()
	var text []string
	lines := corpus(t, name)
	lines.Split(scanNewlines)
	for lines.Scan() {
		text = append(text, lines.Text())
	}
	return text
}

// scanNewlines splits at newlines and, unlike bufio.ScanLines, keeps a \r.
func scanNewlines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

func checkTruth(t *testing.T, d Dialect, file, line string, want truthJob) {
	t.Helper()
	words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(words) == 0 {
		return
	}
	n := 5
	if d == Cronie {
		words[0] = strings.TrimPrefix(words[0], "-")
	}
	if strings.HasPrefix(words[0], "@") {
		n = 1
	}
	if len(words) < n {
		return // a line that busybox joined; the crontab room splits those
	}
	expr := strings.Join(words[:n], " ")
	s, err := d.Parse(expr)
	if err != nil {
		t.Errorf("%s %s:%d: %v", d, file, want.Line, err)
		return
	}
	f := s.Fields()
	got := truthJob{
		Line: want.Line, Minute: f.Minute, Hour: f.Hour, Dom: f.DayOfMonth, Month: f.Month, Dow: f.DayOfWeek,
		Random: s.Random(), LastError: want.LastError,
	}
	if s.Random() && want.Random {
		got.Minute, got.Hour, got.Dow = want.Minute, want.Hour, want.Dow
	}
	if d == Busybox {
		got.Reboot = s.Reboot()
		if complaint := s.Complaint(); complaint != strings.TrimPrefix(want.LastError, "user u: ") {
			t.Errorf("%s %s:%d: complaint %q, want %q", d, file, want.Line, complaint, want.LastError)
		}
	} else {
		got.Flags = flagNames(s)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s %s:%d %q (-want +got):\n%s", d, file, want.Line, expr, diff)
	}
}

// flagNames are the flags as the daemons' sources name them.
func flagNames(s Schedule) []string {
	f := s.Fields()
	names := []string{}
	for _, n := range []struct {
		set  bool
		name string
	}{
		{f.MinuteStar, "MIN_STAR"}, {f.HourStar, "HR_STAR"}, {f.DayOfMonthStar, "DOM_STAR"},
		{f.DayOfWeekStar, "DOW_STAR"}, {s.Reboot(), "WHEN_REBOOT"},
	} {
		if n.set {
			names = append(names, n.name)
		}
	}
	return names
}
