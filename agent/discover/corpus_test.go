package discover

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

type truthJob struct {
	Line          int
	User, Command string
	Env           map[string]string
}

type truth struct {
	Accepted *bool
	Jobs     []truthJob
	Errors   []struct{ Line int }
}

// TestCorpusScans puts every file of the corpus where its daemon reads it and
// holds the report to what the daemon makes of it.
func TestCorpusScans(t *testing.T) {
	dir := corpusDir(t)
	scans := 0
	for _, name := range []string{"crontab-truth.jsonl", "tricky-truth.jsonl"} {
		f, err := os.Open(filepath.Join(dir, name))
		if os.IsNotExist(err) {
			continue
		}
		must(t, err)
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var row struct {
				File, Kind              string
				Debian, Cronie, Busybox *truth
			}
			must(t, json.Unmarshal(lines.Bytes(), &row))
			text, err := os.ReadFile(filepath.Join(dir, row.File))
			must(t, err)
			for id, want := range map[string]*truth{"debian": row.Debian, "rhel": row.Cronie, "alpine": row.Busybox} {
				if want != nil {
					scans++
					t.Run(row.File+"/"+id, func(t *testing.T) { checkScan(t, id, row.Kind == "system", text, want) })
				}
			}
		}
		must(t, f.Close())
	}
	t.Logf("%d scans of the files in %s", scans, dir)
}

func checkScan(t *testing.T, id string, system bool, text []byte, want *truth) {
	root := plant(t, "-- etc/os-release --\nID="+id+"\n")
	source := map[string]string{"debian": "/var/spool/cron/crontabs/u", "rhel": "/var/spool/cron/u", "alpine": "/etc/crontabs/u"}[id]
	if system {
		source = "/etc/cron.d/u"
	}
	passwd := "u:x:1000:1000::/:/bin/sh\n"
	for i, job := range want.Jobs {
		passwd += fmt.Sprintf("%s:x:%d:1::/:/bin/sh\n", job.User, 2000+i)
	}
	must(t, os.MkdirAll(root+filepath.Dir(source), 0o755))
	must(t, os.WriteFile(root+"/etc/passwd", []byte(passwd), 0o644))
	must(t, os.WriteFile(root+source, text, 0o600))
	report := scanned(t, root)
	var jobs []truthJob
	for _, job := range report.Jobs {
		if job.Source != source {
			continue
		}
		user := job.User
		if !system {
			user = ""
		}
		jobs = append(jobs, truthJob{job.Line, user, job.Command, job.Env})
		if want.Accepted != nil && !*want.Accepted && job.Verdict.Runs {
			t.Errorf("line %d is said to run, though the file is refused", job.Line)
		}
		if (want.Accepted == nil || *want.Accepted) && strings.Contains(job.Verdict.Why, "whole file") {
			t.Errorf("line %d: %s, though the file is accepted", job.Line, job.Verdict.Why)
		}
	}
	if diff := cmp.Diff(want.Jobs, jobs, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	told := make(map[int]bool)
	for _, p := range report.Problems {
		told[p.Line] = told[p.Line] || p.Source == source
	}
	for _, e := range want.Errors {
		if !told[e.Line] {
			t.Errorf("no problem is told of line %d", e.Line)
		}
	}
}
