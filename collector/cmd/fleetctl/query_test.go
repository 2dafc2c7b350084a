package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
)

// TestJobsAsk says what each flag of jobs and find asks the collectors.
func TestJobsAsk(t *testing.T) {
	tests := []struct {
		args string
		want api.JobQuery
	}{
		{"jobs", api.JobQuery{}},
		{"jobs --broken", api.JobQuery{Verdict: "broken"}},
		{"jobs --verdict runs --owner none", api.JobQuery{Verdict: "runs", Owner: "none"}},
		{"jobs --verdict file_mode", api.JobQuery{Text: "verdict:file_mode"}},
		{"find backup -- -user:root", api.JobQuery{Text: "backup -user:root"}},
		{"find backup --verdict denied", api.JobQuery{Text: "backup verdict:denied"}},
		{"jobs --overdue --label role=db", api.JobQuery{Overdue: true, Label: "role=db"}},
		{"jobs --changed-since 24h", api.JobQuery{Changed: noon.Add(-24 * time.Hour)}},
		{"jobs --at 2026-03-01T12:00", api.JobQuery{At: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)}},
		{"jobs --host db-1 --user root --source cron.d --kind cron --fingerprint aaaaaaaaaaaaaaaa", api.JobQuery{Host: "db-1", User: "root", Source: "cron.d", Kind: "cron", Fingerprint: "aaaaaaaaaaaaaaaa"}},
	}
	s := newSession(t)
	for _, test := range tests {
		s.must(strings.Fields(test.args)...)
		test.want.Limit = 100
		got := s.fake.jobQuery
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s asks (-want +got):\n%s", test.args, diff)
		}
	}
}

// TestShadesGrow: a fuller hour is never drawn lighter, the fullest has the
// last shade, and an hour without a start has the first one alone.
func TestShadesGrow(t *testing.T) {
	for _, most := range []int{1, 2, 3, 7, 100, 123456} {
		steps := []int{0, 1, 2, 3, most / 2, most - 1, most}
		slices.Sort(steps)
		last := 0
		for _, n := range steps {
			if n < 0 || n > most {
				continue
			}
			level := shade(n, most)
			if level < last || (n == 0) != (level == 0) {
				t.Errorf("%d of %d has shade %d after %d", n, most, level, last)
			}
			last = level
		}
		if last != len(shades)-1 {
			t.Errorf("%d of %d has shade %d", most, most, last)
		}
	}
}

// TestShellWords: what a hint proposes is one word to a shell, whatever a host
// calls itself.
func TestShellWords(t *testing.T) {
	for text, want := range map[string]string{
		"web-1:0123": "web-1:0123", "": "''", "role=db,env!=dev": "'role=db,env!=dev'", "x; rm -rf ~": "'x; rm -rf ~'", "it's": `'it'\''s'`, "*": "'*'", "$(id)": "'$(id)'", "東京": "'東京'",
	} {
		if got := shellWord(text); got != want {
			t.Errorf("%q is written %s, want %s", text, got, want)
		}
	}
}
