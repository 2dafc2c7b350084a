package ledger

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// signer is a host that signs what it ran.
type signer struct {
	host  fleet.HostID
	chain string
	key   ed25519.PrivateKey
	lines uint64
	head  proof.Hash
}

const proofCluster = "00112233445566778899aabbccddeeff"

func newSigner(host int, seed byte) *signer {
	s := &signer{host: hostID(host), chain: fmt.Sprintf("%032x", int(seed)+1), key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))}
	s.head = proof.Start(proofCluster, s.host, s.chain)
	return s
}

// block signs the next lines, which are about tasks of namespaces in turn.
func (s *signer) block(lines int, namespaces ...string) *proof.Block {
	b := &proof.Block{Cluster: proofCluster, Host: s.host, Chain: s.chain, First: s.lines + 1, Before: s.head, At: noon, Journal: fleet.JournalID(hostID(9)), Sequence: s.lines}
	for i := range lines {
		b.Lines = append(b.Lines, proof.Entry{Line: &proof.Line{
			Run: fleet.RunID(fmt.Sprintf("r%d", int(s.lines)+i+1)), Task: fleet.NewTaskID(namespaces[i%len(namespaces)], "backup"), Due: noon, State: fleet.RunSkipped, Reason: fleet.SkippedPaused,
		}})
	}
	b.Sign(s.key)
	s.lines, s.head = b.Last(), b.After
	return b
}

// brings brings blocks to the ledger.
func (s *signer) brings(at time.Time, blocks ...*proof.Block) *RecordProofs {
	cmd := &RecordProofs{Host: s.host, At: at}
	for _, b := range blocks {
		cmd.Blocks = append(cmd.Blocks, b.Encode())
	}
	return cmd
}

// marksOf returns the marks of every block that is kept of all hosts.
func marksOf(t *testing.T, l *Ledger) (marks [][]proof.Mark) {
	t.Helper()
	list, err := l.Proofs(everywhere, api.ProofQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		if err := list.Items[i].Check(); err != nil {
			t.Error(err)
		}
		marks = append(marks, list.Items[i].Marks)
	}
	return marks
}

func wantMarks(t *testing.T, l *Ledger, want ...[]proof.Mark) {
	t.Helper()
	if got := marksOf(t, l); !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("marks %v, want %v", got, want)
	}
}

func TestProofsGoOn(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon})
	s := newSigner(1, 1)
	first, second := s.block(2, "data"), s.block(1, "data")
	l.must(s.brings(noon, first), s.brings(noon, second), s.brings(noon, first, second)) // the last: its receipt was lost
	wantMarks(t, l.Ledger, nil, nil)
	hosts, err := l.ProofHosts(everywhere)
	if err != nil || len(hosts) != 1 || hosts[0].Lines != 3 || hosts[0].Head != second.After || hosts[0].Blocks != 2 || len(hosts[0].Keys) != 1 || hosts[0].Keys[0].How != proof.Told {
		t.Errorf("%+v, %v", hosts, err)
	}
	l.refused("unknown_host", &RecordProofs{Host: hostID(2), At: noon})
	l.refused("invalid", &RecordProofs{Host: hostID(1), Blocks: [][]byte{newSigner(2, 1).block(1, "data").Encode()}, At: noon})
	l.refused("invalid", &RecordProofs{Host: hostID(1), Blocks: [][]byte{[]byte("no block")}, At: noon})
}

