package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestErrors says for every mistake what a person reads and how fleetctl ends.
func TestErrors(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code int
		want string // all that is on stderr
	}{
		{"no such command", []string{"host"}, 2, "fleetctl: there is no command \"host\"\nhint: did you mean fleetctl hosts or fleetctl loss?\n"},
		{"nothing like it", []string{"frobnicate"}, 2, "fleetctl: there is no command \"frobnicate\"\nhint: fleetctl --help\n"},
		{"no such flag", []string{"hosts", "--colour"}, 2, "fleetctl: unknown flag: --colour\nhint: fleetctl hosts --help\n"},
		{"no such format", []string{"hosts", "-o", "xml"}, 2, "fleetctl: --output \"xml\": want table, wide, json or yaml\n"},
		{"no such colour", []string{"hosts", "--color", "pink"}, 2, "fleetctl: --color \"pink\": want auto, always or never\n"},
		{"no unit", []string{"hosts", "--timeout", "5"}, 2, "fleetctl: --timeout \"5\": want a duration such as 90s or 5m\n"},
		{"no collector", []string{"hosts", "--address", "ftp://x"}, 2, "fleetctl: collector \"ftp://x\": want an address such as https://192.0.2.7:7770\n"},
		{"too many arguments", []string{"whoami", "x"}, 2, "fleetctl: whoami does not take \"x\": fleetctl whoami [flags]\nhint: fleetctl whoami --help\n"},
		{"too few arguments", []string{"run"}, 2, "fleetctl: run wants more: fleetctl run TASK [flags]\nhint: fleetctl run --help\n"},
		{"no limit", []string{"hosts", "--limit", "0"}, 2, "fleetctl: --limit 0: want at least 1\nhint: --all lists everything\n"},
		{"bad expression", []string{"next", "61 * * * *"}, 2, "fleetctl: cron expression \"61 * * * *\": minute \"61\" at column 1: out of range: minute goes from 0 to 59\nhint: five fields: minute hour day-of-month month day-of-week, such as \"30 2 * * *\"\n"},
		{"bad zone", []string{"next", "* * * * *", "--tz", "Mars/Base"}, 2, "fleetctl: --tz \"Mars/Base\": timezone \"Mars/Base\" is not known: write an IANA name like Europe/Berlin or UTC\nhint: name a zone as in Europe/Berlin or UTC\n"},
		{"bad from", []string{"next", "* * * * *", "--from", "yesterday"}, 2, "fleetctl: --from \"yesterday\": want an instant such as 2026-12-01T02:00:00Z or \"2026-12-01 02:00\"\n"},
		{"bad count", []string{"next", "* * * * *", "-n", "0"}, 2, "fleetctl: -n 0: want 1 to 10000\n"},
		{"long window", []string{"when", "--from", "2026-12-01", "--to", "2026-12-03"}, 2, "fleetctl: the window has 48h; at most 24h can be asked for at once\n"},
		{"backward window", []string{"when", "--from", "2026-12-02", "--to", "2026-12-01"}, 2, "fleetctl: --to \"2026-12-01\" is not after --from\n"},
		{"unknown host", []string{"jobs", "--host", "nowhere"}, 3, "fleetctl: there is no host \"nowhere\"\nhint: fleetctl hosts\n"},
		{"unknown task", []string{"run", "nothing"}, 3, "fleetctl: there is no task default/nothing\nhint: fleetctl tasks\n"},
		{"no task name", []string{"run", "No Task"}, 2, "fleetctl: task \"No Task\": want name or namespace/name, each 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit\n"},
		{"unknown run", []string{"logs", "01890000-0000-7000-8000-00000000ffff"}, 3, "fleetctl: there is no run 01890000-0000-7000-8000-00000000ffff\nhint: fleetctl runs\n"},
		{"tail of nothing", []string{"logs", "everywhere", "--tail", "a lot"}, 2, "fleetctl: --tail \"a lot\": want a size up to 1GiB, such as 64KiB\n"},
		{"never ran", []string{"logs", "everywhere"}, 3, "fleetctl: task default/everywhere has not run yet\nhint: fleetctl runs --task default/everywhere\n"},
		{"bad state", []string{"runs", "--state", "done"}, 2, "fleetctl: --state \"done\": want pending, begun, running, ran, skipped, missed or unknown\n"},
		{"bad since", []string{"runs", "--since", "lately"}, 2, "fleetctl: --since \"lately\": want how long ago, such as 24h or 7d, or an instant such as 2026-12-01T02:00:00Z\n"},
		{"a proof of a day", []string{"account", "--prove", "--since", "24h"}, 2, "fleetctl: --prove looks at everything that is on record: it takes no --since and no --until\n"},
		{"silent host", []string{"run", "everywhere", "--all"}, 5, "fleetctl: host web-東京 is silent\nhint: --queue lets it run when it is back\n"},
		{"ended run", []string{"cancel", "01890000-0000-7000-8000-000000000001"}, 5, "fleetctl: run 01890000-0000-7000-8000-000000000001 has ended: ran\n"},
		{"assign nothing", []string{"assign", "heartbeat"}, 2, "fleetctl: --to is missing: where shall default/heartbeat run?\nhint: --to role=db, --to host=db-3, --to net=10.0.0.0/8 or --to all\n"},
		{"assign without dashes", []string{"assign", "x", "/bin/true"}, 2, "fleetctl: assign wants one task, and the command after --\nhint: fleetctl assign x … -- /bin/true\n"},
		{"assign what is not there", []string{"assign", "absent", "--to", "host=db-1"}, 3, "fleetctl: there is no task default/absent\nhint: a new task needs its command: fleetctl assign default/absent --cron … --to … -- /path/to/command\n"},
		{"assign a flag without a command", []string{"assign", "heartbeat", "--to", "host=db-1", "--every", "5m"}, 2, "fleetctl: --every belongs to a new task, which needs its command after --\nhint: fleetctl assign heartbeat … -- /path/to/command; or edit the task's file and fleetctl apply it\n"},
		{"assign over another", []string{"assign", "heartbeat", "--manual", "--to", "all", "--", "/bin/true"}, 5, "fleetctl: task default/heartbeat exists and differs\nhint: --replace replaces it; fleetctl tasks default/heartbeat shows it\n"},
		{"assign by other means", []string{"assign", "heartbeat", "--to", "role=web"}, 5, "fleetctl: the task runs where host=db-1 matches; role=web cannot be added to that, because all parts must match\nhint: to name them one by one: fleetctl assign default/heartbeat --replace --to host=db-1,web-東京\n"},
		{"assign to strangers", []string{"assign", "heartbeat", "--to", "role=none"}, 5, "fleetctl: the task runs where host=db-1 matches; role=none cannot be added to that, because all parts must match\nhint: give it a second task, name all hosts with --replace --to …, or change the hosts' labels\n"},
		{"assign nowhere", []string{"assign", "x", "--manual", "--to", "role=none", "--", "/bin/true"}, 2, "fleetctl: task default/x matches no host: role=none\nhint: fleetctl hosts --label \"role=none\"; --allow-unmatched accepts it\n"},
		{"assign to nobody", []string{"assign", "x", "--manual", "--", "/bin/true"}, 2, "fleetctl: --to: names no host; want labels, host=NAME, net=RANGE or all\nhint: fleetctl assign --help\n"},
		{"assign to nonsense", []string{"assign", "x", "--manual", "--to", "ROLE=db", "--", "/bin/true"}, 2, "fleetctl: --to \"ROLE=db\": want labels such as role=db,env!=dev, host=NAME, net=RANGE or all\n"},
		{"assign to an unknown host", []string{"assign", "x", "--manual", "--to", "host=db-1,db-77", "--", "/bin/true"}, 3, "fleetctl: there is no host \"db-77\"\nhint: fleetctl hosts --host db-77; --allow-unmatched accepts a host that is to come\n"},
		{"assign to no range", []string{"assign", "x", "--manual", "--to", "net=10.0.0", "--", "/bin/true"}, 2, "fleetctl: --to \"net=10.0.0\": \"10.0.0\" is no address range such as 10.0.0.0/8\n"},
		{"assign a relative command", []string{"assign", "x", "--manual", "--to", "all", "--", "true"}, 2, "fleetctl: the command after -- \"true\": want an absolute path to the program; a string instead of a list goes to the shell\nhint: fleetctl assign --help\n"},
		{"assign without a trigger", []string{"assign", "x", "--to", "all", "--", "/bin/true"}, 2, "fleetctl: --cron, --every, --at, --in, --startup, --manual or --daemon: want exactly one of cron, every, at, event, file, webhook, startup, manual, daemon\nhint: fleetctl assign --help\n"},
		{"assign wrong in two ways", []string{"assign", "x", "--manual", "--to", "all", "--user", "A B", "--overlap", "maybe", "--", "/bin/true"}, 2, "fleetctl: 2 problems\n  --user \"A B\": want a user name\n  --overlap \"maybe\": want skip, queue, replace or allow\nhint: fleetctl assign --help\n"},
		{"unassign without saying what", []string{"unassign", "heartbeat"}, 2, "fleetctl: unassign wants --from hosts, or --all\nhint: fleetctl unassign heartbeat --from host=db-3; --all deletes the task\n"},
		{"unassign the last", []string{"unassign", "heartbeat", "--from", "host=db-1"}, 5, "fleetctl: no host would be left for task default/heartbeat\nhint: fleetctl unassign default/heartbeat --all deletes it; fleetctl pause default/heartbeat stops it for a while\n"},
		{"unassign what is not listed", []string{"unassign", "heartbeat", "--from", "host=db-9"}, 5, "fleetctl: the task does not list the host db-9: it runs where host=db-1 matches\nhint: take hosts away by a label they have: --from role=db\n"},
		{"stop without all", []string{"unassign", "heartbeat", "--from", "host=db-1", "--stop"}, 2, "fleetctl: --stop belongs to --all\nhint: fleetctl cancel RUN stops one run\n"},
		{"apply nothing", []string{"apply"}, 2, "fleetctl: apply wants -f and a file\nhint: fleetctl apply -f tasks/\n"},
		{"apply what is not there", []string{"apply", "-f", "none.yaml"}, 2, "fleetctl: stat none.yaml: no such file or directory\n"},
		{"prune everything", []string{"apply", "-f", "-", "--prune"}, 2, "fleetctl: --prune wants --namespace: it deletes what the files do not name there\n"},
		{"namespace without prune", []string{"apply", "-f", "-", "--namespace", "x"}, 2, "fleetctl: --namespace belongs to --prune; a task's file names its own\n"},
		{"no job", []string{"jobs", "db-1"}, 2, "fleetctl: \"db-1\": want HOST:JOB\nhint: fleetctl jobs --host db-1 -o wide lists the jobs of a host with their ids\n"},
		{"half a job", []string{"jobs", "db-1:"}, 2, "fleetctl: \"db-1:\": want HOST:JOB, with the id of the job or where it stands\nhint: fleetctl jobs --host db-1 -o wide lists the jobs of a host with their ids\n"},
		{"unknown job", []string{"jobs", "db-1:77"}, 3, "fleetctl: there is no job \"77\" on db-1\nhint: fleetctl jobs --host db-1 -o wide; fleetctl history db-1 if it was there once\n"},
		{"job of an unknown host", []string{"jobs", "nowhere:77"}, 3, "fleetctl: there is no host \"nowhere\"\nhint: fleetctl hosts\n"},
		{"two jobs", []string{"jobs", "twins:55"}, 2, "fleetctl: \"55\" names 2 jobs of twins: 5500000000000001 (/opt/a), 5500000000000002 (/opt/b)\nhint: write more of the id\n"},
		{"one job and a filter", []string{"jobs", "db-1:11", "--user", "root"}, 2, "fleetctl: --user chooses among many jobs; db-1:11 is one\n"},
		{"jobs of tomorrow", []string{"jobs", "--at", "2026-03-28"}, 2, "fleetctl: --at \"2026-03-28\" lies in the future\nhint: fleetctl when --from … --to … foretells; --at 24h is a day ago\n"},
		{"jobs of no time", []string{"jobs", "--at", "noon"}, 2, "fleetctl: --at \"noon\": want how long ago, such as 24h or 7d, or an instant such as 2026-12-01T02:00:00Z\n"},
		{"changes to come", []string{"jobs", "--changed-since", "2027-01-01"}, 2, "fleetctl: --changed-since \"2027-01-01\" lies in the future\nhint: fleetctl when --from … --to … foretells; --changed-since 24h is a day ago\n"},
		{"overdue long ago", []string{"jobs", "--overdue", "--at", "24h"}, 2, "fleetctl: --overdue is about now; it goes neither with --at nor with --changed-since\n"},
		{"no such verdict", []string{"jobs", "--verdict", "bad"}, 2, "fleetctl: --verdict \"bad\": want runs, broken, file_mode, file_owner, file_links, file_name, file_refused, no_newline, denied, unknown_user, locked_user, missing_command, not_executable, masked, disabled, inactive, no_scheduler, scheduler_down, never, unreadable, other\n"},
		{"two verdicts", []string{"jobs", "--verdict", "runs", "--broken"}, 2, "fleetctl: --broken and --verdict runs leave nothing\n"},
		{"term like a flag", []string{"find", "backup", "-user:root"}, 2, "fleetctl: unknown shorthand flag: 'u' in -user:root\nhint: what begins with - follows --, or stands in quotes with the rest: fleetctl find 'backup -user:root'\n"},
		{"history of a stranger", []string{"history", "nowhere"}, 3, "fleetctl: there is no host \"nowhere\"\nhint: fleetctl hosts\n"},
		{"history of no job", []string{"history", "db-1:0000000000000000"}, 3, "fleetctl: there is no job \"0000000000000000\" on db-1\nhint: fleetctl jobs --host db-1 -o wide; fleetctl history db-1 if it was there once\n"},
		{"history of two hosts", []string{"history", "db-1", "--host", "web-1"}, 2, "fleetctl: --host web-1 and db-1 both name where\n"},
		{"no such change", []string{"history", "--what", "edited"}, 2, "fleetctl: --what \"edited\": want appeared, vanished, moved, schedule, timezone, command, user, environment, enabled, verdict\n"},
		{"history backwards", []string{"history", "--since", "1h", "--until", "2h"}, 2, "fleetctl: --until \"2h\" is not after --since\n"},
		{"two views", []string{"when", "--density", "--spread"}, 2, "fleetctl: --density and --spread do not go together\nhint: fleetctl when --density\n"},
		{"density of a task", []string{"when", "--density", "--task", "x"}, 2, "fleetctl: --task belongs to a plain fleetctl when\nhint: fleetctl when --help\n"},
		{"least of a plain when", []string{"when", "--least", "3"}, 2, "fleetctl: --least belongs to --collisions\nhint: fleetctl when --help\n"},
		{"one start collides", []string{"when", "--collisions", "--least", "1"}, 2, "fleetctl: --least 1: one start collides with nothing; want at least 2\n"},
		{"density elsewhere", []string{"when", "--density", "--tz", "Mars"}, 2, "fleetctl: --tz \"Mars\": timezone \"Mars\" is not known: write an IANA name like Europe/Berlin or UTC\nhint: name a zone as in Europe/Berlin or UTC\n"},
		{"when of a stranger", []string{"when", "--host", "nowhere"}, 3, "fleetctl: there is no host \"nowhere\"\nhint: fleetctl hosts\n"},
		{"no such severity", []string{"findings", "--fail-on", "high"}, 2, "fleetctl: --fail-on \"high\": want notice, warning or critical\n"},
		{"no such acks", []string{"findings", "--acked=some"}, 2, "fleetctl: --acked=some: want only or all\n"},
		{"acks apart", []string{"findings", "--acked", "all"}, 2, "fleetctl: --acked all: the value follows a =\nhint: fleetctl findings --acked=all\n"},
		{"findings of a mistake", []string{"findings", "shwo"}, 2, "fleetctl: findings does not take \"shwo\"; there are findings ack, show, unack\nhint: fleetctl findings --help\n"},
		{"unknown finding", []string{"findings", "show", "0123"}, 3, "fleetctl: there is no finding \"0123\"\nhint: fleetctl findings --acked=all\n"},
		{"two findings", []string{"findings", "show", "1f0c"}, 2, "fleetctl: \"1f0c\" names 2 findings: 1f0c000000000001, 1f0c000000000002\nhint: write more of the id\n"},
		{"ack without a reason", []string{"findings", "ack", "1f0c000000000002"}, 2, "fleetctl: --reason is missing: why may it stand?\nhint: --reason \"moves with the new host\" --for 30d\n"},
		{"ack with a blank reason", []string{"findings", "ack", "1f0c000000000002", "--reason", "  "}, 2, "fleetctl: --reason is missing: why may it stand?\nhint: --reason \"moves with the new host\" --for 30d\n"},
		{"ack until yesterday", []string{"findings", "ack", "1f0c000000000002", "--reason", "x", "--until", "2026-03-26"}, 2, "fleetctl: --until \"2026-03-26\" has passed\n"},
		{"ack for and until", []string{"findings", "ack", "1f0c000000000002", "--reason", "x", "--until", "2027-03-26", "--for", "3d"}, 2, "fleetctl: --for and --until both say how long; give one of them\n"},
		{"ack for no time", []string{"findings", "ack", "1f0c000000000002", "--reason", "x", "--for", "long"}, 2, "fleetctl: invalid argument \"long\" for \"--for\" flag: want a duration such as 90s, 5m, 1h30m or 2d\nhint: fleetctl findings ack --help\n"},
		{"unack what is open", []string{"findings", "unack", "1f0c000000000002"}, 5, "fleetctl: finding 1f0c000000000002 is not acknowledged\nhint: fleetctl findings --acked\n"},
		{"pin nobody", []string{"pin", "web"}, 2, "fleetctl: --labels is missing: which hosts are pinned?\nhint: fleetctl pin web --labels role=web; --labels \"*\" is every host\n"},
		{"pin by nonsense", []string{"pin", "web", "--labels", "ROLE=web"}, 2, "fleetctl: --labels \"ROLE=web\": want labels such as role=web,env!=dev, or *\n"},
		{"pin without a name", []string{"pin", "The Web", "--labels", "role=web"}, 2, "fleetctl: pin \"The Web\": want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit\n"},
		{"pin no host", []string{"pin", "web", "--labels", "role=none"}, 2, "fleetctl: no host has the labels role=none\nhint: fleetctl hosts shows their labels\n"},
		{"unpin what is not there", []string{"unpin", "web"}, 3, "fleetctl: there is no pin \"web\"\nhint: fleetctl pins\n"},
		{"annotate nothing", []string{"annotate", "db-1:11"}, 2, "fleetctl: --owner or --note is missing: what is there to say?\nhint: fleetctl annotate db-1:11 --owner team-data --note \"…\"; --clear takes it back\n"},
		{"annotate and clear", []string{"annotate", "db-1:11", "--owner", "x", "--clear"}, 2, "fleetctl: --clear takes owner and note away; it stands alone\n"},
		{"annotate a word", []string{"annotate", "backup", "--owner", "x"}, 2, "fleetctl: \"backup\": want HOST:JOB, or the 16 digits of a fingerprint\nhint: fleetctl jobs --group -o wide lists fingerprints\n"},
		{"annotate an unknown command", []string{"annotate", "0000000000000000", "--owner", "x"}, 3, "fleetctl: no job has the fingerprint 0000000000000000\nhint: fleetctl jobs --group -o wide lists fingerprints\n"},
		{"loss of a stranger", []string{"loss", "nowhere"}, 3, "fleetctl: there is no host \"nowhere\"\nhint: fleetctl hosts\n"},
		{"export a host's tasks", []string{"export", "--host", "db-1"}, 2, "fleetctl: --host belongs to --found\nhint: fleetctl export --found --host …; fleetctl tasks --host … lists what is given\n"},
		{"export a found task", []string{"export", "--found", "heartbeat"}, 2, "fleetctl: --found exports jobs; \"heartbeat\" names a task\nhint: fleetctl export --found --host db-1\n"},
		{"export into no namespace", []string{"export", "--found", "--namespace", "No"}, 2, "fleetctl: --namespace \"No\": want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit\n"},
		{"stop what ends", []string{"stop", "heartbeat"}, 2, "fleetctl: task \"default/heartbeat\": is not kept up, so there is nothing to stop\nhint: fleetctl run default/heartbeat\n"},
		{"start nothing", []string{"start", "none"}, 3, "fleetctl: there is no task default/none\nhint: fleetctl tasks\n"},
		{"status of a stranger", []string{"status", "nowhere"}, 3, "fleetctl: there is no host and no task \"nowhere\"\nhint: fleetctl hosts; fleetctl tasks\n"},
		{"status of no task", []string{"status", "web/none"}, 3, "fleetctl: there is no task web/none\nhint: fleetctl tasks\n"},
		{"calendar of a mistake", []string{"calendar", "list"}, 2, "fleetctl: calendar does not take \"list\"; there are calendar drop, put, show\nhint: fleetctl calendar --help\n"},
		{"calendar without a file", []string{"calendar", "put", "x"}, 2, "fleetctl: -f is missing: which file says when x has windows?\nhint: fleetctl calendar put x -f FILE\n"},
		{"calendar without a name", []string{"calendar", "put", "The X", "-f", "-"}, 2, "fleetctl: calendar \"The X\": want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit\n"},
		{"calendar of nothing", []string{"calendar", "put", "x", "-f", "/no/such"}, 2, "fleetctl: open /no/such: no such file or directory\n"},
		{"calendar of a task", []string{"calendar", "put", "x", "-f", "-"}, 2, "fleetctl: 4 problems\n  line 1, column 1: task \"task\": is not known: want calendar, description, timezone, windows\n  line 2, column 1: on \"on\": is not known: want calendar, description, timezone, windows\n  line 3, column 1: run \"run\": is not known: want calendar, description, timezone, windows\n  line 4, column 1: where \"where\": is not known: want calendar, description, timezone, windows\n"},
		{"no calendar", []string{"calendar", "show", "none"}, 3, "fleetctl: there is no calendar \"none\"\nhint: fleetctl calendars\n"},
		{"retry once", []string{"assign", "x", "--manual", "--retry", "1", "--to", "all", "--", "/bin/true"}, 2, "fleetctl: --retry \"1\": want 2–100, the first one included\nhint: fleetctl assign --help\n"},
		{"restart a schedule", []string{"assign", "x", "--manual", "--restart", "always", "--to", "all", "--", "/bin/true"}, 2, "fleetctl: --restart \"always\": belongs to daemon and startup only; retry is for what runs to its end\nhint: fleetctl assign --help\n"},
		{"startup of nothing", []string{"assign", "x", "--startup", "login", "--to", "all", "--", "/bin/true"}, 2, "fleetctl: --startup \"login\": want boot or agent\nhint: fleetctl assign --help\n"},
		{"no memory", []string{"assign", "x", "--manual", "--memory", "lots", "--to", "all", "--", "/bin/true"}, 2, "fleetctl: --memory \"lots\": want a size such as 512MiB or 2GB\n"},
		{"nobody there", []string{"hosts", "--address", "https://127.0.0.1:1", "--timeout", "1s"}, 6, "fleetctl: the collector does not answer: collector https://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused\nhint: is it running? --address, FLEETCRON_ADDRESS or the config file name another\n"},
	}
	s := newSession(t)
	s.populate()
	s.fake.addHost("twins", fleet.Alive, nil, "10.0.3.1", "Alpine",
		fleet.Job{ID: "5500000000000001", Command: "/opt/a", Source: "/etc/crontabs/root", Line: 1}, fleet.Job{ID: "5500000000000002", Command: "/opt/b", Source: "/etc/crontabs/root", Line: 2})
	s.must("assign", "everywhere", "--manual", "--to", "all", "--", "/bin/true")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.t, s.stdin = t, "task: t\non: {manual: true}\nrun: {command: [/bin/true]}\nwhere: {labels: '*'}\n"
			before := s.fake.writes
			stdout, stderr, code := s.run(test.args...)
			if stderr != test.want || code != test.code {
				t.Errorf("exit %d, stderr:\n%s\nwant exit %d and:\n%s", code, stderr, test.code, test.want)
			}
			if stdout != "" {
				t.Errorf("an error has no answer, got:\n%s", stdout)
			}
			if test.code == 2 && s.fake.writes != before {
				t.Error("something was written all the same")
			}
		})
	}
}

