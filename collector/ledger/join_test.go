package ledger

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func newJoin(id string, change ...func(*fleet.JoinToken)) *PutJoinToken {
	token := fleet.JoinToken{ID: id, Hash: hashOf(id), Namespaces: []string{"data"}, Labels: map[string]string{"role": "db"}, Created: noon, Expires: noon.Add(30 * time.Minute), By: "ann"}
	for _, fn := range change {
		fn(&token)
	}
	return &PutJoinToken{Token: token}
}

// joining is a host that brings the token.
func joining(token string, host int, change ...func(*UseJoinToken)) *UseJoinToken {
	use := &UseJoinToken{
		ID: token, Hash: hashOf(token), From: netip.MustParseAddr("10.1.2.3"), Chain: []byte("pem"), At: noon.Add(time.Minute),
		Node: fleet.Node{
			ID: string(hostID(host)), Name: "db", Role: fleet.AgentKind, State: fleet.NodeRevoked, Namespaces: []string{"*"}, Labels: map[string]string{"role": "all"}, // what it says of itself means nothing
			Serial: "01", Fingerprint: fmt.Sprint("f", host), Expires: noon.Add(168 * time.Hour), Enrolled: noon.Add(time.Minute), Request: []byte("der"),
		},
	}
	for _, fn := range change {
		fn(use)
	}
	return use
}

func TestPutJoinToken(t *testing.T) {
	l := newLedger(t)
	for name, change := range map[string]func(*fleet.JoinToken){
		"no id":         func(t *fleet.JoinToken) { t.ID = "" },
		"no hash":       func(t *fleet.JoinToken) { t.Hash = nil },
		"no namespace":  func(t *fleet.JoinToken) { t.Namespaces = nil },
		"two days":      func(t *fleet.JoinToken) { t.Expires = noon.Add(48 * time.Hour) },
		"no life":       func(t *fleet.JoinToken) { t.Expires = noon },
		"no collector":  func(t *fleet.JoinToken) { t.Collector = "A B" },
		"two at once":   func(t *fleet.JoinToken) { t.Collector, t.Node = "c2", hostID(1) },
		"a bad network": func(t *fleet.JoinToken) { t.Namespaces = []string{""} },
	} {
		t.Run(name, func(*testing.T) { l.refused("invalid", newJoin("j", change)) })
	}
	l.refused("not_found", newJoin("j", func(t *fleet.JoinToken) { t.Node = hostID(1) }))
	made := l.must(newJoin("j")).(fleet.JoinToken)
	if made.Hash != nil || made.By != "ann" {
		t.Errorf("%+v", made)
	}
	l.refused("exists", newJoin("j"))
	if list, err := l.JoinTokens(everywhere); err != nil || len(list) != 1 || list[0].Hash != nil {
		t.Errorf("%+v, %v", list, err)
	}
	l.must(newJoin("c", func(t *fleet.JoinToken) { t.Collector, t.Namespaces = "c2", nil }))
	if list, err := l.JoinTokens(fleet.ScopeOf("data")); err != nil || len(list) != 1 || list[0].ID != "j" {
		t.Errorf("%+v, %v", list, err)
	}
	l.must(&DropJoinToken{ID: "j", At: noon})
	l.refused("not_found", &DropJoinToken{ID: "j", At: noon})
	l.refused("join_token_invalid", joining("j", 1))
}

func TestUseJoinToken(t *testing.T) {
	l := newLedger(t)
	l.must(newJoin("j"))
	if token, err := l.CheckJoinToken("j", hashOf("j"), netip.MustParseAddr("10.1.2.3"), fleet.AgentKind, noon); err != nil || token.Hash != nil || token.Labels["role"] != "db" {
		t.Errorf("%+v, %v", token, err)
	}
	_, changed := l.Watch(Nodes)
	node := l.must(joining("j", 1)).(fleet.Node)
	<-changed
	want := fleet.Node{
		ID: string(hostID(1)), Name: "db", Role: fleet.AgentKind, State: fleet.NodeActive, Namespaces: []string{"data"}, Labels: map[string]string{"role": "db"},
		Serial: "01", Fingerprint: "f1", Expires: noon.Add(168 * time.Hour), Enrolled: noon.Add(time.Minute), Changed: noon.Add(time.Minute), By: "ann",
	}
	if diff := cmp.Diff(want, node); diff != "" {
		t.Error(diff)
	}
	used, err := l.JoinToken(everywhere, "j")
	if err != nil || !used.Used.Equal(noon.Add(time.Minute)) || used.UsedBy != string(hostID(1)) {
		t.Errorf("%+v, %v", used, err)
	}
	if known, chain, found, err := l.Enrolled(string(hostID(1))); err != nil || !found || string(chain) != "pem" || !cmp.Equal(known, want) {
		t.Errorf("%+v, %q, %v", known, chain, err)
	}
	l.must(&RegisterHost{Host: testHost(1), At: noon})
	for range 2 {
		if host, _ := l.Host(everywhere, hostID(1)); !slices.Equal(host.Namespaces, []string{"data"}) || !host.Enrolled {
			t.Errorf("%+v", host)
		}
		if err := l.AdmitNode(fleet.AgentKind, string(hostID(1)), "01"); err != nil {
			t.Error(err)
		}
		l.reopen()
	}
}

