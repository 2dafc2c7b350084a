package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/taskfile"
)

func exportHosts(names ...string) []api.HostView {
	hosts := make([]api.HostView, len(names))
	for i, name := range names {
		hosts[i].Host = fleet.Host{ID: hostID(i + 1), Name: name, Cron: "debian"}
	}
	return hosts
}

func lineOn(host int, name, schedule, command string, change ...func(*api.JobView)) api.JobView {
	job := api.JobView{Host: hostID(host), HostName: name, Job: fleet.Job{
		ID: fleet.NewJobID(fleet.KindCron, "/etc/cron.d/x", "root", command+schedule, host), Kind: fleet.KindCron, Source: "/etc/cron.d/x", Line: 1, User: "root",
		Schedule: schedule, Timezone: "UTC", Command: command, Enabled: true, Verdict: fleet.Verdict{Runs: true},
	}}
	for _, do := range change {
		do(&job)
	}
	return job
}

func exportFound(hosts []api.HostView, jobs []api.JobView, given []api.TaskView) foundExport {
	e := newExporter(hosts, "")
	for i := range jobs {
		if jobs[i].Kind == fleet.KindRunParts {
			e.script(&jobs[i])
		}
	}
	for i := range jobs {
		e.add(&jobs[i])
	}
	return e.finish(given)
}

