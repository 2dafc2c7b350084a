package findings

import (
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// TestAKeyThatNobodyVouchedForIsSeen is of a host that signs what it ran with
// another key, told by itself; one that came with an enrolment is none.
func TestAKeyThatNobodyVouchedForIsSeen(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	host := Host{HostView: api.HostView{Host: fleet.Host{ID: "00000000000000000000000000000001", Name: "db-1"}}}
	with := func(how ...string) []fleet.Finding {
		host.Proofs = &api.ProofHost{}
		for i, how := range how {
			host.Proofs.Keys = append(host.Proofs.Keys, proof.HostKey{Fingerprint: strings.Repeat(string(rune('a'+i)), 4), How: how, Since: now})
		}
		return Evaluate(Fleet{Hosts: []Host{host}}, now)
	}
	if list := with(proof.Told); len(list) != 0 {
		t.Errorf("the first key: %+v", list)
	}
	if list := with(proof.Enrolled, proof.Enrolled); len(list) != 0 {
		t.Errorf("a host that was enrolled anew: %+v", list)
	}
	list := with(proof.Enrolled, proof.Told)
	if len(list) != 1 || list[0].Kind != fleet.FindProof || !strings.Contains(list[0].Summary, "key bbbb, and was known by aaaa") {
		t.Errorf("%+v", list)
	}
}

// TestAttack86WhatHostsRefuseIsSeen is what a person sees when somebody changed
// a task behind the collectors' back, or a host's policy is in the way.
func TestAttack86WhatHostsRefuseIsSeen(t *testing.T) {
	host := Host{HostView: api.HostView{Host: fleet.Host{ID: "00000000000000000000000000000001", Name: "db-1"}}}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	said := func(report fleet.PolicyReport) []fleet.Finding {
		return Evaluate(Fleet{Hosts: []Host{host}, Policies: []api.HostChain{{Host: host.ID, Name: host.Name, PolicyReport: report}}}, now)
	}
	forged := fleet.Refusal{Object: "task data/backup", Code: "signature", Why: "no trusted key has signed it"}
	rule := fleet.Refusal{Object: "task data/purge", Code: "policy:user", Why: "user root is denied", Line: 7}

	if list := said(fleet.PolicyReport{Execute: true}); len(list) != 0 {
		t.Errorf("a host that refuses nothing: %+v", list)
	}
	if list := said(fleet.PolicyReport{Problem: "there is none"}); len(list) != 0 {
		t.Errorf("a host that only reports, and was given nothing: %+v", list)
	}
	list := said(fleet.PolicyReport{Execute: true, Refused: []fleet.Refusal{forged, rule}})
	if len(list) != 2 || list[0].ID == list[1].ID {
		t.Fatalf("two refusals: %+v", list)
	}
	for _, one := range list {
		if one.Kind != fleet.FindRefused || one.Severity != fleet.Critical || one.Fix != "fleetctl policies db-1" {
			t.Errorf("%+v", one)
		}
	}
	all := list[0].Summary + "\n" + list[1].Summary
	for _, part := range []string{"task data/backup", "no trusted key has signed it (signature)", "line 7 of the host's policy"} {
		if !strings.Contains(all, part) {
			t.Errorf("the summaries lack %q:\n%s", part, all)
		}
	}
	list = said(fleet.PolicyReport{Problem: "line 3: unknown key", Refused: []fleet.Refusal{forged, rule}})
	if len(list) != 1 || !strings.Contains(list[0].Summary, "nothing of the 2") || !strings.Contains(list[0].Summary, "line 3") {
		t.Errorf("a policy that counts for nothing: %+v", list)
	}
}
