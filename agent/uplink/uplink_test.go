package uplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

const host fleet.HostID = "0123456789abcdef0123456789abcdef"

var (
	errDown    = fleet.Errorf(fleet.Unavailable, "no collector answers")
	errUnknown = fleet.Errorf(fleet.NotFound, "no such host")
)

// collectors is a small true ledger behind an unreliable line.
type collectors struct {
	mu        sync.Mutex
	down      bool
	loseReply func(call string) bool // the change is made, the answer is lost
	calls     []string

	host     *fleet.Host
	report   *fleet.Report
	plan     fleet.Plan
	changed  chan struct{} // closed when the plan changes
	applied  fleet.Applied
	seen     []fleet.Sightings
	words    []fleet.Adoption
	stands   []api.Stands
	runs     map[uint64]fleet.Run // by sequence
	order    []uint64             // in which they were applied first
	repeats  int
	asks     chan api.Ask
	answers  chan string
	unread   func(ask string) bool // whose answer is begun, and not read
	policies []fleet.PolicyReport
	proven   []proof.Block
}

func newCollectors() *collectors {
	return &collectors{
		plan: fleet.Plan{Host: host, Index: 1}, changed: make(chan struct{}), runs: map[uint64]fleet.Run{},
		asks: make(chan api.Ask, 10), answers: make(chan string, 10),
		loseReply: func(string) bool { return false }, unread: func(string) bool { return false },
	}
}

// call notes a call and says whether the line is up.
func (c *collectors) call(name string) error {
	c.calls = append(c.calls, name)
	if c.down {
		return errDown
	}
	return nil
}

func (c *collectors) reply(name string) error {
	if c.loseReply(name) {
		return errDown
	}
	return nil
}

func (c *collectors) Register(_ context.Context, h fleet.Host) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("register"); err != nil {
		return err
	}
	c.host = &h
	return c.reply("register")
}

func (c *collectors) Report(_ context.Context, _ fleet.HostID, r *fleet.Report) (api.ReportReceipt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("report"); err != nil {
		return api.ReportReceipt{}, err
	}
	c.report = r
	return api.ReportReceipt{}, c.reply("report")
}

func (c *collectors) Plan(ctx context.Context, _ fleet.HostID, index uint64, wait time.Duration) (fleet.Plan, error) {
	for deadline := time.After(wait); ; {
		c.mu.Lock()
		err, plan, changed, known := c.call("plan"), c.plan, c.changed, c.host != nil
		c.mu.Unlock()
		switch {
		case err != nil:
			return fleet.Plan{}, err
		case !known:
			return fleet.Plan{}, errUnknown
		case index == 0 || plan.Index > index:
			return plan, nil
		}
		select {
		case <-changed:
		case <-deadline:
			return plan, nil
		case <-ctx.Done():
			return fleet.Plan{}, ctx.Err()
		}
	}
}

func (c *collectors) Deliver(_ context.Context, _ fleet.HostID, batch api.RunBatch) (api.RunReceipt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("deliver"); err != nil {
		return api.RunReceipt{}, err
	}
	for _, r := range batch.Records {
		if r.Run.Detail == "poison" {
			return api.RunReceipt{}, fleet.Errorf(fleet.Invalid, "one of the records is wrong")
		}
	}
	if len(batch.Records) > 300 {
		return api.RunReceipt{}, fleet.Errorf(fleet.TooLarge, "too many")
	}
	for _, r := range batch.Records {
		if _, known := c.runs[r.Sequence]; known {
			c.repeats++
			continue
		}
		c.runs[r.Sequence] = r.Run
		c.order = append(c.order, r.Sequence)
	}
	return api.RunReceipt{Acknowledged: slices.Max(c.order)}, c.reply("deliver")
}

func (c *collectors) Apply(_ context.Context, a fleet.Applied) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("apply"); err != nil {
		return err
	}
	c.applied = a
	return c.reply("apply")
}

func (c *collectors) Sight(_ context.Context, _ fleet.HostID, s *fleet.Sightings) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("sight"); err != nil {
		return err
	}
	if c.host == nil {
		return errUnknown
	}
	c.seen = append(c.seen, *s)
	return c.reply("sight")
}

func (c *collectors) Settle(_ context.Context, _ fleet.HostID, words []fleet.Adoption) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("settle"); err != nil {
		return err
	}
	c.words = append(c.words, words...)
	return c.reply("settle")
}

func (c *collectors) Policy(_ context.Context, _ fleet.HostID, report *fleet.PolicyReport) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("policy"); err != nil {
		return err
	}
	c.policies = append(c.policies, *report)
	return c.reply("policy")
}

