package evidence

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Config says where to look. Root alone is enough.
type Config struct {
	Root       string         // the tree whose logs are read
	State      string         // file that remembers how far they were read; empty: none
	Journalctl string         // program that reads the journal; empty: it is not read
	Zone       *time.Location // the host's local time; nil: this program's
	Names      []string       // the host's names, for logs that hold lines of others; empty: every line counts
	Timeout    time.Duration  // what one reading may take; zero: 10 s
	Logger     *slog.Logger   // nil: slog.Default
}

// Reader reads evidence again and again, each time only what is new. It is for
// one goroutine.
type Reader struct {
	config Config
	state  *state
	saved  [sha256.Size]byte // digest of the state file
	busy   chan struct{}     // holds one while nobody reads
	warned map[string]string
}

// NewReader returns a reader that goes on where the state file says.
func NewReader(config Config) *Reader {
	config.Timeout = cmp.Or(config.Timeout, 10*time.Second)
	if config.Zone == nil {
		config.Zone = time.Local
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	r := &Reader{config: config, busy: make(chan struct{}, 1), warned: make(map[string]string)}
	r.busy <- struct{}{}
	return r
}

// Read reads what is new and returns all that is known of the report's jobs.
// The report is not changed. The error is about the time limit, the context or
// the state file; what is known is returned with the last of them. A witness
// that cannot be read is told to the logger, once.
func (r *Reader) Read(ctx context.Context, report *fleet.Report) (fleet.Sightings, error) {
	select {
	case <-r.busy:
	default:
		return fleet.Sightings{}, errors.New("evidence: reading the logs still hangs since an earlier time; is " + logDir + " on a mount that does not answer?")
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	type answer struct {
		seen fleet.Sightings
		err  error
	}
	done := make(chan answer, 1)
	go func() { // which is left alone where it cannot be stopped
		seen, err := r.read(ctx, report)
		r.busy <- struct{}{}
		done <- answer{seen, err}
	}()
	select {
	case a := <-done:
		return a.seen, a.err
	case <-ctx.Done():
	}
	grace := time.NewTimer(time.Second) // what can be stopped, stops
	defer grace.Stop()
	select {
	case a := <-done:
		return a.seen, a.err
	case <-grace.C:
		return fleet.Sightings{}, fmt.Errorf("evidence: %w", ctx.Err())
	}
}

func (r *Reader) read(ctx context.Context, report *fleet.Report) (fleet.Sightings, error) {
	var troubles []error
	if r.state == nil {
		var err error
		r.state, err = loadState(r.config.State)
		troubles = append(troubles, err)
	}
	now := time.Now()
	round := &round{Reader: r, now: now, jobs: newJobs(report, readIdents(r.config.Root, report)), fresh: make(map[string]coverage)}
	round.processes()
	round.journal(ctx)
	round.logs(ctx)
	seen := round.sightings()
	if r.config.State != "" {
		troubles = append(troubles, r.save())
	}
	return seen, errors.Join(append(troubles, ctx.Err())...)
}

// save writes the state file, if it changed.
func (r *Reader) save() error {
	text, err := json.Marshal(r.state)
	if err != nil {
		return fmt.Errorf("evidence state: %w", err)
	}
	sum := sha256.Sum256(text)
	if sum == r.saved {
		return nil
	}
	if err := replace(r.config.State, text); err != nil {
		return fmt.Errorf("evidence state: %w", err)
	}
	r.saved = sum
	return nil
}

// trouble logs what is wrong with a witness, when that changes.
func (r *Reader) trouble(witness string, err error) {
	said := ""
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		said = err.Error()
	}
	if said != "" && said != r.warned[witness] {
		r.config.Logger.Warn("evidence not read", "from", witness, "error", said)
	}
	r.warned[witness] = said
}

// round is one reading of everything.
type round struct {
	*Reader
	now   time.Time
	jobs  *jobs
	byPID map[int]fleet.JobID // the job whose start a process is, or logged
	fresh map[string]coverage // what each witness showed in this round, from when on
}

// maxFuture is how far ahead of the present an instant may be and count: what
// is later, a clock that was wrong or a liar wrote.
const maxFuture = 2 * time.Minute

// maxPast is how old a line may be that counts.
const maxPast = 400 * 24 * time.Hour

// processes remembers whose start each process was.
func (r *round) processes() {
	r.byPID = make(map[int]fleet.JobID)
	for id, t := range r.state.Jobs {
		for _, s := range t.Open {
			r.remember(id, s)
		}
	}
}

func (r *round) remember(id fleet.JobID, s start) {
	if len(r.byPID) > 1<<16 {
		clear(r.byPID)
	}
	if pid := cmp.Or(s.Child, s.PID); pid > 0 {
		r.byPID[pid] = id
	}
}

func (r *round) journal(ctx context.Context) {
	if r.config.Journalctl == "" {
		delete(r.state.Since, journalName)
		return
	}
	to, gap, err := readJournal(ctx, r.config.Journalctl, r.state.Journal, r.jobs.units(), r.now, r.take)
	r.state.Journal = to
	r.covered(journalName, gap, err)
}

// covered ends a reading of a witness. Where there was a gap, or nothing to be
// read, what it showed before says nothing about the starts it would show.
func (r *round) covered(witness string, gap bool, err error) {
	r.trouble(witness, err)
	switch {
	case gap || errors.Is(err, fs.ErrNotExist):
		r.state.Since[witness] = r.fresh[witness]
	default:
		r.state.Since[witness] = earlier(r.state.Since[witness], r.fresh[witness])
	}
	if len(r.state.Since[witness]) == 0 {
		delete(r.state.Since, witness)
	}
}

func (r *round) logs(ctx context.Context) {
	dir, err := openLogs(r.config.Root)
	r.trouble(logDir, err)
	if err != nil {
		return
	}
	defer dir.Close()
	for _, log := range logs {
		r.log(ctx, dir, log)
	}
}

// log reads one log file and its rotated ones.
func (r *round) log(ctx context.Context, dir *directory, log string) {
	witness := path.Join(logDir, log)
	times := &clock{zone: r.config.Zone}
	journal := r.state.Since[journalName] // which is believed rather
	var said entry                        // used again for every line
	var e event
	to, gap, err := dir.follow(ctx, log, r.state.Logs[log], r.now, func(last time.Time, line []byte) {
		times.last = last
		var ok bool
		if said, ok = parseLine(line); !ok {
			return
		}
		if e, ok = understand(&said); !ok || !r.ours(said.host) {
			return
		}
		if e.at, ok = times.read(said.stamp); !ok {
			return
		}
		e.from = witness
		if since, told := journal[e.kind]; !told || e.at.Before(since) {
			r.take(&e)
		}
	})
	if to != nil {
		r.state.Logs[log] = to
	}
	r.covered(witness, gap, err)
}

// ours reports whether a line's host is this one. A machine that collects the
// logs of others has their cron lines in its files, too.
func (r *round) ours(host []byte) bool {
	if len(host) == 0 || len(r.config.Names) == 0 || string(host) == "localhost" {
		return true
	}
	short, _, _ := bytes.Cut(host, []byte("."))
	for _, name := range r.config.Names {
		mine, _, _ := bytes.Cut([]byte(name), []byte("."))
		if bytes.EqualFold(short, mine) {
			return true
		}
	}
	return false
}

// take takes in an event.
func (r *round) take(e *event) {
	if e.at.After(r.now.Add(maxFuture)) || e.at.Before(r.now.Add(-maxPast)) {
		return
	}
	if e.kind == fleet.KindCron && e.what == failed {
		if t := r.state.Jobs[r.byPID[e.child]]; t != nil {
			t.take(e)
		}
		return
	}
	found := r.jobs.of(e)
	if e.what != started && len(found) > 1 {
		found = r.waiting(found, e)
	}
	if e.what == started && len(found) > 0 {
		r.cover(e)
	}
	for _, i := range found {
		id := r.jobs.list[i].ID
		t := r.state.Jobs[id]
		if t == nil {
			t = new(track)
			r.state.Jobs[id] = t
		}
		if t.take(e) && e.what == started {
			r.remember(id, t.Open[len(t.Open)-1])
		}
	}
}

// waiting chooses, among jobs with the same command, the one whose end it is:
// the only one that has a start without an end.
func (r *round) waiting(among []int, e *event) []int {
	var open []int
	for _, i := range among {
		t := r.state.Jobs[r.jobs.list[i].ID]
		if t == nil || len(t.Open) == 0 {
			continue
		}
		for _, s := range t.Open {
			if s.PID == e.pid && e.pid != 0 {
				return []int{i}
			}
		}
		open = append(open, i)
	}
	if len(open) == 1 {
		return open
	}
	return nil
}

// cover notes that a witness shows starts of a kind.
func (r *round) cover(e *event) {
	since := r.fresh[e.from]
	if since == nil {
		since = coverage{}
		r.fresh[e.from] = since
	}
	if at, told := since[e.kind]; !told || e.at.Before(at) {
		since[e.kind] = e.at
	}
}
