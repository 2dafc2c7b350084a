package findings

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// survey is what one reading of a host's jobs came to.
type survey struct {
	taken time.Time
	first time.Time // the first jobs of the host were seen then
	own   []found   // what is wrong by itself
	rows  []row     // of every job
}

// text is a text that many rows share.
type text = unique.Handle[string]

// row is what comparing needs of a job.
type row struct {
	job                          fleet.JobID
	print, command, user, source text
	container                    text
	when                         unique.Handle[When]
	since, due                   int64 // first seen, and the first instant after its last start: seconds since 1970; 0: none
	grace                        int32 // seconds
	line                         int32
	kind                         fleet.JobKind
	marks                        mark
	number                       int32 // of its print, in the comparison at hand
}

// mark is something that holds for a job.
type mark uint16

const (
	runs      mark = 1 << iota // and is due at instants
	stands                     // the host's scheduler would run it
	answered                   // a package or configuration management answers for it
	shipped                    // by a package, or the line of a distribution that calls others
	secret                     // has a secret in its command or environment
	mute                       // nobody would hear of its failure
	shifts                     // a change of the clock skips or doubles it
	seldom                     // at most once an hour
	scattered                  // a random delay spreads its starts
	adopted
)

func (r *row) is(m mark) bool { return r.marks&m == m }

func newSurvey(host *Host, inventory Inventory, known *almanac, now time.Time) *survey {
	known.turn(now)
	s := &survey{taken: now, rows: make([]row, 0, len(inventory.Jobs))}
	jobs := slices.Clone(inventory.Jobs)
	slices.SortFunc(jobs, func(a, b api.JobView) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), cmp.Compare(a.Line, b.Line), cmp.Compare(a.ID, b.ID))
	})
	s.first = host.FirstSeen
	for i := range jobs {
		if at := jobs[i].FirstSeen; i == 0 || at.Before(s.first) {
			s.first = at
		}
	}
	s.ignored(host, jobs)
	s.problems(host, untold(inventory.Problems, jobs))
	s.stale(host, jobs)
	s.exposed(host, jobs)
	for i := range jobs {
		s.risks(host, &jobs[i])
		s.failed(host, &jobs[i])
		s.rows = append(s.rows, newRow(host, &jobs[i], known))
	}
	s.twice(host, jobs, known)
	s.collisions(host, known)
	return s
}

func newRow(host *Host, job *api.JobView, known *almanac) row {
	r := row{
		job: job.ID, print: unique.Make(job.Fingerprint), command: unique.Make(job.Command), user: unique.Make(job.User),
		source: unique.Make(job.Source), container: unique.Make(job.Container),
		since: job.FirstSeen.Unix(), line: int32(job.Line), kind: job.Kind,
	}
	set := func(m mark, holds bool) {
		if holds {
			r.marks |= m
		}
	}
	when, due := WhenOf(&job.Job, &host.Host)
	r.when = unique.Make(when)
	page := known.page(when)
	set(runs, due && page.due)
	set(stands, job.Enabled && job.Verdict.Runs)
	set(answered, job.Package != "" || job.ManagedBy != "" || isCall(&job.Job))
	set(shipped, job.Package != "" || isCall(&job.Job))
	set(adopted, job.Adopted != "")
	set(secret, slices.ContainsFunc(job.Risks, func(risk fleet.Risk) bool { return risk.Kind == fleet.FindSecret }))
	set(scattered, strings.Contains(job.Verdict.Why, "random"))
	if r.is(stands) && !r.is(shipped) {
		set(mute, isMute(&job.Job))
		set(shifts, r.is(runs) && !known.dstOf(when).harmless())
	}
	if r.is(runs) {
		set(seldom, hourly(page.clock, known.from))
	}
	r.expect(host, job, page)
	return r
}

// isCall reports whether a job only starts others, which are told of by
// themselves: the lines of a distribution that call run-parts or anacron.
func isCall(job *fleet.Job) bool {
	if job.Kind == fleet.KindRunParts {
		return false
	}
	return slices.ContainsFunc([]string{"run-parts ", "run-crons", "/anacron "}, func(call string) bool { return strings.Contains(job.Command, call) })
}

// hourly reports whether a schedule is due no more often than once an hour.
func hourly(clock Clock, from time.Time) bool {
	first, ok := clock.Next(from)
	if !ok {
		return true
	}
	second, ok := clock.Next(first)
	return !ok || second.Sub(first) >= time.Hour
}

func (s *survey) add(one fleet.Finding) { s.own = append(s.own, found{Finding: one}) }

// about returns a finding about a job of a host. What makes it another finding
// than those of the same kind on the same host and job stands in parts.
func (s *survey) about(kind fleet.FindingKind, host *Host, job *api.JobView, summary string, parts ...string) fleet.Finding {
	return about(kind, host, job, summary, parts...)
}

