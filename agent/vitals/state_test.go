package vitals

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func daemon(health fleet.Health) *fleet.Task {
	return &fleet.Task{Name: "d", On: fleet.Trigger{Daemon: true}, Health: health}
}

func goingOn(id fleet.RunID, task *fleet.Task) Going {
	started := noon
	return Going{Run: fleet.Run{ID: id, Task: "default/d", State: fleet.RunRunning, Started: &started, PID: 7, Attempt: 1}, Task: task}
}

// script drives a state through time.
type script struct {
	t   *testing.T
	s   *state
	now time.Time
	out []string // what followed, but for probes
	ask []ask    // not answered yet
}

func newScript(t *testing.T, runs ...Going) *script {
	p := &script{t: t, s: newState(), now: noon}
	p.step(seen{runs})
	return p
}

func (p *script) step(e event) {
	for _, a := range p.s.step(p.now, e) {
		at := p.now.Sub(noon)
		switch a := a.(type) {
		case ask:
			p.ask = append(p.ask, a)
		case tell:
			p.out = append(p.out, fmt.Sprintf("%s %s is %s: %s", at, a.run, a.health, a.detail))
		case condemn:
			p.out = append(p.out, fmt.Sprintf("%s %s condemned for %s: %s", at, a.run, a.reason, a.detail))
		case keep:
			p.out = append(p.out, fmt.Sprintf("%s %s keeps %q", at, a.run, a.value))
		}
	}
}

// pass lets time pass second by second; answer says what each probe finds, "-" is no
// answer at all.
func (p *script) pass(d time.Duration, answer string) {
	for end := p.now.Add(d); p.now.Before(end); {
		p.now = p.now.Add(time.Second)
		p.step(tick{})
		if answer == "-" {
			continue
		}
		asks := p.ask
		p.ask = nil
		for _, a := range asks {
			p.step(answered{a, answer})
		}
	}
}

func (p *script) want(lines ...string) {
	p.t.Helper()
	if diff := cmp.Diff(lines, p.out); diff != "" {
		p.t.Error(diff)
	}
	p.out = nil
}

func note(t *testing.T, text ...string) page {
	t.Helper()
	p := page{written: noon}
	for _, line := range text {
		p.take(line)
	}
	return p
}

func TestADaemonThatIsHealthyStaysSo(t *testing.T) {
	p := newScript(t, goingOn("a", daemon(fleet.Health{TCP: "127.0.0.1:1"})))
	p.pass(5*time.Second, "refused") // it starts
	p.want()
	if live := p.s.live(); live[0].Health != "" || live[0].HealthDetail != "refused" {
		t.Errorf("%+v", live[0])
	}
	p.pass(time.Second, "")
	p.want("6s a is healthy: ")
	p.pass(10*time.Minute, "")
	p.want()
}

func TestBadAnswersCountInARowAndAfterTheStart(t *testing.T) {
	p := newScript(t, goingOn("a", daemon(fleet.Health{TCP: "127.0.0.1:1", Every: fleet.Duration(time.Second), Fail: 3, Start: fleet.Duration(20 * time.Second)})))
	p.pass(19*time.Second, "refused")
	p.want()
	p.pass(2*time.Second, "refused")
	p.pass(time.Second, "")
	p.want("22s a is healthy: ")
	p.pass(3*time.Second, "")
	p.pass(2*time.Second, "refused") // asked at most once a second
	p.pass(2*time.Second, "")
	p.want()
	p.pass(10*time.Second, "refused")
	p.want("32s a is unhealthy: refused", "32s a condemned for unhealthy: 3 bad answers in a row, the last: refused")
	p.pass(time.Minute, "refused") // said once, and it is not asked any more
	p.want()
	if len(p.ask) != 0 {
		t.Errorf("asked %v", p.ask)
	}
}

func TestOneBadAnswerMayBeEnough(t *testing.T) {
	p := newScript(t, goingOn("a", daemon(fleet.Health{TCP: "x:1", Fail: 1, Start: fleet.Duration(time.Millisecond)})))
	p.pass(2*time.Second, "refused")
	p.want("1s a is unhealthy: refused", "1s a condemned for unhealthy: refused")
}