func TestNoLeader(t *testing.T) {
	s := newSession(t)
	s.populate()
	s.fake.noLeader = true
	_, stderr, code := s.run("pause", "heartbeat")
	if want := "fleetctl: no leader (0 of 1 collectors unreachable)\nhint: fleetctl collectors\n"; stderr != want || code != 6 {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	stdout, stderr, code := s.run("collectors")
	if code != 0 || !strings.Contains(stdout, "c1") || !strings.Contains(stderr, "nobody leads") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}

func TestAFullDiskIsNoSuccess(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full here")
	}
	defer full.Close()
	var stderr strings.Builder
	p := &program{stdout: full, stderr: &stderr, getenv: func(string) string { return "" }}
	if code := p.run(t.Context(), []string{"version"}); code != 1 || !strings.Contains(stderr.String(), "write the answer") {
		t.Errorf("exit %d: %s", code, &stderr)
	}
}

func TestSettingsPrecedence(t *testing.T) {
	s := newSession(t)
	config := filepath.Join(s.env["HOME"], ".config", "fleetcron", "config.yaml")
	if err := os.MkdirAll(filepath.Dir(config), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("output: yaml\naddress:\n  - https://127.0.0.1:1\n  - " + s.address + "\n")
	if got := s.must("version"); !strings.HasPrefix(got, "version: ") {
		t.Errorf("the file is not read: %s", got)
	}
	delete(s.env, "FLEETCRON_ADDRESS")
	if got := s.must("hosts", "-o", "table"); !strings.Contains(got, "db-1") {
		t.Errorf("the addresses of the file are not used: %s", got)
	}
	s.env["FLEETCRON_OUTPUT"] = "json"
	if got := s.must("version"); !strings.HasPrefix(got, "{") {
		t.Errorf("the environment does not win over the file: %s", got)
	}
	if got := s.must("version", "-o", "table"); !strings.HasPrefix(got, "fleetctl dev") {
		t.Errorf("the flag does not win over the environment: %s", got)
	}
	delete(s.env, "FLEETCRON_OUTPUT")
	s.env["XDG_CONFIG_HOME"] = t.TempDir()
	if got := s.must("version"); !strings.HasPrefix(got, "fleetctl dev") {
		t.Errorf("XDG_CONFIG_HOME is not respected: %s", got)
	}
	s.env["FLEETCRON_CONFIG"] = config
	if got := s.must("version"); !strings.HasPrefix(got, "version: ") {
		t.Errorf("FLEETCRON_CONFIG is not respected: %s", got)
	}

	for _, test := range []struct{ name, text, want string }{
		{"unknown key", "output: json\naddres: x\n", "line 2, column 1: addres: is no known key"},
		{"twice", "output: json\noutput: json\n", "line 2, column 1: configuration: mapping key \"output\" already defined"},
		{"type", "timeout: 5\n", "line 1, column 10: timeout \"5\": want a duration such as 90s or 5m"},
		{"value", "output: xml\n", "line 1, column 9: output \"xml\": want table, wide, json or yaml"},
		{"list", "[output]\n", "cannot unmarshal"},
		{"no collector", "address: []\n", "address: names no collector"},
		{"no time", "timeout: 0s\n", "timeout \"0s\": want a duration such as 5s or 1m"},
		{"a token in the open", "token: fct1_x\n", "token: is no known key"},
		{"syntax", "output: [\n", "did not find"},
		{"two wrong", "a: b\nc: d\n", "2 problems"},
	} {
		write(test.text)
		_, stderr, code := s.run("hosts")
		if code != 2 || !strings.Contains(stderr, test.want) || strings.Contains(test.want, "line") && !strings.Contains(stderr, config) {
			t.Errorf("%s: exit %d, %s", test.name, code, stderr)
		}
	}
	s.env["FLEETCRON_CONFIG"] = config + ".none"
	if _, stderr, code := s.run("hosts"); code != 2 || !strings.Contains(stderr, ".none") {
		t.Errorf("a named file that is missing: exit %d, %s", code, stderr)
	}
	if stdout, _, code := s.run("completion", "bash"); code != 0 || !strings.Contains(stdout, "fleetctl") {
		t.Errorf("completion needs no settings: exit %d", code)
	}
}
