package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestPins(t *testing.T) {
	l := newLedger(t)
	pin := fleet.Pin{Name: "db", Labels: "role=db", Allow: []fleet.Allowed{{Fingerprint: "f", User: "root", Command: "x"}}, By: "ann", At: noon}
	l.refused("invalid", &PutPin{Pin: fleet.Pin{Name: "no\x00name"}})
	l.refused("not_found", &DropPin{Name: "db"})
	index, changed := l.Watch(Pins)
	if diff := cmp.Diff(any(pin), l.must(&PutPin{Pin: pin})); diff != "" {
		t.Error(diff)
	}
	<-changed
	l.must(&PutPin{Pin: fleet.Pin{Name: "a", Labels: "*", At: noon}})
	if now, _ := l.Watch(Pins); now <= index {
		t.Errorf("pins changed at %d, before at %d", now, index)
	}
	pins, err := l.Pins(everywhere)
	if err != nil || len(pins) != 2 || pins[0].Name != "a" {
		t.Errorf("%+v, %v", pins, err)
	}
	if got, err := l.Pin(everywhere, "db"); err != nil || !cmp.Equal(pin, got) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, name := range []string{"none", "", "A/B"} {
		if _, err := l.Pin(everywhere, name); fleet.KindOf(err) != fleet.NotFound {
			t.Errorf("%q: %v", name, err)
		}
	}
	l.must(&DropPin{Name: "db"})
	if pins, _ = l.Pins(everywhere); len(pins) != 1 {
		t.Errorf("%+v", pins)
	}
}

func TestContained(t *testing.T) {
	l := newLedger(t)
	for n := range 4 {
		l.must(&RegisterHost{Host: testHost(n, "role", []string{"db", "web"}[n%2]), At: noon}, testReport(n, testJob(1), testJob(n+10)))
	}
	hosts, jobs, err := l.Contained(everywhere, "role=db")
	if err != nil || hosts != 2 || len(jobs) != 3 {
		t.Fatalf("%d hosts, %v, %v", hosts, jobs, err)
	}
	for allowed, n := range jobs {
		if allowed.User != "root" || allowed.Command == "" || (allowed.Fingerprint == testJob(1).Fingerprint) != (n == 2) {
			t.Errorf("%d times %+v", n, allowed)
		}
	}
	l.must(testReport(0, testJob(7), testJob(8))) // one is new to what is remembered
	if hosts, jobs, err = l.Contained(everywhere, "*"); err != nil || hosts != 4 || len(jobs) != 6 || jobs[fleet.Allowed{Fingerprint: testJob(8).Fingerprint, User: "root", Command: testJob(8).Command}] != 1 {
		t.Errorf("%d hosts, %v, %v", hosts, jobs, err)
	}
	if _, _, err := l.Contained(everywhere, "=="); fleet.KindOf(err) != fleet.Invalid {
		t.Error(err)
	}
}

func TestAnnotations(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, testReport(1, testJob(1), testJob(2)))
	print := testJob(1).Fingerprint
	said := fleet.Annotation{Fingerprint: print, Owner: "team-data", Note: "ask first", By: "ann", At: noon}
	l.refused("invalid", &PutAnnotation{})
	l.must(&PutAnnotation{Annotation: said}, &PutAnnotation{Annotation: fleet.Annotation{Fingerprint: "f", Note: "n", At: noon}})
	for range 2 {
		if job := l.job(1, testJob(1).ID); job.Owner != "team-data" || job.Note != "ask first" {
			t.Errorf("%+v", job)
		}
		if job := l.job(1, testJob(2).ID); job.Owner != "" || job.Note != "" {
			t.Errorf("the other: %+v", job)
		}
		if got, found := l.Annotation(everywhere, print); !found || got != said {
			t.Errorf("%+v, %v", got, found)
		}
		l.reopen()
	}
	first := l.Annotations(everywhere, api.Page{Limit: 1})
	if first.Total != 2 || len(first.Items) != 1 || first.Next != first.Items[0].Fingerprint {
		t.Errorf("%+v", first)
	}
	if rest := l.Annotations(everywhere, api.Page{Limit: 1, After: first.Next}); len(rest.Items) != 1 || rest.Next != "" {
		t.Errorf("%+v", rest)
	}
	l.must(&PutAnnotation{Annotation: fleet.Annotation{Fingerprint: print, By: "ann", At: noon}}, &PutAnnotation{Annotation: fleet.Annotation{Fingerprint: "nobody's"}})
	if got, found := l.Annotation(everywhere, print); found || got.Fingerprint != print {
		t.Errorf("taken back: %+v", got)
	}
	if job := l.job(1, testJob(1).ID); job.Owner != "" {
		t.Errorf("%+v", job)
	}
}

func TestAcks(t *testing.T) {
	l := newLedger(t)
	ack := fleet.Ack{Finding: "0123456789abcdef", By: "ann", Reason: "known", At: noon, Expires: noon.Add(time.Hour)}
	standing := fleet.Ack{Finding: "fedcba9876543210", Reason: "for ever", At: noon}
	l.refused("invalid", &PutAck{})
	l.refused("not_found", &DropAck{Finding: ack.Finding})
	l.must(&PutAck{Ack: ack}, &PutAck{Ack: standing})
	acks, err := l.Acks(everywhere)
	if diff := cmp.Diff(map[string]fleet.Ack{ack.Finding: ack, standing.Finding: standing}, acks); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if got := l.must(&Prune{At: noon.Add(time.Hour)}); got != (Pruned{Acks: 1}) {
		t.Errorf("%+v", got)
	}
	l.must(&DropAck{Finding: standing.Finding})
	if acks, _ = l.Acks(everywhere); len(acks) != 0 {
		t.Errorf("%+v", acks)
	}
}
