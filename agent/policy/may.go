package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// May reports whether a task may begin now, with the words that are to be
// executed: who it runs as may be locked by now, and the policy another.
func (g *Gate) May(task *fleet.Task) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now, g.etc = time.Now(), g.etc.once()
	a := g.accepted[task.ID()]
	switch {
	case g.policy == nil:
		return refusal(&objection{codeExecute, "policy ignored: " + g.problem, 0})
	case !g.policy.Execute:
		return refusal(&objection{codeExecute, "the policy of this host does not let anything run (execute: off)", g.policy.line("execute")})
	case a == nil:
		return refusal(&objection{codeSignature, "no sealed statement gives this task to this host", 0})
	case !a.expires.IsZero() && !g.latest().Before(a.expires):
		return refusal(&objection{codeTime, "it expired at " + a.expires.UTC().Format(time.RFC3339), 0})
	}
	signers := g.stillHold(a)
	if len(signers) < g.policy.Threshold {
		return refusal(&objection{codeSignature, fmt.Sprintf("%d of %d needed signatures are by keys that this host trusts now for namespace %s", len(signers), g.policy.Threshold, task.ID().Namespace()), g.policy.line("keys")})
	}
	if no := g.policy.outOfHours(g.now); no != nil {
		return refusal(no)
	}
	dangers, no := g.policy.judge(g.etc, task, g.now, true)
	if no != nil {
		return refusal(no)
	}
	for i, danger := range g.policy.TwoPerson {
		if persons(signers) < 2 && slices.Contains(dangers, danger) {
			return refusal(&objection{codeApproval, fmt.Sprintf("it is dangerous (%s) and needs the signatures of two people", danger), g.policy.line(fmt.Sprintf("two_person[%d]", i))})
		}
	}
	return nil
}

// stillHold returns those who signed for a task and may speak for it now.
func (g *Gate) stillHold(a *acceptance) (signers []*Key) {
	for i := range g.policy.Keys {
		key := &g.policy.Keys[i]
		signed := slices.ContainsFunc(a.signers, func(was *Key) bool { return was.Public.Equal(key.Public) })
		if signed && key.may(a.word) && key.holds(a.namespace, g.latest()) {
			signers = append(signers, key)
		}
	}
	return signers
}

// MayAdopt reports whether a job may be taken over as the plan wishes. run is
// what the job really runs, where that is known.
func (g *Gate) MayAdopt(wish *fleet.Adoption, run *fleet.Execute) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now, g.etc = time.Now(), g.etc.once()
	no, judged := g.wishes[wish.Task]
	switch {
	case g.policy == nil || !judged:
		return refusal(&objection{codeSignature, "nothing sealed asks for it", 0})
	case no != nil:
		return refusal(no)
	case run == nil:
		return nil
	}
	if _, no := g.policy.judge(g.etc, &fleet.Task{Name: wish.Task.Name(), Namespace: wish.Task.Namespace(), Run: *run}, g.now, true); no != nil {
		return refusal(no)
	}
	return nil
}

// WouldAdopt reports whether a job might be taken over, once somebody signs that
// it shall be.
func (g *Gate) WouldAdopt(wish *fleet.Adoption, run *fleet.Execute) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now, g.etc = time.Now(), g.etc.once()
	switch {
	case g.policy == nil:
		return refusal(&objection{codeExecute, "policy ignored: " + g.problem, 0})
	case !g.policy.Execute:
		return refusal(&objection{codeExecute, "the policy of this host does not let anything run (execute: off)", g.policy.line("execute")})
	case !g.policy.Adoption:
		return refusal(&objection{codeAdoption, "the policy does not let jobs of this host be taken over", g.policy.line("adoption")})
	case run == nil:
		return nil
	}
	if _, no := g.policy.judge(g.etc, &fleet.Task{Name: wish.Task.Name(), Namespace: wish.Task.Namespace(), Run: *run}, g.now, true); no != nil {
		return refusal(no)
	}
	return nil
}

// refusal is an objection as an error.
func refusal(no *objection) error {
	return fleet.Errorf(fleet.Refused, "%s", (&fleet.Refusal{Code: no.code, Why: no.why, Line: no.line}).String()).WithCode(no.code)
}
