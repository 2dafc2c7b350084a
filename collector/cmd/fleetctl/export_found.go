package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/takeover"
	"github.com/fleetcron/fleetcron/shared/visible"
)

// foundTask is a task that does what jobs found on hosts do.
type foundTask struct {
	Task fleet.Task `json:"task"`
	From []origin   `json:"from"`
	// Masked says that the host kept a secret to itself: a placeholder stands
	// in its place.
	Masked bool `json:"masked,omitempty"`
	// Mind is what its hosts say is wrong with it though it runs, or special
	// about its starts, sorted.
	Mind []string `json:"mind,omitempty"`
}

// origin is where one of the jobs stands.
type origin struct {
	Host   string        `json:"host"`
	Job    fleet.JobID   `json:"job"`
	Kind   fleet.JobKind `json:"kind"`
	Source string        `json:"source"`
	Line   int           `json:"line,omitempty"`
	Owner  string        `json:"owner,omitempty"`
	Extra  string        `json:"extra,omitempty"` // its package, what manages it
}

// leftOut is a job that no task file was written for.
type leftOut struct {
	origin
	Command string `json:"command"`
	Reason  string `json:"reason"`
}

// foundExport is the answer to export --found.
type foundExport struct {
	Tasks   []foundTask `json:"tasks"`
	LeftOut []leftOut   `json:"left_out"`
}

