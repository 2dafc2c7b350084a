package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func someFindings() []fleet.Finding {
	return []fleet.Finding{
		{ID: "1f0c000000000001", Kind: fleet.FindWritable, Severity: fleet.Critical, Host: hostID(3), HostName: "evil\x1b]0;pwn\x07", Job: "4444444444444444", Source: "/etc/cron.d/\x1b[2J", Line: 1, User: "root", Command: "echo \u202e", Fingerprint: "dddddddddddddddd", Summary: "others can write what root runs: /opt/\x1b[31mx", Explain: "Whoever may write it is root\x1b[2J within a minute.", Fix: "chmod o-w /opt/x", Since: noon.Add(-time.Hour)},
		{ID: "1f0c000000000002", Kind: fleet.FindIgnored, Severity: fleet.Warning, Host: hostID(1), HostName: "db-1", Job: "2222222222222222", Source: "/etc/cron.daily/dot.name", User: "root", Command: "/etc/cron.daily/dot.name", Summary: "cron will not run it: run-parts skips names with a dot", Explain: "It looks like a job and never runs.", Fix: "mv /etc/cron.daily/dot.name /etc/cron.daily/dot-name", Since: noon.Add(-200 * time.Hour)},
		{ID: "77aa000000000003", Kind: fleet.FindExposed, Severity: fleet.Warning, Host: hostID(1), HostName: "db-1", Job: "1111111111111111", Source: "/etc/cron.d/backup", Line: 7, User: "postgres", Command: "pg_dumpall | gzip > /var/backups/all.gz", Owner: "team-data", Summary: "others can read a secret in the file", Explain: "The file is world-readable.", Fix: "chmod 0600 /etc/cron.d/backup",
			Ack: &fleet.Ack{Finding: "77aa000000000003", By: "ops@desk", Reason: "known", At: noon.Add(-time.Hour), Expires: noon.Add(720 * time.Hour)}},
		{ID: "77bb000000000004", Kind: fleet.FindOutlier, Severity: fleet.Notice, Hosts: []string{"web-1", "web-2", "web-3", "web-4"}, Command: "/usr/bin/report", Summary: "9 of 10 web hosts have it, web-7 has not", Explain: "It was forgotten there.", Fix: "fleetctl find report host:web-"},
	}
}

func (f *collectorFake) listFindings(r *http.Request) (any, error) {
	q, err := query[api.FindingQuery](r)
	order := []fleet.Severity{fleet.Notice, fleet.Warning, fleet.Critical}
	list := api.FindingList{Counts: map[fleet.Severity]int{}, Evaluated: noon}
	var found []fleet.Finding
	for _, finding := range f.findings {
		acked := finding.Ack != nil
		if (q.Acked == "" && acked) || (q.Acked == "only" && !acked) || (q.Host != "" && q.Host != finding.HostName && q.Host != string(finding.Host)) ||
			(q.Job != "" && q.Job != finding.Job) || (q.Kind != "" && q.Kind != finding.Kind) || (q.Owner != "" && q.Owner != finding.Owner) || slices.Index(order, finding.Severity) < slices.Index(order, q.Severity) {
			continue
		}
		found = append(found, finding)
		list.Counts[finding.Severity]++
	}
	list.List = pageOf(found, q.Page, func(finding fleet.Finding) string { return finding.ID })
	return list, err
}

func (f *collectorFake) finding(id string) (*fleet.Finding, error) {
	for i := range f.findings {
		if f.findings[i].ID == id {
			return &f.findings[i], nil
		}
	}
	return nil, fleet.Errorf(fleet.NotFound, "there is no finding %q", id).WithHint("fleetctl findings")
}

func (f *collectorFake) ack(r *http.Request) (any, error) {
	finding, err := f.finding(r.PathValue("finding"))
	if err != nil {
		return nil, err
	}
	var request api.AckRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, err
	}
	finding.Ack = &fleet.Ack{Finding: finding.ID, By: "ops@desk", Reason: request.Reason, At: noon, Expires: request.Expires}
	return finding.Ack, nil
}

