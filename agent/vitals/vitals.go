package vitals

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Runs is what goes on, as far as it can be looked at from outside. Its methods
// are called from several goroutines.
type Runs interface {
	// Going returns the runs whose processes go on.
	Going() []Going
	// Families returns the processes of each of the runs, all that it started
	// among them.
	Families(runs []fleet.RunID) map[fleet.RunID][]int
	// Notes returns the path of the file into which the run writes its notes.
	Notes(run fleet.RunID) string
	// SetCheckpoint keeps what the next attempt of the task is given.
	SetCheckpoint(task fleet.TaskID, value string) error
	// Check runs a probe as the task's user, in its directory, until ctx ends;
	// an error names the program and says why it is no good answer.
	Check(ctx context.Context, execute fleet.Execute, argv []string) (output string, err error)
}

// Config is what a Vitals works with. Runs, Probed and Condemned are required;
// the functions must not wait and must not call back.
type Config struct {
	Runs Runs
	// Probed hears when a run's health becomes another one.
	Probed func(task fleet.TaskID, run fleet.RunID, health fleet.HealthState, detail string)
	// Condemned hears once of each run that ought to be stopped, and why.
	Condemned func(task fleet.TaskID, run fleet.RunID, reason fleet.Reason, detail string)
	// Waiting tells of the runs that wait for their turn, and how many may go on
	// and do; nil: none wait.
	Waiting func() (waiting []fleet.LiveWaiting, slots, taken int)
	// Ask asks a service, of kind "http" or "tcp", as the task's user, until ctx
	// ends; the error is a sentence. Nil: no such service is there.
	Ask    func(ctx context.Context, execute fleet.Execute, kind, address string) error
	Mask   func(text string) string // takes secrets out of what people are shown; nil: as it is
	Sample time.Duration            // at most so long between two looks at what runs use, at least a second; zero: 10s
	Logger *slog.Logger             // nil: slog.Default
}

// Vitals watches over the runs that go on. Its methods may be called from any
// goroutine.
type Vitals struct {
	config Config
	log    *slog.Logger
	asks   func(ctx context.Context, a ask) error
	weighs func(pids []int, bound fleet.Bytes) use
	work   sync.WaitGroup

	mu       sync.Mutex // held while actions are carried out, so that they stay in order
	state    *state
	tracks   map[fleet.RunID]*track
	ended    map[fleet.RunID]bool // over, and perhaps still among those that go on
	pace     time.Duration        // until the next look
	weighing bool
	late     bool      // and that has been said
	asked    time.Time // when the last look at what runs use began
	weighed  time.Time // when the last one at all of them did
}

const (
	// lookEvery is how often notes are looked at and instants are kept.
	lookEvery = time.Second
	// floodEvery is how soon notes are looked at again that come in a flood.
	floodEvery = 20 * time.Millisecond
	// sampleEvery is between two looks at what runs use, unless it is said.
	sampleEvery = 10 * time.Second
	// longWeigh is after which time such a look hangs.
	longWeigh = time.Minute
	// mostInFull is of how many runs all samples are told.
	mostInFull = 100
)

// New returns a Vitals that knows of no run yet.
func New(config Config) *Vitals {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Mask == nil {
		config.Mask = func(text string) string { return text }
	}
	if config.Sample == 0 {
		config.Sample = sampleEvery
	}
	v := &Vitals{config: config, log: config.Logger, pace: lookEvery, state: newState(), tracks: map[fleet.RunID]*track{}, ended: map[fleet.RunID]bool{}, weighs: measure}
	v.asks = v.probe
	return v
}

// Run watches until ctx ends.
func (v *Vitals) Run(ctx context.Context) error {
	defer v.work.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		timer.Reset(v.look(ctx))
	}
}

// look sees what goes on, reads its notes and does what follows; it returns
// when to look again.
func (v *Vitals) look(ctx context.Context) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.feed(ctx, seen{v.going()})
	v.pace = min(2*v.pace, lookEvery)
	for run := range v.state.subjects {
		p := v.readNotes(run, false)
		if len(p.notes)+p.unread > 0 {
			v.feed(ctx, noted{run, p})
		}
		if p.flood {
			v.pace = floodEvery
		}
	}
	for run := range v.tracks {
		if v.state.subjects[run] == nil {
			delete(v.tracks, run)
		}
	}
	v.feed(ctx, tick{})
	v.weigh(ctx)
	return v.pace
}

// going is what goes on, without those whose end was told already.
func (v *Vitals) going() []Going {
	ended := v.ended
	v.ended = map[fleet.RunID]bool{}
	going := slices.DeleteFunc(v.config.Runs.Going(), func(g Going) bool {
		if ended[g.Run.ID] {
			v.ended[g.Run.ID] = true
		}
		return ended[g.Run.ID]
	})
	for i := range going {
		if v.state.subjects[going[i].Run.ID] == nil {
			going[i].age = ageOf(&going[i].Run)
		}
	}
	return going
}

