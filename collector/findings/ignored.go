package findings

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// scope says what one finding about a verdict covers.
type scope uint8

const (
	aJob scope = iota
	aFile
	aHost
)

// refusal is what to make of a reason why a job does not run.
type refusal struct {
	severity fleet.Severity // empty: somebody wanted it so
	shipped  fleet.Severity // … of what a package brought; empty: no finding
	scope    scope
	kind     fleet.FindingKind // empty: ignored
	fix      func(job *api.JobView) string
}

// refusals is every reason there is. A code that is not here is read as
// OtherwiseWrong.
var refusals = map[fleet.VerdictCode]refusal{
	fleet.BadMode:        {fleet.Warning, fleet.Warning, aFile, "", fixMode},
	fleet.BadOwner:       {fleet.Warning, fleet.Warning, aFile, "", fixFileOwner},
	fleet.BadLinks:       {fleet.Warning, fleet.Warning, aFile, "", fixLinks},
	fleet.BadName:        {fleet.Notice, "", aFile, "", fixName},
	fleet.FileRefused:    {fleet.Critical, fleet.Critical, aFile, "", nil},
	fleet.NoNewline:      {fleet.Warning, fleet.Warning, aJob, "", fixNewline},
	fleet.Denied:         {fleet.Warning, "", aFile, "", fixDenied},
	fleet.UnknownUser:    {fleet.Warning, fleet.Warning, aJob, fleet.FindOrphan, nil},
	fleet.LockedUser:     {fleet.Warning, fleet.Warning, aJob, "", fixLocked},
	fleet.NoCommand:      {fleet.Warning, fleet.Notice, aJob, "", fixMissing},
	fleet.NotExecutable:  {fleet.Warning, fleet.Notice, aJob, "", fixExecutable},
	fleet.Masked:         {},
	fleet.Disabled:       {},
	fleet.Inactive:       {fleet.Warning, fleet.Notice, aJob, "", fixInactive},
	fleet.NoScheduler:    {fleet.Warning, "", aHost, "", nil},
	fleet.SchedulerDown:  {fleet.Critical, fleet.Warning, aHost, "", nil},
	fleet.NeverDue:       {fleet.Notice, "", aJob, "", fixNever},
	fleet.Unreadable:     {fleet.Notice, "", aFile, "", nil},
	fleet.OtherwiseWrong: {fleet.Warning, fleet.Notice, aJob, "", nil},
}

func refusalOf(job *api.JobView) refusal {
	r, known := refusals[job.Verdict.Code]
	if !known {
		r = refusals[fleet.OtherwiseWrong]
	}
	if job.Package != "" {
		r.severity = r.shipped
		if r.severity != "" && job.Verdict.Code == fleet.NoCommand {
			r.kind = fleet.FindOrphan // what is left of a package that was removed
		}
	}
	if r.kind == "" {
		r.kind = fleet.FindIgnored
	}
	return r
}

// ignored adds what its scheduler passes over: one finding for a file or a host
// where the whole of it is refused.
func (s *survey) ignored(host *Host, jobs []api.JobView) {
	type key struct {
		code   fleet.VerdictCode
		source string
		job    fleet.JobID
	}
	groups := map[key][]*api.JobView{}
	var order []key
	for i := range jobs {
		job := &jobs[i]
		if job.Verdict.Runs || job.Adopted != "" {
			continue
		}
		r := refusalOf(job)
		if r.severity == "" {
			continue
		}
		k := key{code: job.Verdict.Code}
		switch r.scope {
		case aJob:
			k.job = job.ID
			fallthrough
		case aFile:
			k.source = job.Source
		}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], job)
	}
	for _, k := range order {
		s.refused(host, groups[k])
	}
}