func TestExportFoundGroups(t *testing.T) {
	hosts := exportHosts("web-1", "web-2", "odd*")
	owned := func(owner string) func(*api.JobView) { return func(j *api.JobView) { j.Owner = owner } }
	script := func(j *api.JobView) { j.Kind, j.Source, j.Line = fleet.KindRunParts, "/etc/cron.daily/tidy", 0 }
	jobs := []api.JobView{
		lineOn(2, "web-2", "0 1 * * *", "/opt/sync --all", owned("team-a")),
		lineOn(1, "web-1", "0 1 * * *", "/opt/sync --all", owned("team-a")),
		lineOn(1, "web-1", "0 2 * * *", "/opt/sync --all", owned("team-a")),
		lineOn(3, "odd*", "0 1 * * *", "/opt/report", owned("team-b")),
		lineOn(1, "web-1", "0 1 * * *", "/opt/report"),
		lineOn(1, "web-1", "0 3 * * *", "/opt/push --token <redacted:0badcafe>"),
		lineOn(1, "web-1", "25 6 * * *", "/etc/cron.daily/tidy", script),
		lineOn(1, "web-1", "25 6 * * *", "cd / && run-parts --report /etc/cron.daily"),
		lineOn(2, "web-2", "25 6 * * *", "cd / && run-parts --report /etc/cron.daily"), // where no script was found
		lineOn(1, "web-1", "0 4 * * *", "/opt/taken", func(j *api.JobView) { j.Adopted = "default/taken" }),
		lineOn(1, "web-1", "@reboot", "/opt/boot"),
		lineOn(9, "gone", "0 4 * * *", "/opt/gone"),
	}
	given := []api.TaskView{{TaskRecord: fleet.TaskRecord{Task: fleet.Task{Name: "tidy"}}}}
	answer := exportFound(hosts, jobs, given)
	var got []string
	for _, one := range answer.Tasks {
		name, _, _ := strings.Cut(string(one.Task.ID()), "-")
		got = append(got, fmt.Sprintf("%s %s on %v owner %q masked %v from %d", name, one.Task.On.Cron, one.Task.Where.Hosts, one.Task.Owner, one.Masked, len(one.From)))
	}
	slices.Sort(got)
	want := []string{
		`default/push 0 3 * * * on [web-1] owner "" masked true from 1`,
		`default/report 0 1 * * * on [` + string(hostID(3)) + ` web-1] owner "" masked false from 2`,
		`default/run 25 6 * * * on [web-2] owner "" masked false from 1`,
		`default/sync 0 1 * * * on [web-1 web-2] owner "team-a" masked false from 2`,
		`default/sync 0 2 * * * on [web-1] owner "team-a" masked false from 1`,
		`default/tidy 25 6 * * * on [web-1] owner "" masked false from 1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tasks (-want +got):\n%s", diff)
	}
	for _, one := range answer.Tasks {
		if one.Task.ID() == "default/tidy" || one.Task.ID() == "default/sync" {
			t.Errorf("%s is a name that another has too", one.Task.ID())
		}
	}
	summary := answer.summary()
	for _, want := range []string{"6 tasks for 8 jobs; 4 jobs left out", "default/taken does it already", "it starts the scripts of /etc/cron.daily", "its host is gone", "@reboot"} {
		if !strings.Contains(summary, want) {
			t.Errorf("the summary lacks %q:\n%s", want, summary)
		}
	}
	first, err := encodeJSON(answer)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(jobs)
	second, err := encodeJSON(exportFound(hosts, jobs, given))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(first), string(second)); diff != "" {
		t.Errorf("another order gives other tasks:\n%s", diff)
	}
}

// TestExportFoundIsAlwaysValid: whatever hosts report, each file reads back as
// the task it is of, and no text of a host escapes its comment.
func TestExportFoundIsAlwaysValid(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringN(0, 12, 40), rapid.SampledFrom([]string{
		"a\nb: c", "- x", "\u0085task: evil", "\u2028on: {}", "\ufeff", "\uffff", "%in%put", "it's \"quoted\"", "<redacted:12ab34cd>", "", " ", "# c", "\x1b[2J", "*", "/opt/x",
	}))
	rapid.Check(t, func(t *rapid.T) {
		hosts := exportHosts("h1", text.Draw(t, "host"))
		var jobs []api.JobView
		for i := range rapid.IntRange(0, 6).Draw(t, "jobs") {
			host := rapid.IntRange(1, 2).Draw(t, "on")
			jobs = append(jobs, lineOn(host, hosts[host-1].Name, rapid.SampledFrom([]string{"0 1 * * *", "*/5 * * * *", "@daily", "@reboot", "x"}).Draw(t, "schedule"), text.Draw(t, "command"), func(j *api.JobView) {
				j.Kind = rapid.SampledFrom([]fleet.JobKind{fleet.KindCron, fleet.KindRunParts, fleet.KindTimer, fleet.KindAt, fleet.KindAnacron}).Draw(t, "kind")
				j.ID, j.Line = fleet.JobID(fmt.Sprintf("%016x", i)), i
				j.Source, j.Package, j.ManagedBy, j.Owner = "/"+text.Draw(t, "source"), text.Draw(t, "package"), text.Draw(t, "manager"), text.Draw(t, "owner")
				j.Env = map[string]string{rapid.SampledFrom([]string{"A", "SHELL", "PATH", "HOME"}).Draw(t, "name"): text.Draw(t, "value")}
			}))
		}
		answer := exportFound(hosts, jobs, nil)
		total := len(answer.LeftOut)
		seen := map[fleet.TaskID]bool{}
		for i := range answer.Tasks {
			one := &answer.Tasks[i]
			total += len(one.From)
			doc, err := one.text()
			if err != nil {
				t.Fatal(err)
			}
			task, err := taskfile.ParseOne(doc, api.MediaYAML)
			if err != nil || !sameTask(task, one.Task) {
				t.Fatalf("%v\n%s", err, doc)
			}
			if bytes.ContainsFunc(doc, func(r rune) bool { return r != '\n' && r < ' ' }) {
				t.Fatalf("control characters in %q", doc)
			}
			if seen[task.ID()] {
				t.Fatalf("two tasks are called %s", task.ID())
			}
			seen[task.ID()] = true
		}
		if total != len(jobs) {
			t.Fatalf("%d jobs became %d", len(jobs), total)
		}
	})
}

func TestExportFoundTellsWhatIsSpecial(t *testing.T) {
	timer := func(j *api.JobView) {
		j.Kind, j.Source, j.Line, j.Schedule, j.Unit = fleet.KindTimer, "/etc/systemd/system/drain.timer", 0, "*-*-* 04:00:00", "queue.service"
		j.Verdict.Why = "delayed at random by up to 5m"
	}
	answer := exportFound(exportHosts("web-1"), []api.JobView{lineOn(1, "web-1", "", "/opt/drain", timer)}, nil)
	if len(answer.Tasks) != 1 {
		t.Fatalf("%+v", answer)
	}
	text, err := answer.Tasks[0].text()
	if err != nil || !strings.Contains(string(text), "# mind: delayed at random by up to 5m\n") || !strings.Contains(string(text), "queue.service") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestAJobInAContainerSaysSo(t *testing.T) {
	job := fleet.Job{Source: "/etc/crontabs/root", Line: 3}
	if got := foundIn(&job); got != "/etc/crontabs/root:3" {
		t.Error(got)
	}
	job.Container = "0123456789abcdef0123456789abcdef"
	if got := foundIn(&job); !strings.HasPrefix(got, "/etc/crontabs/root:3 in container 0123456789abcdef") {
		t.Error(got)
	}
}