func (f *collectorFake) unack(r *http.Request) (any, error) {
	finding, err := f.finding(r.PathValue("finding"))
	if err == nil {
		finding.Ack = nil
	}
	return map[string]uint64{"index": f.index}, err
}

// listChanges answers with one change of every kind, the newest first.
func (f *collectorFake) listChanges(r *http.Request) (any, error) {
	q, err := query[api.ChangeQuery](r)
	job := f.hosts[0].Inventory.Jobs[0]
	was := job
	was.Schedule, was.Command, was.Env, was.User = "0 2 * * *", "pg_dumpall > /tmp/\x1b[31mall", map[string]string{"LEVEL": "full", "MAILTO": "root"}, "root"
	was.Verdict, was.Enabled, was.Timezone = fleet.Verdict{Why: "postgres is no user"}, false, ""
	elsewhere := job
	elsewhere.Source, elsewhere.Line = "/etc/crontab", 3
	gone := f.hosts[0].Inventory.Jobs[1]
	gone.ID = "9999999999999999"
	change := func(ago time.Duration, before, after *fleet.Job, what ...fleet.ChangeKind) api.ChangeView {
		id := gone.ID
		if after != nil {
			id = after.ID
		}
		return api.ChangeView{Change: fleet.Change{Host: hostID(1), Job: id, Seen: noon.Add(-ago), What: what, Before: before, After: after}, HostName: "db-1"}
	}
	all := []api.ChangeView{
		change(time.Hour, &gone, nil, fleet.ChangeVanished),
		change(2*time.Hour, &was, &job, fleet.ChangeSchedule, fleet.ChangeTimezone, fleet.ChangeCommand, fleet.ChangeUser, fleet.ChangeEnvironment, fleet.ChangeEnabled, fleet.ChangeVerdict),
		change(30*time.Hour, &elsewhere, &job, fleet.ChangeMoved),
		change(240*time.Hour, nil, &job, fleet.ChangeAppeared),
	}
	all = slices.DeleteFunc(all, func(c api.ChangeView) bool {
		return q.Job != "" && q.Job != c.Job || q.What != "" && !slices.Contains(c.What, q.What) || c.Seen.Before(q.Since) || q.Host != "" && q.Host != c.HostName && q.Host != string(c.Host)
	})
	return pageOf(all, q.Page, func(c api.ChangeView) string { return strconv.FormatInt(-c.Seen.Unix(), 10) }), err
}

func (f *collectorFake) density(r *http.Request) (any, error) {
	q, err := query[api.DensityQuery](r)
	density := api.Density{From: q.From, Zone: q.Zone, Hours: make([]int, 168), Max: 900}
	for i := range density.Hours {
		switch hour := i % 24; {
		case hour == 2:
			density.Hours[i] = 900
		case hour < 6:
			density.Hours[i] = 40 * hour
		case hour > 20:
			density.Hours[i] = 1
		}
	}
	if q.Host != "" {
		density.Hours, density.Max = make([]int, 168), 0
	}
	return density, err
}

func (f *collectorFake) collisions(r *http.Request) (any, error) {
	q, err := query[api.CollisionQuery](r)
	list := api.List[api.Collision]{Items: []api.Collision{}}
	if q.Least <= 120 {
		at := noon.Add(13 * time.Hour)
		list.Items = append(list.Items, api.Collision{At: at, Starts: 120, Hosts: 60, Sample: []api.Upcoming{
			{At: at, HostName: "db-1", Job: "1111111111111111", Command: "pg_dumpall"}, {At: at, HostName: "db-2", Job: "5555555555555555", Command: "pg_dumpall"}, {At: at, HostName: "db-1", Task: "default/x", Command: "x \x1b[0m"},
		}})
	}
	list.Total = len(list.Items)
	return list, err
}

