package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func (b *bench) node(n int) fleet.Node {
	b.t.Helper()
	node, err := b.Node(everywhere, string(hostID(n)))
	if err != nil {
		b.t.Fatal(err)
	}
	return node
}

func TestPutNode(t *testing.T) {
	l := newLedger(t)
	first := fleet.Node{ID: "c1", Role: fleet.CollectorKind, Serial: "01", Fingerprint: "f", Expires: noon.Add(time.Hour)}
	made := l.must(&PutNode{Node: first, At: noon, Actor: "init"}).(fleet.Node)
	if made.State != fleet.NodeActive || !made.Enrolled.Equal(noon) || made.By != "init" {
		t.Errorf("%+v", made)
	}
	next := first
	next.Serial = "02"
	if again := l.must(&PutNode{Node: next, At: noon.Add(time.Hour)}).(fleet.Node); again.Serial != "02" || !again.Enrolled.Equal(noon) {
		t.Errorf("%+v", again)
	}
	other := first
	other.Fingerprint = "g"
	l.refused("exists", &PutNode{Node: other, At: noon})
	for _, bad := range []fleet.Node{{}, {ID: "x", Role: "person", Serial: "1", Fingerprint: "f"}, {ID: "x", Role: fleet.CollectorKind}, {ID: "x", Role: fleet.AgentKind, Serial: "1", Fingerprint: "f"}} {
		l.refused("invalid", &PutNode{Node: bad, At: noon})
	}
	if list := l.Nodes(fleet.ScopeOf("data")); len(list) != 0 {
		t.Errorf("collectors are shown: %+v", list)
	}
}

func TestNodeMoves(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "data")
	id := string(hostID(1))
	set := func(state fleet.NodeState) *SetNodeState {
		return &SetNodeState{ID: id, State: state, At: noon, Actor: "ann", Reason: "r"}
	}
	l.refused("not_found", &SetNodeState{ID: "none", State: fleet.NodeRevoked})
	l.refused("illegal_move", set(fleet.NodePending))
	l.refused("illegal_move", set("odd"))
	for _, step := range []struct {
		to    fleet.NodeState
		admit string
	}{{fleet.NodeSuspended, "node_suspended"}, {fleet.NodeSuspended, "node_suspended"}, {fleet.NodeActive, ""}, {fleet.NodeRevoked, "node_revoked"}, {fleet.NodeRevoked, "node_revoked"}} {
		if node := l.must(set(step.to)).(fleet.Node); node.State != step.to || node.Why != "r" {
			t.Errorf("%+v", node)
		}
		err := l.AdmitNode(fleet.AgentKind, id, "01")
		if refusal, _ := IsRefusal(err); (err == nil) != (step.admit == "") || err != nil && refusal.Code != step.admit {
			t.Errorf("%s: %v", step.to, err)
		}
	}
	for _, state := range []fleet.NodeState{fleet.NodeActive, fleet.NodeSuspended} {
		l.refused("node_revoked", set(state))
	}
	for want, c := range map[string][2]string{"node_unknown": {"none", "01"}, "node_revoked": {id, "99"}} {
		err := l.AdmitNode(fleet.AgentKind, c[0], c[1])
		if refusal, _ := IsRefusal(err); refusal == nil || refusal.Code != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestAttack4_RevokedHostsHaveNoTasks shows what becomes of a host that was
// revoked: it is not let in, nothing is given to it, and who waits hears of it.
func TestAttack4_RevokedHostsHaveNoTasks(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "*")
	l.must(testTask("a", "*"))
	if n := l.Assigned(everywhere, hostID(1)); n != 1 {
		t.Errorf("%d tasks", n)
	}
	var marked []fleet.HostID
	l.OnHost(func(id fleet.HostID) { marked = append(marked, id) })
	_, nodes := l.Watch(Nodes)
	_, plan := l.Watch(PlanOf(hostID(1)))
	l.must(&SetNodeState{ID: string(hostID(1)), State: fleet.NodeRevoked, At: noon})
	<-nodes
	<-plan
	if len(marked) != 1 {
		t.Errorf("%v", marked)
	}
	for range 2 {
		if plan, err := l.Plan(everywhere, hostID(1)); err != nil || len(plan.Assignments) != 0 {
			t.Errorf("%+v, %v", plan, err)
		}
		if n := l.Assigned(everywhere, hostID(1)); n != 0 || len(l.Matching(everywhere, &testTask("a", "*").Task)) != 0 {
			t.Errorf("%d tasks", n)
		}
		if err := l.AdmitNode(fleet.AgentKind, string(hostID(1)), "01"); err == nil {
			t.Error("it is let in")
		}
		l.reopen()
	}
}

