package work

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/policy"
	"github.com/fleetcron/fleetcron/agent/policy/policytest"
	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestWhatTheHostRefusesIsMissed says so, with the line of its policy.
func TestWhatTheHostRefusesIsMissed(t *testing.T) {
	book, err := journal.Open(t.TempDir(), journal.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	ended := 0
	s := &starter{host: thisHost, recorder: recorder{journal: book}, ended: func(*fleet.Run) { ended++ }}
	due := scheduler.Due{
		Run: "01890000-0000-7000-8000-000000000001", Nominal: time.Now().UTC(),
		Assignment: &fleet.Assignment{Task: fleet.Task{Name: "x"}, Generation: 1, Refused: &fleet.Refusal{Code: "policy:user", Why: "user root (0) is denied as root", Line: 6}},
	}
	if err := s.Begin(t.Context(), due); err != nil {
		t.Fatal(err)
	}
	records, err := book.Outbox(0, 10)
	if err != nil || len(records) != 1 || ended != 1 {
		t.Fatalf("recorded %+v, %v, %d ended", records, err, ended)
	}
	if run := records[0].Run; run.State != fleet.RunMissed || run.Reason != fleet.MissedRefused || run.Detail != "user root (0) is denied as root (policy:user, line 6 of the host's policy)" {
		t.Errorf("%+v", run)
	}
}

// TestAPlanIsOpenedAgainWhenThePolicyIsAnother follows a plan that waits for its
// host's root.
func TestAPlanIsOpenedAgainWhenThePolicyIsAnother(t *testing.T) {
	dir := t.TempDir()
	path := policytest.Trust(t, dir)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	off := strings.Replace(string(good), "execute: on", "execute: off", 1)
	if err := os.WriteFile(path, []byte(off), 0o644); err != nil {
		t.Fatal(err)
	}
	gate, err := policy.New(policy.Config{Path: path, Dir: filepath.Join(dir, "policy"), Host: fleet.Host{ID: thisHost, Name: "web-1"}, Cluster: policytest.Cluster, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	type carried struct {
		plan   *fleet.Plan
		stored bool
		report fleet.PolicyReport
	}
	var saved *fleet.Plan
	news := make(chan carried, 10)
	last := carried{}
	k := &keeper{
		gate: gate, id: thisHost, log: slog.New(slog.DiscardHandler),
		save:  func(plan *fleet.Plan) error { saved = plan; return nil },
		carry: func(plan *fleet.Plan, stored bool) { last.plan, last.stored = plan, stored },
		tell:  func(_ *fleet.Plan, report fleet.PolicyReport) { last.report = report; news <- last },
	}
	plan := policytest.Sealed(fleet.Plan{Host: thisHost, Index: 3, Assignments: []fleet.Assignment{{
		Task: fleet.Task{
			Namespace: "data", Name: "x", On: fleet.Trigger{Manual: true}, Where: fleet.Where{Labels: "*"},
			Run: fleet.Execute{Command: fleet.Command{Argv: []string{"/bin/true"}}},
		}, State: fleet.TaskEnabled, Generation: 1,
	}}})
	if err := k.Take(&plan); err != nil {
		t.Fatal(err)
	}
	first := <-news
	if first.plan.Assignments[0].Refused == nil || first.stored || len(first.report.Refused) != 1 {
		t.Errorf("%+v", first)
	}
	if string(saved.Assignments[0].Envelope) != string(plan.Assignments[0].Envelope) || saved.Assignments[0].Refused != nil || saved.Kept != nil {
		t.Error("what is saved is not what the collectors gave")
	}
	if err := k.Take(&fleet.Plan{Host: "ffffffffffffffffffffffffffffffff"}); err == nil {
		t.Error("another host's plan is taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- k.Run(ctx) }()
	go func() { done <- gate.Run(ctx) }()
	if err := os.WriteFile(path, good, 0o644); err != nil {
		t.Fatal(err)
	}
	second := <-news
	if second.plan.Assignments[0].Refused != nil || !second.stored || !second.report.Execute || len(second.report.Refused) != 0 {
		t.Errorf("%+v", second)
	}
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestWhatIsWithheldGoesOn through the plan that is saved: the next agent knows
// of it from there.
func TestWhatIsWithheldGoesOn(t *testing.T) {
	dir := t.TempDir()
	var gate *policy.Gate
	open := func() {
		if gate != nil {
			gate.Close()
		}
		var err error
		gate, err = policy.New(policy.Config{Path: policytest.Trust(t, dir), Dir: filepath.Join(dir, "policy"), Host: fleet.Host{ID: thisHost, Name: "web-1"}, Cluster: policytest.Cluster, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
	}
	open()
	defer func() { gate.Close() }()
	var saved, carried *fleet.Plan
	keep := func() *keeper {
		return &keeper{
			gate: gate, id: thisHost, log: slog.New(slog.DiscardHandler), given: saved,
			save:  func(plan *fleet.Plan) error { saved = plan; return nil },
			carry: func(plan *fleet.Plan, _ bool) { carried = plan },
			tell:  func(*fleet.Plan, fleet.PolicyReport) {},
		}
	}
	k := keep()
	plan := policytest.Sealed(fleet.Plan{Host: thisHost, Index: 3, Assignments: []fleet.Assignment{{
		Task: fleet.Task{
			Namespace: "data", Name: "x", On: fleet.Trigger{Manual: true}, Where: fleet.Where{Labels: "*"},
			Run: fleet.Execute{Command: fleet.Command{Argv: []string{"/bin/true"}}},
		}, State: fleet.TaskEnabled, Generation: 1,
	}}})
	for i, given := range []fleet.Plan{plan, {Host: thisHost, Index: 4}, {Host: thisHost, Index: 5, Kept: &fleet.Kept{}}} {
		if err := k.Take(&given); err != nil {
			t.Fatal(err)
		}
		if len(carried.Assignments) != 1 || carried.Assignments[0].Refused != nil {
			t.Fatalf("plan %d: %+v is carried out", i, carried.Assignments)
		}
		if saved.Index != given.Index || (saved.Kept != nil) != (i > 0) {
			t.Fatalf("plan %d: saved is %+v", i, saved)
		}
	}
	open()
	if opened := keep().open(saved); len(opened.Assignments) != 1 || opened.Assignments[0].Refused != nil {
		t.Errorf("after a restart %+v is carried out", opened.Assignments)
	}
}
