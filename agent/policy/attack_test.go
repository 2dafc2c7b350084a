package policy

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

func TestAttack64OneByteOfWhatWasSignedIsAnother(t *testing.T) {
	b := newBed(t, usual)
	e, err := seal.Sign(b.says(task()), b.anna)
	if err != nil {
		t.Fatal(err)
	}
	for i := range e.Payload {
		forged := *e
		forged.Payload = slices.Clone(e.Payload)
		forged.Payload[i] ^= 1 << (i % 8)
		want(t, b.offer(given(task(), forged.Marshal())), "signature")
	}
	want(t, b.offer(given(task(), e.Marshal())), "")
}

func TestAttack65KeysThatDoNotCountHere(t *testing.T) {
	b := newBed(t, `execute: on
keys:
  - key: ANNA
    name: anna
    namespaces: [web, dat]
  - key: BERT
    namespaces: ["*"]
    not_after: 2020-01-01
users: {allow: [alice]}
commands: [{path: /bin/true}]
`)
	stranger := newKey(t)
	for name, key := range map[string]seal.Key{"a stranger": stranger, "out of date": b.bert, "another namespace, though its name begins alike": b.anna} {
		r := b.take(b.says(task()), key)
		want(t, r, "signature")
		if name != "out of date" && r != nil && !strings.Contains(r.Why, seal.KeyID(key.Public())) {
			t.Errorf("%s: the key is not named: %s", name, r.Why)
		}
	}
	inWeb := task()
	inWeb.Namespace = "web"
	want(t, b.take(b.says(inWeb)), "")
}

func TestAttack66OneKeyTwiceIsOneSigner(t *testing.T) {
	b := newBed(t, strings.Replace(usual, "keys:\n", "threshold: 2\nkeys:\n  - key: BERT\n    namespaces: [\"*\"]\n", 1))
	e, err := seal.Sign(b.says(task()), b.anna)
	if err != nil {
		t.Fatal(err)
	}
	twice := *e
	twice.Signatures = append(slices.Clone(e.Signatures), seal.Signature{KeyID: "ffffffffffffffff", Sig: e.Signatures[0].Sig})
	r := b.offer(given(task(), twice.Marshal()))
	want(t, r, "signature")
	if r != nil && !strings.Contains(r.Why, "1 of 2") {
		t.Error(r.Why)
	}
	want(t, b.take(b.says(task()), b.anna, b.bert), "")
}

func TestAttack67SignaturesForSomethingElse(t *testing.T) {
	b := newBed(t, usual)
	s := b.says(task())
	payload, _ := json.Marshal(s)
	sign := func(message string) []byte {
		sig, _ := b.anna.Sign([]byte(message))
		e := seal.Envelope{PayloadType: seal.PayloadType, Payload: payload, Signatures: []seal.Signature{{KeyID: seal.KeyID(b.anna.Public()), Sig: sig}}}
		return e.Marshal()
	}
	other := "application/vnd.in-toto+json"
	for name, envelope := range map[string][]byte{
		"the bytes alone":    sign(string(payload)),
		"another type":       sign(fmt.Sprintf("DSSEv1 %d %s %d %s", len(other), other, len(payload), payload)),
		"a commit":           sign("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"),
		"of git or ssh":      sign("SSHSIG\x00\x00\x00\x03git" + string(payload)),
		"no version of ours": sign(fmt.Sprintf("DSSEv2 %d %s %d %s", len(seal.PayloadType), seal.PayloadType, len(payload), payload)),
	} {
		if r := b.offer(given(task(), envelope)); r == nil || r.Code != "signature" {
			t.Errorf("%s: %v", name, r)
		}
	}
	e := seal.Envelope{PayloadType: other, Payload: payload}
	if err := e.Add(b.anna); err == nil {
		want(t, b.offer(given(task(), e.Marshal())), "signature")
	}
}

