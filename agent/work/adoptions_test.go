package work

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/adopt"
	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/policy/policytest"
	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const thisHost = fleet.HostID("0123456789abcdef0123456789abcdef")

func TestOnlyThisHostsAdoptionsAreTaken(t *testing.T) {
	good := fleet.Adoption{Task: "data/x", Host: thisHost, Job: fleet.Job{Source: "/etc/crontab"}}
	plan := fleet.Plan{Host: thisHost, Adoptions: []fleet.Adoption{good, good, good, good}}
	plan.Adoptions[1].Host = "ffffffffffffffffffffffffffffffff"
	plan.Adoptions[2].Job.Source = "/etc/cron.d/../shadow"
	plan.Adoptions[3].Task = "../../x"
	if checkPlan(&plan, thisHost, slog.New(slog.DiscardHandler)); len(plan.Adoptions) != 1 {
		t.Errorf("%+v", plan.Adoptions)
	}
}

// TestAMaskIsNeverRun: a task whose secret nobody here knows is missed, with
// the reason, and nothing begins.
func TestAMaskIsNeverRun(t *testing.T) {
	book, err := journal.Open(t.TempDir(), journal.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	adopter, err := adopt.Open(t.Context(), adopt.Config{
		Dir: t.TempDir(), Root: t.TempDir(), Arm: func(context.Context) error { return nil },
		Look: func(context.Context) (adopt.Sight, error) { return adopt.Sight{}, errors.New("not here") },
	})
	if err != nil {
		t.Fatal(err)
	}
	var begun, over int
	fill := filler{
		adopter: adopter, gate: policytest.Gate(t, thisHost), tasks: newGoing(), start: func(context.Context, runner.Spec) error { begun++; return nil }, recorder: recorder{journal: book},
		ended: func(*fleet.Run) { over++ },
	}
	run := fleet.Run{ID: "01997c5e-0000-7000-8000-000000000001", Task: "data/x", Host: thisHost, Due: time.Now().UTC(), State: fleet.RunBegun, Attempt: 1}
	spec := runner.Spec{Run: run, Execute: fleet.Execute{Command: fleet.Command{Shell: "mysql -p<redacted:00112233>"}}}
	if err := fill.Start(t.Context(), spec); err != nil || begun != 0 || over != 1 {
		t.Errorf("begun %d, over %d, %v", begun, over, err)
	}
	records, err := book.Outbox(0, 10)
	if err != nil || len(records) != 1 || records[0].Run.State != fleet.RunMissed || !strings.Contains(records[0].Run.Detail, "masked secret") {
		t.Errorf("%+v, %v", records, err)
	}
	spec.Execute.Command.Shell = "true"
	if err := fill.Start(t.Context(), spec); err != nil || begun != 0 || over != 2 {
		t.Errorf("a run that the policy knows nothing of: begun %d, over %d, %v", begun, over, err)
	}
	task := fleet.Task{Namespace: "data", Name: "x", On: fleet.Trigger{Manual: true}, Run: spec.Execute, Where: fleet.Where{Labels: "*"}}
	fill.gate = policytest.Gate(t, thisHost, task)
	fill.tasks.begin(run.ID, &task)
	if err := fill.Start(t.Context(), spec); err != nil || begun != 1 {
		t.Errorf("begun %d, %v", begun, err)
	}
}

func TestARunPartsAtWorkIsSeen(t *testing.T) {
	dir := t.TempDir()
	if runPartsIn(dir) {
		t.Fatal("nobody is at work there")
	}
	script := filepath.Join(t.TempDir(), "run-parts")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nread -r line\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(script, "--report", dir+"/")
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if !runPartsIn(dir) {
		t.Error("it is not seen")
	}
	input.Close()
	_ = command.Wait() // how it ends does not matter
}

func TestSystemdOfATreeIsNotAsked(t *testing.T) {
	if _, runs := systemdOf(t.TempDir()); runs {
		t.Error("a tree has no systemd that runs")
	}
}