// TestAttack12_JoinTokensThatDoNotCount brings what does not let in: one text,
// whatever it is that is wrong.
func TestAttack12_JoinTokensThatDoNotCount(t *testing.T) {
	l := newLedger(t)
	l.must(newJoin("used"), joining("used", 9), newJoin("late"), newJoin("j"))
	later := func(u *UseJoinToken) { u.At = noon.Add(30 * time.Minute) }
	texts := map[string]bool{}
	for name, use := range map[string]*UseJoinToken{
		"unknown": joining("none", 1), "used": joining("used", 1), "used by itself": joining("used", 9), "expired": joining("late", 1, later),
		"another secret": joining("j", 1, func(u *UseJoinToken) { u.Hash = hashOf("x") }), "no secret": joining("j", 1, func(u *UseJoinToken) { u.Hash = nil }),
		"no id": joining("", 1), "zeros for nobody": joining("none", 1, func(u *UseJoinToken) { u.Hash = make([]byte, 32) }),
	} {
		t.Run(name, func(t *testing.T) {
			l.refused("join_token_invalid", use)
			_, err := l.CheckJoinToken(use.ID, use.Hash, use.From, use.Node.Role, use.At)
			refusal, _ := IsRefusal(err)
			if refusal == nil || refusal.Kind != fleet.Unauthenticated {
				t.Fatalf("%v", err)
			}
			texts[err.Error()+refusal.Hint] = true
		})
	}
	if len(texts) != 1 {
		t.Errorf("%v", texts)
	}
}

// TestAttack13_OneOfFifty brings one join token fifty times at once.
func TestAttack13_OneOfFifty(t *testing.T) {
	l := newLedger(t)
	l.must(newJoin("j"))
	var entries, wait = make(chan Command, 50), sync.WaitGroup{}
	for n := range 50 {
		wait.Go(func() {
			if _, err := l.CheckJoinToken("j", hashOf("j"), netip.Addr{}, fleet.AgentKind, noon); err != nil {
				t.Errorf("before it is used: %v", err) // all of them get as far as the proposal
			}
			entries <- joining("j", n)
		})
	}
	wait.Wait()
	close(entries)
	var batch []Entry
	for command := range entries {
		data, err := Encode(command)
		if err != nil {
			t.Fatal(err)
		}
		l.next++
		batch = append(batch, Entry{Index: l.next, Term: 1, Data: data})
	}
	in, out := 0, 0
	for _, result := range l.Apply(batch) {
		switch refusal, refused := IsRefusal(result); {
		case !refused:
			in++
		case refusal.Code == "join_token_invalid" && refusal.Kind == fleet.Unauthenticated:
			out++
		default:
			t.Errorf("%v", result)
		}
	}
	if in != 1 || out != 49 || len(l.Nodes(everywhere)) != 1 {
		t.Errorf("%d let in, %d refused, %d nodes", in, out, len(l.Nodes(everywhere)))
	}
}

// TestAttack14_TheNetworkOfAJoinToken brings one from elsewhere, which does not
// use it up.
func TestAttack14_TheNetworkOfAJoinToken(t *testing.T) {
	l := newLedger(t)
	l.must(newJoin("j", func(t *fleet.JoinToken) { t.Network = netip.MustParsePrefix("10.0.0.0/8") }))
	from := func(addr string) func(*UseJoinToken) {
		return func(u *UseJoinToken) { u.From = netip.MustParseAddr(addr) }
	}
	l.refused("join_token_scope", joining("j", 1, from("192.168.0.1")))
	l.refused("join_token_scope", joining("j", 1, from("fd00::1")))
	l.refused("join_token_scope", joining("j", 1, func(u *UseJoinToken) { u.From = netip.Addr{} }))
	l.must(joining("j", 1, from("::ffff:10.9.9.9")))
}

// TestAttack20_RolesOfJoinTokens brings tokens for something else than they are
// for.
func TestAttack20_RolesOfJoinTokens(t *testing.T) {
	l := newLedger(t)
	collector := func(id string) func(*UseJoinToken) {
		return func(u *UseJoinToken) { u.Node.Role, u.Node.ID = fleet.CollectorKind, id }
	}
	l.must(newJoin("agents"), newJoin("c2", func(t *fleet.JoinToken) { t.Collector, t.Namespaces = "c2", nil }))
	l.refused("role_not_allowed", joining("agents", 1, collector("c2")))
	l.refused("role_not_allowed", joining("agents", 1, func(u *UseJoinToken) { u.Node.Role = fleet.PersonKind }))
	l.refused("role_not_allowed", joining("c2", 1))
	l.refused("role_not_allowed", joining("c2", 1, collector("c3")))
	node := l.must(joining("c2", 1, collector("c2"))).(fleet.Node)
	if node.Role != fleet.CollectorKind || len(node.Namespaces) != 0 {
		t.Errorf("%+v", node)
	}
	if err := l.AdmitNode(fleet.AgentKind, "c2", "01"); fleet.KindOf(err) != fleet.Refused {
		t.Errorf("a collector is let in as an agent: %v", err)
	}
	if err := l.AdmitNode(fleet.CollectorKind, "c2", "01"); err != nil {
		t.Error(err)
	}
}

