package work

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/agent/turn"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// clearing is a task whose order says what to clear.
func clearing() *fleet.Task {
	seven := "7"
	return &fleet.Task{
		Name: "clear", On: fleet.Trigger{Manual: true},
		Params: map[string]fleet.Param{"days": {Type: fleet.ParamInt, Default: &seven}, "site": {Type: fleet.ParamText}},
		Run: fleet.Execute{
			Command: fleet.Command{Argv: []string{"/bin/clear", "--days={{days}}", "{{site}}", "{{{{.Names}}"}}, Stdin: "site {{site}}\n",
			Env: map[string]string{"SITE": "<{{site}}>"},
		},
	}
}

func TestACommandGetsItsValues(t *testing.T) {
	task, err := filled(clearing(), fleet.Params{"site": "shop"})
	if err != nil {
		t.Fatal(err)
	}
	spec := specOf(task, fleet.Run{ID: "r", Params: fleet.Params{"site": "shop"}}, kept{}, turn.Leave{Fence: 7})
	want := fleet.Execute{
		Command: fleet.Command{Argv: []string{"/bin/clear", "--days=7", "shop", "{{.Names}}"}}, Stdin: "site shop\n", Env: map[string]string{"SITE": "<shop>"},
	}
	if diff := cmp.Diff(want, spec.Execute); diff != "" {
		t.Error(diff)
	}
	facts := []runner.Fact{{Name: "PARAM_DAYS", Value: "7"}, {Name: "PARAM_SITE", Value: "shop"}, {Name: "FENCE", Value: "7"}}
	if diff := cmp.Diff(facts, spec.Facts); diff != "" {
		t.Error(diff)
	}
	if own := clearing(); own.Run.Env["SITE"] != "<{{site}}>" {
		t.Error("the task itself was changed")
	}
}

// TestValuesThatFitNoMoreAreRefused: the task may be another one by the time that
// an order has its turn.
func TestValuesThatFitNoMoreAreRefused(t *testing.T) {
	book, err := journal.Open(t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	ended := 0
	s := &starter{
		host: "00000000000000000000000000000001", recorder: recorder{journal: book}, ended: func(*fleet.Run) { ended++ }, tasks: newGoing(),
		start: func(context.Context, runner.Spec) error { t.Error("it was begun"); return nil },
	}
	task := clearing()
	task.WaitFor.File = []string{"/never"}
	due := scheduler.Due{
		Run: "01890000-0000-7000-8000-000000000001", Nominal: time.Now().UTC(), Order: "o", Params: fleet.Params{"site": "-rf"},
		Assignment: &fleet.Assignment{Task: *task, Generation: 1},
	}
	ask := s.ask(task, due.Record(s.host), kept{})
	if len(ask.Task.WaitFor.File) > 0 {
		t.Error("it waits for what it needs before it is refused")
	}
	if err := ask.Start(t.Context(), turn.Leave{}); err != nil {
		t.Fatal(err)
	}
	records, err := book.Outbox(0, 10)
	if err != nil || len(records) != 1 || ended != 1 {
		t.Fatalf("recorded %+v, %v, %d ended", records, err, ended)
	}
	run := records[0].Run
	if run.State != fleet.RunMissed || run.Reason != fleet.MissedRefused || !strings.Contains(run.Detail, `params.site "-rf": begins with -`) || run.Params["site"] != "-rf" {
		t.Errorf("%+v", run)
	}
}

// TestWhatWaitsKeepsItsValues: a run that waited for its turn when the agent ended
// is asked for with what its order said.
func TestWhatWaitsKeepsItsValues(t *testing.T) {
	s := &starter{host: "00000000000000000000000000000001", tasks: newGoing()}
	var words []string
	s.start = func(_ context.Context, spec runner.Spec) error {
		words = slices.Clone(spec.Execute.Command.Argv)
		return nil
	}
	run := fleet.Run{ID: "r", Task: "default/clear", State: fleet.RunPending, Params: fleet.Params{"site": "shop", "days": "3"}}
	ask := s.ask(clearing(), run, kept{})
	if err := ask.Start(t.Context(), turn.Leave{}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"/bin/clear", "--days=3", "shop", "{{.Names}}"}; !slices.Equal(words, want) {
		t.Errorf("%q", words)
	}
	if task := s.tasks.task("r"); task == nil || task.Run.Command.Argv[2] != "shop" {
		t.Errorf("what the policy is asked about: %+v", task)
	}
}
