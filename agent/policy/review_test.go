package policy

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// TestMaskIsNoPassword: what looks like a masked secret is put back in the
// command of a run only, so elsewhere nothing excuses arguments.
func TestMaskIsNoPassword(t *testing.T) {
	b := newBed(t, usual)
	for name, change := range map[string]func(*fleet.Task){
		"wait_for": func(t *fleet.Task) {
			t.WaitFor.Command = []string{"/bin/echo", "-e", "<redacted:abcd>", "evil"}
		},
		"health": func(t *fleet.Task) {
			t.On = fleet.Trigger{Daemon: true}
			t.Health.Exec = []string{"/bin/echo", "-e", "<redacted:abcd>", "evil"}
		},
	} {
		given := task()
		change(&given)
		r := b.take(b.says(given))
		if want(t, r, "policy:args"); r == nil {
			t.Errorf("%s: a mask in one argument let every argument pass", name)
		}
	}
	// The command itself is judged with its secrets; one that still holds a mask
	// then is not let through.
	filled := task()
	filled.Run.Command.Argv = []string{"/bin/echo", "evil", "<redacted:abcd>"}
	if r := b.take(b.says(task())); r != nil {
		t.Fatal(r)
	}
	if err := b.gate.May(&filled); err == nil {
		t.Error("words that nobody judged may begin")
	}
}

// TestKeyEndsWhileItsTaskStands: a key's end counts at once, not with the next
// plan that happens to come.
func TestKeyEndsWhileItsTaskStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Hour).UTC()
		b := newBed(t, strings.Replace(usual, "    name: anna\n", "    name: anna\n    not_after: "+end.Format(time.RFC3339)+"\n", 1))
		if r := b.take(b.says(task())); r != nil {
			t.Fatal(r)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := b.gate.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		defer running.Wait()
		defer stop()
		time.Sleep(59 * time.Minute)
		given := task()
		if err := b.gate.May(&given); err != nil {
			t.Fatalf("before its end: %v", err)
		}
		drain(b.gate.Changed())
		time.Sleep(2 * time.Minute)
		if err := b.gate.May(&given); err == nil {
			t.Error("the key is out of date, and what it signed begins")
		}
		select {
		case <-b.gate.Changed():
		default:
			t.Error("nobody was told to open the plan again")
		}
	})
}

// TestGenerationThatEndsCounting: the collectors choose the number under which a
// statement goes, and must not choose one that makes two of them one.
func TestGenerationThatEndsCounting(t *testing.T) {
	b := newBed(t, usual)
	first := given(task(), sign(t, b.says(task()), b.anna))
	first.Generation = math.MaxUint64
	plan, _ := b.takes(first)
	was := plan.Assignments[0].Generation
	other := task()
	other.Limits.Nice = 5
	second := given(other, sign(t, b.says(other), b.anna))
	second.Generation = math.MaxUint64
	plan, _ = b.takes(second)
	if is := plan.Assignments[0].Generation; is <= was {
		t.Errorf("another definition has generation %d, the one before had %d", is, was)
	}
}

// TestWebhookOfTheNextCentury: what comes unsigned is not kept for longer than
// what is signed.
func TestWebhookOfTheNextCentury(t *testing.T) {
	b := newBed(t, usual+"unsigned_triggers: [webhook]\n")
	hooked := task()
	hooked.On = fleet.Trigger{Webhook: true}
	a := given(hooked, sign(t, b.says(hooked), b.anna))
	for name, due := range map[string]time.Time{"far": time.Now().AddDate(100, 0, 0), "tomorrow": time.Now().Add(time.Hour)} {
		o := fleet.Order{
			ID: "11111111-1111-4111-8111-111111111111", Run: seal.HookRunID("11111111-1111-4111-8111-111111111111", hostID, hooked.ID()), Kind: fleet.OrderRun, Host: hostID, Task: hooked.ID(),
			Cause: "webhook", Due: due, Expires: due.Add(time.Hour),
		}
		if _, refused := b.order(a, o); len(refused) == 0 {
			t.Errorf("%s: taken", name)
		}
	}
}

func drain(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}

