package ledger

import (
	"slices"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// MaxRequestLife is how long a request waits at most.
const MaxRequestLife = 30 * 24 * time.Hour

// PutRules makes or replaces the rules of a namespace. It returns the
// fleet.Rules. Those of Everywhere hold for every namespace, beside its own.
type PutRules struct {
	Rules   fleet.Rules `json:"rules"`
	IfIndex *uint64     `json:"if_index,omitempty"` // as in PutTask
	At      time.Time   `json:"at"`
	Actor   string      `json:"actor,omitempty"`
}

func (cmd *PutRules) apply(c *change) any {
	rules := cmd.Rules
	switch {
	case rules.Namespace != fleet.Everywhere && !fleet.ValidName(rules.Namespace):
		return fleet.Invalidf("namespace", rules.Namespace, "want a namespace, or * for all of them")
	case rules.Approvals < 0 || rules.Approvals > 2:
		return fleet.Invalidf("approvals", strconv.Itoa(rules.Approvals), "want 1 or 2")
	case rules.Within < 0 || time.Duration(rules.Within) > MaxRequestLife:
		return fleet.Invalidf("within", rules.Within.String(), "want at most %s", fleet.Duration(MaxRequestLife))
	}
	for _, danger := range rules.TwoPerson {
		if !slices.Contains(fleet.Dangers, danger) {
			return fleet.Invalidf("two_person", string(danger), "want root, shell, everywhere, oneshot or adoption")
		}
	}
	old, found := stored[fleet.Rules](c, inRules, key(rules.Namespace))
	if refusal := checkRules(rules.Namespace, cmd.IfIndex, &old); refusal != nil {
		return refusal
	}
	rules.Changed, rules.By, rules.Index = notBefore(cmd.At, old.Changed), cmd.Actor, 0
	if old.Index, old.Changed, old.By = 0, rules.Changed, rules.By; found && slices.Equal(encode(old), encode(rules)) {
		old, _ = stored[fleet.Rules](c, inRules, key(rules.Namespace))
		return old
	}
	rules.Index = c.index
	c.put(inRules, key(rules.Namespace), encode(rules))
	c.notify(Rules)
	c.after(func(l *Ledger) { l.memory.rules[rules.Namespace] = &rules })
	return rules
}

// DropRules takes the rules of a namespace away.
type DropRules struct {
	Namespace string    `json:"namespace"`
	IfIndex   *uint64   `json:"if_index,omitempty"`
	At        time.Time `json:"at"`
	Actor     string    `json:"actor,omitempty"`
}

func (cmd *DropRules) apply(c *change) any {
	if !keyable(cmd.Namespace) || c.get(inRules, key(cmd.Namespace)) == nil {
		return fleet.Errorf(fleet.NotFound, "namespace %s has no rules of its own", cmd.Namespace).WithHint("fleetctl rules")
	}
	old, _ := stored[fleet.Rules](c, inRules, key(cmd.Namespace))
	if refusal := checkRules(cmd.Namespace, cmd.IfIndex, &old); refusal != nil {
		return refusal
	}
	c.delete(inRules, key(cmd.Namespace))
	c.notify(Rules)
	c.after(func(l *Ledger) { delete(l.memory.rules, cmd.Namespace) })
	return nil
}

// checkRules refuses a change of something else than its author has read.
func checkRules(namespace string, want *uint64, old *fleet.Rules) *fleet.Error {
	if want == nil || *want == old.Index {
		return nil
	}
	return fleet.Errorf(fleet.Conflict, "the rules of %s were changed since they were read", namespace).WithCode("stale").
		WithHint("read them again and repeat the change")
}

// AllRules returns the rules that there are, by namespace. Those of Everywhere
// hold for all and are shown to whoever sees any namespace.
func (l *Ledger) AllRules(scope fleet.Scope) []fleet.Rules {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := []fleet.Rules{}
	for namespace, rules := range sorted(l.memory.rules) {
		if scope.Holds(namespace) || namespace == fleet.Everywhere && len(scope.Namespaces()) > 0 {
			all = append(all, *rules)
		}
	}
	return all
}

// RulesOf returns the rules that hold in a namespace: its own and those of
// Everywhere, of each what asks for more. So whoever may change the rules of one
// namespace cannot take away what somebody asked of all. What has no namespace
// is of Everywhere.
func (l *Ledger) RulesOf(namespace string) fleet.Rules {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all, own := l.memory.rules[fleet.Everywhere], l.memory.rules[namespace]
	switch {
	case all == nil && own == nil:
		return fleet.Rules{Namespace: namespace}
	case own == nil:
		return *all
	case all == nil:
		return *own
	}
	both := *own
	both.TwoPerson = filter(fleet.Dangers, func(danger fleet.Danger) bool {
		return slices.Contains(own.TwoPerson, danger) || slices.Contains(all.TwoPerson, danger)
	})
	both.Approvals = max(own.Approvals, all.Approvals)
	if within := all.Within; both.Within == 0 || within != 0 && within < both.Within {
		both.Within = within
	}
	return both
}