func TestReadyEndsTheStart(t *testing.T) {
	p := newScript(t, goingOn("a", daemon(fleet.Health{TCP: "x:1", Fail: 2, Start: fleet.Duration(time.Hour)})))
	p.pass(5*time.Second, "refused")
	p.step(noted{"a", note(t, "READY serving")})
	p.pass(30*time.Second, "refused")
	p.want("15s a is unhealthy: refused", "15s a condemned for unhealthy: 2 bad answers in a row, the last: refused")
	if live := p.s.live(); !live[0].Ready || live[0].Message != "serving" {
		t.Errorf("%+v", live[0])
	}
}

// TestAProbeThatHangsIsABadAnswer: and no other is begun beside it.
func TestAProbeThatHangsIsABadAnswer(t *testing.T) {
	p := newScript(t, goingOn("a", daemon(fleet.Health{Exec: []string{"/bin/check"}, Fail: 3, Start: fleet.Duration(time.Second)})))
	p.pass(time.Second, "")
	p.want("1s a is healthy: ")
	p.pass(5*time.Minute, "-")
	if len(p.ask) != 1 {
		t.Errorf("%d probes beside each other", len(p.ask))
	}
	if p.s.asking != 0 {
		t.Errorf("%d places are taken by what hangs", p.s.asking)
	}
	if len(p.out) != 2 || !strings.Contains(p.out[1], "condemned for unhealthy: 3 bad answers in a row, the last: /bin/check: the probe before has not ended yet") {
		t.Errorf("%q", p.out)
	}
}

func TestAProbeThatHangsOnceAndEndsLate(t *testing.T) {
	p := newScript(t, goingOn("a", daemon(fleet.Health{Exec: []string{"/bin/check"}, Start: fleet.Duration(time.Second)})))
	p.pass(time.Second, "")
	p.pass(16*time.Second, "-")
	if u := p.s.subjects["a"]; u.checkup.failed != 1 || u.checkup.detail != "/bin/check: no answer within 2s" {
		t.Fatalf("%+v", u.checkup)
	}
	p.step(answered{p.ask[0], ""}) // too late to be good
	p.ask = nil
	if u := p.s.subjects["a"]; u.checkup.failed != 1 || u.checkup.outstanding() {
		t.Fatalf("%+v", u.checkup)
	}
	p.pass(20*time.Second, "")
	p.want("1s a is healthy: ")
	if u := p.s.subjects["a"]; u.checkup.failed != 0 || p.s.asking != 0 {
		t.Errorf("%+v, %d", u.checkup, p.s.asking)
	}
}

// TestProbesAreSpreadAndBounded: many daemons that begin together.
func TestProbesAreSpreadAndBounded(t *testing.T) {
	const many = 200
	var runs []Going
	for i := range many {
		runs = append(runs, goingOn(fleet.RunID(fmt.Sprintf("run-%d", i)), daemon(fleet.Health{TCP: "x:1"})))
	}
	p := newScript(t, runs...)
	p.pass(time.Second, "-")
	if len(p.ask) != mostAsked {
		t.Errorf("%d at once", len(p.ask))
	}
	p.pass(20*time.Second, "")
	if len(p.out) != many {
		t.Errorf("%d of %d are healthy", len(p.out), many)
	}
	most, total := 0, 0
	for range 60 {
		p.now = p.now.Add(time.Second)
		p.step(tick{})
		most, total = max(most, len(p.ask)), total+len(p.ask)
		for _, a := range p.ask {
			p.step(answered{a, ""})
		}
		p.ask = nil
	}
	if most > mostAsked || total < many*60/10*9/10 || total > many*60/10*12/10 {
		t.Errorf("%d in one second, %d in a minute", most, total)
	}
}

func TestAnotherDefinitionIsTakenIn(t *testing.T) {
	p := newScript(t, goingOn("a", daemon(fleet.Health{TCP: "x:1", Start: 1})))
	p.pass(15*time.Second, "refused")
	p.step(seen{[]Going{goingOn("a", daemon(fleet.Health{TCP: "x:2", Start: 1}))}})
	p.pass(time.Second, "")
	p.want("16s a is healthy: ")
	p.step(seen{[]Going{goingOn("a", nil)}})
	p.pass(time.Hour, "refused")
	p.want()
	p.step(seen{nil})
	if len(p.s.subjects) != 0 || p.s.asking != 0 {
		t.Errorf("%d are remembered, %d are asked", len(p.s.subjects), p.s.asking)
	}
}