// refused adds one finding for jobs that are refused for the same reason.
func (s *survey) refused(host *Host, jobs []*api.JobView) {
	job, r := jobs[0], refusalOf(jobs[0])
	for _, other := range jobs { // a person's job weighs more than a package's
		if o := refusalOf(other); rank[o.severity] < rank[r.severity] {
			job, r = other, o
		}
	}
	why := cmp.Or(job.Verdict.Why, "its scheduler will not run it")
	switch r.scope {
	case aJob:
		one := s.about(r.kind, host, job, fmt.Sprintf("does not run: %s", why), string(job.Verdict.Code))
		one.Severity = r.severity
		s.add(one)
	case aFile:
		file := *job
		file.ID, file.Line, file.Command, file.Fingerprint = "", 0, "", ""
		one := s.about(r.kind, host, &file, fmt.Sprintf("%s in %s %s not run: %s", count(len(jobs), "job"), job.Source, does(len(jobs)), why), string(job.Verdict.Code))
		one.Severity, one.Fix = r.severity, fixIgnored(host.Name, job)
		s.add(one)
	case aHost:
		one := s.about(r.kind, host, &api.JobView{}, fmt.Sprintf("%s %s not run: %s", count(len(jobs), "job"), does(len(jobs)), why), string(job.Verdict.Code))
		one.Severity, one.Fix = r.severity, fixScheduler(host, job)
		s.add(one)
	}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func does(n int) string {
	if n == 1 {
		return "does"
	}
	return "do"
}

func fixIgnored(host string, job *api.JobView) string {
	r, known := refusals[job.Verdict.Code]
	switch {
	case known && r.fix != nil:
		return on(host, "%s", r.fix(job))
	case job.Verdict.Code == fleet.FileRefused:
		return fmt.Sprintf("fleetctl findings --host %s --kind %s", quote(host), fleet.FindProblem)
	}
	return fixShow(host, job)
}

func fixScheduler(host *Host, job *api.JobView) string {
	daemon := daemonOf(host.Cron)
	switch {
	case job.Kind == fleet.KindAt:
		daemon = "atd"
	case job.Kind == fleet.KindTimer:
		return on(host.Name, "systemctl is-system-running")
	}
	if job.Verdict.Code == fleet.SchedulerDown {
		return on(host.Name, "systemctl enable --now %s", daemon)
	}
	return on(host.Name, "command -v cron crond atd anacron")
}

// spooled reports whether a job stands in a table that crontab(1) wrote.
func spooled(job *api.JobView) bool { return strings.HasPrefix(job.Source, "/var/spool/cron/") }

func fixMode(job *api.JobView) string {
	mode := "644"
	switch {
	case spooled(job):
		mode = "600"
	case job.Kind == fleet.KindRunParts:
		mode = "755"
	}
	return fmt.Sprintf("chmod %s %s", mode, quote(job.Source))
}

func fixFileOwner(job *api.JobView) string {
	owner := "root:root"
	if spooled(job) {
		owner = quote(job.User)
	}
	return fmt.Sprintf("chown %s %s", owner, quote(job.Source))
}

func fixLinks(job *api.JobView) string { return "ls -li " + quote(job.Source) }

// fixName proposes a name without what cron and run-parts skip.
func fixName(job *api.JobView) string {
	dir, file := path.Split(job.Source)
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '-'
	}, strings.TrimSuffix(file, ".sh"))
	return fmt.Sprintf("mv %s %s", quote(job.Source), quote(dir+strings.Trim(name, "-")))
}

func fixNewline(job *api.JobView) string { return "echo >> " + quote(job.Source) }

func fixDenied(job *api.JobView) string {
	return fmt.Sprintf("grep -nx %s /etc/cron.allow /etc/cron.deny", quote(job.User))
}

func fixLocked(job *api.JobView) string { return "chage -l " + quote(job.User) }

func fixMissing(job *api.JobView) string { return "ls -l " + quote(programOf(job)) }

func fixExecutable(job *api.JobView) string { return "chmod +x " + quote(programOf(job)) }

func fixInactive(job *api.JobView) string {
	return "systemctl start " + quote(path.Base(job.Source))
}

func fixNever(job *api.JobView) string { return "fleetctl next " + quote(job.Schedule) }