// TestWhatDoesNotFollowIsKeptAndMarked brings what no host that is well brings.
func TestWhatDoesNotFollowIsKeptAndMarked(t *testing.T) {
	for name, c := range map[string]struct {
		blocks func() []*proof.Block
		want   [][]proof.Mark
	}{
		"a gap": {func() []*proof.Block {
			s := newSigner(1, 1)
			a, _, b := s.block(1, "x"), s.block(1, "x"), s.block(1, "x")
			return []*proof.Block{a, b}
		}, [][]proof.Mark{nil, {proof.MarkGap}}},
		"a beginning that is missing": {func() []*proof.Block {
			s := newSigner(1, 1)
			s.block(1, "x")
			return []*proof.Block{s.block(1, "x")}
		}, [][]proof.Mark{{proof.MarkGap}}},
		"an older state of the host": {func() []*proof.Block {
			s := newSigner(1, 1)
			a, older := s.block(1, "x"), *s
			return []*proof.Block{a, s.block(2, "x"), older.block(2, "y"), older.block(1, "y")}
		}, [][]proof.Mark{nil, nil, {proof.MarkFork}, nil}},
		"another past": {func() []*proof.Block {
			s, other := newSigner(1, 1), newSigner(1, 1)
			a := s.block(2, "x")
			other.block(2, "y")
			return []*proof.Block{a, other.block(1, "y")}
		}, [][]proof.Mark{nil, {proof.MarkFork}}},
		"another chain, and back": {func() []*proof.Block {
			s, other := newSigner(1, 1), newSigner(1, 1)
			other.chain = fmt.Sprintf("%032x", 77)
			other.head = proof.Start(proofCluster, other.host, other.chain)
			return []*proof.Block{s.block(1, "x"), other.block(1, "x"), s.block(1, "x")}
		}, [][]proof.Mark{nil, {proof.MarkChain}, {proof.MarkChain}}},
		"another key": {func() []*proof.Block {
			return []*proof.Block{newSigner(1, 1).block(1, "x"), newSigner(1, 2).block(1, "x")}
		}, [][]proof.Mark{nil, {proof.MarkChain, proof.MarkKey}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			l.must(&RegisterHost{Host: testHost(1), At: noon})
			for _, b := range c.blocks() {
				l.must(newSigner(1, 1).brings(noon, b))
			}
			wantMarks(t, l.Ledger, c.want...)
		})
	}
}

// TestWhoseKeyItIs shows which key is believed, and that another one is audited.
func TestWhoseKeyItIs(t *testing.T) {
	l := newLedger(t)
	enrolled, other := newSigner(1, 1), newSigner(1, 2)
	node := wholeNode()
	node.ProofKey = enrolled.key.Public().(ed25519.PublicKey)
	l.must(&PutNode{Node: node, At: noon}, &RegisterHost{Host: testHost(1), At: noon}, other.brings(noon, other.block(1, "data")), enrolled.brings(noon, enrolled.block(1, "data")))
	wantMarks(t, l.Ledger, []proof.Mark{proof.MarkKey}, []proof.Mark{proof.MarkChain})
	hosts, err := l.ProofHosts(everywhere)
	if err != nil || len(hosts[0].Keys) != 2 || hosts[0].Keys[0].How != proof.Enrolled || !bytes.Equal(hosts[0].Keys[0].Key, node.ProofKey) || hosts[0].Keys[1].How != proof.Told {
		t.Fatalf("%+v, %v", hosts, err)
	}
	audit, err := l.Audit(everywhere, api.AuditQuery{Action: "proof.key"})
	if err != nil || len(audit.Items) != 1 || audit.Items[0].Code != "proof_key_changed" {
		t.Errorf("%+v, %v", audit.Items, err)
	}
	for seed := range byte(40) {
		another := newSigner(1, 100+seed)
		cmd := another.brings(noon, another.block(1, "data"))
		if 2+int(seed) < maxProofKeys {
			l.must(cmd)
		} else {
			l.refused("proof_keys", cmd)
		}
	}
}

// TestProofsWithinAScope shows foreign lines as hashes, with which the chain
// still holds, and nothing of hosts that are not seen.
func TestProofsWithinAScope(t *testing.T) {
	l := newLedger(t)
	for host, namespace := range map[int]string{1: "*", 2: "web"} {
		node := wholeNode()
		node.ID, node.Namespaces = string(hostID(host)), []string{namespace}
		s := newSigner(host, byte(host))
		l.must(&PutNode{Node: node, At: noon}, &RegisterHost{Host: testHost(host), At: noon}, s.brings(noon, s.block(4, "data", "web"), s.block(2, "web")))
	}
	list, err := l.Proofs(fleet.ScopeOf("data"), api.ProofQuery{})
	if err != nil || len(list.Items) != 2 {
		t.Fatalf("%d blocks, %v", len(list.Items), err)
	}
	for i := range list.Items {
		if err := list.Items[i].Check(); err != nil {
			t.Error(err)
		}
		for _, entry := range list.Items[i].Lines {
			if entry.Line != nil && entry.Line.Task.Namespace() != "data" {
				t.Errorf("shows a line of %s", entry.Line.Task)
			}
		}
	}
	if list, err = l.Proofs(fleet.ScopeOf("data"), api.ProofQuery{Task: "web/backup"}); err != nil || len(list.Items) != 0 {
		t.Errorf("%d blocks hold lines that are not shown, %v", len(list.Items), err)
	}
	if hosts, err := l.ProofHosts(fleet.ScopeOf("data")); err != nil || len(hosts) != 1 {
		t.Errorf("%d hosts, %v", len(hosts), err)
	}
}