func (c *collectors) Stand(_ context.Context, _ fleet.HostID, s api.Stands) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("stand"); err != nil {
		return err
	}
	if c.host == nil {
		return errUnknown
	}
	c.stands = append(c.stands, s)
	return c.reply("stand")
}

func (c *collectors) Asks(ctx context.Context, _ fleet.HostID, wait time.Duration) ([]api.Ask, error) {
	c.mu.Lock()
	err := c.call("asks")
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case ask := <-c.asks:
		return []api.Ask{ask}, nil
	case <-time.After(wait):
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *collectors) Answer(ctx context.Context, _ fleet.HostID, ask string, dropped int64, output io.Reader) error {
	if c.unread(ask) {
		_, err := output.Read(make([]byte, 1))
		<-ctx.Done()
		c.answers <- ask
		return errors.Join(err, ctx.Err())
	}
	text, err := io.ReadAll(output)
	c.answers <- fmt.Sprintf("%s %d %s", ask, dropped, text)
	return err
}

func (c *collectors) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

func (c *collectors) count(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, call := range c.calls {
		if call == name {
			n++
		}
	}
	return n
}

func (c *collectors) publish(plan fleet.Plan) {
	c.set(func() {
		c.plan = plan
		close(c.changed)
		c.changed = make(chan struct{})
	})
}

// box is an outbox in memory.
type box struct {
	mu           sync.Mutex
	records      []api.RunRecord
	acknowledged uint64
	changed      chan struct{}
}

func (b *box) Outbox(ctx context.Context, after uint64, limit int) (api.RunBatch, error) {
	for {
		b.mu.Lock()
		var found []api.RunRecord
		for _, r := range b.records {
			if r.Sequence > after && len(found) < limit {
				found = append(found, r)
			}
		}
		b.mu.Unlock()
		if len(found) > 0 {
			return api.RunBatch{Journal: "journal", Records: found}, nil
		}
		select {
		case <-b.changed:
		case <-ctx.Done():
			return api.RunBatch{}, ctx.Err()
		}
	}
}

func (b *box) Acknowledge(_ context.Context, sequence uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acknowledged = max(b.acknowledged, sequence)
	return nil
}

func (b *box) add(details ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, detail := range details {
		// Sequences have gaps: not every record is one of a run.
		b.records = append(b.records, api.RunRecord{Sequence: uint64(2*len(b.records) + 3), Run: fleet.Run{Detail: detail}})
	}
	poke(b.changed)
}

// world is an uplink with everything around it, inside a bubble.
type world struct {
	*Uplink
	c      *collectors
	box    *box
	signed signed
	taken  []uint64
	refuse error // to take plans
	knocks chan struct{}
	stop   func()
}

func newWorld(t *testing.T) *world { return newWorldAt(t, 0) }

// newWorldAt is a world in which the plan of that index is in force already.
func newWorldAt(t *testing.T, index uint64) *world {
	w := &world{c: newCollectors(), box: &box{changed: make(chan struct{}, 1)}, signed: signed{changed: make(chan struct{}, 1)}, knocks: make(chan struct{}, 1)}
	if index > 0 { // the collectors know the host from before
		w.c.host = &fleet.Host{ID: host}
	}
	w.Uplink = New(Config{
		Collectors: w.c, Desk: w.c, Outbox: w.box, Proofs: &w.signed, Knocks: w.knocks, Index: index, Host: fleet.Host{ID: host, Name: "web-1"},
		Take: func(p *fleet.Plan) error {
			w.c.mu.Lock()
			defer w.c.mu.Unlock()
			w.taken = append(w.taken, p.Index)
			if w.refuse == nil {
				w.SetPlan(p)
			}
			return w.refuse
		},
		Output: func(_ context.Context, ask api.Ask) (io.ReadCloser, int64, error) {
			if ask.Run == "gone" {
				return nil, 0, errors.New("no output of run gone on this host")
			}
			return io.NopCloser(strings.NewReader(string(ask.Run) + " " + ask.Stream)), 7, nil
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	go func() { done <- w.Run(ctx) }()
	return w
}

// inBubble runs a test on virtual time.
func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		synctest.Wait()
		test(t, w)
		w.stop()
	})
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestWhatIsSentWhenNothingGoesWrong(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		report := &fleet.Report{Host: "web-1", Jobs: []fleet.Job{{ID: "a", Command: "x"}}}
		w.SetReport(report)
		after(time.Second)
		if w.c.host == nil || w.c.host.Name != "web-1" || w.c.report != report {
			t.Fatalf("host %v, report %v", w.c.host, w.c.report)
		}
		again := *report
		again.Scanned = time.Now()
		w.SetReport(&again)
		after(time.Hour)
		if n := w.c.count("report"); n != 1 {
			t.Errorf("an unchanged report was sent: %d", n)
		}
		changed := fleet.Report{Host: "web-1"}
		w.SetReport(&changed)
		w.SetHost(fleet.Host{ID: host, Name: "web-2"})
		after(time.Second)
		if w.c.report != &changed || w.c.host.Name != "web-2" {
			t.Error("a change was not sent")
		}
		if n := w.c.count("register"); n != 2 {
			t.Errorf("registered %d times", n)
		}
	})
}

