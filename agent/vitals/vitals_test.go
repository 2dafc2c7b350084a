package vitals

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// host is what vitals sees of a host, and what it says.
type host struct {
	mu     sync.Mutex
	going  []Going
	dir    string
	check  func(ctx context.Context) (string, error)
	said   []string
	kept   []string
	weighs int
	slow   time.Duration // that it takes to say what goes on
}

func (h *host) Going() []Going {
	time.Sleep(h.slow)
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.going)
}

func (h *host) set(going ...Going) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.going = going
}

func (h *host) Families(runs []fleet.RunID) map[fleet.RunID][]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.weighs++
	families := map[fleet.RunID][]int{}
	for _, run := range runs {
		families[run] = []int{7}
	}
	return families
}

func (h *host) Notes(run fleet.RunID) string { return filepath.Join(h.dir, string(run)+".notes") }

func (h *host) SetCheckpoint(task fleet.TaskID, value string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept = append(h.kept, string(task)+" "+value)
	return nil
}

func (h *host) Check(ctx context.Context, _ fleet.Execute, argv []string) (string, error) {
	return h.check(ctx)
}

func (h *host) say(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, fmt.Sprintf(format, args...))
}

// take returns what was said since it was taken last.
func (h *host) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	said := h.said
	h.said = nil
	return said
}