func TestAttack68EnvelopesWithoutASignature(t *testing.T) {
	b := newBed(t, usual)
	e, err := seal.Sign(b.says(task()), b.anna)
	if err != nil {
		t.Fatal(err)
	}
	none := *e
	none.Signatures = nil
	text := string(e.Marshal())
	for name, envelope := range map[string]string{
		"nothing": "", "none": string(none.Marshal()), "no JSON": "x", "empty": "{}",
		"alg none":     strings.Replace(text, `"keyid"`, `"alg":"none","keyid"`, 1),
		"of RSA":       `{"payloadType":"` + seal.PayloadType + `","payload":"e30=","signatures":[{"keyid":"rsa","sig":"` + strings.Repeat("QUFB", 85) + `"}]}`,
		"twice":        text + text,
		"another case": strings.Replace(text, `"payload"`, `"Payload"`, 1),
	} {
		if r := b.offer(given(task(), []byte(envelope))); r == nil || r.Code != "signature" {
			t.Errorf("%s: %v", name, r)
		}
	}
	want(t, b.offer(given(task(), []byte(strings.Repeat(" ", seal.MaxEnvelope)+text))), "size")
}

func TestAttack69WhatWasBefore(t *testing.T) {
	b := newBed(t, usual)
	older, newer := b.says(task()), b.says(task())
	oldEnvelope := sign(t, older, b.anna)
	want(t, b.take(newer), "")
	want(t, b.offer(given(task(), oldEnvelope)), "replay")
	want(t, b.take(newer), "")
	changed := task()
	changed.Description = "another"
	same := b.says(changed)
	same.Serial, same.Issued = newer.Serial, newer.Issued
	want(t, b.take(same), "replay")
	b.open()
	want(t, b.offer(given(task(), oldEnvelope)), "replay")
	want(t, b.take(newer), "")
}

// A newer statement that the policy refuses does not bring the older one back.
func TestAttack69AnOlderOneDoesNotStandInForOneThatIsRefused(t *testing.T) {
	b := newBed(t, usual)
	older := b.says(task())
	asRoot := task()
	asRoot.Run.User = "root"
	want(t, b.take(older), "")
	want(t, b.take(b.says(asRoot)), "policy:user")
	want(t, b.take(older), "replay")
}