func TestPlansAreTakenAndAcknowledged(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		after(time.Second)
		plan := fleet.Plan{Host: host, Index: 5, Assignments: []fleet.Assignment{{Task: fleet.Task{Name: "x"}, Generation: 3}}}
		w.c.publish(plan)
		synctest.Wait() // no time passes between the change and its arrival
		if diff := cmp.Diff([]uint64{5}, w.taken[len(w.taken)-1:]); diff != "" {
			t.Fatal(diff)
		}
		if got := w.c.applied.Generations; got["default/x"] != 3 || w.c.applied.Host != host {
			t.Errorf("applied %+v", w.c.applied)
		}
		taken, asked := len(w.taken), w.c.count("plan")
		after(10 * time.Minute)
		if len(w.taken) != taken {
			t.Error("an unchanged plan was taken again")
		}
		if n := w.c.count("plan") - asked; n < 9 || n > 11 {
			t.Errorf("%d questions in ten minutes of waiting a minute each", n)
		}
	})
}

func TestAfterARestartOnlyANewerPlanIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldAt(t, 5)
		w.c.publish(fleet.Plan{Host: host, Index: 5})
		after(10 * time.Second)
		if len(w.taken) != 0 {
			t.Errorf("taken %v, which was in force", w.taken)
		}
		w.c.publish(fleet.Plan{Host: host, Index: 6})
		synctest.Wait()
		if diff := cmp.Diff([]uint64{6}, w.taken); diff != "" {
			t.Error(diff)
		}
		w.stop()
	})
}

func TestAPlanThatCannotBeTakenIsAskedForAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		after(time.Second)
		w.c.set(func() { w.refuse = errors.New("disk full") })
		w.c.publish(fleet.Plan{Host: host, Index: 5})
		after(5 * time.Minute)
		if w.c.count("apply") != 1 { // the empty plan of index 0 before
			t.Errorf("a plan that was not taken is acknowledged: %d", w.c.count("apply"))
		}
		w.c.set(func() { w.refuse = nil })
		after(time.Minute)
		if w.taken[len(w.taken)-1] != 5 || w.c.applied.At.IsZero() {
			t.Errorf("taken %v", w.taken)
		}
	})
}

func TestOutcomesArriveOnceAndInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		after(time.Second)
		// Every other answer is lost: the agent cannot know, and sends again.
		n := 0
		w.c.set(func() {
			w.c.loseReply = func(call string) bool { n++; return n%2 == 1 }
		})
		var want []uint64
		for i := range 700 {
			w.box.add(fmt.Sprint(i))
			want = append(want, uint64(2*i+3))
			if i%100 == 0 {
				after(time.Minute)
			}
		}
		after(10 * time.Minute)
		if diff := cmp.Diff(want, w.c.order); diff != "" {
			t.Error(diff)
		}
		if w.c.repeats == 0 {
			t.Error("no record was ever repeated: the test proves nothing")
		}
		if w.box.acknowledged != want[len(want)-1] {
			t.Errorf("acknowledged %d, want %d", w.box.acknowledged, want[len(want)-1])
		}
	})
}

func TestOneRefusedRecordDoesNotHoldUpTheOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.box.add("a", "b", "poison", "c", "d")
		after(10 * time.Minute)
		var got []string
		for _, sequence := range w.c.order {
			got = append(got, w.c.runs[sequence].Detail)
		}
		if diff := cmp.Diff([]string{"a", "b", "c", "d"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAnOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		after(time.Second)
		w.c.set(func() { w.c.down = true; w.c.calls = nil; close(w.c.changed); w.c.changed = make(chan struct{}) })
		w.box.add("during", "the", "outage")
		after(10 * time.Hour)
		w.c.mu.Lock()
		attempts := len(w.c.calls)
		w.c.mu.Unlock()
		// Three loops try at most every 15 s on average, within the budget of
		// one in two seconds, and never give up.
		if attempts < 3*10*60 || attempts > 10*3600/2 {
			t.Errorf("%d attempts in ten hours", attempts)
		}
		w.c.set(func() { w.c.down = false })
		w.knocks <- struct{}{}
		after(3 * time.Second) // a knock ends the waits; the budget may be spent
		if len(w.c.order) != 3 {
			t.Errorf("%d outcomes after the outage", len(w.c.order))
		}
	})
}

