package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The invented fleet answers for its inventory as a collector would.

func (f *invented) Changes(_ context.Context, q api.ChangeQuery) (api.List[api.ChangeView], error) {
	return cut(f, f.changes, q.Page, func(c *api.ChangeView) bool {
		told := ""
		for _, job := range []*fleet.Job{c.Before, c.After} {
			if job != nil {
				told += job.Command + "\n"
			}
		}
		return (q.Host == "" || c.HostName == q.Host || string(c.Host) == q.Host) && (q.Job == "" || c.Job == q.Job || c.Before != nil && c.Before.ID == q.Job) &&
			(q.What == "" || slices.Contains(c.What, q.What)) && has(told, q.Text) && !c.Seen.Before(q.Since) && (q.Until.IsZero() || c.Seen.Before(q.Until))
	})
}

// ranks order severities.
var ranks = map[fleet.Severity]int{fleet.Notice: 0, fleet.Warning: 1, fleet.Critical: 2}

func (f *invented) Findings(_ context.Context, q api.FindingQuery) (api.FindingList, error) {
	counts := map[fleet.Severity]int{}
	kept := func(one *fleet.Finding) bool {
		acked := one.Ack != nil
		return (q.Host == "" || one.HostName == q.Host || string(one.Host) == q.Host) && (q.Kind == "" || one.Kind == q.Kind) &&
			ranks[one.Severity] >= ranks[q.Severity] && (q.Owner == "" || one.Owner == q.Owner) && has(one.Summary+one.Command, q.Text) &&
			(q.Acked == "all" || acked == (q.Acked == "only"))
	}
	list, err := cut(f, f.findings, q.Page, func(one *fleet.Finding) bool {
		if !kept(one) {
			return false
		}
		counts[one.Severity]++
		return true
	})
	return api.FindingList{List: list, Counts: counts, Evaluated: time.Now().Add(-40 * time.Second)}, err
}

func (f *invented) Finding(_ context.Context, id string) (fleet.Finding, error) {
	for _, one := range f.findings {
		if one.ID == id {
			return one, f.fault()
		}
	}
	return fleet.Finding{}, fleet.Errorf(fleet.NotFound, "there is no finding %q", id)
}

// starts counts what is coming in spans of a length from an instant, over the
// days that a schedule repeats.
func (f *invented) starts(from time.Time, host string) []int {
	hours := make([]int, 168)
	for _, item := range f.coming {
		if host != "" && item.HostName != host && string(item.Host) != host || time.Until(item.At) < 0 || time.Until(item.At) > 24*time.Hour {
			continue
		}
		hour := int(item.At.Sub(from)/time.Hour) % 24
		for day := range 7 {
			hours[(hour+24)%24+day*24]++
		}
	}
	return hours
}

func (f *invented) Density(_ context.Context, q api.DensityQuery) (api.Density, error) {
	d := api.Density{From: q.From, Zone: q.Zone, Hours: f.starts(q.From, q.Host)}
	for day := 0; day < 7; day += 3 { // quiet days, so that the map has a shape
		for hour := range 24 {
			d.Hours[day*24+hour] = d.Hours[day*24+hour] * (hour % 5) / 6
		}
	}
	d.Max = slices.Max(d.Hours)
	return d, f.fault()
}

func (f *invented) Collisions(_ context.Context, q api.CollisionQuery) (api.List[api.Collision], error) {
	minutes := map[int64]*api.Collision{}
	for _, item := range f.coming {
		if q.Host != "" && item.HostName != q.Host && string(item.Host) != q.Host {
			continue
		}
		at := item.At.Truncate(time.Minute)
		if time.Until(at) < 0 || time.Until(at) > 24*time.Hour {
			continue
		}
		c := minutes[at.Unix()]
		if c == nil {
			c = &api.Collision{At: at}
			minutes[at.Unix()] = c
		}
		c.Starts++
		if !slices.ContainsFunc(c.Sample, func(u api.Upcoming) bool { return u.Command == item.Command }) && len(c.Sample) < 10 {
			c.Sample = append(c.Sample, item)
		}
		c.Hosts = min(c.Starts, len(f.hosts))
	}
	var all []api.Collision
	for _, c := range minutes {
		if c.Starts >= cmp.Or(q.Least, 10) {
			all = append(all, *c)
		}
	}
	slices.SortFunc(all, func(a, b api.Collision) int { return cmp.Or(cmp.Compare(b.Starts, a.Starts), a.At.Compare(b.At)) })
	return cut(f, all, q.Page, func(*api.Collision) bool { return true })
}

