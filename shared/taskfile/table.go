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
	{"params", readParams},
	{"on", trigger.read},
	{"run", execute.read},
	{"where", where.read},
	{"limits", limits.read},
	{"wait_for", waitFor.read},
	{"retry", retry.read},
	{"breaker", breaker.read},
	{"restart", restart.read},
	{"health", health.read},
	{"needs", names(func(t *fleet.Task) *[]string { return &t.Needs }, "[postgres, redis]")},
}}

var trigger = section{"on", []field{
	{"cron", texts(func(t *fleet.Task) *string { return &t.On.Cron })},
	{"every", durations(func(t *fleet.Task) *fleet.Duration { return &t.On.Every })},
	{"anchor", instants(func(t *fleet.Task) **time.Time { return &t.On.Anchor })},
	{"at", instants(func(t *fleet.Task) **time.Time { return &t.On.At })},
	{"event", texts(func(t *fleet.Task) *string { return &t.On.Event })},
	{"file", texts(func(t *fleet.Task) *string { return &t.On.File })},
	{"webhook", truths(func(t *fleet.Task) *bool { return &t.On.Webhook })},
	{"startup", readStartup},
	{"manual", truths(func(t *fleet.Task) *bool { return &t.On.Manual })},
	{"daemon", truths(func(t *fleet.Task) *bool { return &t.On.Daemon })},
	{"timezone", texts(func(t *fleet.Task) *string { return &t.On.Timezone })},
	{"spread", durations(func(t *fleet.Task) *fleet.Duration { return &t.On.Spread })},
	{"deadline", durations(func(t *fleet.Task) *fleet.Duration { return &t.On.Deadline })},
	{"starts", instants(func(t *fleet.Task) **time.Time { return &t.On.Starts })},
	{"ends", instants(func(t *fleet.Task) **time.Time { return &t.On.Ends })},
	{"missed", missed.read},
	{"merge", durations(func(t *fleet.Task) *fleet.Duration { return &t.On.Merge })},
	{"after_end", truths(func(t *fleet.Task) *bool { return &t.On.AfterEnd })},
	{"blackout", names(func(t *fleet.Task) *[]string { return &t.On.Blackout }, "[year-end]")},
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
	{"shell", texts(func(t *fleet.Task) *fleet.Shell { return &t.Run.Shell })},
	{"group", texts(func(t *fleet.Task) *string { return &t.Run.Group })},
	{"groups", names(func(t *fleet.Task) *[]string { return &t.Run.Groups }, "[adm, backup]")},
	{"login", truths(func(t *fleet.Task) *bool { return &t.Run.Login })},
	{"umask", texts(func(t *fleet.Task) *string { return &t.Run.Umask })},
	{"no_new_privs", truths(func(t *fleet.Task) *bool { return &t.Run.NoNewPrivs })},
	{"private_tmp", truths(func(t *fleet.Task) *bool { return &t.Run.PrivateTmp })},
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
	{"output", sizes(func(t *fleet.Task) *fleet.Bytes { return &t.Limits.Output })},
	{"stall", durations(func(t *fleet.Task) *fleet.Duration { return &t.Limits.Stall })},
	{"keep", keep.read},
	{"memory", sizes(func(t *fleet.Task) *fleet.Bytes { return &t.Limits.Memory })},
	{"cpu", numbers(func(t *fleet.Task) *float64 { return &t.Limits.CPU })},
	{"processes", wholes(func(t *fleet.Task) *int { return &t.Limits.Processes })},
	{"io_weight", wholes(func(t *fleet.Task) *int { return &t.Limits.IOWeight })},
	{"ionice", texts(func(t *fleet.Task) *string { return &t.Limits.IONice })},
	{"rlimits", readRlimits},
}}

var keep = section{"limits.keep", []field{
	{"runs", wholes(func(t *fleet.Task) *int { return &t.Limits.Keep.Runs })},
	{"age", durations(func(t *fleet.Task) *fleet.Duration { return &t.Limits.Keep.Age })},
	{"size", sizes(func(t *fleet.Task) *fleet.Bytes { return &t.Limits.Keep.Size })},
}}

var waitFor = section{"wait_for", []field{
	{"tcp", names(func(t *fleet.Task) *[]string { return &t.WaitFor.TCP }, "[db-1:5432]")},
	{"http", names(func(t *fleet.Task) *[]string { return &t.WaitFor.HTTP }, "[http://127.0.0.1:8080/ready]")},
	{"file", names(func(t *fleet.Task) *[]string { return &t.WaitFor.File }, "[/run/db.ready]")},
	{"unit", names(func(t *fleet.Task) *[]string { return &t.WaitFor.Unit }, "[postgresql.service]")},
	{"command", names(func(t *fleet.Task) *[]string { return &t.WaitFor.Command }, "[/usr/bin/pg_isready, --quiet]")},
	{"every", durations(func(t *fleet.Task) *fleet.Duration { return &t.WaitFor.Every })},
	{"timeout", durations(func(t *fleet.Task) *fleet.Duration { return &t.WaitFor.Timeout })},
}}

