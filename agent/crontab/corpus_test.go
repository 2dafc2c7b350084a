package crontab

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fleetcron/fleetcron/shared/cron"
)

// corpusDir is the shared corpus beside the repository. Where there is none the
// corpus tests walk nothing and say so; the package's own tables still run.
func corpusDir(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(filepath.Dir(dir), "shared", "corpus")
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// truth is what one daemon makes of a file.
type truth struct {
	Accepted *bool
	Jobs     []truthJob
	Errors   []truthError
}

type truthError struct {
	Line  int
	Error string
}

type truthJob struct {
	Line                          int
	Minute, Hour, Dom, Month, Dow string
	Flags                         []string
	Reboot, Random                bool
	User, Command                 string
	Blanks                        int `json:"leading_blanks"`
	Env                           map[string]string
	Shell                         *string `json:"shell_command"`
	Input                         *string `json:"stdin_raw"`
	Complaint                     string  `json:"last_error"`
}

type truthFile struct {
	File, Kind              string
	Debian, Cronie, Busybox *truth
}

// TestCorpusFiles holds Parse to the daemons' own parsers, file by file.
func TestCorpusFiles(t *testing.T) {
	dir := corpusDir(t)
	files, jobs := 0, 0
	for _, name := range []string{"crontab-truth.jsonl", "tricky-truth.jsonl"} {
		for _, f := range truths(t, filepath.Join(dir, name)) {
			text, err := os.ReadFile(filepath.Join(dir, f.File))
			if err != nil {
				t.Fatal(err)
			}
			files++
			for d, want := range map[cron.Dialect]*truth{cron.Debian: f.Debian, cron.Cronie: f.Cronie, cron.Busybox: f.Busybox} {
				if want != nil {
					jobs += len(want.Jobs)
					t.Run(f.File+"/"+d.String(), func(t *testing.T) { checkFile(t, d, f.Kind, text, want) })
				}
			}
		}
	}
	t.Logf("%d files, %d jobs of three daemons in %s", files, jobs, dir)
}

func truths(t *testing.T, path string) []truthFile {
	t.Helper()
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var files []truthFile
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var row truthFile
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		files = append(files, row)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return files
}

func checkFile(t *testing.T, d cron.Dialect, kind string, text []byte, want *truth) {
	got := Parse(text, Options{Dialect: d, System: kind == "system"})
	checkCover(t, text, got)
	if want.Accepted != nil && got.Accepted != *want.Accepted {
		t.Errorf("accepted %v (%s), want %v", got.Accepted, got.Refusal, *want.Accepted)
	}
	gotErrors := []truthError{}
	for _, p := range got.Problems {
		e := truthError{p.Line, p.Term}
		if d == cron.Busybox {
			e.Error = ""
		}
		gotErrors = append(gotErrors, e)
	}
	if d == cron.Busybox { // it says nothing: the words are the checker's
		for i := range want.Errors {
			want.Errors[i].Error = ""
		}
	}
	if diff := cmp.Diff(want.Errors, gotErrors, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	gotJobs := make([]truthJob, len(got.Jobs))
	for i := range got.Jobs {
		gotJobs[i] = seen(d, &got.Jobs[i])
		if i < len(want.Jobs) && want.Jobs[i].Random && gotJobs[i].Random {
			w := want.Jobs[i] // drawn when the file was read
			gotJobs[i].Minute, gotJobs[i].Hour, gotJobs[i].Dom, gotJobs[i].Month, gotJobs[i].Dow = w.Minute, w.Hour, w.Dom, w.Month, w.Dow
		}
	}
	if diff := cmp.Diff(want.Jobs, gotJobs, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

// seen puts a job into the words of the truth.
func seen(d cron.Dialect, job *Job) truthJob {
	f := job.Schedule.Fields()
	got := truthJob{
		Line: job.Line, Minute: f.Minute, Hour: f.Hour, Dom: f.DayOfMonth, Month: f.Month, Dow: f.DayOfWeek,
		Random: job.Schedule.Random(), User: job.User, Command: latin1(job.Command), Blanks: job.Blanks, Env: map[string]string{},
	}
	for name, value := range job.Env() {
		got.Env[latin1(name)] = latin1(value)
	}
	if strings.Contains(job.Command, "%") {
		shell, input, found := cron.Percent(latin1(job.Command))
		got.Shell = &shell
		if found {
			got.Input = &input
		}
	}
	if d == cron.Busybox {
		got.Reboot = job.Schedule.Reboot()
		if complaint := job.Schedule.Complaint(); complaint != "" {
			got.Complaint = "user u: " + complaint
		}
		return got
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{
		{f.MinuteStar, "MIN_STAR"}, {f.HourStar, "HR_STAR"}, {f.DayOfMonthStar, "DOM_STAR"},
		{f.DayOfWeekStar, "DOW_STAR"}, {job.Schedule.Reboot(), "WHEN_REBOOT"},
	} {
		if flag.set {
			got.Flags = append(got.Flags, flag.name)
		}
	}
	return got
}

// latin1 reads bytes that are no UTF-8 as the truth does.
func latin1(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// checkCover holds the lines to the text: every byte in exactly one of them.
func checkCover(t *testing.T, text []byte, f *File) {
	t.Helper()
	at, number := 0, 1
	for i, l := range f.Lines {
		if l.Start != at || l.End <= l.Start || l.First != number || l.Last < l.First {
			t.Fatalf("line %d is %+v, want it to begin at byte %d, line %d", i, l, at, number)
		}
		at = l.End
		number += bytes.Count(text[l.Start:l.End], []byte{'\n'})
		if l.Kind > Unread {
			t.Errorf("line %d is of no kind", i)
		}
	}
	if at != len(text) {
		t.Fatalf("the lines end at byte %d of %d", at, len(text))
	}
	if !slices.IsSortedFunc(f.Jobs, func(a, b Job) int { return a.Line - b.Line }) {
		t.Error("the jobs are not in order")
	}
	for _, job := range f.Jobs {
		if l := f.Lines[job.Index]; l.Kind != Entry || l.Last != job.Line {
			t.Errorf("job of line %d points at %+v", job.Line, l)
		}
	}
}
