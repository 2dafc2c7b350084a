package adopt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/crontab"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// power is what a host's every effect needs. It fails at a chosen effect, before
// or after it, or half-way through writing a file.
type power struct {
	left  int // effects until it fails; negative: it does not
	how   int // 0 before the effect, 1 after it, 2 with the effect refused
	spent int
}

var (
	errOutage = errors.New("power failed")
	errDisk   = errors.New("no space left on device")
)

// effect runs fn unless the power is gone by then; a failure panics, as nothing
// runs on after it.
func (p *power) effect(fn func() error) error {
	p.spent++
	if p.left != 0 {
		p.left--
		return fn()
	}
	p.left = -1
	switch p.how {
	case 0:
		panic(errOutage)
	case 2:
		return errDisk
	}
	_ = fn() // it happened, and nobody was told
	panic(errOutage)
}

// weak is a disk and a shelf that can lose power. The kernel's times of change
// are those of the simulated clock.
type weak struct {
	tree
	kept    folder
	power   *power
	now     *time.Time
	changed map[string]time.Time // of the inode behind each path
}

func (w *weak) look(dir, name string) (*file, error) {
	f, err := w.tree.look(dir, name)
	if f != nil {
		f.Changed = w.changed[dir+"/"+name]
	}
	return f, err
}

func (w *weak) create(dir, name string, f *file) error {
	return w.power.effect(func() error {
		if w.power.how == 1 && w.power.left == -1 { // the power failed half-way
			torn := *f
			torn.Content = f.Content[:len(f.Content)/2]
			return w.tree.create(dir, name, &torn)
		}
		w.changed[dir+"/"+name] = *w.now
		return w.tree.create(dir, name, f)
	})
}

func (w *weak) swap(dir, name, beside string) error {
	return w.power.effect(func() error {
		err := w.tree.swap(dir, name, beside)
		if err == nil {
			w.changed[dir+"/"+name], w.changed[dir+"/"+beside] = *w.now, *w.now
		}
		return err
	})
}

func (w *weak) move(dir, name, toDir, toName string) error {
	return w.power.effect(func() error {
		err := w.tree.move(dir, name, toDir, toName)
		if err == nil {
			w.changed[toDir+"/"+toName] = *w.now
		}
		return err
	})
}

func (w *weak) remove(dir, name string) error {
	return w.power.effect(func() error { return w.tree.remove(dir, name) })
}

func (w *weak) mkdir(dir, name string) error {
	return w.power.effect(func() error { return w.tree.mkdir(dir, name) })
}

func (w *weak) rmdir(dir, name string) error {
	return w.power.effect(func() error { return w.tree.rmdir(dir, name) })
}

func (w *weak) touch(dir, name string) error {
	return w.power.effect(func() error { return w.tree.touch(dir, name) })
}

func (w *weak) symlink(dir, name, target string) error {
	return w.power.effect(func() error {
		err := w.tree.symlink(dir, name, target)
		if err == nil {
			w.changed[dir+"/"+name] = *w.now
		}
		return err
	})
}

func (w *weak) load() ([]*record, error) { return w.kept.load() }

func (w *weak) save(r *record) error {
	return w.power.effect(func() error { return w.kept.save(r) })
}

func (w *weak) drop(task fleet.TaskID) error {
	return w.power.effect(func() error { return w.kept.drop(task) })
}

const (
	testHost = fleet.HostID("0123456789abcdef0123456789abcdef")
	testTask = fleet.TaskID("data/nightly")
)

// world is a host with its cron, its agent and the collectors' plan, in which
// time passes second by second.
type world struct {
	t      *testing.T
	now    time.Time
	disk   *weak
	agent  *Adopter // nil: it is dead
	wish   fleet.Adoption
	given  bool // the plan has the wish
	job    fleet.Job
	host   fleet.Host
	source string
	every  cron.Schedule

	lag     time.Duration // how late the host's scheduler looks at an instant
	systemd *units        // nil: none runs here

	here      bool       // a scan sees the job whatever the file holds
	shown     *fleet.Job // as it may leave the host; nil: as it is
	forbidden bool

	runs  map[time.Time][]string // who ran each instant
	down  map[time.Time]bool     // instants at which no agent lived
	seen  time.Time              // of the scheduler: the last instant that was looked at
	known bool                   // the scheduler has the task
}