func TestARunThatEndsWhileItIsAskedLeavesItsPlace(t *testing.T) {
	p := newScript(t, goingOn("a", daemon(fleet.Health{TCP: "x:1", Start: 1})))
	p.pass(time.Second, "-")
	p.step(over{run: fleet.Run{ID: "a"}})
	p.step(answered{p.ask[0], "refused"})
	if p.s.asking != 0 || len(p.out) != 0 {
		t.Errorf("%d places, %q", p.s.asking, p.out)
	}
}

func TestStall(t *testing.T) {
	task := &fleet.Task{Name: "d", On: fleet.Trigger{Manual: true}, Limits: fleet.Limits{Stall: fleet.Duration(time.Minute)}}
	p := newScript(t, goingOn("a", task), goingOn("b", task), goingOn("c", nil))
	for range 3 {
		p.pass(50*time.Second, "")
		said := note(t, "PROGRESS 40 loading")
		said.written = p.now
		p.step(noted{"a", said})
		p.step(noted{"b", note(t, "nonsense")})
	}
	p.want("1m0s b condemned for stalled: neither heartbeat nor progress for 1m; it never gave any")
	p.pass(5*time.Minute, "")
	p.want(`3m30s a condemned for stalled: neither heartbeat nor progress for 1m; the last was "PROGRESS 40 loading"`)
	live := p.s.live()
	if live[0].Progress == nil || *live[0].Progress != 40 || live[1].Unread != 3 || !strings.Contains(live[1].UnreadBecause, `"nonsense"`) {
		t.Errorf("%+v", live)
	}
}

// TestAnAgentThatStartsLaterKnowsHowOldASignOfLifeIs: it counts on from there.
func TestAnAgentThatStartsLaterKnowsHowOldASignOfLifeIs(t *testing.T) {
	going := goingOn("a", &fleet.Task{Name: "d", Limits: fleet.Limits{Stall: fleet.Duration(time.Hour)}})
	going.age = 3 * time.Hour
	p := &script{t: t, s: newState(), now: noon.Add(50 * time.Minute)}
	p.step(seen{[]Going{going}})
	p.step(noted{"a", note(t, "HEARTBEAT")}) // written at noon
	p.pass(9*time.Minute, "")
	p.want()
	p.pass(2*time.Minute, "")
	p.want(`1h0m0s a condemned for stalled: neither heartbeat nor progress for 1h; the last was "HEARTBEAT"`)

	p = &script{t: t, s: newState(), now: noon}
	p.step(seen{[]Going{going}}) // it never gave one
	p.pass(time.Second, "")
	p.want("1s a condemned for stalled: neither heartbeat nor progress for 1h; it never gave any")
}

func TestTheLastCheckpointIsKept(t *testing.T) {
	p := newScript(t, goingOn("a", nil))
	p.step(noted{"a", note(t, "CHECKPOINT 1", "CHECKPOINT 2", "HEARTBEAT")})
	p.step(noted{"a", note(t, "CHECKPOINT 2")}) // nothing new
	p.step(over{fleet.Run{ID: "a", Task: "default/d"}, note(t, "CHECKPOINT 3")})
	p.step(over{fleet.Run{ID: "short", Task: "default/d"}, note(t, "CHECKPOINT only")})
	p.step(noted{"gone", note(t, "CHECKPOINT never")})
	p.want(`0s a keeps "2"`, `0s a keeps "3"`, `0s short keeps "only"`)
}

// uses is a run that uses so much at an instant.
func uses(at time.Time, ticks uint64, memory fleet.Bytes, files int) use {
	return use{at: at, processes: map[process]times{{7, 1}: {0, ticks, 0}, {8, uint64(at.Unix())}: {7, 0, 0}}, memory: memory, files: files}
}

func TestExcessIsJudgedAfterItsTime(t *testing.T) {
	for _, test := range []struct {
		name string
		when fleet.Excess
		want string
	}{
		{"memory", fleet.Excess{Memory: 500 << 20, For: fleet.Duration(30 * time.Second)}, "40s a condemned for usage: uses 611MiB of memory, and used more than 500MiB in every look for 30s"},
		{"cpu", fleet.Excess{CPU: 1.5}, "1m10s a condemned for usage: uses 2 processors, and used more than 1.5 in every look for 1m"},
		{"files", fleet.Excess{Files: 99, For: fleet.Duration(time.Second)}, "20s a condemned for usage: uses 100 open files, and used more than 99 in every look for 1s"},
		{"enough", fleet.Excess{Memory: 1 << 30, CPU: 2, Files: 100}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			task := daemon(fleet.Health{})
			task.Restart.When = test.when
			p := newScript(t, goingOn("a", task))
			for i := 1; i <= 20; i++ {
				p.now = p.now.Add(10 * time.Second)
				p.step(measured{map[fleet.RunID]use{"a": uses(p.now, uint64(i*2000), 611<<20+4096, 100), "gone": {}}})
			}
			if test.want == "" {
				p.want()
			} else {
				p.want(test.want)
			}
		})
	}
}

