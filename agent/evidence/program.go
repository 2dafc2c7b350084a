package evidence

import (
	"bytes"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// event is what one line says about one job.
type event struct {
	what   act
	kind   fleet.JobKind // what text names: a command, an anacron job, a program of run-parts, a unit
	at     time.Time
	user   string // of a command
	text   []byte
	cut    bool   // text may go on where the log has cut it
	pid    int    // of who logged
	child  int    // of the command, where it is told beside pid
	result string // how it ended, where that is told
	weak   bool   // it counts where nothing better is known
	from   string // the witness
}

// act is what a job did.
type act uint8

// What a line tells of a job.
const (
	started act = iota + 1
	ended
	failed // and how; its end may still be told
)

// programs is who logs what jobs do, by the last part of the tag.
var programs = []struct {
	tag  string
	read func(e *entry) (event, bool)
}{
	{"CRON", vixie},         // Debian's children
	{"CROND", vixie},        // cronie's
	{"cron", vixie},         // SUSE, and older ones
	{"crond", crond},        // older cronies, busybox
	{"anacron", anacron},    // Debian's and cronie's
	{"run-parts", runParts}, // RHEL's script, which knows each program's end
}

// understand finds what a line says about a job.
func understand(e *entry) (event, bool) {
	tag := e.tag
	if i := bytes.IndexByte(tag, '('); i > 0 { // run-parts(/etc/cron.daily)
		tag = tag[:i]
	} else if i := bytes.LastIndexByte(tag, '/'); i >= 0 { // /usr/sbin/cron
		tag = tag[i+1:]
	}
	for i := range programs {
		if string(tag) == programs[i].tag {
			return programs[i].read(e)
		}
	}
	return event{}, false
}

// vixieActs are the words of Debian's cron and cronie.
var vixieActs = map[string]act{"CMD": started, "END": ended, "CMDEND": ended}

// vixie reads "(user) CMD (command)" and its kin.
func vixie(e *entry) (event, bool) {
	rest, ok := bytes.CutPrefix(e.message, []byte("("))
	user, rest, found := bytes.Cut(rest, []byte(") "))
	if !ok || !found {
		return event{}, false
	}
	if string(user) == "CRON" {
		return grandchild(e, rest)
	}
	word, text, found := bytes.Cut(rest, []byte(" ("))
	what := vixieActs[string(word)]
	if !found || what == 0 {
		return event{}, false
	}
	text, whole := bytes.CutSuffix(text, []byte(")"))
	return event{what: what, kind: fleet.KindCron, user: string(user), text: text, cut: !whole, pid: e.pid}, true
}

// grandchild reads what Debian's cron says of a command that failed.
func grandchild(e *entry, rest []byte) (event, bool) {
	rest, ok := bytes.CutPrefix(rest, []byte("error (grandchild #"))
	digits, rest, found := bytes.Cut(rest, []byte(" "))
	child, isNumber := number(digits)
	if !ok || !found || !isNumber {
		return event{}, false
	}
	result, ok := verdict(rest, "failed with exit status ", "terminated by signal ")
	return event{what: failed, kind: fleet.KindCron, pid: e.pid, child: child, result: result}, ok
}

// success is the result of what ended well.
const success = "success"

func exitResult(status int) string {
	if status == 0 {
		return success
	}
	return "exit " + strconv.Itoa(status)
}

func signalResult(signal int) string {
	if name, ok := strings.CutPrefix(unix.SignalName(unix.Signal(signal)), "SIG"); ok {
		return "signal " + name
	}
	return "signal " + strconv.Itoa(signal)
}

// verdict reads an exit status or a signal behind one of two prefixes.
func verdict(text []byte, exit, signal string) (string, bool) {
	for prefix, word := range map[string]func(int) string{exit: exitResult, signal: signalResult} {
		rest, ok := bytes.CutPrefix(text, []byte(prefix))
		if !ok {
			continue
		}
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		if n, ok := number(rest[:digits]); ok && n < 1<<16 {
			return word(n), true
		}
	}
	return "", false
}

// crond reads the lines of a daemon that is cronie or busybox.
func crond(e *entry) (event, bool) {
	rest, ok := bytes.CutPrefix(e.message, []byte("USER "))
	if !ok {
		return vixie(e)
	}
	user, rest, found := bytes.Cut(rest, []byte(" pid "))
	digits, text, found2 := bytes.Cut(trimLeft(rest), []byte(" cmd "))
	child, isNumber := number(digits)
	if !found || !found2 || !isNumber {
		return event{}, false
	}
	// busybox's syslogd cuts lines at 256 bytes as a rule.
	return event{what: started, kind: fleet.KindCron, user: string(user), text: text, cut: true, pid: child}, true
}

// anacron reads "Job `cron.daily' started" and what follows it.
func anacron(e *entry) (event, bool) {
	rest, ok := bytes.CutPrefix(e.message, []byte("Job `"))
	end := bytes.LastIndexByte(rest, '\'')
	if !ok || end <= 0 {
		return event{}, false
	}
	// The process that logs the start is the job's own, that of the end is
	// anacron: the name pairs them.
	read := event{kind: fleet.KindAnacron, text: rest[:end]}
	said := bytes.TrimPrefix(rest[end+1:], []byte(" "))
	if string(said) == "started" {
		read.what = started
		return read, true
	}
	how, ok := bytes.CutPrefix(said, []byte("terminated"))
	if !ok {
		return event{}, false
	}
	read.what, read.result = ended, success
	if result, bad := verdict(how, " (exit status: ", " due to signal "); bad {
		read.result = result
	} else if bytes.HasPrefix(how, []byte(" abnormally")) {
		read.result = "abnormal end"
	}
	return read, true
}

// runPartsActs are the words of RHEL's run-parts.
var runPartsActs = map[string]act{"starting": started, "finished": ended}

// runParts reads "(/etc/cron.daily) starting logrotate", and the form that has
// the directory in its tag.
func runParts(e *entry) (event, bool) {
	dir, said := e.tag[len("run-parts"):], e.message
	if len(dir) == 0 {
		var found bool
		if dir, said, found = bytes.Cut(e.message, []byte(" ")); !found {
			return event{}, false
		}
	}
	word, name, found := bytes.Cut(said, []byte(" "))
	what := runPartsActs[string(word)]
	if !found || what == 0 || len(dir) < 3 || dir[0] != '(' || dir[len(dir)-1] != ')' {
		return event{}, false
	}
	program := path.Join(string(dir[1:len(dir)-1]), string(bytes.TrimRight(name, " ")))
	return event{what: what, kind: fleet.KindRunParts, text: []byte(program)}, true
}