func newWorld(t *testing.T, job fleet.Job, content string, mode os.FileMode) *world {
	t.Helper()
	root := t.TempDir()
	w := &world{
		t: t, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), job: job, source: filepath.Join(root, job.Source),
		host: fleet.Host{ID: testHost, Name: "db-1", Cron: "debian", Timezone: "UTC"}, runs: map[time.Time][]string{}, down: map[time.Time]bool{}, lag: cronLag,
	}
	w.disk = &weak{tree: tree{root}, power: &power{left: -1}, now: &w.now, changed: map[string]time.Time{}}
	kept, err := openFolder(filepath.Join(t.TempDir(), "adopt"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.disk.kept = kept
	if err := os.MkdirAll(filepath.Dir(w.source), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.source, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.source, mode); err != nil {
		t.Fatal(err)
	}
	old := time.Date(2024, 2, 29, 1, 2, 3, 456_000_000, time.UTC)
	if err := os.Chtimes(w.source, old, old); err != nil {
		t.Fatal(err)
	}
	if w.every, err = cron.Parse(job.Schedule); err != nil {
		t.Fatal(err)
	}
	w.wish = fleet.Adoption{Task: testTask, Host: testHost, Job: job, State: fleet.AdoptionWanted, At: w.now, Asked: w.now}
	return w
}

// look is a scan of the host: the job is there, or it is not.
func (w *world) look(context.Context) (Sight, error) {
	if !w.here && !w.cronRuns() {
		return Sight{Host: w.host}, nil
	}
	shown := w.job
	if w.shown != nil {
		shown = *w.shown
	}
	return Sight{w.host, fleet.Report{Jobs: []fleet.Job{w.job}}, fleet.Report{Jobs: []fleet.Job{shown}}}, nil
}

// cronRuns says whether the host's own scheduler would run the job, from the
// files alone.
func (w *world) cronRuns() bool {
	if w.systemd != nil {
		return w.systemd.active
	}
	content, err := os.ReadFile(w.source)
	if err != nil {
		return false
	}
	if w.job.Kind == fleet.KindRunParts {
		return true
	}
	parsed := crontab.Parse(content, crontab.Options{Dialect: cron.Debian, System: true})
	return slices.ContainsFunc(parsed.Jobs, func(j crontab.Job) bool { return j.Command == w.job.Command && parsed.Accepted })
}

func (w *world) assignments() []fleet.Assignment {
	if !w.given || w.wish.State == fleet.AdoptionReleased {
		return nil // the collectors have retired it, or do not know it yet
	}
	task := fleet.Task{Name: "nightly", Namespace: "data", On: fleet.Trigger{Cron: w.job.Schedule}}
	return []fleet.Assignment{{Task: task, Generation: 1, State: fleet.TaskEnabled, Since: w.wish.At}}
}

// arm is the scheduler: it holds the task or not.
func (w *world) arm(context.Context) error {
	if w.agent == nil {
		return nil
	}
	armed := w.agent.Armed(w.assignments())
	if len(armed) == 1 {
		w.seen = later(w.seen, armed[0].Since) // what was decided before is on disk
	}
	w.known = len(armed) == 1
	return nil
}

// allow is the host's policy.
func (w *world) allow(*fleet.Adoption, *fleet.Execute) error {
	if w.forbidden {
		return fleet.Errorf(fleet.Refused, "the host forbids it")
	}
	return nil
}

// start brings an agent up; it may lose power at once.
func (w *world) start() {
	w.guard(func() {
		agent, err := open(context.Background(), Config{Look: w.look, Arm: w.arm, Allow: w.allow, Systemd: w.manager(), Logger: slog.New(slog.DiscardHandler)}, w.disk, w.disk)
		if err != nil {
			w.t.Fatal(err)
		}
		w.agent = agent
		w.give()
		_ = w.arm(context.Background())
	})
}

// give hands the plan to the agent.
func (w *world) give() {
	plan := fleet.Plan{Host: testHost, Assignments: w.assignments()}
	if w.given {
		plan.Adoptions = []fleet.Adoption{w.wish}
	}
	w.agent.Take(&plan, false)
	_ = w.arm(context.Background())
}

// guard runs fn; when the power fails within, the agent is dead.
func (w *world) guard(fn func()) {
	defer func() {
		if failed := recover(); failed != nil {
			if err, is := failed.(error); !is || !errors.Is(err, errOutage) {
				panic(failed)
			}
			w.agent, w.known = nil, false
			if w.systemd != nil && w.systemd.reboots {
				w.systemd.boot()
			}
		}
	}()
	fn()
}

// cronLag is how long after an instant cron reads its tables: it wakes a moment
// late, and a busy host makes that more.
const cronLag = 4 * time.Second

// second lets one second pass: cron first, soon after each turn of a minute, then the
// agent, which comes back after a while when it is dead.
func (w *world) second(random *rand.Rand) {
	w.now = w.now.Add(time.Second)
	due, ok := w.every.Next(w.now.Add(-w.lag - time.Second))
	if isDue := ok && due.Equal(w.now.Add(-w.lag)); isDue {
		if w.cronRuns() {
			w.runs[due] = append(w.runs[due], "cron")
		}
		if w.agent == nil {
			w.down[due] = true
		}
	}
	if w.agent == nil {
		if random.IntN(40) == 0 {
			w.start()
		}
		return
	}
	if w.known { // the scheduler decides about every instant since it last looked
		for next, ok := w.every.Next(w.seen); ok && !next.After(w.now); next, ok = w.every.Next(w.seen) {
			w.runs[next] = append(w.runs[next], "fleetcron")
			w.seen = next
		}
	}
	w.guard(func() {
		w.agent.step(context.Background(), w.now)
		for _, word := range w.agent.Unsettled() {
			if !word.Asked.Equal(w.wish.Asked) {
				continue
			}
			w.wish.State, w.wish.Handed = word.State, word.Handed
			w.give()
		}
	})
}

// until lets time pass until the adoption has that state.
func (w *world) until(state fleet.AdoptionState, random *rand.Rand) {
	w.t.Helper()
	for range 1200 {
		if w.second(random); w.wish.State == state && w.agent != nil {
			return
		}
	}
	w.t.Fatalf("the adoption is %q (%s) after 20 minutes, want %q", w.wish.State, w.wish.Why, state)
}

// exactlyOnce checks that each instant was run, or accounted for, by one of the
// two and never by both.
func (w *world) exactlyOnce(from time.Time) {
	w.t.Helper()
	for due, ok := w.every.Next(from); ok && !due.After(w.now.Add(-w.lag-2*time.Second)); due, ok = w.every.Next(due) {
		if by := w.runs[due]; len(by) != 1 {
			w.t.Errorf("%s was run by %v (agent down: %v)", due.Format(time.TimeOnly), by, w.down[due])
		}
	}
}

// units is a systemd that knows one timer. What lies on disk counts for it from
// a reload on, and a timer that runs goes on until it is stopped.
type units struct {
	w              *world
	masked, active bool
	reboots        bool // with each loss of power; else the agent alone dies
}

// accuracy is how late systemd may start what is due.
const accuracy = time.Minute

func (w *world) manager() Systemd {
	if w.systemd == nil {
		return nil
	}
	return w.systemd
}

func (u *units) boot() {
	c := maskOf(&u.w.job, testTask)
	now, _, err := hands{disk: u.w.disk}.lookTimer(&c)
	u.masked = err != nil || now != loud
	u.active = !u.masked
}

func (u *units) Reload(context.Context) error {
	return u.w.disk.power.effect(func() error {
		active := u.active
		u.boot()
		u.active = active
		return nil
	})
}

func (u *units) Stop(context.Context, string) error {
	return u.w.disk.power.effect(func() error { u.active = false; return nil })
}

func (u *units) Active(context.Context, string) (bool, error) { return u.active, nil }

func (u *units) Start(context.Context, string) error {
	return u.w.disk.power.effect(func() error {
		if u.masked {
			return errors.New("the unit is masked")
		}
		u.active = true
		return nil
	})
}

// timed is a world with a timer, of a package or of the host itself.
func timed(t *testing.T, source string, reboots bool) *world {
	w := timerWorld(t, source, "[Timer]\nOnCalendar=*:0/10\n")
	w.lag, w.here = accuracy, false
	w.systemd = &units{w: w, active: true, reboots: reboots}
	return w
}

func lineJob() fleet.Job {
	return fleet.Job{
		ID: "1111111111111111", Kind: fleet.KindCron, Source: "/etc/cron.d/x", Line: 3, User: "root", Schedule: "* * * * *", Timezone: "UTC",
		Command: "/bin/b", Enabled: true, Verdict: fleet.Verdict{Runs: true},
	}
}

func scriptJob() fleet.Job {
	return fleet.Job{
		ID: "2222222222222222", Kind: fleet.KindRunParts, Source: "/etc/cron.daily/rotate", User: "root", Schedule: "*/4 * * * *", Timezone: "UTC",
		Command: "/etc/cron.daily/rotate", Enabled: true, Verdict: fleet.Verdict{Runs: true},
	}
}

// TestCrashAtEveryStep takes a job there and back while the power fails at each
// effect in turn, before it, after it, half-way through it, or the disk refuses
// it. However it goes: every due instant is run by exactly one of the two
// schedulers, and in the end the file is what it was.
func TestCrashAtEveryStep(t *testing.T) {
	table := "# ours\nMAILTO=\"\"\n0 3 * * * root /bin/a\n* * * * * root /bin/b\n30 2 * * * root /bin/c\n"
	job := lineJob()
	job.Line = 4
	for name, make := range map[string]func(t *testing.T) *world{
		"line":            func(t *testing.T) *world { return newWorld(t, job, table, 0o640) },
		"script":          func(t *testing.T) *world { return newWorld(t, scriptJob(), "#!/bin/sh\n", 0o755) },
		"timer":           func(t *testing.T) *world { return timed(t, "/usr/lib/systemd/system/rotate.timer", false) },
		"timer, rebooted": func(t *testing.T) *world { return timed(t, "/usr/lib/systemd/system/rotate.timer", true) },
		"own timer":       func(t *testing.T) *world { return timed(t, "/etc/systemd/system/rotate.timer", false) },
	} {
		t.Run(name, func(t *testing.T) {
			quiet := make(t)
			effects := roundTrip(quiet, rand.New(rand.NewPCG(1, 1)), func() {})
			if effects < 8 {
				t.Fatalf("a round trip has only %d effects", effects)
			}
			for at := range effects + 2 {
				for how := range 3 {
					t.Run(fmt.Sprintf("%d.%d", at, how), func(t *testing.T) {
						w := make(t)
						w.disk.power.left, w.disk.power.how = at, how
						roundTrip(w, rand.New(rand.NewPCG(uint64(at), uint64(how))), func() {})
					})
				}
			}
			seeds := []uint64{145, 345, 576} // they once found what the others had not
			for seed := range uint64(60) {
				seeds = append(seeds, seed)
			}
			for _, seed := range seeds { // many failures in one round trip
				t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
					w := make(t)
					random := rand.New(rand.NewPCG(seed, 7))
					roundTrip(w, random, func() {
						if w.disk.power.left < 0 && random.IntN(30) == 0 {
							w.disk.power.left, w.disk.power.how = random.IntN(12), random.IntN(2)
						}
					})
				})
			}
		})
	}
}