// TestAttack21_IdsAreNeverUsedAgain enrols under the id of a machine that was.
func TestAttack21_IdsAreNeverUsedAgain(t *testing.T) {
	l := newLedger(t)
	l.must(newJoin("a"), joining("a", 1), newJoin("b"))
	l.refused("exists", joining("b", 1))
	l.must(&SetNodeState{ID: string(hostID(1)), State: fleet.NodeRevoked, At: noon})
	l.refused("node_revoked", joining("b", 1))
	l.refused("node_revoked", newJoin("c", func(t *fleet.JoinToken) { t.Node = hostID(1) }))
	l.refused("node_revoked", &PutNode{Node: fleet.Node{ID: string(hostID(1)), Role: fleet.AgentKind, Namespaces: []string{"*"}, Serial: "x", Fingerprint: "f1"}, At: noon})
	l.must(joining("b", 2))
}

func TestReadmit(t *testing.T) {
	l := newLedger(t)
	l.must(newJoin("a"), joining("a", 1), &SetNodeState{ID: string(hostID(1)), State: fleet.NodeSuspended, At: noon, Reason: "two of them"})
	l.must(newJoin("again", func(t *fleet.JoinToken) { t.Node, t.Namespaces = hostID(1), []string{"data", "web"} }))
	l.refused("role_not_allowed", joining("again", 2))
	node := l.must(joining("again", 1, func(u *UseJoinToken) {
		u.Node.Fingerprint, u.Node.Serial, u.Node.Enrolled = "new", "09", noon.Add(time.Hour)
	})).(fleet.Node)
	if node.State != fleet.NodeActive || node.Serial != "09" || node.Before != "" || node.Why != "" || !node.Enrolled.Equal(noon.Add(time.Minute)) || len(node.Namespaces) != 2 {
		t.Errorf("%+v", node)
	}
	if err := l.AdmitNode(fleet.AgentKind, node.ID, "01"); err == nil {
		t.Error("the certificate of before is welcome")
	}
}

func TestApproval(t *testing.T) {
	l := newLedger(t)
	l.must(newJoin("j", func(t *fleet.JoinToken) { t.Approve = true }))
	node := l.must(joining("j", 1)).(fleet.Node)
	if node.State != fleet.NodePending || node.Serial != "" || string(node.Request) != "der" || !node.Expires.IsZero() {
		t.Errorf("%+v", node)
	}
	id := node.ID
	if _, chain, found, err := l.Enrolled(id); chain != nil || !found || err != nil {
		t.Errorf("%q, %v", chain, err)
	}
	if err := l.AdmitNode(fleet.AgentKind, id, ""); codeOf(err.(*fleet.Error)) != "node_pending" {
		t.Error(err)
	}
	approve := &ApproveNode{ID: id, Fingerprint: "f1", Serial: "07", Expires: noon.Add(time.Hour), Chain: []byte("made"), At: noon.Add(time.Hour), Actor: "bob", Reason: "seen"}
	other := *approve
	other.Fingerprint = "f2"
	l.refused("fingerprint_mismatch", &other)
	l.refused("illegal_move", &SetNodeState{ID: id, State: fleet.NodeActive, At: noon})
	l.refused("not_found", &ApproveNode{ID: "none"})
	l.refused("invalid", &ApproveNode{ID: id, Fingerprint: "f1"})
	node = l.must(approve).(fleet.Node)
	if node.State != fleet.NodeActive || node.Serial != "07" || node.Request != nil || node.By != "bob" || node.Why != "seen" {
		t.Errorf("%+v", node)
	}
	l.refused("illegal_move", approve)
	if _, chain, _, _ := l.Enrolled(id); string(chain) != "made" {
		t.Errorf("%q", chain)
	}
	if _, _, found, err := l.Enrolled("none"); found || err != nil {
		t.Error(err)
	}
}

func TestPruneJoinTokens(t *testing.T) {
	l := newLedger(t)
	l.must(newJoin("used"), joining("used", 1), newJoin("open"), newJoin("old"))
	l.must(newJoin("young", func(t *fleet.JoinToken) { t.Created, t.Expires = noon.Add(time.Hour), noon.Add(2*time.Hour) }))
	l.must(&Prune{At: noon.Add(time.Hour), TrustBefore: noon.Add(time.Hour)})
	if list, err := l.JoinTokens(everywhere); err != nil || len(list) != 1 || list[0].ID != "young" {
		t.Errorf("%+v, %v", list, err)
	}
}