// readNotes returns what a run has said since the look before.
func (v *Vitals) readNotes(run fleet.RunID, last bool) page {
	follow := v.tracks[run]
	if follow == nil {
		path := v.config.Runs.Notes(run)
		if path == "" {
			return page{}
		}
		follow = &track{path: path}
		v.tracks[run] = follow
	}
	p, err := follow.read(last)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !follow.silent {
		follow.silent = true
		v.log.Warn("notes of a run cannot be read", "run", run, "error", err)
	}
	return p
}

// feed lets the state take one step and carries out what follows.
func (v *Vitals) feed(ctx context.Context, e event) {
	for _, a := range v.state.step(time.Now(), e) {
		switch a := a.(type) {
		case ask:
			v.work.Go(func() { v.ask(ctx, a) })
		case tell:
			v.log.Info("health changed", "task", a.task, "run", a.run, "health", a.health, "detail", a.detail)
			v.config.Probed(a.task, a.run, a.health, v.config.Mask(a.detail))
		case condemn:
			v.log.Warn("run condemned", "task", a.task, "run", a.run, "reason", a.reason, "detail", a.detail)
			v.config.Condemned(a.task, a.run, a.reason, v.config.Mask(a.detail))
		case keep:
			if err := v.config.Runs.SetCheckpoint(a.task, a.value); err != nil {
				v.log.Error("checkpoint not kept", "task", a.task, "run", a.run, "error", err)
			}
		}
	}
}

// ask carries out one probe.
func (v *Vitals) ask(ctx context.Context, a ask) {
	limited, cancel := context.WithTimeout(ctx, timeout(&a.health))
	defer cancel()
	problem := problemOf(limited, a, v.asks(limited, a))
	if ctx.Err() != nil { // the agent ends: that is no answer
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.feed(ctx, answered{a, problem})
}

// weigh begins to read what runs use when it is time to, unless that is still
// going on: what /proc says of one process can hang, and then nothing else is
// to wait for it.
func (v *Vitals) weigh(ctx context.Context) {
	now := time.Now()
	if v.weighing {
		if now.Sub(v.asked) > longWeigh && !v.late {
			v.late = true
			v.log.Warn("what runs use cannot be read, a process hangs in the kernel", "since", v.asked.UTC())
		}
		return
	}
	// A look too early rather than one too late.
	due := func(last time.Time, every time.Duration) bool {
		return last.IsZero() || now.Sub(last) > every-lookEvery
	}
	all := due(v.weighed, v.config.Sample)
	var runs []fleet.RunID
	bounds := map[fleet.RunID]fleet.Bytes{}
	for run, subject := range v.state.subjects {
		if all || subject.most() != (fleet.Excess{}) && due(subject.use.weighed, subject.sampled(v.config.Sample)) {
			subject.use.weighed = now
			runs = append(runs, run)
			bounds[run] = subject.most().Memory
		}
	}
	if all && len(runs) > 0 {
		v.weighed = now
	}
	if len(runs) == 0 {
		return
	}
	v.weighing, v.late, v.asked = true, false, now
	v.work.Go(func() {
		uses := make(map[fleet.RunID]use, len(runs))
		for run, pids := range v.config.Runs.Families(runs) {
			uses[run] = v.weighs(pids, bounds[run])
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		v.weighing = false
		v.feed(ctx, measured{uses})
	})
}

// Over reads the last notes of a run that has ended, and forgets it. Call it
// while the notes are still there and before the next attempt begins: the last
// thing that a command does may be to say where it could go on.
func (v *Vitals) Over(run *fleet.Run) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended[run.ID] = true
	// Nothing is asked about what is over, so there is nothing to give up.
	v.feed(context.Background(), over{*run, v.readNotes(run.ID, true)})
}

// Live returns what goes on at this moment.
func (v *Vitals) Live() fleet.Live {
	live := fleet.Live{At: time.Now().UTC(), Waiting: []fleet.LiveWaiting{}}
	if v.config.Waiting != nil {
		var waiting []fleet.LiveWaiting
		waiting, live.Slots, live.Taken = v.config.Waiting()
		live.Waiting = append(live.Waiting, waiting...)
	}
	live.Waiting = live.Waiting[:min(len(live.Waiting), fleet.MaxPage)]
	v.mu.Lock()
	live.Runs = v.state.live()
	v.mu.Unlock()
	live.Total = len(live.Runs)
	live.Runs = live.Runs[:min(live.Total, fleet.MaxPage)]
	for i := range live.Runs {
		if live.Total > mostInFull {
			live.Runs[i].Samples = nil
		}
	}
	for i := range live.Runs {
		run := &live.Runs[i]
		for _, text := range []*string{&run.Message, &run.HealthDetail, &run.UnreadBecause} {
			*text = v.config.Mask(*text)
		}
	}
	return live
}

// ageOf is how long a run has gone on. The kernel counts that on a clock that
// nobody sets; the wall clock is asked where the process is gone already.
func ageOf(run *fleet.Run) time.Duration {
	if text, err := os.ReadFile(statPath(run.PID)); run.PID > 0 && err == nil {
		if p, _, _, err := parseStat(string(text)); err == nil {
			return max(0, sinceBoot()-time.Duration(p.start)*(time.Second/clockTicks))
		}
	}
	if run.Started == nil {
		return 0
	}
	return max(0, time.Since(*run.Started))
}