func TestKnocksCannotMakeAStorm(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.c.set(func() { w.c.down = true; w.c.calls = nil; close(w.c.changed); w.c.changed = make(chan struct{}) })
		w.box.add("x")
		for range 6000 {
			w.knocks <- struct{}{}
			after(100 * time.Millisecond)
		}
		if n := len(w.c.calls); n > 600/2+budgetBurst+10 {
			t.Errorf("%d attempts in ten minutes of knocking", n)
		}
	})
}

func TestANewCollectorLearnsEverything(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.SetReport(&fleet.Report{Host: "web-1"})
		w.c.publish(fleet.Plan{Host: host, Index: 90})
		after(time.Second)
		w.c.set(func() { w.c.host, w.c.report, w.c.plan = nil, nil, fleet.Plan{Host: host, Index: 2} })
		after(5 * time.Minute)
		if w.c.host == nil || w.c.report == nil {
			t.Error("the host was not registered again")
		}
		if w.taken[len(w.taken)-1] != 2 {
			t.Errorf("taken %v: a smaller index is another ledger, and counts", w.taken)
		}
	})
}

func TestAsksAreAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.c.asks <- api.Ask{ID: "1", Run: "r", Stream: "stdout"}
		w.c.asks <- api.Ask{ID: "2", Run: "gone", Stream: "stdout"}
		got := []string{<-w.c.answers, <-w.c.answers}
		slices.Sort(got)
		want := []string{"1 7 r stdout", "2 0 [fleetcron: no output of run gone on this host]\n"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestACollectorThatDoesNotWaitIsNotAskedAllTheTime(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.c.publish(fleet.Plan{Host: host}) // index 0 is answered at once
		w.c.set(func() { w.c.calls = nil })
		after(time.Minute)
		if n := w.c.count("plan"); n > 250 {
			t.Errorf("asked %d times in a minute", n)
		}
	})
}

func TestJitterIsFullAndBounded(t *testing.T) {
	for failures := range 40 {
		bound := min(longestWait, firstWait<<min(failures, 16))
		low := 0
		for range 200 {
			d := fullJitter(failures)
			if d <= 0 || d > bound+time.Millisecond {
				t.Fatalf("after %d failures: %v, bound %v", failures, d, bound)
			}
			if d < bound/2 {
				low++
			}
		}
		if low < 50 || low > 150 {
			t.Errorf("after %d failures %d of 200 waits are in the lower half", failures, low)
		}
	}
}

func TestBatchesFit(t *testing.T) {
	records := make([]api.RunRecord, 1000)
	for i := range records {
		records[i].Run.Tail = strings.Repeat("x", 512)
	}
	if n := len(within(records, batchBytes)); n < 100 || n >= 1000 {
		t.Errorf("%d records with a tail each", n)
	}
	if n := len(within(records[:1], 1)); n != 1 {
		t.Errorf("%d of one record", n)
	}
}

func TestThePolicyIsToldUntilTakenAndOnlyWhenItIsAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		after(time.Second)
		w.c.set(func() { w.c.down = true })
		report := fleet.PolicyReport{Execute: true, Digest: "a", AuditSeq: 1, AuditHead: []byte{1}}
		w.SetPolicy(report)
		after(time.Minute)
		w.c.set(func() { w.c.down = false })
		after(5 * time.Minute)
		report.At = time.Now()
		w.SetPolicy(report) // says the same
		after(time.Minute)
		report.AuditSeq = 2
		w.SetPolicy(report)
		after(time.Minute)
		if len(w.c.policies) != 2 || w.c.policies[0].AuditSeq != 1 || w.c.policies[1].AuditSeq != 2 {
			t.Errorf("told %+v", w.c.policies)
		}
	})
}

func TestWhatIsRefusedIsNotToldAsApplied(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		after(time.Second)
		w.c.publish(fleet.Plan{Host: host, Index: 5, Assignments: []fleet.Assignment{
			{Task: fleet.Task{Name: "x"}, Generation: 3}, {Task: fleet.Task{Name: "y"}, Generation: 1, Refused: &fleet.Refusal{Code: "signature"}},
		}})
		synctest.Wait()
		if got := w.c.applied.Generations; len(got) != 1 || got["default/x"] != 3 {
			t.Errorf("applied %+v", got)
		}
	})
}
