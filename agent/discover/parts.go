package discover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/agent/crontab"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// partsDirs are the directories whose programs run-parts runs.
var partsDirs = []string{
	"/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly", "/etc/cron.yearly",
	"/etc/periodic/15min", "/etc/periodic/hourly", "/etc/periodic/daily", "/etc/periodic/weekly", "/etc/periodic/monthly",
}

// call is a line that calls run-parts, or SUSE's run-crons.
type call struct {
	job      fleet.Job // the line itself
	schedule cron.Schedule
	words    []string // of its command
	runCrons bool
	guarded  bool // only where there is no anacron
	anacron  bool // a line of /etc/anacrontab
	starts   bool // not run-parts, but anacron itself
	location *time.Location
}

var shellWords = regexp.MustCompile(`[^\s;&|(){}<>"'` + "`" + `]+`)

// callOf reports whether a job calls run-parts, or starts anacron.
func callOf(j *crontab.Job) (call, bool) {
	parts := strings.Contains(j.Command, "run-parts") || strings.Contains(j.Command, "run-crons")
	if !parts && !strings.Contains(j.Command, "anacron") {
		return call{}, false
	}
	shell := j.Shell()
	c := call{words: shellWords.FindAllString(shell, -1), runCrons: strings.Contains(shell, "run-crons")}
	c.guarded = strings.Contains(shell, "/anacron") && strings.Contains(shell, "||")
	c.starts = !parts && !c.guarded && slices.ContainsFunc(c.words, func(word string) bool { return path.Base(word) == "anacron" })
	return c, parts || c.starts
}

// on reports whether the call is for the programs in dir.
func (c *call) on(dir string) bool {
	if c.runCrons {
		return slices.Contains(partsDirs[:4], dir)
	}
	return slices.ContainsFunc(c.words, func(word string) bool { return strings.TrimRight(word, "/") == dir })
}

// starter is what starts the programs of one directory.
type starter struct {
	call
	rule naming
	says string // what starts them; empty: nothing does
	runs bool
	next bool // the call's schedule says when
}

// runParts finds the programs in the directories that run-parts is called on.
func runParts(ctx context.Context, s *scan, out *found) {
	for _, name := range partsDirs {
		dir := s.dir(out, name)
		if dir == nil {
			continue
		}
		start := s.starter(name)
		allowed := s.rhelLists(ctx, dir)
		for _, file := range s.names(out, dir) {
			s.part(out, dir, file, start, allowed)
		}
		dir.Close()
	}
}

// starter finds what starts the programs of a directory: the line of a table
// that calls run-parts on it, or anacron, which goes before a line that makes
// way for it.
func (s *scan) starter(dir string) starter {
	best := starter{rule: s.host.parts}
	for _, c := range s.calls {
		if c.anacron || !c.on(dir) || best.says != "" && (best.runs || !c.job.Verdict.Runs) {
			continue
		}
		best = starter{call: c, rule: s.rule(&c), runs: c.job.Verdict.Runs, next: !c.runCrons}
		best.says = fmt.Sprintf("run-parts is called by %s line %d", c.job.Source, c.job.Line)
		if c.runCrons {
			best.says = fmt.Sprintf("run-crons, called by %s line %d, starts it once in its period", c.job.Source, c.job.Line)
		}
		if !best.runs {
			best.says += ", which does not run: " + c.job.Verdict.Why
		}
	}
	if a, ok := s.byAnacron(dir); ok && (best.says == "" || s.host.anacron && best.guarded || a.runs && !best.runs) {
		return a
	}
	return best
}

// byAnacron finds the line of /etc/anacrontab that calls run-parts on dir.
func (s *scan) byAnacron(dir string) (starter, bool) {
	for _, c := range s.calls {
		if !c.anacron || !c.on(dir) {
			continue
		}
		field, delay, _ := strings.Cut(c.job.Schedule, " ")
		start := starter{call: c, rule: s.rule(&c), runs: c.job.Verdict.Runs, next: true}
		start.says = fmt.Sprintf("anacron starts it, by /etc/anacrontab line %d: %s, %s minutes after anacron begins", c.job.Line, period(field), delay)
		if !start.runs {
			start.says = fmt.Sprintf("/etc/anacrontab line %d calls run-parts on it, but does not run: %s", c.job.Line, c.job.Verdict.Why)
		} else if len(c.job.Next) > 0 {
			start.says += estimated
		}
		return start, true
	}
	return starter{}, false
}

