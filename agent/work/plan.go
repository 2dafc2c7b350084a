package work

import (
	"log/slog"
	"path"
	"regexp"
	"slices"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// uuidForm is what ids of runs and orders look like. They become names of files.
var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// checkPlan takes out of an opened plan what no collector of this version would
// have accepted: it must not hold up the rest. A task taken out is not told as
// applied, so the collectors see it, too.
func checkPlan(plan *fleet.Plan, host fleet.HostID, log *slog.Logger) {
	plan.Assignments = slices.DeleteFunc(plan.Assignments, func(a fleet.Assignment) bool {
		err := checkAssignment(&a)
		if err != nil {
			log.Error("task not taken from the plan", "task", a.Task.ID(), "generation", a.Generation, "error", err)
		}
		return err != nil
	})
	plan.Orders = slices.DeleteFunc(plan.Orders, func(o fleet.Order) bool {
		err := checkOrder(&o, host)
		if err != nil {
			log.Error("order not taken from the plan", "order", o.ID, "task", o.Task, "error", err)
		}
		return err != nil
	})
	plan.Adoptions = slices.DeleteFunc(plan.Adoptions, func(a fleet.Adoption) bool {
		err := checkAdoption(&a, host)
		if err != nil {
			log.Error("adoption not taken from the plan", "task", a.Task, "error", err)
		}
		return err != nil
	})
}

func checkAdoption(a *fleet.Adoption, host fleet.HostID) error {
	_, err := fleet.ParseTaskID(string(a.Task))
	switch {
	case a.Host != host:
		return fleet.Invalidf("host", string(a.Host), "is another host")
	case !path.IsAbs(a.Job.Source) || path.Clean(a.Job.Source) != a.Job.Source:
		return fleet.Invalidf("job.source", a.Job.Source, "want an absolute path")
	}
	return err
}

func checkAssignment(a *fleet.Assignment) error {
	if _, known := fleet.TaskMoves[a.State]; !known {
		return fleet.Invalidf("state", string(a.State), "is no task state")
	}
	return a.Task.Validate()
}

// named says of each kind of order whether it names a run.
var named = map[fleet.OrderKind]bool{
	fleet.OrderRun: true, fleet.OrderCancel: true,
	fleet.OrderStart: false, fleet.OrderStop: false, fleet.OrderRestart: false, fleet.OrderReset: false,
}

func checkOrder(o *fleet.Order, host fleet.HostID) error {
	_, err := fleet.ParseTaskID(string(o.Task))
	names, known := named[o.Kind]
	switch {
	case o.Host != host:
		return fleet.Invalidf("host", string(o.Host), "is another host")
	case !known:
		return fleet.Invalidf("kind", string(o.Kind), "is no kind of order that this version knows")
	case !uuidForm.MatchString(string(o.ID)):
		return fleet.Invalidf("id", string(o.ID), "want a UUID")
	case names && !uuidForm.MatchString(string(o.Run)):
		return fleet.Invalidf("run", string(o.Run), "want a UUID")
	case !names && o.Run != "":
		return fleet.Invalidf("run", string(o.Run), "this kind of order names none")
	}
	return err
}