func TestAttack70WhatWasDeletedIsOfferedAgain(t *testing.T) {
	b := newBed(t, usual)
	s := b.says(task())
	envelope := sign(t, s, b.anna)
	want(t, b.offer(given(task(), envelope)), "")
	grave := sign(t, b.retires(task()), b.anna)
	b.gate.Open(&fleet.Plan{Host: hostID, Tombstones: [][]byte{grave}})
	want(t, b.offer(given(task(), envelope)), "replay")
	b.open()
	want(t, b.offer(given(task(), envelope)), "replay")
	state, err := os.ReadFile(b.path("state/book.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.path("state/book.json"), state, 0o600); err != nil { // restored from a backup
		t.Fatal(err)
	}
	b.open()
	want(t, b.offer(given(task(), envelope)), "replay")
	want(t, b.offer(given(task(), grave)), "replay") // and its grave is no task
	want(t, b.take(b.says(task())), "")              // whom it belongs to may give it anew
}

func TestAttack70ATombstoneThatNobodySignedSaysNothing(t *testing.T) {
	b := newBed(t, usual)
	s := b.says(task())
	want(t, b.take(s), "")
	b.gate.Open(&fleet.Plan{Host: hostID, Tombstones: [][]byte{sign(t, b.retires(task()), newKey(t)), nil, []byte("{}")}})
	want(t, b.take(s), "")
}

const (
	orderA = "0191aaaa-0000-4000-8000-000000000001"
	orderB = "0191aaaa-0000-4000-8000-000000000002"
)

func TestAttack71AnOrderIsCarriedOutOnce(t *testing.T) {
	b := newBed(t, usual)
	a := given(task(), sign(t, b.says(task()), b.anna))
	s := b.orders(fleet.OrderRun, orderA)
	envelope := sign(t, s, b.anna)
	plan, refused := b.order(a, b.ordered(s, envelope))
	if len(refused) != 0 || len(plan.Orders) != 1 || plan.Orders[0].Refused != nil {
		t.Fatalf("%v %+v", refused, plan.Orders)
	}
	// The same one again is the same: who carries it out knows it by its id.
	again, refused := b.order(a, b.ordered(s, envelope), b.ordered(s, envelope))
	if len(refused) != 0 || again.Orders[0].ID != plan.Orders[0].ID || again.Orders[1].ID != plan.Orders[0].ID {
		t.Fatalf("%v %+v", refused, again.Orders)
	}
	// A collector that calls it otherwise calls it the same.
	renamed := b.ordered(s, envelope)
	renamed.ID, renamed.Run, renamed.Due = orderB, orderB, time.Now().Add(time.Minute)
	if again, _ = b.order(a, renamed); again.Orders[0].ID != plan.Orders[0].ID || again.Orders[0].Run != plan.Orders[0].Run || !again.Orders[0].Due.Equal(s.Order.Due) {
		t.Errorf("it has another id or instant: %+v", again.Orders[0])
	}
	// Its id with other words is another order.
	other := b.orders(fleet.OrderRun, orderA)
	other.Order.Payload = "more"
	_, refused = b.order(a, b.ordered(other, sign(t, other, b.anna)))
	wantOne(t, refused, "replay")
	b.open()
	_, refused = b.order(a, b.ordered(other, sign(t, other, b.anna)))
	wantOne(t, refused, "replay")
	// Where the journal is another, nobody knows whether it was done.
	b.config.Journal = "2"
	b.open()
	_, refused = b.order(a, b.ordered(s, envelope))
	wantOne(t, refused, "replay")
}

func wantOne(t *testing.T, refused []fleet.Refusal, code string) {
	t.Helper()
	if len(refused) != 1 {
		t.Errorf("refused %v, want one with %s", refused, code)
		return
	}
	want(t, &refused[0], code)
}

func TestAttack71ALostBookRefusesOrdersUntilAPersonConfirms(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"missing": os.Remove,
		"damaged": func(path string) error { return os.WriteFile(path, []byte(`{"v":1`), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, usual)
			b.config.Known = true
			taskEnvelope := sign(t, b.says(task()), b.anna)
			a := given(task(), taskEnvelope)
			s := b.orders(fleet.OrderRun, orderA)
			b.order(a, b.ordered(s, sign(t, s, b.anna)))
			if err := lose(b.path("state/book.json")); err != nil {
				t.Fatal(err)
			}
			b.open()
			want(t, b.offer(a), "") // tasks go on by what comes first
			_, refused := b.order(a, b.ordered(s, sign(t, s, b.anna)))
			wantOne(t, refused, "replay")
			if report := b.gate.Report(); !strings.Contains(report.Refused[len(report.Refused)-1].Why, "policy confirm") {
				t.Errorf("nobody is told: %+v", report)
			}
			if _, err := os.Stat(b.path("state/book.json.damaged")); (err == nil) != (name == "damaged") {
				t.Errorf("what was damaged is kept: %v", err)
			}
			b.open() // which heals nothing
			if _, refused = b.order(a, b.ordered(s, sign(t, s, b.anna))); len(refused) != 1 {
				t.Errorf("refused %v", refused)
			}
			if err := Confirm(b.path("state")); err != nil {
				t.Fatal(err)
			}
			b.gate.mu.Lock()
			if !b.gate.confirmed() || b.gate.confirmed() {
				t.Error("the word of a person counts once")
			}
			b.gate.mu.Unlock()
			_, refused = b.order(a, b.ordered(s, sign(t, s, b.anna)))
			wantOne(t, refused, "replay") // it may have been carried out
			fresh := b.orders(fleet.OrderRun, orderB)
			fresh.Issued = time.Now().Add(time.Second).UTC()
			fresh.Serial = uint64(fresh.Issued.UnixMilli())
			if _, refused = b.order(a, b.ordered(fresh, sign(t, fresh, b.anna))); len(refused) != 0 {
				t.Errorf("refused %v", refused)
			}
		})
	}
}

func TestAttack72TheTimeIsOver(t *testing.T) {
	b := newBed(t, usual)
	past := b.says(task())
	past.Expires = past.Issued.Add(time.Minute)
	past.Issued, past.Serial, past.Expires = past.Issued.Add(-time.Hour), past.Serial-3_600_000, past.Issued.Add(-time.Minute)
	want(t, b.take(past), "time")
	b = newBed(t, usual)
	tomorrow := b.says(task())
	tomorrow.Issued = tomorrow.Issued.Add(24 * time.Hour)
	tomorrow.Serial += 24 * 3_600_000
	want(t, b.take(tomorrow), "time")
	want(t, b.take(b.says(task())), "") // and what it says of later counts for nothing

	a := given(task(), sign(t, b.says(task()), b.anna))
	long := b.orders(fleet.OrderRun, orderA)
	long.Expires = long.Issued.AddDate(10, 0, 0)
	_, refused := b.order(a, b.ordered(long, forge(t, long, b.anna)))
	wantOne(t, refused, "time")
	over := b.orders(fleet.OrderRun, orderB)
	over.Issued, over.Serial, over.Expires = over.Issued.Add(-2*time.Hour), over.Serial-2*3_600_000, over.Issued.Add(-time.Hour)
	_, refused = b.order(a, b.ordered(over, sign(t, over, b.anna)))
	wantOne(t, refused, "time")
}