func TestOneLookBelowTheBoundBeginsAnew(t *testing.T) {
	task := daemon(fleet.Health{})
	task.Restart.When = fleet.Excess{Files: 10}
	p := newScript(t, goingOn("a", task))
	for i := range 60 {
		p.now = p.now.Add(10 * time.Second)
		files := 11
		if i%6 == 0 {
			files = 10
		}
		p.step(measured{map[fleet.RunID]use{"a": uses(p.now, 0, 0, files)}})
	}
	p.want()
	if samples := p.s.live()[0].Samples; len(samples) != samplesKept || !samples[samplesKept-1].At.Equal(p.now) || !samples[0].At.Equal(p.now.Add(-290*time.Second)) {
		t.Errorf("%d samples", len(samples))
	}
}

func TestProcessorsSinceTheStart(t *testing.T) {
	old := goingOn("old", nil)
	old.age = time.Hour
	p := newScript(t, goingOn("a", nil), old)
	for i := 1; i <= 2; i++ {
		p.now = p.now.Add(10 * time.Second)
		p.step(measured{map[fleet.RunID]use{"a": uses(p.now, uint64(i*500), 0, 0), "old": uses(p.now, uint64(i*500), 0, 0)}})
		for _, live := range p.s.live() {
			want := 0.5
			if live.Run == "old" && i == 1 {
				want = 0
			}
			if live.Sample.CPU != want || live.Processes != 2 {
				t.Errorf("%d: %s uses %v of %d processes", i, live.Run, live.Sample.CPU, live.Processes)
			}
		}
	}
}

// TestAnyCourseOfEvents: places are never lost, nobody is condemned twice, and
// what is gone is not talked about.
func TestAnyCourseOfEvents(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 3))
		p := &script{t: t, s: newState(), now: noon}
		going := map[fleet.RunID]Going{}
		condemned := map[fleet.RunID]bool{}
		var open []ask
		for range 300 {
			p.now = p.now.Add(time.Duration(random.IntN(3000)) * time.Millisecond)
			id := fleet.RunID(fmt.Sprint("r", random.IntN(60)))
			var e event
			switch random.IntN(6) {
			case 0:
				task := daemon(fleet.Health{TCP: "x:1", Every: fleet.Duration(random.IntN(5)) * fleet.Duration(time.Second), Fail: random.IntN(4)})
				task.Limits.Stall = fleet.Duration(random.IntN(200)) * fleet.Duration(time.Second)
				going[id] = goingOn(id, task)
				e = seen{values(going)}
			case 1:
				delete(going, id)
				e = over{run: fleet.Run{ID: id, Task: "default/d"}}
			case 2:
				e = noted{id, note(t, "HEARTBEAT")}
			case 3:
				if len(open) == 0 {
					continue
				}
				i := random.IntN(len(open))
				e = answered{open[i], []string{"", "bad"}[random.IntN(2)]}
				open = append(open[:i], open[i+1:]...)
			default:
				e = tick{}
			}
			for _, a := range p.s.step(p.now, e) {
				switch a := a.(type) {
				case ask:
					open = append(open, a)
				case condemn:
					if condemned[a.run] || p.s.subjects[a.run] == nil {
						t.Fatalf("seed %d: %s condemned again", seed, a.run)
					}
					condemned[a.run] = true
				}
			}
			if _, is := e.(over); is {
				delete(condemned, id) // it may be another run of that name
			}
			taken := 0
			for _, u := range p.s.subjects {
				if u.checkup.pending() {
					taken++
				}
			}
			if taken != p.s.asking || taken > mostAsked {
				t.Fatalf("seed %d: %d places are taken, %d are counted", seed, taken, p.s.asking)
			}
		}
	}
}

func values(all map[fleet.RunID]Going) (list []Going) {
	for _, g := range all {
		list = append(list, g)
	}
	return list
}