// watch runs a Vitals in a bubble; what runs use is read without /proc.
func watch(t *testing.T, h *host, do func(v *Vitals)) {
	t.Helper()
	h.dir = t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		v := New(Config{
			Runs: h, Logger: slog.New(slog.DiscardHandler), Mask: func(text string) string { return text + "*" },
			Probed: func(task fleet.TaskID, run fleet.RunID, health fleet.HealthState, detail string) {
				h.say("%s %s is %s %s", time.Since(began).Round(time.Second), run, health, detail)
			},
			Condemned: func(task fleet.TaskID, run fleet.RunID, reason fleet.Reason, detail string) {
				h.say("%s %s condemned for %s: %s", time.Since(began).Round(time.Second), run, reason, detail)
			},
			Waiting: func() ([]fleet.LiveWaiting, int, int) { return []fleet.LiveWaiting{{Run: "w"}}, 4, 3 },
		})
		v.weighs = func(pids []int, _ fleet.Bytes) use {
			return use{at: time.Now(), processes: map[process]times{{pids[0], 1}: {}}, memory: 1 << 20, files: 3}
		}
		done := make(chan error, 1)
		go func() { done <- v.Run(ctx) }()
		do(v)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// startsNow is a run that begins at this moment; nobody has its number.
func startsNow(id fleet.RunID, task *fleet.Task) Going {
	going := goingOn(id, task)
	now := time.Now()
	going.Run.Started, going.Run.PID = &now, 1<<22+7
	return going
}

func TestProbesTellAndCondemn(t *testing.T) {
	h := &host{}
	var ill atomic.Bool
	h.check = func(ctx context.Context) (string, error) {
		if ill.Load() {
			return "disk\x07 is full\n", errors.New("/bin/check: exit code 1")
		}
		return "fine", nil
	}
	watch(t, h, func(v *Vitals) {
		h.set(startsNow("a", daemon(fleet.Health{Exec: []string{"/bin/check"}})))
		time.Sleep(time.Minute)
		synctest.Wait()
		if said := h.take(); len(said) != 1 || !slices.Contains([]string{"1s a is healthy *", "2s a is healthy *"}, said[0]) {
			t.Errorf("%q", said)
		}
		ill.Store(true)
		time.Sleep(15 * time.Second)
		if live := v.Live().Runs[0]; live.Health != fleet.Healthy || live.HealthDetail != "/bin/check: exit code 1: disk is full*" {
			t.Errorf("%+v", live)
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if said := h.take(); len(said) != 2 || !strings.HasSuffix(said[1], " a condemned for unhealthy: 3 bad answers in a row, the last: /bin/check: exit code 1: disk is full*") {
			t.Errorf("%q", said)
		}
	})
}

// TestAHangingProbe: it is ended after its timeout, and none is begun beside
// it though it does not end.
func TestAHangingProbe(t *testing.T) {
	h := &host{}
	var asked int
	free := make(chan struct{})
	h.check = func(ctx context.Context) (string, error) {
		h.mu.Lock()
		asked++
		h.mu.Unlock()
		<-free
		return "", ctx.Err()
	}
	watch(t, h, func(v *Vitals) {
		free = make(chan struct{}) // of this bubble
		h.set(startsNow("a", daemon(fleet.Health{Exec: []string{"/bin/check"}, Start: 1})))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if said := h.take(); len(said) != 2 || asked != 1 {
			t.Errorf("asked %d times: %q", asked, said)
		}
		close(free)
	})
}

func TestAProbeIsEndedAfterItsTimeout(t *testing.T) {
	h := &host{}
	h.check = func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }
	watch(t, h, func(v *Vitals) {
		h.set(startsNow("a", daemon(fleet.Health{Exec: []string{"/bin/check"}, Timeout: fleet.Duration(3 * time.Second)})))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if said := h.take(); len(said) != 0 {
			t.Errorf("%q", said)
		}
		if live := v.Live().Runs[0]; live.HealthDetail != "/bin/check: no answer within 3s*" {
			t.Errorf("%+v", live)
		}
	})
}

func TestNotesAreSeenWithinASecond(t *testing.T) {
	h := &host{}
	watch(t, h, func(v *Vitals) {
		task := &fleet.Task{Name: "d", Limits: fleet.Limits{Stall: fleet.Duration(30 * time.Second)}}
		h.set(startsNow("a", task))
		time.Sleep(2 * time.Second)
		w := openNotes(t, h.Notes("a"))
		w.write("PROGRESS 40 loading\nCHECKPOINT {\"at\":1}\nCHECKPOINT {\"at\":2}\n")
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		live := v.Live()
		if run := live.Runs[0]; *run.Progress != 40 || run.Message != "loading*" || run.Beat == nil || run.Sample == nil || run.Processes != 1 {
			t.Errorf("%+v", run)
		}
		if len(live.Waiting) != 1 || live.Slots != 4 || live.Taken != 3 {
			t.Errorf("%+v", live)
		}
		if diff := cmp.Diff([]string{`default/d {"at":2}`}, h.kept); diff != "" {
			t.Error(diff)
		}
		time.Sleep(35 * time.Second)
		synctest.Wait()
		if said := h.take(); len(said) != 1 {
			t.Errorf("%q", said)
		}
	})
}

// TestAFloodIsLookedAtSoon: before it fills the disk.
func TestAFloodIsLookedAtSoon(t *testing.T) {
	h := &host{}
	watch(t, h, func(v *Vitals) {
		h.set(startsNow("a", nil))
		time.Sleep(2100 * time.Millisecond)
		w := openNotes(t, h.Notes("a"))
		for range 100 { // a megabyte each 20 ms
			w.write(strings.Repeat("HEARTBEAT\n", 100_000))
			time.Sleep(20 * time.Millisecond)
		}
		synctest.Wait()
		if unread := v.Live().Runs[0].Unread; unread < 20 {
			t.Errorf("looked at %d times", unread)
		}
	})
}

// TestLastWordsAreHeard: also of a run that was never seen, and nothing comes
// after them though it is listed once more.
func TestLastWordsAreHeard(t *testing.T) {
	h := &host{}
	watch(t, h, func(v *Vitals) {
		short := startsNow("short", nil)
		openNotes(t, h.Notes("short")).write("CHECKPOINT 7")
		time.Sleep(100 * time.Millisecond)
		v.Over(&short.Run)
		if diff := cmp.Diff([]string{"default/d 7"}, h.kept); diff != "" {
			t.Error(diff)
		}
		h.set(short) // it is not let go yet
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(h.kept) != 1 || len(v.Live().Runs) != 0 {
			t.Errorf("%q, %+v", h.kept, v.Live().Runs)
		}
		h.set()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(v.ended) != 0 || len(v.tracks) != 0 {
			t.Errorf("%d ends and %d files are remembered", len(v.ended), len(v.tracks))
		}
	})
}

func TestWhatRunsUseIsReadEveryTenSeconds(t *testing.T) {
	h := &host{slow: 3 * time.Millisecond}
	watch(t, h, func(v *Vitals) {
		h.set(startsNow("a", nil))
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		samples := v.Live().Runs[0].Samples
		if len(samples) != samplesKept {
			t.Fatalf("%d samples", len(samples))
		}
		for i := range samples[1:] {
			if apart := samples[i+1].At.Sub(samples[i].At); apart > 10*time.Second || apart < 9*time.Second {
				t.Errorf("%s apart", apart)
			}
		}
	})
}

// TestAShortBoundIsLookedAtMoreOften: and the others are not.
func TestAShortBoundIsLookedAtMoreOften(t *testing.T) {
	h := &host{}
	watch(t, h, func(v *Vitals) {
		task := daemon(fleet.Health{})
		task.Restart.When = fleet.Excess{Files: 2, For: fleet.Duration(4 * time.Second)}
		h.set(startsNow("a", task), startsNow("b", nil))
		time.Sleep(9 * time.Second)
		synctest.Wait()
		said := h.take()
		if len(said) != 1 || !strings.HasSuffix(said[0], "a condemned for usage: uses 3 open files, and used more than 2 in every look for 4s*") || said[0] > "7s" {
			t.Errorf("%q", said)
		}
		if live := v.Live().Runs; len(live[0].Samples) < 4 || len(live[1].Samples) != 1 {
			t.Errorf("%d and %d samples", len(live[0].Samples), len(live[1].Samples))
		}
	})
}

// TestAReadThatHangsHoldsUpNothing: neither others nor notes.
func TestAReadThatHangsHoldsUpNothing(t *testing.T) {
	h := &host{}
	watch(t, h, func(v *Vitals) {
		var log strings.Builder
		free := make(chan struct{})
		v.mu.Lock()
		v.log = slog.New(slog.NewTextHandler(&log, nil))
		v.weighs = func([]int, fleet.Bytes) use { <-free; return use{at: time.Now()} }
		v.mu.Unlock()
		h.set(startsNow("a", nil))
		time.Sleep(time.Minute)
		openNotes(t, h.Notes("a")).write("PROGRESS 9\n")
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if run := v.Live().Runs[0]; run.Progress == nil || run.Sample != nil || h.weighs != 1 {
			t.Errorf("%+v, read %d times", run, h.weighs)
		}
		time.Sleep(10 * time.Minute)
		if n := strings.Count(log.String(), "a process hangs in the kernel"); n != 1 {
			t.Errorf("said %d times: %s", n, log.String())
		}
		close(free)
	})
}
