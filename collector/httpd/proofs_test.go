package httpd_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// signedBlock is what host n signs of its first two runs.
func signedBlock(n int, seed byte) proof.Block {
	exit, ended := 3, time.Now().UTC()
	chain := strings.Repeat("c", 32)
	b := proof.Block{
		Cluster: clusterID, Host: hostID(n), Chain: chain, First: 1, Before: proof.Start(clusterID, hostID(n), chain), At: time.Now().UTC(),
		Journal: fleet.JournalID(strings.Repeat("d", 32)), Sequence: 4,
	}
	for i, task := range []fleet.TaskID{"data/backup", "web/clean"} {
		b.Lines = append(b.Lines, proof.Entry{Line: &proof.Line{
			Run: fleet.RunID(fmt.Sprintf("r%d", i)), Task: task, Generation: 1, Due: time.Now().UTC(), Until: &ended, Count: 2, Attempt: 1, Again: true, Order: "o", Parent: "p",
			State: fleet.RunRan, Reason: fleet.RanExhausted, Exit: &exit, Signal: "SIGKILL", TimedOut: true, Cancelled: true, Started: &ended, Ended: &ended,
			Stdout: 1, Stderr: 2, Dropped: 3, Statement: &proof.Hash{1}, Params: map[string]string{"n": "2"},
		}})
	}
	b.Sign(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)))
	return b
}

// proveInRound brings proofs and reads them, for the round of all routes.
func proveInRound(t *testing.T, do func(method, path, target, body string, header ...string) *http.Response) {
	host := hostID(1)
	foreign := signedBlock(1, 1)
	foreign.Cluster = strings.Repeat("f", 32)
	other := signedBlock(1, 2)
	do("POST", api.PathAgentProofs, api.AgentPath(host)+"/proofs", asJSON(t, api.ProofBatch{Blocks: []proof.Block{signedBlock(1, 1), foreign, other}}))
	do("GET", api.PathProofs, api.PathProofs+"?task=data/backup&host="+string(host), "")
	do("GET", api.PathProofHosts, api.PathProofHosts, "")
}

func TestProofsAreCheckedBeforeTheyAreKept(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	h.addHost(t, 2, nil)
	path := api.AgentPath(hostID(1)) + "/proofs"
	bring := func(blocks ...proof.Block) *http.Response {
		return h.do(t, "POST", path, asJSON(t, api.ProofBatch{Blocks: blocks}), "Content-Type", api.MediaJSON)
	}
	edited, foreign, huge := signedBlock(1, 1), signedBlock(1, 1), signedBlock(1, 1)
	whole := signedBlock(1, 1)
	hidden := *whole.Within(func(task fleet.TaskID) bool { return task == "data/backup" })
	*edited.Lines[0].Line.Exit = 0
	foreign.Cluster = strings.Repeat("f", 32)
	foreign.Before = proof.Start(foreign.Cluster, foreign.Host, foreign.Chain)
	foreign.Sign(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)))
	huge.Lines[0].Line.Params = map[string]string{"x": strings.Repeat("x", api.MaxBlockSize)}
	huge.Sign(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)))
	for name, block := range map[string]proof.Block{"edited": edited, "of another host": signedBlock(2, 1), "of another cluster": foreign, "huge": huge, "without a line that it signs": hidden} {
		if receipt := decoded[api.ProofReceipt](t, bring(block), http.StatusOK); receipt.Refused != 1 || receipt.Why == "" {
			t.Errorf("a block that is %s: %+v", name, receipt)
		}
	}
	if receipt := decoded[api.ProofReceipt](t, bring(edited, signedBlock(1, 1)), http.StatusOK); receipt.Refused != 1 {
		t.Errorf("%+v", receipt)
	}
	list := decoded[api.List[api.ProofBlock]](t, h.do(t, "GET", api.PathProofs, ""), http.StatusOK)
	if len(list.Items) != 1 || list.Items[0].Check() != nil || list.Items[0].HostName != "host-1" || list.Items[0].Lines[1].Line == nil {
		t.Errorf("%+v", list)
	}
	many := make([]proof.Block, api.MaxBlocks+1)
	decoded[api.Problem](t, bring(many...), http.StatusRequestEntityTooLarge)
}

// TestProofsAreForAuditors shows who may read them, and what of it.
func TestProofsAreForAuditors(t *testing.T) {
	h := guarded(t)
	h.addHost(t, 1, nil)
	h.propose(t, &ledger.PutNode{At: time.Now(), Node: fleet.Node{ID: string(hostID(1)), Role: fleet.AgentKind, Fingerprint: "f", Serial: "1", Namespaces: []string{"data"}}})
	block := signedBlock(1, 1)
	h.propose(t, &ledger.RecordProofs{Host: hostID(1), Blocks: [][]byte{block.Encode()}, At: time.Now()})
	for role, want := range map[fleet.Role]int{fleet.Viewer: http.StatusForbidden, fleet.Operator: http.StatusForbidden, fleet.Auditor: http.StatusOK, fleet.Admin: http.StatusOK} {
		_, token := h.token(t, func(made *fleet.Token) { made.Roles, made.Namespaces = []fleet.Role{role}, []string{"data"} })
		reply := h.call(t, "192.0.2.1:1", "GET", api.PathProofs, token)
		if reply.StatusCode != want {
			t.Errorf("%s: %d, want %d", role, reply.StatusCode, want)
			continue
		}
		if want != http.StatusOK {
			continue
		}
		list := decoded[api.List[api.ProofBlock]](t, reply, http.StatusOK)
		if len(list.Items) != 1 || list.Items[0].Lines[0].Line == nil || list.Items[0].Lines[1].Line != nil || list.Items[0].Check() != nil {
			t.Errorf("%s of data: %+v", role, list.Items)
		}
	}
}
