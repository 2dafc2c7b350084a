package evidence

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Journalctl returns the program that reads the host's journal, or nothing
// where there is no journal. The journal of another tree than "/" is not read:
// its files may be made to harm whoever reads them.
func Journalctl(root string) string {
	if filepath.Clean(root) != "/" || !anyDir("/var/log/journal", "/run/log/journal") {
		return ""
	}
	for _, program := range []string{"/usr/bin/journalctl", "/bin/journalctl"} {
		if info, err := os.Stat(program); err == nil && info.Mode().IsRegular() {
			return program
		}
	}
	return ""
}

func anyDir(names ...string) bool {
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			return true
		}
	}
	return false
}

// journalName is the journal among the witnesses.
const journalName = "journal"

const (
	maxUnits   = 500      // services that the journal is asked about
	maxJournal = 64 << 20 // bytes in one round, as JSON
)

// place is how far the journal has been read.
type place struct {
	Cursor string `json:"cursor,omitempty"`
	At     int64  `json:"at,omitempty"` // of the entry there, microseconds since 1970
}

// record is an entry of the journal, as far as it matters here.
type record struct {
	Cursor     string          `json:"__CURSOR"`
	Realtime   string          `json:"__REALTIME_TIMESTAMP"` // microseconds since 1970
	UID        string          `json:"_UID"`
	PID        string          `json:"_PID"`
	Identifier string          `json:"SYSLOG_IDENTIFIER"`
	Message    json.RawMessage `json:"MESSAGE"` // a string; numbers, where it is not UTF-8; null, where it is long
	MessageID  string          `json:"MESSAGE_ID"`
	Unit       string          `json:"UNIT"`
	UnitResult string          `json:"UNIT_RESULT"`
	ExitCode   string          `json:"EXIT_CODE"`
	ExitStatus string          `json:"EXIT_STATUS"`
}

// identifiers are the names under which programs speak to the journal.
var identifiers = []string{
	"CRON", "CROND", "cron", "crond", "anacron", "run-parts",
	"run-parts(/etc/cron.hourly)", "run-parts(/etc/cron.daily)", "run-parts(/etc/cron.weekly)", "run-parts(/etc/cron.monthly)",
}

// question is what journalctl is asked: what root's processes said under those
// names, and what systemd said of those units. Who wrote is known by the user
// that the kernel names, not by the program: a child of cron has often become
// the command already when the journal looks.
func question(at place, units []string, since time.Time) []string {
	args := []string{"--output=json", "--no-pager", "--quiet"}
	if at.Cursor != "" {
		args = append(args, "--after-cursor="+at.Cursor)
	} else {
		args = append(args, fmt.Sprintf("--since=@%d", since.Unix()))
	}
	args = append(args, "_UID=0")
	for _, name := range identifiers {
		args = append(args, "SYSLOG_IDENTIFIER="+name)
	}
	if len(units) > 0 {
		args = append(args, "+", "_PID=1")
		for _, unit := range units {
			args = append(args, "UNIT="+unit)
		}
	}
	return args
}

// readJournal hands on every event that came to the journal since a place, and
// returns the place behind it. Where the place is gone, reading begins at its
// instant, and gap is true.
func readJournal(ctx context.Context, program string, from place, units []string, now time.Time, take func(*event)) (to place, gap bool, err error) {
	since := now.Add(-window)
	if from.At > 0 {
		since = time.UnixMicro(from.At)
	}
	to, err = ask(ctx, program, from, question(from, units, since), take)
	if err != nil && to == from && from.Cursor != "" && ctx.Err() == nil {
		from.Cursor, gap = "", true
		to, err = ask(ctx, program, from, question(from, units, since), take)
	}
	return to, gap || from.At == 0, err
}

// ask runs journalctl and reads what it answers, up to a limit.
func ask(ctx context.Context, program string, from place, args []string, take func(*event)) (place, error) {
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	command := exec.CommandContext(asking, program, args...)
	command.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	command.Dir = "/"
	command.WaitDelay = time.Second
	var complaint bytes.Buffer
	command.Stderr = &limited{&complaint, 1 << 10}
	answer, err := command.StdoutPipe()
	if err != nil {
		return from, fmt.Errorf("journal: %w", err)
	}
	if err := command.Start(); err != nil {
		return from, fmt.Errorf("journal: %w", err)
	}
	to, whole := readRecords(answer, from, take)
	if !whole {
		cancel() // the next round goes on from here
	}
	if err := command.Wait(); err != nil && whole && !quietly(err, &complaint) {
		return to, fmt.Errorf("journal: %s: %w: %s", filepath.Base(program), err, strings.TrimSpace(complaint.String()))
	}
	return to, ctx.Err()
}