var retry = section{"retry", []field{
	{"attempts", wholes(func(t *fleet.Task) *int { return &t.Retry.Attempts })},
	{"base", durations(func(t *fleet.Task) *fleet.Duration { return &t.Retry.Base })},
	{"factor", numbers(func(t *fleet.Task) *float64 { return &t.Retry.Factor })},
	{"cap", durations(func(t *fleet.Task) *fleet.Duration { return &t.Retry.Cap })},
	{"jitter", numbers(func(t *fleet.Task) *float64 { return &t.Retry.Jitter })},
	{"budget", durations(func(t *fleet.Task) *fleet.Duration { return &t.Retry.Budget })},
	{"on", readRetryOn},
}}

var breaker = section{"breaker", []field{
	{"failures", wholes(func(t *fleet.Task) *int { return &t.Breaker.Failures })},
	{"rate", numbers(func(t *fleet.Task) *float64 { return &t.Breaker.Rate })},
	{"window", durations(func(t *fleet.Task) *fleet.Duration { return &t.Breaker.Window })},
	{"open", durations(func(t *fleet.Task) *fleet.Duration { return &t.Breaker.Open })},
	{"key", texts(func(t *fleet.Task) *string { return &t.Breaker.Key })},
}}

var restart = section{"restart", []field{
	{"policy", texts(func(t *fleet.Task) *fleet.RestartPolicy { return &t.Restart.Policy })},
	{"base", durations(func(t *fleet.Task) *fleet.Duration { return &t.Restart.Base })},
	{"cap", durations(func(t *fleet.Task) *fleet.Duration { return &t.Restart.Cap })},
	{"reset", durations(func(t *fleet.Task) *fleet.Duration { return &t.Restart.Reset })},
	{"give_up", readGiveUp},
	{"when", excess.read},
}}

var excess = section{"restart.when", []field{
	{"memory", sizes(func(t *fleet.Task) *fleet.Bytes { return &t.Restart.When.Memory })},
	{"cpu", numbers(func(t *fleet.Task) *float64 { return &t.Restart.When.CPU })},
	{"files", wholes(func(t *fleet.Task) *int { return &t.Restart.When.Files })},
	{"for", durations(func(t *fleet.Task) *fleet.Duration { return &t.Restart.When.For })},
}}

var health = section{"health", []field{
	{"exec", names(func(t *fleet.Task) *[]string { return &t.Health.Exec }, "[/usr/bin/pg_isready]")},
	{"http", texts(func(t *fleet.Task) *string { return &t.Health.HTTP })},
	{"tcp", texts(func(t *fleet.Task) *string { return &t.Health.TCP })},
	{"every", durations(func(t *fleet.Task) *fleet.Duration { return &t.Health.Every })},
	{"timeout", durations(func(t *fleet.Task) *fleet.Duration { return &t.Health.Timeout })},
	{"fail", wholes(func(t *fleet.Task) *int { return &t.Health.Fail })},
	{"start", durations(func(t *fleet.Task) *fleet.Duration { return &t.Health.Start })},
}}

// sections is every mapping with a table.
var sections = []section{document, trigger, missed, execute, where, limits, keep, waitFor, retry, breaker, restart, excess, health}

// later lists fields that the design knows and this version does not: they are
// refused by name, because a task that silently lacks them is not that task.
var later = map[string]bool{
	"on.after":     true,
	"where.prefer": true,
}

// otherWords maps words that people bring along to the field that is meant.
var otherWords = map[string]string{
	"name": "task", "id": "task", "job": "task", "team": "owner", "note": "description",
	"schedule": "on.cron", "cron_expr": "on.cron", "cron_expression": "on.cron", "expression": "on.cron",
	"kind": "on.daemon", "delay": "on.at", "run_date": "on.at", "date": "on.at",
	"interval": "on.every", "tz": "on.timezone", "time_zone": "on.timezone", "zone": "on.timezone", "jitter": "on.spread",
	"cmd": "run.command", "exec": "run.command", "script": "run.command", "args": "run.command",
	"cwd": "run.dir", "workdir": "run.dir", "working_directory": "run.dir", "directory": "run.dir", "environment": "run.env", "input": "run.stdin",
	"targets": "where.hosts", "host": "where.hosts", "nodes": "where.hosts", "ips": "where.networks", "label": "where.labels", "selector": "where.labels",
	"retries": "retry.attempts", "backoff": "retry.base", "max_retries": "retry.attempts", "ulimits": "limits.rlimits", "pids": "limits.processes",
	"depends_on": "needs", "requires": "needs", "healthcheck": "health", "wait": "wait_for", "boot": "on.startup", "reboot": "on.startup",
	"debounce": "on.merge", "coalesce": "on.merge", "calendar": "on.blackout", "except": "on.blackout", "niceness": "limits.nice", "ulimit": "limits.rlimits",
	"max_concurrent": "limits.per_host", "concurrency": "limits.overlap",
}
