package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

func (b *bed) revokes(id string) *seal.Statement {
	b.serial++
	return &seal.Statement{
		Version: 1, Cluster: cluster, Kind: seal.KindNode, Name: id, Serial: b.serial, Issued: time.UnixMilli(int64(b.serial)).UTC(),
		Node: &seal.Node{Role: fleet.CollectorKind, State: fleet.NodeRevoked},
	}
}

// TestACollectorIsRevokedBySignedWordAlone, for ever, and by nobody whose key is
// for some namespaces.
func TestACollectorIsRevokedBySignedWordAlone(t *testing.T) {
	b := newBed(t, strings.Replace(usual, "users:", "  - {key: BERT, name: bert, namespaces: [data]}\nusers:", 1))
	tell := func(texts ...[]byte) []fleet.Refusal {
		_, refused := b.gate.Open(&fleet.Plan{Host: hostID, Revoked: texts})
		return refused
	}
	foreign := b.revokes("c1")
	foreign.Cluster = "ffffffffffffffffffffffffffffffff"
	for name, text := range map[string][]byte{
		"a stranger":                      sign(t, b.revokes("c1"), newKey(t)),
		"a key for one namespace":         sign(t, b.revokes("c1"), b.bert),
		"another cluster":                 sign(t, foreign, b.anna),
		"nobody":                          nil,
		"a statement about another thing": sign(t, b.retires(task()), b.anna),
	} {
		if refused := tell(text); len(refused) != 1 || len(b.gate.Revoked()) != 0 {
			t.Errorf("%s: refused %v, revoked %v", name, refused, b.gate.Revoked())
		}
	}
	word := sign(t, b.revokes("c3"), b.anna)
	want := []string{"c3"}
	if refused := tell(word); len(refused) != 0 || !slices.Equal(b.gate.Revoked(), want) {
		t.Fatalf("refused %v, revoked %v", refused, b.gate.Revoked())
	}
	if refused := tell(word, word); len(refused) != 0 {
		t.Errorf("again: %v", refused)
	}
	tell()
	b.open()
	if tell(); !slices.Equal(b.gate.Revoked(), want) {
		t.Errorf("after a restart, left out: %v", b.gate.Revoked())
	}
	b.policy(strings.Replace(usual, "execute: on", "execute: off", 1))
	b.reread()
	if tell(sign(t, b.revokes("c2"), b.anna)); !slices.Equal(b.gate.Revoked(), []string{"c2", "c3"}) {
		t.Errorf("on a host that runs nothing: %v", b.gate.Revoked())
	}
}