func (f *invented) Spread(context.Context, api.SpreadQuery) (api.Spread, error) {
	out := api.Spread{Before: 118, After: 41}
	for _, job := range f.jobs(api.JobQuery{Text: "run-parts"}) {
		if len(out.Shifts) == 24 {
			break
		}
		minute := 3 + len(out.Shifts)
		out.Shifts = append(out.Shifts, api.Shift{Job: job, Schedule: fmt.Sprintf("%d * * * *", minute), By: fleet.Offset(time.Duration(minute) * time.Minute),
			Fix: fmt.Sprintf("fleetctl adopt %s:%s --schedule '%d * * * *'", job.HostName, job.ID, minute)})
	}
	return out, f.fault()
}

func (f *invented) Loss(ctx context.Context, name string) (api.Loss, error) {
	host, err := f.Host(ctx, name)
	if err != nil {
		return api.Loss{}, err
	}
	loss := api.Loss{Host: host.HostView}
	for _, job := range f.jobs(api.JobQuery{Host: name}) {
		one := api.LossJob{Job: job}
		for _, other := range f.jobs(api.JobQuery{Fingerprint: job.Fingerprint}) {
			if other.Host != host.ID && !slices.Contains(one.Elsewhere, other.HostName) && len(one.Elsewhere) < 20 {
				one.Elsewhere = append(one.Elsewhere, other.HostName)
			}
		}
		if len(one.Elsewhere) == 0 {
			one.Move = []string{"mail-1", "mail-2"}
			one.Fix = fmt.Sprintf("fleetctl adopt %s:%s", host.Name, job.ID)
		}
		loss.Jobs = append(loss.Jobs, one)
	}
	for _, a := range host.Assignments {
		task, _ := f.Task(ctx, a.Task.ID())
		loss.Tasks = append(loss.Tasks, api.LossTask{Task: a.Task.ID(), Hosts: task.Hosts - 1})
	}
	return loss, nil
}

// Account is balanced but for the tasks of the namespace reports.
func (f *invented) Account(_ context.Context, q api.AccountQuery) (api.List[api.AccountLine], error) {
	line := api.AccountLine{Task: q.Task, Due: 2880, Ran: 2790, OK: 2781, Failed: 9, Skipped: 12, Missed: 74, Unknown: 1, Pending: 3}
	if q.Task.Namespace() == "reports" {
		line.Due, line.Difference = line.Due+1, 1
	}
	return api.List[api.AccountLine]{Items: []api.AccountLine{line}, Total: 1}, f.fault()
}

func (f *invented) Pins(context.Context) (api.List[api.PinView], error) {
	return cut(f, f.pins, api.Page{}, func(*api.PinView) bool { return true })
}

func (f *invented) Adoption(_ context.Context, task fleet.TaskID) (fleet.Adoption, error) {
	if task.Namespace() == "data" {
		return fleet.Adoption{}, fleet.Errorf(fleet.NotFound, "task %s was not adopted", task)
	}
	job := f.jobs(api.JobQuery{})[0]
	return fleet.Adoption{Task: task, Host: job.Host, Job: job.Job, State: fleet.AdoptionAdopted, By: "anna", Reason: "one place for all reports", At: time.Now().Add(-50 * time.Hour)}, f.fault()
}

