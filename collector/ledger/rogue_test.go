package ledger

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAReadmittedHostIsWhatItWas: a token that lets a host come back, and says
// nothing else, gives it nothing that it did not have, and takes nothing away.
func TestAReadmittedHostIsWhatItWas(t *testing.T) {
	l := newLedger(t)
	l.must(newJoin("j"), joining("j", 1))
	made := l.must(newJoin("back", func(t *fleet.JoinToken) { t.Node, t.Namespaces, t.Labels = hostID(1), nil, nil })).(fleet.JoinToken)
	if !slices.Equal(made.Namespaces, []string{"data"}) || made.Labels["role"] != "db" {
		t.Errorf("the token says %v, %v", made.Namespaces, made.Labels)
	}
	node := l.must(joining("back", 1)).(fleet.Node)
	if !slices.Equal(node.Namespaces, []string{"data"}) || node.Labels["role"] != "db" {
		t.Errorf("the host came back with %v, %v", node.Namespaces, node.Labels)
	}
}

// TestRulesOfANamespaceTakeNothingAway: who may change the rules of one
// namespace cannot do without what was asked of all.
func TestRulesOfANamespaceTakeNothingAway(t *testing.T) {
	l := newLedger(t)
	put := func(namespace string, approvals int, within time.Duration, dangers ...fleet.Danger) {
		l.must(&PutRules{Rules: fleet.Rules{Namespace: namespace, TwoPerson: dangers, Approvals: approvals, Within: fleet.Duration(within)}, At: noon})
	}
	put(fleet.Everywhere, 2, time.Hour, fleet.DangerShell, fleet.DangerRoot)
	put("data", 1, 0)
	put("web", 1, time.Minute, fleet.DangerAdoption)
	for namespace, want := range map[string]struct {
		dangers []fleet.Danger
		within  time.Duration
	}{
		"data":  {[]fleet.Danger{fleet.DangerRoot, fleet.DangerShell}, time.Hour},
		"web":   {[]fleet.Danger{fleet.DangerRoot, fleet.DangerShell, fleet.DangerAdoption}, time.Minute},
		"other": {[]fleet.Danger{fleet.DangerShell, fleet.DangerRoot}, time.Hour},
	} {
		if got := l.RulesOf(namespace); got.Approvals != 2 || !slices.Equal(got.TwoPerson, want.dangers) || time.Duration(got.Within) != want.within {
			t.Errorf("%s: %+v", namespace, got)
		}
	}
}

// TestNoHostSpeaksInTheNameOfAnother: the ids of another host's runs can be
// worked out by whoever knows the host, and used before it does. Its own word
// counts all the same.
func TestNoHostSpeaksInTheNameOfAnother(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "default") // the thief
	l.enrol(2, "default")
	l.must(testTask("a", "*"))
	order := testOrder("o1", 2, "default/a")
	order.Run = "0192aaaa-0000-8000-8000-000000000001"
	l.must(&PutOrders{Orders: []fleet.Order{order}, At: noon})
	due := noon.Add(time.Hour)
	first := testRun(2, "default/a", fleet.RunRan)
	first.ID, first.Due, first.Attempt = fleet.Occurrence{Task: "default/a", Scope: hostID(2), Nominal: due}.Run(), due, 1
	again := due.Add(time.Minute)
	first.Again = &again
	second := first.NextAttempt()
	second.State, second.Attempt = fleet.RunRan, 2
	ordered := testRun(2, "default/a", fleet.RunRan)
	ordered.ID, ordered.Order, ordered.Due, ordered.Attempt = order.Run, order.ID, order.Due, 1
	theirs := []fleet.Run{first, second, ordered}

	deliver := func(host int, sequence uint64, runs ...fleet.Run) Receipt {
		batch := HostBatch{Host: hostID(host), Journal: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
		for i, run := range runs {
			run.Host = hostID(host)
			batch.Records = append(batch.Records, api.RunRecord{Sequence: sequence + uint64(i), Run: run})
		}
		return l.must(&RecordRuns{Batches: []HostBatch{batch}, At: noon}).([]Receipt)[0]
	}
	stolen := slices.Clone(theirs)
	for i := range stolen {
		stolen[i].State, stolen[i].Order, stolen[i].Task = fleet.RunRunning, "", "default/b"
	}
	deliver(1, 1, stolen...)
	if got := deliver(2, 1, theirs...); got.Recorded != len(theirs) || got.Refused != 0 {
		t.Errorf("what the host itself says: %+v", got)
	}
	if got := deliver(1, 4, stolen...); got.Recorded != 0 || got.Refused != len(stolen) {
		t.Errorf("what the thief says then: %+v", got)
	}
	for _, want := range theirs {
		if run, err := l.Run(everywhere, want.ID); err != nil || run.Host != hostID(2) || run.Task != "default/a" {
			t.Errorf("%+v, %v", run, err)
		}
	}
	if got := l.Totals(everywhere).Open; got != 0 {
		t.Errorf("%d runs go on, of those that are gone", got)
	}
	before, _, err := l.Activity(everywhere, noon.Add(-24*time.Hour))
	l.reopen()
	if after, _, _ := l.Activity(everywhere, noon.Add(-24*time.Hour)); err != nil || before != after || l.Totals(everywhere).Open != 0 {
		t.Errorf("%d runs, then %d; %v", before, after, err)
	}
}

