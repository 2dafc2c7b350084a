package runner

import (
	"bufio"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestTellingNeverWaits fills the socket of an agent that does not listen; all of
// it arrives, in order, when it does.
func TestTellingNeverWaits(t *testing.T) {
	agent, guardian := connected(t)
	n, err := newNotices(guardian)
	if err != nil {
		t.Fatal(err)
	}
	go n.run()
	const many = 20_000
	for i := range many {
		n.hold(i%100 < 50)
		n.tell(notice{Failed: &refusal{Run: fleet.RunID(fmt.Sprint(i))}})
	}
	n.mu.Lock()
	jammed := n.jammed
	n.mu.Unlock()
	if !jammed {
		t.Error("the socket took it all, so this shows nothing")
	}
	from := bufio.NewReader(agent)
	for i := range many {
		var got notice
		if err := decodeWire(from, got.fields); err != nil || got.Failed == nil || string(got.Failed.Run) != fmt.Sprint(i) {
			t.Fatalf("notice %d: %+v, %v", i, got.Failed, err)
		}
	}
	agent.Close()
	for range 100 { // nobody listens any more
		n.tell(notice{Ready: true})
	}
	if !n.deaf || len(n.text) > 0 {
		t.Errorf("%d bytes are kept for an agent that is gone", len(n.text))
	}
}

// TestWhatIsToldToNobodyIsNotKept: a guardian that its agent has left goes on.
func TestWhatIsToldToNobodyIsNotKept(t *testing.T) {
	_, guardian := connected(t)
	n, err := newNotices(guardian)
	if err != nil {
		t.Fatal(err)
	}
	guardian.Close()
	n.tell(notice{Ready: true})
	n.tell(notice{Ready: true})
	if !n.deaf || len(n.text) > 0 {
		t.Errorf("%d bytes are kept", len(n.text))
	}
}

// TestABusyGuardianTellsSeveralAtOnce, and the last of them in time though none
// follows.
func TestABusyGuardianTellsSeveralAtOnce(t *testing.T) {
	agent, guardian := connected(t)
	n, err := newNotices(guardian)
	if err != nil {
		t.Fatal(err)
	}
	n.hold(true)
	n.armed = true // so that nobody sends it before it is looked at
	n.tell(notice{Ready: true})
	if n.waiting != 1 || len(n.text) == 0 {
		t.Error("one alone was sent by a busy guardian")
	}
	n.late.Reset(0)
	var got notice
	if err := decodeWire(bufio.NewReader(agent), got.fields); err != nil || !got.Ready {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestWhatMayBeForgottenWaits for the next order, which it comes before.
func TestWhatMayBeForgottenWaits(t *testing.T) {
	agent, guardian := connected(t)
	to := newOrders(agent)
	to.waiting = 1 // so that nobody sends it before it is looked at
	if err := to.send(order{Forget: "one"}); err != nil || len(to.text) == 0 {
		t.Errorf("a guardian was woken to forget: %v", err)
	}
	from := bufio.NewReader(guardian)
	next := func() (o order) {
		if err := decodeWire(from, o.fields); err != nil {
			t.Fatal(err)
		}
		return o
	}
	if err := to.send(order{Launch: &launch{Run: "two"}}); err != nil {
		t.Fatal(err)
	}
	if first, second := next(), next(); first.Forget != "one" || second.Launch == nil || second.Launch.Run != "two" {
		t.Errorf("%+v, then %+v", first, second)
	}
	if err := to.send(order{Forget: "three"}); err != nil {
		t.Fatal(err)
	}
	if late := next(); late.Forget != "three" { // though nothing follows
		t.Errorf("%+v", late)
	}
	to.mu.Lock()
	to.waiting = 1
	to.mu.Unlock()
	for range forgottenMost - 1 {
		if err := to.send(order{Forget: "many"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(to.text) != 0 { // nobody else sends them
		t.Error("more wait than may")
	}
}

// TestTheStartOfAProcessIsKnownByTheClock compares what two looks at the clock say
// with what the kernel does.
func TestTheStartOfAProcessIsKnownByTheClock(t *testing.T) {
	known := 0
	for range 50 {
		before := sinceBoot()
		cmd := exec.Command("/bin/true")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		start, is := between(before, sinceBoot())
		stat, err := readStat(cmd.Process.Pid)
		_ = cmd.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if is && start != stat.start {
			t.Fatalf("start %d by the clock, the kernel says %d", start, stat.start)
		}
		if is {
			known++
		}
	}
	if known == 0 {
		t.Error("no start was known by the clock")
	}
	const tick = 10 * time.Millisecond
	if _, is := between(3*tick-1, 3*tick); is {
		t.Error("known though a tick came in between")
	}
	if _, is := between(0, 0); is {
		t.Error("known without a clock")
	}
}