func runExportFound(ctx context.Context, p *program, client *api.Client, options exportOptions) error {
	if err := knownHost(ctx, client, options.host); err != nil {
		return err
	}
	hosts, err := hostsWith(ctx, client, options.label)
	if err != nil {
		return err
	}
	query := api.JobQuery{Host: options.host, Label: options.label, User: options.user}
	ask := func(kind fleet.JobKind, each func(*api.JobView)) error {
		_, err := collect(paging{limit: 1, all: true}, func(page api.Page) (api.List[api.JobView], error) {
			query.Page, query.Kind = page, kind
			return client.Jobs(ctx, query)
		}, func(job api.JobView) bool {
			each(&job)
			return false // a fleet's jobs are more than need be held at once
		})
		return err
	}
	e := newExporter(hosts, options.namespace)
	if err := ask(fleet.KindRunParts, e.script); err != nil {
		return err
	}
	if err := ask("", e.add); err != nil {
		return err
	}
	given, err := allTasks(ctx, client, "")
	if err != nil {
		return err
	}
	answer := e.finish(given)
	switch {
	case options.dir != "":
		return answer.writeFiles(p, options.dir)
	case !p.settings.Output.people():
		return p.show(answer, nil)
	}
	var out bytes.Buffer
	for i := range answer.Tasks {
		text, err := answer.Tasks[i].text()
		if err != nil {
			return err
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	_, err = p.stdout.Write(out.Bytes())
	for line := range strings.Lines(answer.summary()) {
		p.note("%s", strings.TrimSuffix(line, "\n"))
	}
	return err
}

// exporter makes a task of every distinct command, user, schedule, zone and
// environment, on the hosts that have it. The same jobs always give the same
// tasks under the same names; no name is that of a task that is given.
type exporter struct {
	namespace string
	hosts     map[fleet.HostID]*fleet.Host
	scripts   map[string]bool       // HOST:DIR of directories whose scripts are jobs
	same      map[string]*foundTask // by what they do
	leftOut   []leftOut
}

func newExporter(hosts []api.HostView, namespace string) *exporter {
	e := &exporter{namespace: namespace, hosts: make(map[fleet.HostID]*fleet.Host, len(hosts)), scripts: map[string]bool{}, same: map[string]*foundTask{}, leftOut: []leftOut{}}
	for i := range hosts {
		e.hosts[hosts[i].ID] = &hosts[i].Host
	}
	return e
}

// script notes a job that a line of another one starts. All of them come
// before the first add.
func (e *exporter) script(job *api.JobView) {
	e.scripts[string(job.Host)+":"+filepath.Dir(job.Source)] = true
}

func (e *exporter) add(job *api.JobView) {
	host := e.hosts[job.Host]
	task, err := taskFrom(job, host, e.scripts)
	if err != nil {
		e.leftOut = append(e.leftOut, leftOut{originOf(job), job.Command, reasonOf(err)})
		return
	}
	task.Namespace = e.namespace
	key := contentKey(&task)
	group := e.same[key]
	if group == nil {
		group = &foundTask{Task: task}
		e.same[key] = group
	}
	group.From = append(group.From, originOf(job))
	group.Masked = group.Masked || masked.MatchString(job.Command) || anyMasked(job.Env)
	group.mind(job.Verdict.Why) // of one that runs: what is special about its starts
	for _, risk := range job.Risks {
		group.mind(risk.Why)
	}
	group.Task.Where.Hosts = append(group.Task.Where.Hosts, hostPattern(job, host))
}

func (t *foundTask) mind(why string) {
	if why != "" && !slices.Contains(t.Mind, why) {
		t.Mind = append(t.Mind, why)
	}
}

// finish sorts and names what there is.
func (e *exporter) finish(given []api.TaskView) foundExport {
	answer := foundExport{Tasks: []foundTask{}, LeftOut: e.leftOut}
	for _, group := range e.same {
		slices.SortFunc(group.From, compareOrigins)
		slices.Sort(group.Task.Where.Hosts)
		group.Task.Where.Hosts = slices.Compact(group.Task.Where.Hosts)
		slices.Sort(group.Mind)
		group.Task.Owner = commonOwner(group.From)
		answer.Tasks = append(answer.Tasks, *group)
	}
	slices.SortFunc(answer.LeftOut, func(a, b leftOut) int { return compareOrigins(a.origin, b.origin) })
	answer.name(given)
	return answer
}

// taskFrom returns the task that does what the job does, or why there is none.
func taskFrom(job *api.JobView, host *fleet.Host, scripts map[string]bool) (fleet.Task, error) {
	switch {
	case job.Adopted != "":
		return fleet.Task{}, fmt.Errorf("the task %s does it already", job.Adopted)
	case host == nil:
		return fleet.Task{}, errors.New("its host is gone")
	case !job.Verdict.Runs:
		return fleet.Task{}, fmt.Errorf("it does not run there: %s", job.Verdict.Why)
	}
	if dir := callsDir(job.Command); dir != "" && scripts[string(job.Host)+":"+dir] {
		return fleet.Task{}, fmt.Errorf("it starts the scripts of %s, and each of them is a job of its own", dir)
	}
	task, err := takeover.Task(&job.Job, host)
	if err == nil {
		task.Where.Hosts = []string{hostPattern(job, host)}
		err = task.Validate()
		task.Where = fleet.Where{}
	}
	return task, err
}

var partsCall = regexp.MustCompile(`\brun-parts\b[^;&|}]*?\s(/[^\s;&|})]+)`)

// callsDir returns the directory whose scripts the command starts, or nothing.
func callsDir(command string) string {
	if m := partsCall.FindStringSubmatch(command); m != nil {
		return strings.TrimRight(m[1], "/")
	}
	return ""
}

// masked is what a host writes in the place of a secret.
var masked = regexp.MustCompile(`<redacted(:[0-9a-f]+)?>`)

func anyMasked(env map[string]string) bool {
	for _, value := range env {
		if masked.MatchString(value) {
			return true
		}
	}
	return false
}

// hostPattern names the host in a task file: by its name, or by its id where
// the name would mean more than this host, or nothing.
func hostPattern(job *api.JobView, host *fleet.Host) string {
	if host.Name == "" || strings.ContainsAny(host.Name, `*?[\`) || strings.ContainsFunc(host.Name, visible.Hidden) {
		return string(job.Host)
	}
	return host.Name
}

func originOf(job *api.JobView) origin {
	var extra []string
	if job.Package != "" {
		extra = append(extra, "package "+job.Package)
	}
	if job.ManagedBy != "" {
		extra = append(extra, "managed by "+job.ManagedBy)
	}
	return origin{job.HostName, job.ID, job.Kind, job.Source, job.Line, job.Owner, strings.Join(extra, ", ")}
}

func compareOrigins(a, b origin) int {
	return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Job, b.Job))
}

// commonOwner is the owner that all jobs have, or nothing.
func commonOwner(from []origin) string {
	for _, one := range from {
		if one.Owner != from[0].Owner {
			return ""
		}
	}
	return from[0].Owner
}

// contentKey is equal for tasks that do the same.
func contentKey(task *fleet.Task) string {
	same := *task
	same.Where = fleet.Where{}
	// Encoding a task cannot fail: it holds only strings, numbers and maps of strings.
	text, _ := json.Marshal(same)
	return string(text)
}

func reasonOf(err error) string {
	e, ok := errors.AsType[*fleet.Error](err)
	if !ok || len(e.Fields) == 0 {
		return err.Error()
	}
	reasons := make([]string, len(e.Fields))
	for i, field := range e.Fields {
		reasons[i] = field.String()
	}
	return strings.Join(reasons, "; ")
}

// name gives every task a name of its own: where several would have the same,
// or it is taken, each gets some digits of what it does.
func (e *foundExport) name(given []api.TaskView) {
	wanted := map[fleet.TaskID]int{}
	for i := range e.Tasks {
		wanted[e.Tasks[i].Task.ID()]++
	}
	for i := range given {
		wanted[given[i].Task.ID()]++
	}
	for i := range e.Tasks {
		task := &e.Tasks[i].Task
		if wanted[task.ID()] > 1 || wanted[fleet.NewTaskID(task.Namespace, task.Name)] > 1 {
			sum := sha256.Sum256([]byte(contentKey(task)))
			task.Name = strings.TrimRight(task.Name[:min(len(task.Name), 54)], "-._") + "-" + hex.EncodeToString(sum[:4])
		}
	}
	slices.SortFunc(e.Tasks, func(a, b foundTask) int { return cmp.Compare(a.Task.ID(), b.Task.ID()) })
}
