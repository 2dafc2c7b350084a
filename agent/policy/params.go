package policy

import (
	"fmt"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// codeParams is why an order is refused whose values are not what its task, as
// it was signed, wants.
const codeParams = "params"

// openWords returns the task with the defaults of its parameters in its words, and
// which of the words nobody can judge yet: what stands there is said by an order.
// They are judged when it comes, and again when its run begins.
func openWords(task *fleet.Task) (*fleet.Task, []bool) {
	if len(task.Params) == 0 {
		return task, nil
	}
	open := task.Open()
	if len(open) > 0 {
		open = open[1:]
	}
	with := *task
	with.Run = task.WithDefaults()
	return &with, open
}

// judgeParams refuses a task whose values would be read as a program: by what its
// program is, whatever it is called.
func (b *bench) judgeParams() *objection {
	if b.filled || len(b.template.Params) == 0 || len(b.template.Run.Command.Argv) == 0 {
		return nil
	}
	resolved, err := b.resolve(b.template.Run.Command.Argv[0])
	if err != nil {
		return nil // judgeCommand says it
	}
	if why := b.template.ReadsValues(resolved); why != "" {
		return b.object("shell", "shell", "%s is %s: %s", b.template.Run.Command.Argv[0], resolved, why)
	}
	return nil
}

// checkParams compares the values of an order with the task as it was signed, and
// judges what would run. A task that is not here yet is judged when its run begins.
func (h *hearing) checkParams() *objection {
	order := h.sealed.statement.Order
	if order.Kind != fleet.OrderRun || h.waits == nil || len(h.waits.Params)+len(order.Params) == 0 {
		return nil
	}
	run, err := h.waits.Filled(order.Params)
	if err != nil {
		return &objection{codeParams, fmt.Sprintf("its values are not what task %s takes here: %v", h.id(), err), 0}
	}
	filled := *h.waits
	filled.Run = run
	_, no := h.gate.policy.judge(h.gate.etc, &filled, h.gate.now, true)
	return no
}