func TestAttack73TheClockIsSetBack(t *testing.T) {
	b := newBed(t, usual)
	want(t, b.take(b.says(task())), "")
	b.gate.book.Seen = time.Now().AddDate(1, 0, 0) // it has shown next year
	if err := b.gate.book.save(b.path("state/book.json")); err != nil {
		t.Fatal(err)
	}
	b.open()
	s := b.says(task())
	want(t, b.take(s), "")
	s = b.orders(fleet.OrderRun, orderA)
	_, refused := b.order(given(task(), sign(t, b.says(task()), b.anna)), b.ordered(s, sign(t, s, b.anna)))
	wantOne(t, refused, "time")
	b.gate.book.Seen = time.Now().Add(10 * time.Minute) // within the order's life
	s = b.orders(fleet.OrderRun, orderA)
	_, refused = b.order(given(task(), sign(t, b.says(task()), b.anna)), b.ordered(s, sign(t, s, b.anna)))
	wantOne(t, refused, "time")
	if report := b.gate.Report(); !strings.Contains(report.Refused[len(report.Refused)-1].Why, "policy confirm") {
		t.Errorf("nobody is told: %+v", report)
	}
	if err := Confirm(b.path("state")); err != nil {
		t.Fatal(err)
	}
	b.gate.mu.Lock()
	if !b.gate.confirmed() {
		t.Error("the word of a person is not taken")
	}
	b.gate.mu.Unlock()
	s = b.orders(fleet.OrderRun, orderB)
	s.Issued = time.Now().Add(time.Second).UTC()
	s.Serial = uint64(s.Issued.UnixMilli())
	if _, refused = b.order(given(task(), sign(t, b.says(task()), b.anna)), b.ordered(s, sign(t, s, b.anna))); len(refused) != 0 {
		t.Errorf("the clock was confirmed: %v", refused)
	}
	b.gate.book.Seen = time.Now().AddDate(1, 0, 0)
	// A task that was over by then is over, whatever the clock shows.
	ends := b.says(task())
	ends.Expires = time.Now().Add(time.Hour).UTC()
	want(t, b.take(ends), "time")
}

func TestAttack74ItIsForOthers(t *testing.T) {
	for name, where := range map[string]fleet.Where{
		"another host":            {Hosts: []string{string(other)}},
		"other labels":            {Labels: "role=web"},
		"a label that nobody has": {Labels: "never"},
		"nobody":                  {Pick: fleet.PickNone},
		"not here":                {Labels: "role=db,env!=prod"},
	} {
		b := newBed(t, usual)
		there := task()
		there.Where = where
		if r := b.take(b.says(there)); r == nil || r.Code != "target" {
			t.Errorf("%s: %v", name, r)
		}
	}
	b := newBed(t, usual)
	empty := b.says(task())
	empty.Task.Definition.Where = fleet.Where{}
	want(t, b.offer(given(task(), forge(t, empty, b.anna))), "target")
	s := b.orders(fleet.OrderRun, orderA)
	s.Hosts = []fleet.HostID{other}
	_, refused := b.order(given(task(), sign(t, b.says(task()), b.anna)), b.ordered(s, sign(t, s, b.anna)))
	wantOne(t, refused, "target")
}

// What a host is, it says itself: no collector makes it another.
func TestAttack74LabelsOfTheHostsOwnPolicyCount(t *testing.T) {
	b := newBed(t, usual+"labels: {role: web}\n")
	want(t, b.take(b.says(task())), "target")
	web := task()
	web.Where.Labels = "role=web,env=prod"
	want(t, b.take(b.says(web)), "")
}

func TestAttack75AnotherClusters(t *testing.T) {
	b := newBed(t, usual)
	s := b.says(task())
	s.Cluster = strings.Repeat("ab", 16)
	want(t, b.take(s), "cluster")
	b.config.Cluster = ""
	b.open()
	want(t, b.take(b.says(task())), "cluster")
}