// rule is the naming rule of a call's run-parts.
func (s *scan) rule(c *call) naming {
	for i, word := range c.words {
		if word == "--lsbsysinit" {
			return debianLSBParts
		}
		pattern, ok := strings.CutPrefix(word, "--regex=")
		if word == "--regex" && i+1 < len(c.words) {
			pattern, ok = c.words[i+1], true
		}
		if expression, err := regexp.CompilePOSIX(pattern); ok && err == nil {
			return naming{expression.MatchString, "run-parts takes only names that match " + pattern}
		}
	}
	return s.host.parts
}

// period is an anacron period in words.
func period(field string) string {
	switch {
	case field == "@daily":
		return "every day"
	case field[0] == '@':
		return field[1:]
	case field == "1":
		return "every day"
	}
	return "every " + field + " days"
}

// rhelLists returns what jobs.allow and jobs.deny say, which RHEL's run-parts heeds.
func (s *scan) rhelLists(ctx context.Context, dir *directory) func(name string) string {
	if s.host.name != "rhel" {
		return func(string) string { return "" }
	}
	list := func(name string) (lines []string, there bool) {
		p, err := dir.lookup(name, true)
		if err != nil {
			return nil, false
		}
		defer p.Close()
		content, err := p.read(ctx, nil)
		return strings.Split(string(content), "\n"), err == nil
	}
	allow, limited := list("jobs.allow")
	deny, _ := list("jobs.deny")
	return func(name string) string {
		switch {
		case slices.Contains(deny, name):
			return "jobs.deny in its directory names it, so run-parts passes over it (take it out of there)"
		case limited && !slices.Contains(allow, name):
			return "jobs.allow in its directory does not name it, so run-parts passes over it (add it there)"
		}
		return ""
	}
}

// part looks at one file of a directory that run-parts is called on.
func (s *scan) part(out *found, dir *directory, name string, start starter, listed func(string) string) {
	source := printable(dir.path + "/" + name)
	p, err := dir.lookup(name, true)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("symbolic link: %w", err)
		}
		out.failed(source, err)
		return
	}
	defer p.Close()
	if p.kind() == unix.S_IFDIR {
		return
	}
	if err := errKinds[p.kind()]; err != nil {
		out.problem(source, 0, "", err.Error())
		return
	}
	enabled := p.stat.Mode&0o111 != 0
	head, _ := p.head(maxHead) // what cannot be read is told by nothing else
	if !enabled && !program(head) {
		return // a text that lies there
	}
	verdict := runs
	switch {
	case !start.rule.takes(name):
		verdict = start.rule.skips(name)
	case !enabled:
		verdict = no(fleet.NotExecutable, "it is not executable, so run-parts passes over it (chmod +x %s)", source)
	case listed(name) != "":
		verdict = no(fleet.Denied, "%s", listed(name))
	case start.says == "":
		verdict = no(fleet.NoScheduler, "nothing calls run-parts on %s, so nothing starts it (add a line that does to /etc/crontab, or install anacron)", dir.path)
	case !start.runs:
		verdict = no(start.job.Verdict.Code, "%s", start.says)
	}
	job := fleet.Job{
		Kind: fleet.KindRunParts, Source: source, User: start.job.User, Schedule: start.job.Schedule,
		Timezone: start.job.Timezone, Command: source, Env: start.job.Env, Enabled: enabled,
		Verdict: verdict, ManagedBy: manager(head), Latin1: start.job.Latin1 || !utf8.ValidString(name),
	}
	if verdict.Runs {
		job.Verdict.Why = start.says
		if start.next {
			job.Next, job.Evidence = start.job.Next, start.job.Evidence
		}
	}
	job.User = orRoot(job.User)
	if out.room(len(source)) {
		out.jobs = append(out.jobs, job)
	}
}

// maxHead is how much of a program is looked at.
const maxHead = 4096

// program reports whether a file begins as a script or a binary does.
func program(head []byte) bool {
	return bytes.HasPrefix(head, []byte("#!")) || bytes.HasPrefix(head, []byte("\x7fELF"))
}

// manager is what manages a script, by the comments it begins with.
func manager(head []byte) string {
	if !bytes.HasPrefix(head, []byte("#")) {
		return ""
	}
	managed := readMarks(head, nil)
	return managed.file
}

func orRoot(user string) string {
	if user == "" {
		return "root"
	}
	return user
}