func TestRenewNode(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "data")
	id := string(hostID(1))
	renew := func(before, serial, print string) *RenewNode {
		return &RenewNode{ID: id, Before: before, Serial: serial, Fingerprint: print, Expires: noon.Add(time.Hour), At: noon}
	}
	welcome := func(serials ...string) {
		t.Helper()
		for _, serial := range []string{"01", "02", "03", "04", "05", ""} {
			err, want := l.AdmitNode(fleet.AgentKind, id, serial), false
			for _, one := range serials {
				want = want || one == serial
			}
			if (err == nil) != want {
				t.Errorf("%q: %v", serial, err)
			}
		}
	}
	welcome("01")
	l.refused("not_found", &RenewNode{ID: "none", Before: "01", Serial: "02", Fingerprint: "f"})
	l.refused("invalid", renew("01", "", "f2"))
	l.refused("invalid", renew("01", "02", ""))
	l.refused("invalid", renew("", "02", "f2"))
	node := l.must(renew("01", "02", "f2")).(fleet.Node)
	if node.Serial != "02" || node.Before != "01" || node.Fingerprint != "f2" {
		t.Errorf("%+v", node)
	}
	welcome("01", "02")
	// The answer was lost: the host asks again, with the key that it kept.
	node = l.must(renew("01", "03", "f2")).(fleet.Node)
	if node.Serial != "03" || node.Before != "01" {
		t.Errorf("%+v", node)
	}
	welcome("01", "03")
	l.must(renew("03", "04", "f3"))
	welcome("03", "04")
	// Nobody reads its jobs anew for that, and its plan is what it was.
	plan, _ := l.Watch(PlanOf(hostID(1)))
	l.OnHost(func(id fleet.HostID) { t.Errorf("host %s is marked", id) })
	l.must(renew("04", "05", "f4"))
	if now, _ := l.Watch(PlanOf(hostID(1))); now != plan {
		t.Error("its plan changed")
	}
}

// TestAttack22_ACopiedKeyShowsUp renews the same certificate twice, as a host and
// a thief with a copy of its key do.
func TestAttack22_ACopiedKeyShowsUp(t *testing.T) {
	for name, before := range map[string]string{"the one before": "01", "an older one": "00", "none of ours": "77"} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			l.enrol(1, "data")
			id := string(hostID(1))
			l.must(&RenewNode{ID: id, Before: "01", Serial: "02", Fingerprint: "thief", At: noon})
			_, changed := l.Watch(Nodes)
			refusal, refused := IsRefusal(l.apply(&RenewNode{ID: id, Before: before, Serial: "03", Fingerprint: "host", At: noon.Add(time.Hour)}))
			if !refused || refusal.Code != "renewal_replay" || refusal.Kind != fleet.Conflict {
				t.Fatalf("%v", refusal)
			}
			<-changed
			for range 2 {
				node := l.node(1)
				if node.State != fleet.NodeSuspended || node.Why == "" || node.Serial != "02" || !node.Changed.Equal(noon.Add(time.Hour)) {
					t.Errorf("%+v", node)
				}
				for _, serial := range []string{"01", "02", "03"} {
					if err := l.AdmitNode(fleet.AgentKind, id, serial); err == nil {
						t.Errorf("%s is welcome", serial)
					}
				}
				l.reopen()
			}
			l.refused("node_suspended", &RenewNode{ID: id, Before: "02", Serial: "04", Fingerprint: "thief", At: noon})
		})
	}
}

// TestHostBeforeItsNode registers in either order.
func TestHostBeforeItsNode(t *testing.T) {
	a, b := newLedger(t), newLedger(t)
	host := &RegisterHost{Host: testHost(1), At: noon}
	node := &PutNode{Node: fleet.Node{ID: string(hostID(1)), Role: fleet.AgentKind, Namespaces: []string{"data"}, Serial: "01", Fingerprint: "f"}, At: noon}
	a.must(host, node)
	b.must(node, host)
	x, _ := a.Host(everywhere, hostID(1))
	y, _ := b.Host(everywhere, hostID(1))
	if diff := cmp.Diff(x, y); diff != "" || !x.Enrolled || x.Serves("other") || !x.Serves("data") {
		t.Errorf("%+v %s", x, diff)
	}
	if a.must(host); len(a.AllHosts(fleet.ScopeOf("data"))) != 1 {
		t.Error("it is not seen")
	}
}