// roundTrip adopts and releases, and returns how many effects that took.
func roundTrip(w *world, random *rand.Rand, each func()) int {
	t := w.t
	t.Helper()
	before, err := w.disk.tree.look(filepath.Dir(w.job.Source), filepath.Base(w.job.Source))
	if err != nil {
		t.Fatal(err)
	}
	from := w.now
	pass := func(seconds int) {
		for range seconds {
			w.second(random)
			each()
		}
	}
	w.start()
	pass(90)
	w.given = true
	for tries := 0; w.wish.State != fleet.AdoptionAdopted; tries++ {
		if w.agent != nil {
			w.give()
		}
		pass(30)
		if w.wish.State == fleet.AdoptionRefused { // the disk was full: a person tries again
			w.wish.State, w.wish.At, w.wish.Asked = fleet.AdoptionWanted, w.now, w.now
		}
		if tries > 200 {
			t.Fatalf("not adopted: %+v", w.wish)
		}
	}
	if w.cronRuns() {
		t.Fatal("adopted, and cron runs it")
	}
	pass(200)
	w.wish.State, w.wish.At, w.wish.Asked = fleet.AdoptionReleasing, w.now, w.now
	for tries := 0; w.wish.State != fleet.AdoptionReleased; tries++ {
		if w.agent != nil {
			w.give()
		}
		pass(30)
		if w.wish.State == fleet.AdoptionStuck {
			w.wish.State, w.wish.At, w.wish.Asked = fleet.AdoptionReleasing, w.now, w.now
		}
		if tries > 200 {
			t.Fatalf("not released: %+v", w.wish)
		}
	}
	w.given = false
	for w.agent == nil {
		pass(30)
	}
	w.give()
	pass(200)
	w.disk.power.left = -1
	for w.agent == nil {
		pass(30)
	}
	pass(90)
	if w.systemd != nil { // whose timer comes more rarely
		pass(1200)
	}
	w.exactlyOnce(from)
	after, err := w.disk.tree.look(filepath.Dir(w.job.Source), filepath.Base(w.job.Source))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before.Content, after.Content) || !before.alike(after) || !before.Modified.Equal(after.Modified) {
		t.Errorf("the file is\n%q %+v\nwas\n%q %+v", after.Content, after, before.Content, before)
	}
	w.nothingLeft()
	return w.disk.power.spent
}

// nothingLeft looks for what should have been cleared away.
func (w *world) nothingLeft() {
	w.t.Helper()
	names, err := os.ReadDir(filepath.Dir(w.source))
	if err != nil {
		w.t.Fatal(err)
	}
	if len(names) != 1 && w.disk.power.how != 2 { // an empty directory may stay where it cannot be removed
		w.t.Errorf("the directory holds %v", names)
	}
	records, err := w.disk.kept.load()
	if err != nil || len(records) > 0 {
		w.t.Errorf("%d records are left, %v", len(records), err)
	}
}
