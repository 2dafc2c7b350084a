package work

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/agent/turn"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestATaskDoesNotRunWhereItsNetworksAreNot(t *testing.T) {
	book, err := journal.Open(t.TempDir(), journal.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	var ended []fleet.RunID
	const host = fleet.HostID("00000000000000000000000000000001")
	s := &starter{
		host: host, recorder: recorder{journal: book},
		ended:     func(run *fleet.Run) { ended = append(ended, run.ID) },
		addresses: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("192.168.7.1")}, nil },
	}
	task := fleet.Task{Name: "x", Where: fleet.Where{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	due := scheduler.Due{Run: "01890000-0000-7000-8000-000000000001", Assignment: &fleet.Assignment{Task: task, Generation: 1}, Nominal: time.Now().UTC()}
	if err := s.Begin(t.Context(), due); err != nil {
		t.Fatal(err)
	}
	records, err := book.Outbox(0, 10)
	if err != nil || len(records) != 1 || records[0].Run.State != fleet.RunSkipped || records[0].Run.Reason != fleet.SkippedAway {
		t.Errorf("recorded %+v", records)
	}
	if len(ended) != 1 || ended[0] != due.Run {
		t.Errorf("ended %v", ended)
	}
}

// TestATaskOfANewerVersionIsMissed says so, with what to do.
func TestATaskOfANewerVersionIsMissed(t *testing.T) {
	book, err := journal.Open(t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	ended := 0
	s := &starter{host: "00000000000000000000000000000001", recorder: recorder{journal: book}, ended: func(*fleet.Run) { ended++ }}
	due := scheduler.Due{
		Run: "01890000-0000-7000-8000-000000000001", Nominal: time.Now().UTC(),
		Assignment: &fleet.Assignment{Task: fleet.Task{Name: "x"}, Generation: 1, Unread: `unknown field "gpu"`},
	}
	if err := s.Begin(t.Context(), due); err != nil {
		t.Fatal(err)
	}
	records, err := book.Outbox(0, 10)
	if err != nil || len(records) != 1 || ended != 1 {
		t.Fatalf("recorded %+v, %v, %d ended", records, err, ended)
	}
	if run := records[0].Run; run.State != fleet.RunMissed || run.Reason != fleet.MissedUnread || run.Detail != `this agent is too old for the task: unknown field "gpu"; upgrade it` {
		t.Errorf("%+v", run)
	}
}

func TestAway(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, test := range []struct {
		address  string
		networks []netip.Prefix
		err      error
		away     bool
	}{
		{"192.168.7.1", networks, nil, true},
		{"10.2.3.4", networks, nil, false},
		{"fd12::1", networks, nil, false},
		{"192.168.7.1", nil, nil, false},
		{"192.168.7.1", networks, errors.New("no interfaces to be read"), false},
	} {
		s := &starter{addresses: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr(test.address)}, test.err }}
		if got := s.away(test.networks); got != test.away {
			t.Errorf("%+v: away %v", test, got)
		}
	}
	if addresses, err := hostAddresses(); err != nil || len(addresses) == 0 {
		t.Errorf("addresses of this host: %v, %v", addresses, err)
	}
}

func TestWhatACommandIsTold(t *testing.T) {
	task := &fleet.Task{
		Name: "x", On: fleet.Trigger{Daemon: true}, Run: fleet.Execute{User: "backup"},
		Retry: fleet.Retry{Attempts: 3}, Limits: fleet.Limits{Nice: 5},
	}
	run := fleet.Run{ID: "r", Attempt: 2}
	first := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	got := specOf(task, run, kept{Cause: "event deployed", Payload: "v2", First: first}, turn.Leave{Fence: 7, Begin: time.Hour})
	want := runner.Spec{
		Run: run, Execute: task.Run, Limits: task.Limits, Retry: task.Retry, First: first, Whole: true, Begin: time.Hour,
		Facts: []runner.Fact{{Name: "CAUSE", Value: "event deployed"}, {Name: "PAYLOAD", Value: "v2"}, {Name: "FENCE", Value: "7"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if plain := specOf(task, run, kept{}, turn.Leave{}); len(plain.Facts) != 0 {
		t.Errorf("facts of nothing: %v", plain.Facts)
	}
}

// TestDeadline is for how long a run waits for a slot: the scheduler's rule.
func TestDeadline(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		on   fleet.Trigger
		want time.Duration
	}{
		{fleet.Trigger{Cron: "0 * * * *"}, time.Minute},
		{fleet.Trigger{Cron: "* * * * *"}, 30 * time.Second},
		{fleet.Trigger{Cron: "*/10 * * * * *"}, 5 * time.Second},
		{fleet.Trigger{Cron: "0 * * * *", Deadline: fleet.Duration(time.Hour)}, time.Hour},
		{fleet.Trigger{Every: fleet.Duration(time.Second)}, 500 * time.Millisecond},
		{fleet.Trigger{At: &at}, fleet.DefaultExpiry},
		{fleet.Trigger{Manual: true}, time.Minute},
		{fleet.Trigger{Cron: "not validated"}, time.Minute},
	} {
		if got := deadline(&fleet.Task{Name: "x", On: test.on}, "00000000000000000000000000000001", at); got != test.want {
			t.Errorf("%+v: %s, want %s", test.on, got, test.want)
		}
	}
}