// quietly reports whether journalctl ended with 1 and without a word, as it
// may when there is nothing to tell.
func quietly(err error, complaint *bytes.Buffer) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	return ok && exit.ExitCode() == 1 && complaint.Len() == 0
}

// readRecords reads entries, one a line, and returns the place behind the
// last, and whether that was all of them.
func readRecords(answer io.Reader, at place, take func(*event)) (to place, whole bool) {
	r := bufio.NewReaderSize(answer, maxLine)
	passing := false
	for left := maxJournal; left > 0; {
		line, err := r.ReadSlice('\n')
		left -= len(line)
		long := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !long {
			return at, true
		}
		if !long && !passing {
			at = takeRecord(line, at, take)
		}
		passing = long
	}
	return at, false
}

// takeRecord takes in one entry and returns the place behind it.
func takeRecord(line []byte, at place, take func(*event)) place {
	var r record
	if json.Unmarshal(line, &r) != nil {
		return at
	}
	micro, err := strconv.ParseInt(r.Realtime, 10, 64)
	if err != nil || r.Cursor == "" || at.Cursor == "" && micro <= at.At {
		return at
	}
	if e, ok := r.event(); ok {
		e.at, e.from = time.UnixMicro(micro), journalName
		take(&e)
	}
	return place{r.Cursor, micro}
}

// event finds what an entry says about a job.
func (r *record) event() (event, bool) {
	if r.PID == "1" {
		return r.unit()
	}
	if r.UID != "0" {
		return event{}, false
	}
	e := entry{tag: []byte(r.Identifier), message: trimLeft(text(r.Message))}
	e.pid, _ = strconv.Atoi(r.PID)
	return understand(&e)
}

// text returns the bytes of a field.
func text(field json.RawMessage) []byte {
	var s string
	if json.Unmarshal(field, &s) == nil {
		return []byte(s)
	}
	var numbers []int
	if json.Unmarshal(field, &numbers) != nil {
		return nil
	}
	raw := make([]byte, len(numbers))
	for i, n := range numbers {
		raw[i] = byte(n)
	}
	return raw
}

// systemd's messages about a unit's life, by their ids.
const (
	unitStarting = "7d4958e842da4a758f6c1cdc7b36dcc5"
	unitStarted  = "39f53479d3a045ac8e11786248231fbf" // or Finished, of one that ends
	unitSuccess  = "7ad2d189f7e94e70a38c781354912448"
	unitExited   = "98e322203f7a4ed290d09fe03c09fe15" // its main process, and how
	unitFailed   = "d9b373ed55a64feb8242e02dbe79a49c"
)

// exits are the words for how a process ended.
var exits = map[string]func(status int) string{"exited": exitResult, "killed": signalResult, "dumped": signalResult}

// unit reads what systemd says of a service.
func (r *record) unit() (event, bool) {
	e := event{kind: fleet.KindTimer, text: []byte(r.Unit)}
	switch r.MessageID {
	case unitStarting:
		e.what = started
	case unitStarted:
		e.what, e.weak = started, true // most have said Starting before
		if bytes.HasPrefix(text(r.Message), []byte("Finished ")) {
			e.what, e.result = ended, success
		}
	case unitSuccess:
		e.what, e.result = ended, success
	case unitFailed:
		e.what, e.weak, e.result = ended, true, strings.TrimSpace("failed "+r.UnitResult)
	case unitExited:
		status, err := strconv.Atoi(r.ExitStatus)
		word := exits[r.ExitCode]
		if err != nil || word == nil {
			return e, false
		}
		e.what, e.result = failed, word(status)
	default:
		return e, false
	}
	return e, true
}

// limited keeps the first bytes of what is written to it.
type limited struct {
	buffer *bytes.Buffer
	left   int
}

// Write takes everything and keeps what there is room for.
func (l *limited) Write(p []byte) (int, error) {
	n := min(l.left, len(p))
	l.buffer.Write(p[:n])
	l.left -= n
	return len(p), nil
}