// inspect invents what is wrong with the rich fleet, and what people say of it.
func (f *invented) inspect(now time.Time) {
	find := func(severity fleet.Severity, kind fleet.FindingKind, job api.JobView, summary, explain, fix string) *fleet.Finding {
		f.findings = append(f.findings, fleet.Finding{ID: id(fmt.Sprint(kind, job.Host, job.ID), 16), Kind: kind, Severity: severity, Host: job.Host, HostName: job.HostName,
			Job: job.ID, Source: job.Source, Line: job.Line, User: job.User, Command: job.Command, Fingerprint: job.Fingerprint, Owner: job.Owner,
			Summary: summary, Explain: explain, Fix: fix, Since: now.Add(-time.Duration(len(f.findings)*5+3) * time.Hour)})
		return &f.findings[len(f.findings)-1]
	}
	for _, job := range f.jobs(api.JobQuery{Verdict: "broken"}) {
		find(fleet.Critical, fleet.FindIgnored, job, "cron does not run this job: "+job.Verdict.Why,
			"the file looks right to whoever edits it, and nobody hears that its work is not done", "fleetctl jobs --host "+job.HostName+" --verdict broken")
	}
	for _, job := range f.jobs(api.JobQuery{Text: "export.pl"}) {
		find(fleet.Critical, fleet.FindWritable, job, "members of group staff can write /opt/billing, which root runs from",
			"whoever is in that group is root at 04:05 tomorrow", "chmod g-w /opt/billing")
	}
	for _, job := range f.jobs(api.JobQuery{Overdue: true}) {
		find(fleet.Warning, fleet.FindOverdue, job, "it should have started 3 days ago, and nothing saw it start",
			"the journal of the host shows other jobs of cron since then, so that a start would have been seen", "fleetctl history "+job.HostName+":"+string(job.ID))
	}
	for _, job := range f.jobs(api.JobQuery{Text: "pg_dump"})[:2] {
		found := find(fleet.Warning, fleet.FindNoSignal, job, "nobody would hear of its failure", "it has no MAILTO, no log and no monitor's address",
			"fleetctl adopt "+job.HostName+":"+string(job.ID))
		found.Ack = &fleet.Ack{Finding: found.ID, By: "anna", Reason: "the store checks the age of the newest dump", At: now.Add(-30 * time.Hour), Expires: now.Add(60 * 24 * time.Hour)}
	}
	for _, job := range f.jobs(api.JobQuery{Text: "certbot"}) {
		find(fleet.Notice, fleet.FindNoOwner, job, "no package, no configuration management and no person answers for it", "",
			"fleetctl annotate "+job.HostName+":"+string(job.ID)+" --owner team")
	}
	f.findings = append(f.findings, fleet.Finding{ID: id("everywhere", 16), Kind: fleet.FindEverywhere, Severity: fleet.Warning, Command: "cd / && run-parts --report /etc/cron.hourly",
		Fingerprint: fleet.CommandFingerprint("cd / && run-parts --report /etc/cron.hourly"), Summary: "35 hosts start the same command at minute 17",
		Explain: "shared storage and network feel all of them at once", Fix: "fleetctl spread --label '*'", Hosts: f.names()[:20]})
	slices.SortStableFunc(f.findings, func(a, b fleet.Finding) int { return cmp.Compare(ranks[b.Severity], ranks[a.Severity]) })
	f.pins = []api.PinView{{Pin: fleet.Pin{Name: "db-hosts", Labels: "role=db", By: "anna", At: now}, Hosts: 6, Unexpected: 1}}
}

func (f *invented) names() []string {
	var out []string
	for _, host := range f.hosts {
		out = append(out, host.Name)
	}
	slices.Sort(out)
	return out
}

// chronicle invents what changed in the rich fleet lately.
func (f *invented) chronicle(now time.Time) {
	record := func(ago time.Duration, host *api.HostDetail, before, after *fleet.Job, what ...fleet.ChangeKind) {
		job := after
		if job == nil {
			job = before
		}
		f.changes = append(f.changes, api.ChangeView{HostName: host.Name, Change: fleet.Change{Host: host.ID, Job: job.ID, Seen: now.Add(-ago), What: what, Before: before, After: after}})
	}
	for i := range f.hosts {
		host := &f.hosts[i]
		ago := time.Duration(i*97+13) * time.Minute
		after := host.Inventory.Jobs[len(host.Inventory.Jobs)-1]
		before := after
		switch i % 6 {
		case 0:
			before.Schedule = "15 3 * * *"
			record(ago, host, &before, &after, fleet.ChangeSchedule)
		case 1:
			before.Command = strings.Replace(after.Command, "--", "--dry-run --", 1) + " >/dev/null 2>&1"
			before.ID = fleet.JobID(id(before.Command, 16))
			record(ago, host, &before, &after, fleet.ChangeCommand)
		case 2:
			record(ago, host, nil, &after, fleet.ChangeAppeared)
		case 3:
			before.ID, before.Command = fleet.JobID(id("gone", 16)), "/usr/local/bin/old-report --mail ops@example.org"
			record(ago, host, &before, nil, fleet.ChangeVanished)
		case 4:
			before.Env = map[string]string{"PATH": "/usr/bin:/bin", "MAILTO": "root"}
			before.Verdict = fleet.Verdict{Code: fleet.NoNewline, Why: "the last line does not end"}
			record(ago, host, &before, &after, fleet.ChangeEnvironment, fleet.ChangeVerdict)
		case 5:
			before.Source, before.User = "/etc/crontab", "nobody"
			record(ago, host, &before, &after, fleet.ChangeMoved, fleet.ChangeUser)
		}
	}
	slices.SortFunc(f.changes, func(a, b api.ChangeView) int { return b.Seen.Compare(a.Seen) })
}