func about(kind fleet.FindingKind, host *Host, job *api.JobView, summary string, parts ...string) fleet.Finding {
	says := table[kind]
	return fleet.Finding{
		ID:   identity(append([]string{string(kind), string(host.ID), string(job.ID), job.Source}, parts...)...),
		Kind: kind, Severity: says.severity, Host: host.ID, HostName: host.Name, Job: job.ID, Source: job.Source, Line: job.Line,
		User: job.User, Command: job.Command, Fingerprint: job.Fingerprint,
		Summary: summary, Explain: says.explain, Fix: says.fix(host.Name, job),
	}
}

// identity returns 16 hex digits that are equal for equal parts.
func identity(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// alone is every risk that is told for each job; secrets are gathered, and
// what others may read is told of the file.
var alone = []fleet.FindingKind{fleet.FindPercent, fleet.FindPath, fleet.FindWritable}

// exposed adds one finding for each file in which others can read secrets.
func (s *survey) exposed(host *Host, jobs []api.JobView) {
	type file struct{ source, why string }
	with := map[file][]*api.JobView{}
	var order []file
	for i := range jobs {
		for _, risk := range jobs[i].Risks {
			if risk.Kind != fleet.FindExposed {
				continue
			}
			in := file{jobs[i].Source, risk.Why}
			if with[in] == nil {
				order = append(order, in)
			}
			with[in] = append(with[in], &jobs[i])
		}
	}
	for _, in := range order {
		job := with[in][0]
		if len(with[in]) > 1 {
			job = &api.JobView{Job: fleet.Job{Source: in.source}}
		}
		s.add(s.about(fleet.FindExposed, host, job, in.why, in.why))
	}
}

// risks adds what the host saw to be wrong with a job that runs.
func (s *survey) risks(host *Host, job *api.JobView) {
	for _, risk := range job.Risks {
		if slices.Contains(alone, risk.Kind) {
			s.add(s.about(risk.Kind, host, job, risk.Why, risk.Why))
		}
	}
}

// failed adds a job whose last run did not go well.
func (s *survey) failed(host *Host, job *api.JobView) {
	seen := job.Evidence
	if seen == nil || seen.Result == "" || seen.Result == "success" {
		return
	}
	one := s.about(fleet.FindFailed, host, job, fmt.Sprintf("its last run ended with %s", seen.Result))
	one.Since = seen.Last
	if seen.Ended != nil {
		one.Since = *seen.Ended
	}
	s.add(one)
}

// untold leaves out the problems of whole files that the verdict on their jobs
// tells.
func untold(problems []fleet.Problem, jobs []api.JobView) []fleet.Problem {
	refused := map[string]bool{}
	for i := range jobs {
		if !jobs[i].Verdict.Runs && refusals[jobs[i].Verdict.Code].scope == aFile {
			refused[jobs[i].Source] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(problems), func(p fleet.Problem) bool { return p.Line == 0 && refused[p.Source] })
}

// problems adds one finding for each file in which something could not be
// taken as it stands.
func (s *survey) problems(host *Host, problems []fleet.Problem) {
	files := map[string][]fleet.Problem{}
	var order []string
	for _, problem := range problems {
		if files[problem.Source] == nil {
			order = append(order, problem.Source)
		}
		files[problem.Source] = append(files[problem.Source], problem)
	}
	for _, source := range order {
		lines := files[source]
		summary := lines[0].Reason
		if len(lines) > 1 {
			summary = fmt.Sprintf("%s; and %s more", summary, count(len(lines)-1, "line"))
		}
		digest := make([]string, 0, 2*len(lines))
		for _, line := range lines {
			digest = append(digest, line.Text, line.Reason)
		}
		one := s.about(fleet.FindProblem, host, &api.JobView{Job: fleet.Job{Source: source, Line: lines[0].Line, Command: lines[0].Text}}, summary, digest...)
		if slices.ContainsFunc(lines, func(p fleet.Problem) bool { return p.Line > 0 && p.Text != "" }) {
			one.Severity = fleet.Warning // a line that somebody meant
		}
		s.add(one)
	}
}

// stale adds one finding for each source that can no longer be read.
func (s *survey) stale(host *Host, jobs []api.JobView) {
	told := map[string]bool{}
	for i := range jobs {
		job := &jobs[i]
		if job.Stale == nil || told[job.Source] {
			continue
		}
		told[job.Source] = true
		one := s.about(fleet.FindStale, host, &api.JobView{Job: fleet.Job{Source: job.Source}}, fmt.Sprintf("%s could not be read since %s", job.Source, job.Stale.UTC().Format(time.RFC3339)))
		one.Since = *job.Stale
		s.add(one)
	}
}