// TestAHostsChainGoesOneWay: a host that writes its own chain anew is seen.
func TestAHostsChainGoesOneWay(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "data")
	at := noon
	tell := func(seq uint64, head byte) {
		at = at.Add(time.Minute)
		l.must(&RecordPolicy{Host: hostID(1), At: at, Report: fleet.PolicyReport{Execute: true, AuditSeq: seq, AuditHead: []byte{head}, At: at}})
	}
	tell(3, 1)
	tell(5, 2)
	tell(5, 2)
	if links := l.chain(); len(links) != 0 {
		t.Errorf("%+v", links)
	}
	tell(5, 3)
	tell(6, 4)
	at = at.Add(time.Hour)
	tell(2, 5)
	for n := range 10 { // and nothing else
		tell(uint64(1+n%2), 6)
	}
	links := l.chain()
	if len(links) != 2 || links[0].Code != "host_chain_back" || links[1].By.Name != string(hostID(1)) || links[1].Namespace != "data" || !links[1].At.Equal(noon.Add(time.Hour+6*time.Minute)) {
		t.Errorf("%+v", links)
	}
}

// TestAnOrderWaitsForTheTaskThatItWasOf: whoever asks for a run cannot have one
// task looked at and another one run.
func TestAnOrderWaitsForTheTaskThatItWasOf(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "default")
	l.must(testTask("a", "*"), testTask("b", "*"))
	ask := func(id string, task fleet.TaskID) {
		l.must(&PutRequest{
			Request: fleet.Request{ID: id, Namespace: "default", Object: "order " + id, Dangers: []fleet.Danger{fleet.DangerOneShot}, Envelope: []byte("e"), By: person("ann"), At: noon, Expires: noon.Add(time.Hour), Needs: 1},
			Signers: []string{"k1"}, Action: "order.run", Command: &PutOrders{Orders: []fleet.Order{testOrder(fleet.OrderID("o"+id), 1, task)}, At: noon, Envelope: []byte("e"), Digest: "d" + id, Expires: noon.Add(time.Hour)},
		})
	}
	ask("1", "default/a")
	ask("2", "default/b")
	other := testTask("a", "*")
	other.Task.Run.Command.Argv = []string{"/usr/bin/other"}
	l.must(other)
	if left := l.Requests(everywhere); len(left) != 1 || left[0].ID != "2" {
		t.Errorf("%+v", left)
	}
	for n := range maxAsked - 1 {
		ask(fmt.Sprint("more", n), "default/b")
	}
	l.refused("too_many_requests", &PutRequest{
		Request: fleet.Request{ID: "last", Namespace: "default", Object: "order last", Envelope: []byte("e"), By: person("ann"), At: noon, Expires: noon.Add(time.Hour), Needs: 1},
		Signers: []string{"k1"}, Action: "order.run", Command: &PutOrders{Orders: []fleet.Order{testOrder("ol", 1, "default/b")}, At: noon, Envelope: []byte("e"), Digest: "dl", Expires: noon.Add(time.Hour)},
	})
}
