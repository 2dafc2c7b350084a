package ledger

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// randomTrust draws what decides who may do what, and changes that wait.
func randomTrust(random *rand.Rand, host int, name string, at time.Time, outer bool) Command {
	person := fmt.Sprint("p", random.IntN(3))
	node := wholeNode()
	node.ID, node.Fingerprint, node.Serial = string(hostID(host)), fmt.Sprint("f", random.IntN(3)), fmt.Sprint("s", random.IntN(4))
	if node.Namespaces = []string{fleet.DefaultNamespace}; random.IntN(3) == 0 {
		node.Namespaces = []string{"other"}
	}
	token := fmt.Sprint("t", random.IntN(5))
	switch n := random.IntN(22); {
	case n < 2:
		made := fleet.Token{ID: token, Name: person, Hash: hashOf(token), Roles: []fleet.Role{fleet.Roles[random.IntN(5)]}, Namespaces: []string{"*"}, Created: at, Expires: at.Add(time.Hour), Bootstrap: random.IntN(4) == 0}
		return &PutToken{Token: made}
	case n == 2:
		return &RevokeToken{ID: token, At: at}
	case n == 3:
		made := fleet.JoinToken{ID: token, Hash: hashOf(token), Namespaces: node.Namespaces, Approve: random.IntN(2) == 0, Created: at, Expires: at.Add(time.Hour)}
		if random.IntN(2) == 0 {
			made.Node = hostID(host)
		}
		return &PutJoinToken{Token: made}
	case n == 4:
		return &DropJoinToken{ID: token, At: at}
	case n < 7:
		return &UseJoinToken{ID: token, Hash: hashOf(token), Node: node, At: at}
	case n == 7:
		return &PutNode{Node: node, At: at}
	case n == 8:
		return &ApproveNode{ID: node.ID, Fingerprint: node.Fingerprint, Serial: node.Serial, At: at}
	case n == 9:
		states := []fleet.NodeState{fleet.NodeActive, fleet.NodeSuspended, fleet.NodeSuspended, fleet.NodeActive, fleet.NodeRevoked}
		return &SetNodeState{ID: node.ID, State: states[random.IntN(len(states))], At: at}
	case n == 10:
		return &RenewNode{ID: node.ID, Before: fmt.Sprint("s", random.IntN(4)), Serial: node.Serial, Fingerprint: node.Fingerprint, At: at}
	case n == 11:
		return &PutRules{Rules: fleet.Rules{Namespace: node.Namespaces[0], Approvals: random.IntN(3)}, At: at}
	case n == 12:
		return &DropRules{Namespace: node.Namespaces[0]}
	case n == 13:
		held := testTask(name, "*")
		held.Serial, held.Envelope = uint64(random.IntN(100)), []byte(person)
		return &PutRequest{Request: fleet.Request{
			ID: fmt.Sprint("r", random.IntN(3)), Namespace: fleet.DefaultNamespace, Object: "task default/" + name, By: fleet.Principal{Name: person}, At: at, Expires: at.Add(time.Hour), Needs: 1 + random.IntN(2),
		}, Signers: []string{person}, Action: "task.put", Command: held}
	case n == 14:
		return &Approve{ID: fmt.Sprint("r", random.IntN(3)), IfIndex: uint64(random.IntN(9)), Envelope: []byte("more"), Approval: fleet.Approval{By: fleet.Principal{Name: person}, Key: person}, At: at}
	case n == 15:
		return &DropRequest{ID: fmt.Sprint("r", random.IntN(3))}
	case n == 16:
		return &RecordPolicy{Host: hostID(host), Report: fleet.PolicyReport{Execute: random.IntN(2) == 0, At: at.Add(-time.Duration(random.IntN(9)) * time.Minute)}, At: at}
	case n == 17 || n == 18:
		signer := newSigner(host, byte(random.IntN(2)))
		signer.lines = uint64(random.IntN(4))
		return &RecordProofs{Host: hostID(host), Blocks: [][]byte{signer.block(1+random.IntN(2), fleet.DefaultNamespace).Encode()}, At: at}
	case n == 19:
		return &PutEnvelope{Task: fleet.NewTaskID("", name), Serial: uint64(random.IntN(100)), Envelope: []byte("signed again"), At: at}
	case n == 20:
		return []Command{
			&PutNode{Node: fleet.Node{ID: "c3", Role: fleet.CollectorKind, Serial: "1", Fingerprint: "f"}, At: at},
			&SetNodeState{ID: "c3", State: fleet.NodeRevoked, At: at}, &PutRevocation{ID: "c3", Envelope: []byte("c3 is none"), At: at},
		}[random.IntN(3)]
	}
	if !outer || random.IntN(3) == 0 {
		return &RecordRefusals{Entries: []fleet.AuditEntry{{At: at, Action: "login", Decision: AuditRefused, Count: random.IntN(3)}}}
	}
	by := fleet.Principal{Kind: fleet.PersonKind, Name: person, Scope: []string{[]string{"*", "default", "other"}[random.IntN(3)]}}
	command := randomCommand(random, at, random.IntN(2) == 0)
	if _, nested := command.(*Audited); nested {
		command = &DropRules{Namespace: "none"}
	}
	return &Audited{At: at, By: by, Action: "any", Command: command}
}

// alike compares addresses, which cmp does not look into.
var alike = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}