func (f *collectorFake) spread(r *http.Request) (any, error) {
	q, err := query[api.SpreadQuery](r)
	spread := api.Spread{From: q.From, Until: q.Until, Before: 120, After: 14, Shifts: []api.Shift{}}
	if q.Host == "" {
		spread.Shifts = append(spread.Shifts, api.Shift{Job: f.jobView(f.hosts[0], f.hosts[0].Inventory.Jobs[0]), Schedule: "37 2 * * *", By: 7 * 60 * 1e9, Fix: "fleetctl adopt db-1:1111111111111111 --schedule '37 2 * * *'"})
	}
	return spread, err
}

func (f *collectorFake) loss(r *http.Request) (any, error) {
	host, err := f.host(r.PathValue("host"))
	if err != nil {
		return nil, err
	}
	loss := api.Loss{Host: host.HostView, Jobs: []api.LossJob{}, Tasks: []api.LossTask{}}
	for i, job := range host.Inventory.Jobs {
		lost := api.LossJob{Job: f.jobView(host, job), Elsewhere: []string{}, Move: []string{"db-2", "db-3"}, Fix: "fleetctl adopt " + host.Name + ":" + string(job.ID)}
		if i == 1 {
			lost.Elsewhere, lost.Move = []string{"db-2"}, nil
		}
		loss.Jobs = append(loss.Jobs, lost)
	}
	for _, assignment := range host.Assignments {
		loss.Tasks = append(loss.Tasks, api.LossTask{Task: assignment.Task.ID()})
	}
	return loss, nil
}

func (f *collectorFake) pinView(pin fleet.Pin) api.PinView {
	return api.PinView{Pin: pin, Hosts: len(f.matching(pin.Labels)), Unexpected: 1}
}

func (f *collectorFake) listPins(*http.Request) (any, error) {
	list := api.List[api.PinView]{Items: []api.PinView{}, Total: len(f.pins)}
	for _, name := range slices.Sorted(maps.Keys(f.pins)) {
		list.Items = append(list.Items, f.pinView(f.pins[name]))
	}
	return list, nil
}

func (f *collectorFake) pin(name string) (any, error) {
	if pin, there := f.pins[name]; there {
		return f.pinView(pin), nil
	}
	return nil, fleet.Errorf(fleet.NotFound, "there is no pin %q", name).WithHint("fleetctl pins")
}

func (f *collectorFake) putPin(r *http.Request) (any, error) {
	var request api.PinRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, err
	}
	pin := fleet.Pin{Name: r.PathValue("pin"), Labels: request.Labels, By: "ops@desk", Reason: strings.ReplaceAll(r.Header.Get(api.HeaderReason), "+", " "), At: noon}
	for _, host := range f.matching(request.Labels) {
		for _, job := range host.Inventory.Jobs {
			pin.Allow = append(pin.Allow, fleet.Allowed{Fingerprint: job.Fingerprint, User: job.User, Command: job.Command})
		}
	}
	f.pins[pin.Name] = pin
	return pin, nil
}

func (f *collectorFake) dropPin(r *http.Request) (any, error) {
	delete(f.pins, r.PathValue("pin"))
	return map[string]uint64{"index": f.index}, nil
}

func (f *collectorFake) listAnnotations(r *http.Request) (any, error) {
	q, err := query[api.Page](r)
	var all []fleet.Annotation
	for _, key := range slices.Sorted(maps.Keys(f.annotations)) {
		all = append(all, f.annotations[key])
	}
	return pageOf(all, q, func(a fleet.Annotation) string { return a.Fingerprint }), err
}

func (f *collectorFake) annotate(r *http.Request) (any, error) {
	var request api.AnnotationRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, err
	}
	said := fleet.Annotation{Fingerprint: r.PathValue("fingerprint"), Owner: request.Owner, Note: request.Note, By: "ops@desk", At: noon}
	if f.annotations[said.Fingerprint] = said; request == (api.AnnotationRequest{}) {
		delete(f.annotations, said.Fingerprint)
	}
	return said, nil
}
