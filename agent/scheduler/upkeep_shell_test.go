package scheduler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// supervisor is hands whose commands live as long as their task's name is told
// to, exit with 1, and take a second to be stopped. It writes down what happens,
// with the time since it was made.
type supervisor struct {
	hands
	lives map[string]time.Duration // zero: until stopped
	disk  map[string]time.Duration // that the begin takes
	start time.Time
	log   []line
	stop  map[fleet.RunID]chan string
}

type line struct {
	at   time.Duration
	text string
}

func newSupervisor() *supervisor {
	s := &supervisor{
		lives: map[string]time.Duration{}, disk: map[string]time.Duration{},
		start: time.Now(), stop: map[fleet.RunID]chan string{},
	}
	s.memory = newMemory()
	return s
}

func (s *supervisor) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Since(s.start).Round(time.Millisecond)
	s.log = append(s.log, line{at, fmt.Sprintf(format, args...)})
}

func (s *supervisor) Recall(task fleet.TaskID) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory.Recall(task)
}

func (s *supervisor) Begin(_ context.Context, due Due) error {
	if s.full.Load() {
		s.say("no space for %s", due.Task().Name())
		return errors.New("no space")
	}
	name := due.Task().Name()
	time.Sleep(s.disk[name])
	s.write(Begin{due})
	s.say("%s begins", name)
	stop := make(chan string, 1)
	s.mu.Lock()
	s.stop[due.Run] = stop
	s.mu.Unlock()
	run := due.Record(host)
	go func() {
		var over <-chan time.Time
		if life := s.lives[name]; life > 0 {
			over = time.After(life)
		}
		code := 1
		run.State, run.Exit = fleet.RunRan, &code
		select {
		case <-over:
		case <-stop:
			time.Sleep(time.Second)
			run.Cancelled = true
		}
		s.say("%s ends", name)
		at := time.Now()
		run.Ended = &at
		s.scheduler.Ended(&run)
	}()
	return nil
}

func (s *supervisor) Cancel(run fleet.RunID, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop[run] <- why
}

func (s *supervisor) Did(ctx context.Context, order fleet.Order) error {
	s.say("did %s", order.ID)
	return s.hands.Did(ctx, order)
}

func (s *supervisor) Stand(is fleet.Standing) { s.say("%s is %s", is.Task.Name(), is.Phase) }

func (s *supervisor) Unstand(task fleet.TaskID) { s.say("%s is no more", task.Name()) }

// supervising runs a scheduler in a bubble until the story is told, and compares
// what was written down.
func supervising(t *testing.T, set func(s *supervisor), story func(s *supervisor), want ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSupervisor()
		set(s)
		ctx, cancel := context.WithCancel(t.Context())
		s.scheduler = New(Config{Host: host, Memory: s, Starter: s, Recorder: s, Board: s, Logger: slog.New(slog.DiscardHandler)})
		done := make(chan error)
		go func() { done <- s.scheduler.Run(ctx) }()
		story(s)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		slices.SortStableFunc(s.log, func(a, b line) int { // what is at once is in no order
			return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.text, b.text))
		})
		log := []string{}
		for _, l := range s.log {
			log = append(log, fmt.Sprint(l.at, " ", l.text))
		}
		for _, stop := range s.stop {
			select {
			case stop <- "the test is over":
			default:
			}
		}
		s.mu.Unlock()
		if diff := gocmp.Diff(want, log); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		time.Sleep(time.Hour)
	})
}

func since(a fleet.Assignment) fleet.Assignment {
	a.Since = time.Now()
	return a
}

func TestRunKeepsACommandUp(t *testing.T) {
	supervising(t, func(s *supervisor) { s.lives["t"] = 3 * time.Second }, func(s *supervisor) {
		s.scheduler.Plan(planOf(since(daemon(nil))), false)
		time.Sleep(20 * time.Second)
		p := planOf(since(daemon(nil)))
		p.Orders = []fleet.Order{{ID: "o1", Kind: fleet.OrderStop, Task: "default/t", Expires: time.Now().Add(time.Hour)}}
		s.scheduler.Plan(p, false)
		time.Sleep(time.Hour)
	},
		"2ms t begins", "2ms t is running", "3.002s t ends", "3.002s t is backoff",
		"4.004s t begins", "4.004s t is running", "7.004s t ends", "7.004s t is backoff",
		"9.006s t begins", "9.006s t is running", "12.006s t ends", "12.006s t is backoff",
		"16.008s t begins", "16.008s t is running", "19.008s t ends", "19.008s t is backoff",
		"20.001s did o1", "20.002s t is stopped",
	)
}

// TestRunBeginsWhatIsNeededFirst: also where the disk is slow for it alone. The
// actions of one step are carried out side by side.
func TestRunBeginsWhatIsNeededFirst(t *testing.T) {
	supervising(t, func(s *supervisor) { s.disk["db"] = 500 * time.Millisecond }, func(s *supervisor) {
		s.scheduler.Plan(planOf(since(needing("app", "db")), since(needing("db"))), false)
		time.Sleep(10 * time.Second)
		s.scheduler.Plan(planOf(), false)
		time.Sleep(10 * time.Second)
	},
		"0s app is waiting", "502ms db begins", "502ms db is running", "504ms app begins", "504ms app is running",
		"10s db is stopping", "10.001s app is stopping", "11.001s app ends", "11.001s app is no more",
		"11.001s db is stopping", "12.001s db ends", "12.001s db is no more",
	)
}

func TestRunTriesAgainWhatCouldNotBeWrittenDown(t *testing.T) {
	supervising(t, func(s *supervisor) { s.full.Store(true) }, func(s *supervisor) {
		s.scheduler.Plan(planOf(since(daemon(nil))), false)
		time.Sleep(5 * time.Second)
		s.full.Store(false)
		time.Sleep(5 * time.Second)
	},
		"1ms no space for t", "1ms t is backoff", "1ms t is running",
		"1.002s no space for t", "1.002s t is backoff", "1.002s t is running",
		"3.003s no space for t", "3.003s t is backoff", "3.003s t is running",
		"7.005s t begins", "7.005s t is running",
	)
}

func TestRunWaitsForTheVerdict(t *testing.T) {
	supervising(t, func(s *supervisor) {}, func(s *supervisor) {
		a := since(needing("db"))
		a.Task.Health.TCP = "127.0.0.1:5432"
		s.scheduler.Plan(planOf(since(needing("app", "db")), a), false)
		time.Sleep(time.Second)
		s.mu.Lock()
		var db fleet.RunID
		for id := range s.stop {
			db = id
		}
		s.mu.Unlock()
		s.scheduler.Waits(RunWaits{"default/db", db, "for /run/disk"})
		s.scheduler.Probed(Probed{"default/db", db, fleet.Healthy, ""})
		time.Sleep(time.Second)
		s.scheduler.Waits(RunWaits{"default/db", db, ""})
		time.Sleep(time.Second)
	},
		"0s app is waiting", "2ms db begins", "2ms db is running",
		"1s app is waiting", "1s db is waiting", "1.001s db is waiting",
		"2s db is running", "2.002s app begins", "2.002s app is running",
	)
}
