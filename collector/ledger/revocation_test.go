package ledger

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestHostsAreToldWhichCollectorsAreNone, each in its plan, with the words that
// people signed.
func TestHostsAreToldWhichCollectorsAreNone(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "default")
	l.enrol(2, "default")
	for _, id := range []string{"c3", "c2"} {
		l.must(&PutNode{Node: fleet.Node{ID: id, Role: fleet.CollectorKind, Serial: "01", Fingerprint: "ff"}, At: noon})
	}
	word := func(id, text string) *PutRevocation {
		return &PutRevocation{ID: id, Envelope: []byte(text), At: noon, Actor: "ann"}
	}
	l.refused("not_found", word("c4", "x"))
	l.refused("not_found", word(string(hostID(1)), "x"))
	l.refused("illegal_move", word("c3", "x"))
	l.must(&SetNodeState{ID: "c3", State: fleet.NodeRevoked, At: noon}, &SetNodeState{ID: "c2", State: fleet.NodeRevoked, At: noon})
	l.refused("invalid", word("c3", ""))
	_, first := l.Watch(PlanOf(hostID(1)))
	_, second := l.Watch(PlanOf(hostID(2)))
	l.must(word("c3", "c3 is none"), word("c2", "c2 is none"), word("c3", "another person's word"), word("c3", "c3 is none"))
	<-first
	<-second
	for range 2 {
		for host := 1; host <= 2; host++ {
			plan, err := l.Plan(everywhere, hostID(host))
			var got []string
			for _, text := range plan.Revoked {
				got = append(got, string(text))
			}
			if err != nil || !slices.Equal(got, []string{"c2 is none", "c3 is none", "another person's word"}) {
				t.Errorf("host %d: %q, %v", host, got, err)
			}
		}
		l.reopen()
	}
	for i := range 2 * maxWords {
		l.must(word("c3", fmt.Sprint("word ", i)))
	}
	if plan, err := l.Plan(everywhere, hostID(1)); err != nil || len(plan.Revoked) != 1+maxWords || string(plan.Revoked[maxWords]) != "word 15" {
		t.Errorf("%q, %v", plan.Revoked, err)
	}
}