// TestWhoOwnsTheCollectorsFillsNothing: what nobody signed leaves records here,
// so its number is bounded, plan after plan.
func TestWhoOwnsTheCollectorsFillsNothing(t *testing.T) {
	b := newBed(t, usual)
	ours := given(task(), sign(t, b.says(task()), b.anna))
	tasks, orders := map[fleet.TaskID]bool{}, map[fleet.OrderID]bool{}
	for n := range 3 {
		hostile := fleet.Plan{Host: hostID, Index: uint64(n)}
		for i := range 2000 {
			junk := task()
			junk.Name = fmt.Sprintf("junk-%d-%d", n, i)
			hostile.Assignments = append(hostile.Assignments, given(junk, nil))
			id := fmt.Sprintf("%08x-%04x-4111-8111-111111111111", i, n)
			hostile.Orders = append(hostile.Orders, fleet.Order{ID: fleet.OrderID(id), Run: seal.HookRunID(fleet.OrderID(id), hostID, "data/nightly"), Kind: fleet.OrderRun, Host: hostID, Task: "data/nightly", Due: time.Now(), Expires: time.Now().Add(time.Hour)})
		}
		hostile.Assignments = append(hostile.Assignments, ours)
		plan, _ := b.gate.Open(&hostile)
		last := plan.Assignments[len(plan.Assignments)-1]
		if last.Task.ID() != "data/nightly" || last.Refused != nil {
			t.Fatalf("plan %d: what is signed is not taken: %+v", n, last)
		}
		for _, a := range plan.Assignments {
			tasks[a.Task.ID()] = true
		}
		for _, o := range plan.Orders {
			orders[o.ID] = true
		}
	}
	if len(tasks) > 600 || len(orders) > 150 {
		t.Errorf("%d tasks and %d orders that nobody signed are recorded here", len(tasks), len(orders))
	}
	if len(tasks) < 100 || len(orders) < 50 {
		t.Errorf("%d tasks and %d orders are shown to people", len(tasks), len(orders))
	}
}

func TestStrangersOfLaterTimes(t *testing.T) {
	s := strangers{most: 2, every: time.Minute}
	now := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		after time.Duration
		name  string
		want  bool
	}{
		{0, "a", true}, {0, "b", true}, {0, "c", false}, {0, "a", true}, {59 * time.Second, "c", false},
		{time.Second, "c", true}, {0, "d", false}, {-time.Hour, "d", false}, {2 * time.Minute, "d", true}, {0, "e", true}, {0, "f", false},
	} {
		now = now.Add(step.after)
		if got := s.admit(step.name, now); got != step.want {
			t.Errorf("%s at %s: %v", step.name, now.Format(time.TimeOnly), got)
		}
	}
}

// TestNobodyWaitsForSignatures: a begin is asked about while a hostile plan of
// many signatures is opened.
func TestNobodyWaitsForSignatures(t *testing.T) {
	b := newBed(t, usual)
	if r := b.take(b.says(task())); r != nil {
		t.Fatal(r)
	}
	e := seal.Envelope{PayloadType: seal.PayloadType}
	for i := range seal.MaxSignatures {
		e.Signatures = append(e.Signatures, seal.Signature{Sig: append(make([]byte, 63), byte(i))})
	}
	hostile := fleet.Plan{Host: hostID}
	for i := range 300 {
		e.Payload = fmt.Appendf(nil, "{%d}", i)
		hostile.Tombstones = append(hostile.Tombstones, e.Marshal())
	}
	opened, asked := make(chan struct{}), 0
	go func() { b.gate.Open(&hostile); close(opened) }()
	given := task()
	for {
		select {
		case <-opened:
			if asked < 50 {
				t.Errorf("only %d begins were asked about meanwhile", asked)
			}
			return
		default:
			_ = b.gate.May(&given)
			asked++
		}
	}
}

// TestShellsByOtherNames are shells as well, wherever a policy allows every
// program and no shell.
func TestShellsByOtherNames(t *testing.T) {
	b := newBed(t, strings.Replace(usual, "  - path: /bin/true\n", "  - path: \"*\"\n    rest: \".*\"\n", 1))
	for _, name := range []string{"sh", "lksh", "ksh93", "bash-static", "busybox.static", "pwsh"} {
		given := task()
		given.Run.Command.Argv = []string{"/opt/none/" + name, "-c", "id"}
		want(t, b.take(b.says(given)), "policy:shell")
	}
}
