package ledger

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// RecordPolicy records what a host says of its policy, what it refuses, and
// where its own audit chain stands. An older word than the one on record, and
// one that says the same, write nothing.
type RecordPolicy struct {
	Host   fleet.HostID       `json:"host"`
	Report fleet.PolicyReport `json:"report"`
	At     time.Time          `json:"at"`
}

func (cmd *RecordPolicy) apply(c *change) any {
	if !cmd.Host.Valid() || c.get(inHosts, key(string(cmd.Host))) == nil {
		return unknownHost(cmd.Host)
	}
	old, found := stored[fleet.PolicyReport](c, inPolicies, key(string(cmd.Host)))
	if found && (cmd.Report.At.Before(old.At) || samePolicy(&old, &cmd.Report)) {
		return nil
	}
	c.put(inPolicies, key(string(cmd.Host)), encode(cmd.Report))
	c.notify(Policies)
	return nil
}

// samePolicy reports whether two words differ in their time alone.
func samePolicy(a, b *fleet.PolicyReport) bool {
	other := *b
	other.At = a.At
	return bytes.Equal(encode(a), encode(&other))
}

// PolicyNews reports whether what a host says is worth a RecordPolicy.
func (l *Ledger) PolicyNews(host fleet.HostID, report *fleet.PolicyReport) (news bool, err error) {
	err = l.view(func(r *reader) error {
		old, found, err := row[fleet.PolicyReport](r, inPolicies, key(string(host)))
		news = !found || !report.At.Before(old.At) && !samePolicy(&old, report)
		return err
	})
	return news, err
}

// Policies returns what the hosts that the scope sees say of their policies, by
// host name. Of refusals it has those of tasks within the scope.
func (l *Ledger) Policies(scope fleet.Scope) ([]api.HostChain, error) {
	all := []api.HostChain{}
	err := l.view(func(r *reader) error {
		for _, host := range l.AllHosts(scope) {
			report, found, err := row[fleet.PolicyReport](r, inPolicies, key(string(host.ID)))
			if err != nil {
				return err
			}
			if found {
				all = append(all, api.HostChain{Host: host.ID, Name: host.Name, PolicyReport: policyWithin(scope, report)})
			}
		}
		return nil
	})
	return all, err
}

// policyWithin leaves out refusals about what the scope does not hold.
func policyWithin(scope fleet.Scope, report fleet.PolicyReport) fleet.PolicyReport {
	if scope.All() {
		return report
	}
	report.Refused = slices.DeleteFunc(slices.Clone(report.Refused), func(refusal fleet.Refusal) bool {
		task, isTask := strings.CutPrefix(refusal.Object, "task ")
		return !isTask || !scope.Holds(fleet.TaskID(task).Namespace())
	})
	return report
}

// forgetPolicies removes what hosts said that were revoked before TrustBefore.
func (cmd *Prune) forgetPolicies(c *change) {
	for _, k := range c.keys(inPolicies, nil) {
		node, found := storedNode(c, string(k))
		if found && node.State == fleet.NodeRevoked && node.Changed.Before(cmd.TrustBefore) {
			c.delete(inPolicies, k)
			c.notify(Policies)
		}
	}
}