func TestPagesOfProofs(t *testing.T) {
	l := newLedger(t)
	for host := range 3 {
		s := newSigner(host, byte(host))
		l.must(&RegisterHost{Host: testHost(host), At: noon})
		for i := range 5 {
			l.must(s.brings(noon.Add(time.Duration(i)*time.Hour), s.block(1, "data")))
		}
	}
	count := func(q api.ProofQuery) (blocks int) {
		for pages := 0; pages < 20; pages++ {
			list, err := l.Proofs(everywhere, q)
			if err != nil {
				t.Fatal(err)
			}
			blocks += len(list.Items)
			if q.After = list.Next; q.After == "" {
				return blocks
			}
		}
		t.Fatal("the pages do not end")
		return 0
	}
	for want, q := range map[int]api.ProofQuery{
		15: {Page: api.Page{Limit: 2}}, 5: {Host: hostID(1), Page: api.Page{Limit: 2}}, 6: {Since: noon.Add(3 * time.Hour)}, 9: {Until: noon.Add(3 * time.Hour)}, 0: {Task: "data/other"},
	} {
		if got := count(q); got != want {
			t.Errorf("%+v: %d blocks, want %d", q, got, want)
		}
	}
	if _, err := l.Proofs(everywhere, api.ProofQuery{Page: api.Page{After: "zz"}}); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("a cursor that is none: %v", err)
	}
}

// TestOldProofsGo shows that a host that signs much does not make the proofs of
// others go, and that what is brought again afterwards is not kept again.
func TestOldProofsGo(t *testing.T) {
	l := newLedger(t)
	quiet, loud := newSigner(1, 1), newSigner(2, 2)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, &RegisterHost{Host: testHost(2), At: noon}, quiet.brings(noon, quiet.block(1, "data")), quiet.brings(noon.Add(time.Hour), quiet.block(1, "data")))
	var all []*proof.Block
	for range 20 {
		all = append(all, loud.block(1, "data"))
	}
	l.must(loud.brings(noon.Add(time.Hour), all...))
	size := func() (bytes int64, dropped uint64) {
		hosts, err := l.ProofHosts(everywhere)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range hosts {
			bytes += host.Bytes
			dropped += host.Dropped
		}
		return bytes, dropped
	}
	whole, _ := size()
	l.must(&Prune{At: noon, ProofBytes: whole})
	if left, dropped := size(); left != whole || dropped != 0 {
		t.Errorf("%d of %d bytes are left, though all fit", left, whole)
	}
	l.must(&Prune{At: noon, ProofBytes: whole / 2})
	if left, dropped := size(); left > whole/2 || left < whole/3 || int(dropped)+len(marksOf(t, l.Ledger)) != 22 {
		t.Errorf("%d of %d bytes are left, %d dropped", left, whole, dropped)
	}
	if hosts, _ := l.ProofHosts(everywhere); hosts[0].Dropped != 0 || hosts[1].Dropped == 0 {
		t.Errorf("%d dropped of who has few, %d of who has many", hosts[0].Dropped, hosts[1].Dropped)
	}
	before := len(marksOf(t, l.Ledger))
	l.must(loud.brings(noon.Add(2*time.Hour), all[0]))
	if after := len(marksOf(t, l.Ledger)); after != before {
		t.Error("what was dropped came back")
	}
	l.must(&Prune{At: noon, ProofsBefore: noon.Add(time.Minute)})
	if hosts, _ := l.ProofHosts(everywhere); hosts[0].Dropped != 1 || hosts[0].Blocks != 1 {
		t.Errorf("%+v", hosts[0])
	}
	l.must(loud.brings(noon.Add(2*time.Hour), loud.block(1, "data")))
	for _, marks := range marksOf(t, l.Ledger) {
		if len(marks) > 0 {
			t.Errorf("marked %v", marks)
		}
	}
}

func TestShares(t *testing.T) {
	for _, c := range []struct {
		sizes []int64
		most  int64
		want  int64
	}{{[]int64{10, 20, 100}, 60, 30}, {[]int64{10, 20, 30}, 60, 1<<63 - 1}, {[]int64{100, 100}, 60, 30}, {[]int64{5, 100, 100}, 65, 30}, {[]int64{100}, 0, 0}} {
		if got := shareOf(c.sizes, c.most); got != c.want {
			t.Errorf("%v of %d: %d, want %d", c.sizes, c.most, got, c.want)
		}
	}
}
