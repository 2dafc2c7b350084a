package taskfile

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// section is a mapping of the file: its fields in the order they are written.
type section struct {
	name   string // dotted path; empty for the whole document
	fields []field
}

// field is one field of a section: how to read its value into a task.
type field struct {
	name string
	read func(r *reading, path string, n *node)
}

// document is every field there is. Order is the order of Format.
var document = section{fields: []field{
	{"task", texts(func(t *fleet.Task) *string { return &t.Name })},
	{"namespace", texts(func(t *fleet.Task) *string { return &t.Namespace })},
	{"owner", texts(func(t *fleet.Task) *string { return &t.Owner })},
	{"description", texts(func(t *fleet.Task) *string { return &t.Description })},
	{"on", trigger.read},
	{"run", execute.read},
	{"where", where.read},
	{"limits", limits.read},
}}

var trigger = section{"on", []field{
	{"cron", texts(func(t *fleet.Task) *string { return &t.On.Cron })},
	{"every", durations(func(t *fleet.Task) *fleet.Duration { return &t.On.Every })},
	{"anchor", instants(func(t *fleet.Task) **time.Time { return &t.On.Anchor })},
	{"at", instants(func(t *fleet.Task) **time.Time { return &t.On.At })},
	{"event", texts(func(t *fleet.Task) *string { return &t.On.Event })},
	{"file", texts(func(t *fleet.Task) *string { return &t.On.File })},
	{"webhook", truths(func(t *fleet.Task) *bool { return &t.On.Webhook })},
	{"manual", truths(func(t *fleet.Task) *bool { return &t.On.Manual })},
	{"daemon", truths(func(t *fleet.Task) *bool { return &t.On.Daemon })},
	{"timezone", texts(func(t *fleet.Task) *string { return &t.On.Timezone })},
	{"spread", durations(func(t *fleet.Task) *fleet.Duration { return &t.On.Spread })},
	{"deadline", durations(func(t *fleet.Task) *fleet.Duration { return &t.On.Deadline })},
	{"starts", instants(func(t *fleet.Task) **time.Time { return &t.On.Starts })},
	{"ends", instants(func(t *fleet.Task) **time.Time { return &t.On.Ends })},
	{"missed", missed.read},
}}

var missed = section{"on.missed", []field{
	{"policy", texts(func(t *fleet.Task) *fleet.MissedPolicy { return &t.On.Missed.Policy })},
	{"within", durations(func(t *fleet.Task) *fleet.Duration { return &t.On.Missed.Within })},
}}

var execute = section{"run", []field{
	{"command", readCommand},
	{"user", texts(func(t *fleet.Task) *string { return &t.Run.User })},
	{"dir", texts(func(t *fleet.Task) *string { return &t.Run.Dir })},
	{"env", readEnv},
	{"stdin", texts(func(t *fleet.Task) *string { return &t.Run.Stdin })},
}}

var where = section{"where", []field{
	{"labels", texts(func(t *fleet.Task) *string { return &t.Where.Labels })},
	{"hosts", readHosts},
	{"networks", readNetworks},
	{"pick", readPick},
}}

var limits = section{"limits", []field{
	{"timeout", durations(func(t *fleet.Task) *fleet.Duration { return &t.Limits.Timeout })},
	{"grace", durations(func(t *fleet.Task) *fleet.Duration { return &t.Limits.Grace })},
	{"overlap", texts(func(t *fleet.Task) *fleet.Overlap { return &t.Limits.Overlap })},
	{"per_host", wholes(func(t *fleet.Task) *int { return &t.Limits.PerHost })},
	{"fleet", wholes(func(t *fleet.Task) *int { return &t.Limits.Fleet })},
	{"wait", durations(func(t *fleet.Task) *fleet.Duration { return &t.Limits.Wait })},
	{"nice", wholes(func(t *fleet.Task) *int { return &t.Limits.Nice })},
	{"output", readOutput},
}}

// sections is every mapping with a table.
var sections = []section{document, trigger, missed, execute, where, limits}

// later lists fields that the design knows and this version does not: they are
// refused by name, because a task that silently lacks them is not that task.
var later = map[string]bool{
	"retry": true, "breaker": true, "restart": true, "health": true,
	"on.startup": true, "on.after": true,
	"where.prefer":  true,
	"limits.memory": true, "limits.cpu": true,
}

// otherWords maps words that people bring along to the field that is meant.
var otherWords = map[string]string{
	"name": "task", "id": "task", "job": "task", "team": "owner", "note": "description",
	"schedule": "on.cron", "cron_expr": "on.cron", "cron_expression": "on.cron", "expression": "on.cron",
	"kind": "on.daemon", "delay": "on.at", "run_date": "on.at", "date": "on.at",
	"interval": "on.every", "tz": "on.timezone", "time_zone": "on.timezone", "zone": "on.timezone", "jitter": "on.spread",
	"cmd": "run.command", "exec": "run.command", "script": "run.command", "shell": "run.command", "args": "run.command",
	"cwd": "run.dir", "workdir": "run.dir", "working_directory": "run.dir", "directory": "run.dir", "environment": "run.env", "input": "run.stdin",
	"targets": "where.hosts", "host": "where.hosts", "nodes": "where.hosts", "ips": "where.networks", "label": "where.labels", "selector": "where.labels",
	"max_concurrent": "limits.per_host", "concurrency": "limits.overlap",
}
