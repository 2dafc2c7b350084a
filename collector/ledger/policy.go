package ledger

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// RecordPolicy records what a host says of its policy, what it refuses, and
// where its own audit chain stands. A chain that went back is noted in ours. An older word than the one on record, and
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
	if found && wentBack(&old, &cmd.Report) && c.notedBack(cmd.Host, cmd.At) {
		c.link(fleet.AuditEntry{
			At: cmd.At, By: fleet.Principal{Kind: fleet.AgentKind, Name: string(cmd.Host), Via: "agent"}, Action: "chain.back", Object: "host " + string(cmd.Host),
			Namespace: namespaceOfNode(c, string(cmd.Host)), Decision: AuditDone, Code: "host_chain_back",
			Why: fmt.Sprintf("the host's own audit chain was at entry %d, and is now at entry %d with another past: it was written anew, or the host's disk is an older one", old.AuditSeq, cmd.Report.AuditSeq),
		})
	}
	c.put(inPolicies, key(string(cmd.Host)), encode(cmd.Report))
	c.notify(Policies)
	return nil
}

// wentBack reports whether a host's chain cannot be the one that it told of
// before. What it wrote since then no head can tell.
func wentBack(old, next *fleet.PolicyReport) bool {
	return next.AuditSeq < old.AuditSeq || next.AuditSeq == old.AuditSeq && !bytes.Equal(next.AuditHead, old.AuditHead)
}

// backEvery is how often it is noted that one host's chain went back.
const backEvery = time.Hour

// notedBack reports whether it is to be noted now that a host's chain went back:
// a host that tells of nothing else must not fill ours.
func (c *change) notedBack(host fleet.HostID, at time.Time) bool {
	k := append([]byte("chain back "), host...)
	if last := c.get(inMeta, k); last != nil && at.Before(time.Unix(int64(number(last)), 0).Add(backEvery)) {
		return false
	}
	c.put(inMeta, k, bigEndian(uint64(max(0, at.Unix()))))
	return true
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
