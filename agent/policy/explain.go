package policy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// Step is one rule and what it says of a task.
type Step struct {
	Rule string
	OK   bool
	Code string // of a refusal
	Says string
	Line int // of the policy file; 0: none says it
}

// Explain says rule by rule what a task of a plan meets on the host, up to the
// first that refuses it. It changes nothing, beside a gate that is at work or
// without one.
func Explain(config Config, plan *fleet.Plan, id fleet.TaskID) ([]Step, error) {
	g := lookOn(config)
	stood := held(plan, nil)
	var given *fleet.Assignment
	for _, list := range [][]fleet.Assignment{plan.Assignments, stood.Assignments} {
		for i := range list {
			if list[i].Task.ID() == id {
				given = &list[i]
			}
		}
	}
	if given == nil {
		return nil, fleet.Errorf(fleet.NotFound, "the plan of this host has no task %s", id).WithHint("fleetctl tasks hosts %s", id)
	}
	p := g.pass(plan, stood)
	g.staged, g.changed = g.book.copy(), false
	h := &hearing{gate: g, claim: claimTask, text: given.Envelope, given: given.Generation}
	var steps []Step
	for i := range rules {
		no := rules[i].check(h)
		if rules[i].name == "what runs" {
			steps = append(steps, g.explainTask(h)...)
		}
		if steps = append(steps, stepOf(rules[i].name, no, h)); no != nil {
			return steps, nil
		}
	}
	for _, last := range []struct {
		name  string
		check func(*hearing) *objection
	}{{"adoption", p.adopted}, {"calendars", p.blackout}} {
		no := last.check(h)
		if steps = append(steps, stepOf(last.name, no, h)); no != nil {
			return steps, nil
		}
	}
	if g.policy.Hours != nil {
		step := stepOf("hours", g.policy.outOfHours(g.now), h)
		if step.OK {
			step.Says = "runs may begin now: " + g.policy.Hours.String()
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// lookOn is a gate that only looks.
func lookOn(config Config) *Gate {
	config = config.complete()
	g := &Gate{config: config, etc: accounts{dir: config.Accounts}.once(), log: config.Log, host: config.Host, own: config.Host.Labels, cache: map[[32]byte]*opened{}, now: time.Now(), tasks: strangeTasks(), orders: strangeOrders(), entries: strangeWords()}
	g.book = newBook()
	if text, err := os.ReadFile(filepath.Join(config.Dir, bookName)); err == nil {
		if b := newBook(); json.Unmarshal(text, b) == nil && b.Version == bookVersion {
			g.book = b
		}
	}
	g.read()
	return g
}

func stepOf(rule string, no *objection, h *hearing) Step {
	if no != nil {
		return Step{Rule: rule, Code: no.code, Says: no.why, Line: no.line}
	}
	return Step{Rule: rule, OK: true, Says: fine(rule, h)}
}

// fine says what a rule saw that it let pass.
func fine(rule string, h *hearing) string {
	switch rule {
	case "signatures", "namespace":
		return "signed by " + names(h.signers)
	case "statement":
		s := h.sealed.statement
		return "a " + string(s.Kind) + " of " + s.Issued.UTC().Format(time.RFC3339)
	case "target":
		return "means this host"
	case "two people":
		if len(h.dangers) == 0 {
			return "nothing about it is dangerous"
		}
		text, _ := json.Marshal(h.dangers)
		return "dangers: " + string(text)
	}
	return ""
}

// explainTask says what each rule of the policy makes of the task.
func (g *Gate) explainTask(h *hearing) []Step {
	if h.sealed.unread != "" || h.sealed.statement.Kind != seal.KindTask && h.sealed.statement.Kind != seal.KindAdopt {
		return nil
	}
	b := g.policy.bench(g.etc, h.sealed.statement.Task.Definition, g.now, false)
	var steps []Step
	for _, j := range judgements {
		no := j.judge(b)
		step := Step{Rule: "  " + j.name, OK: no == nil}
		if no != nil {
			step.Code, step.Says, step.Line = no.code, no.why, no.line
		}
		if steps = append(steps, step); no != nil {
			return steps
		}
	}
	return steps
}
