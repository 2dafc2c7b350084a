package policy

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// hostile is a collector that somebody took over: it holds what people signed,
// keys that nobody trusts, and makes of it what it can think of.
type hostile struct {
	b         *bed
	random    *rand.Rand
	evil      seal.Key
	envelopes [][]byte                // whatever anybody signed
	signed    map[string]bool         // what anna said may run, and when
	newest    map[fleet.TaskID]uint64 // serial that the host has seen
	runs      map[fleet.TaskID]fleet.Assignment
	stood     int // how often something went on that a plan did not give
}

func (h *hostile) pick() []byte {
	if len(h.envelopes) == 0 || h.random.IntN(10) == 0 {
		return nil
	}
	return h.envelopes[h.random.IntN(len(h.envelopes))]
}

// task is one of a few, so that they meet each other.
func (h *hostile) task() fleet.Task {
	t := task()
	t.Name = []string{"nightly", "weekly", "hourly"}[h.random.IntN(3)]
	switch h.random.IntN(8) {
	case 0:
		t.Run.User = "root"
	case 1:
		t.Run.Command = fleet.Command{Shell: "id > /tmp/x"}
	case 2:
		t.Run.Command.Argv = []string{"/bin/false"}
	case 3:
		t.Run.Env = map[string]string{"LD_PRELOAD": "/tmp/x.so"}
	case 4:
		t.Where = fleet.Where{Labels: "*"}
	}
	t.Description = fmt.Sprint(h.random.IntN(5))
	return t
}

// people sign something that is sometimes good.
func (h *hostile) people() {
	keys := []seal.Signer{h.b.anna}
	if h.random.IntN(4) == 0 {
		keys = []seal.Signer{h.evil}
	}
	var s *seal.Statement
	switch h.random.IntN(6) {
	case 0:
		s = h.b.orders(fleet.OrderRun, uuidOf(h.random))
	case 1:
		s = h.b.retires(h.task())
	default:
		s = h.b.says(h.task())
	}
	switch h.random.IntN(12) {
	case 0:
		s.Cluster = "ffffffffffffffffffffffffffffffff"
	case 1:
		if s.Task == nil {
			s.Hosts = []fleet.HostID{other}
		}
	}
	envelope := sign(h.b.t, s, keys...)
	h.envelopes = append(h.envelopes, envelope)
	if keys[0].Public().Equal(h.b.anna.Public()) {
		e, _ := seal.Parse(envelope)
		h.signed[e.Digest()] = true
	}
}

func uuidOf(random *rand.Rand) string {
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", random.Uint32(), random.IntN(1<<16), random.IntN(1<<12), random.IntN(1<<12), random.Uint64()>>16)
}

// twist changes an envelope in some way that an attacker has.
func (h *hostile) twist(text []byte) []byte {
	if len(text) == 0 || h.random.IntN(3) > 0 {
		return text
	}
	e, err := seal.Parse(text)
	if err != nil {
		return text
	}
	switch h.random.IntN(6) {
	case 0:
		e.Payload = slices.Clone(e.Payload)
		e.Payload[h.random.IntN(len(e.Payload))] ^= 1 << h.random.IntN(8)
	case 1:
		e.Payload = bytes.Replace(e.Payload, []byte("alice"), []byte("root"), 1)
	case 2:
		e.Signatures = append(e.Signatures, e.Signatures...)
	case 3:
		e.Payload = bytes.Replace(e.Payload, []byte("alice"), []byte("root"), 1)
		_ = e.Add(h.evil)
	case 4:
		out := slices.Clone(text)
		out[h.random.IntN(len(out))] ^= 1 << h.random.IntN(8)
		return out
	case 5:
		if from, err := seal.Parse(h.pick()); err == nil {
			e.Signatures = from.Signatures
		}
	}
	return e.Marshal()
}

func (h *hostile) plan() *fleet.Plan {
	plan := &fleet.Plan{Host: hostID, Index: h.random.Uint64()}
	for range h.random.IntN(4) {
		t := h.task()
		a := given(t, h.twist(h.pick()))
		if e, err := seal.Parse(a.Envelope); err == nil && h.random.IntN(4) > 0 {
			if s, err := e.Statement(); err == nil && s.Task != nil && s.Task.Definition != nil {
				a.Task = *s.Task.Definition
			}
		}
		a.Generation, a.Since = uint64(h.random.IntN(9)), time.Now().Add(-time.Duration(h.random.IntN(1e6))*time.Second)
		plan.Assignments = append(plan.Assignments, a)
	}
	for range h.random.IntN(3) {
		o := fleet.Order{
			ID: fleet.OrderID(uuidOf(h.random)), Run: fleet.RunID(uuidOf(h.random)), Kind: fleet.OrderRun, Host: hostID, Task: "data/nightly",
			Due: time.Now(), Expires: time.Now().Add(time.Hour), Envelope: h.twist(h.pick()), Cause: []string{"", "", "webhook", "event x"}[h.random.IntN(4)],
		}
		plan.Orders = append(plan.Orders, o)
	}
	if h.random.IntN(3) == 0 {
		plan.Tombstones = append(plan.Tombstones, h.twist(h.pick()))
	}
	if h.random.IntN(6) == 0 {
		plan.Adoptions = append(plan.Adoptions, wish(fleet.AdoptionWanted, h.twist(h.pick())))
	}
	if h.random.IntN(6) == 0 {
		t := h.task()
		plan.Kept = &fleet.Kept{Assignments: []fleet.Assignment{given(t, h.twist(h.pick()))}}
	}
	return plan
}

// says reports whether a plan holds a newer statement about a task, well signed,
// wherever it stands.
func (h *hostile) says(plan *fleet.Plan, id fleet.TaskID, serial uint64) bool {
	for text := range envelopes(plan) {
		e, err := seal.Parse(text)
		if err != nil || !h.signed[e.Digest()] || len(e.Signers([]ed25519.PublicKey{h.b.anna.Public()})) != 1 {
			continue
		}
		if s, err := e.Statement(); err == nil && s.Task != nil && fleet.NewTaskID(s.Namespace, s.Name) == id && s.Serial > serial && s.Cluster == cluster {
			return true
		}
	}
	return false
}

// checkStands fails unless all that ran goes on as it was, but what a newer word
// in the plan is about.
func (h *hostile) checkStands(plan, opened *fleet.Plan) {
	t := h.b.t
	runs := map[fleet.TaskID]fleet.Assignment{}
	for _, a := range opened.Assignments {
		if a.Refused == nil {
			runs[a.Task.ID()] = a
		}
	}
	given := map[fleet.TaskID]bool{}
	if plan != nil {
		for _, a := range plan.Assignments {
			given[a.Task.ID()] = true
		}
	}
	for id, was := range h.runs {
		if plan != nil && h.says(plan, id, h.newest[id]) {
			continue
		}
		is, goesOn := runs[id]
		if !goesOn {
			t.Fatalf("%s was stopped, and nobody said so", id)
		}
		is.Envelope = was.Envelope // signed by more people, or given with other hints
		if asJSON(t, is) != asJSON(t, was) {
			t.Fatalf("%s became %s, and was %s", id, asJSON(t, is), asJSON(t, was))
		}
		if !given[id] {
			h.stood++
		}
	}
	for _, wish := range opened.Adoptions {
		if _, runs := runs[wish.Task]; runs {
			t.Fatalf("%s waits for an adoption that nobody signed", wish.Task)
		}
	}
	h.runs = runs
}

// check fails unless what the gate opened is what anna signed, and no older than
// what it opened before.
func (h *hostile) check(opened *fleet.Plan) {
	t := h.b.t
	statement := func(text []byte) *seal.Statement {
		e, err := seal.Parse(text)
		if err != nil || !h.signed[e.Digest()] || len(e.Signers([]ed25519.PublicKey{h.b.anna.Public()})) != 1 {
			t.Fatalf("something is carried out that anna did not sign: %s", text)
		}
		s, err := e.Statement()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for i := range opened.Assignments {
		a := &opened.Assignments[i]
		may := h.b.gate.May(&a.Task) == nil
		if a.Refused != nil {
			continue
		}
		s := statement(a.Envelope)
		text, _ := json.Marshal(a.Task)
		said, _ := json.Marshal(s.Task.Definition)
		switch {
		case !may:
			t.Fatalf("taken, and may not begin: %s", text)
		case !bytes.Equal(text, said) || a.State != s.Task.State:
			t.Fatalf("it runs %s, and anna said %s", text, said)
		case a.Task.Run.User != "alice" || a.Task.Run.Command.Shell != "" || a.Task.Run.Command.Argv[0] != "/bin/true" || len(a.Task.Run.Env) > 0:
			t.Fatalf("the policy lets nobody run %s", text)
		case s.Serial < h.newest[a.Task.ID()]:
			t.Fatalf("serial %d of %s is taken after %d", s.Serial, a.Task.ID(), h.newest[a.Task.ID()])
		case s.Cluster != cluster:
			t.Fatalf("cluster %s", s.Cluster)
		}
		h.newest[a.Task.ID()] = s.Serial
	}
	for i := range opened.Orders {
		if o := &opened.Orders[i]; o.Refused == nil {
			s := statement(o.Envelope)
			if o.ID != seal.OrderID(s.Order.ID, hostID, o.Task) || o.Run != seal.RunID(s.Order.ID, hostID, o.Task) || !slices.Contains(s.Hosts, hostID) {
				t.Fatalf("%+v of %+v", o, s.Order)
			}
		}
	}
	if len(opened.Calendars) > 0 {
		t.Fatalf("calendars %+v", opened.Calendars)
	}
}

// TestNoPlanOfACollectorMakesRunWhatNobodyTrustedSigned plays many lives of a
// host under a collector that is an enemy's.
func TestNoPlanOfACollectorMakesRunWhatNobodyTrustedSigned(t *testing.T) {
	taken, stood := 0, 0
	for seed := range uint64(7) {
		b := newBed(t, usual)
		h := &hostile{b: b, random: rand.New(rand.NewPCG(seed, 1)), evil: newKey(t), signed: map[string]bool{}, newest: map[fleet.TaskID]uint64{}}
		l := &life{bed: b}
		for step := range 120 {
			h.people()
			plan := h.plan()
			opened := l.told(*plan)
			h.checkStands(plan, opened)
			h.check(opened)
			taken += len(b.gate.accepted)
			if step%40 == 39 {
				h.checkStands(nil, l.again())
			}
		}
		stood += h.stood
	}
	if taken < 100 || stood < 120 {
		t.Errorf("%d tasks were taken, and went on %d times without being given: nothing is tried", taken, stood)
	}
	t.Logf("%d taken, %d went on", taken, stood)
}

// TestNoBitOfAnEnvelopeMayBeAnother: what is taken says what was signed.
func TestNoBitOfAnEnvelopeMayBeAnother(t *testing.T) {
	b := newBed(t, usual)
	s := b.says(task())
	text := sign(t, s, b.anna)
	said, _ := seal.Parse(text)
	random := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for range 1500 {
		forged := slices.Clone(text)
		forged[random.IntN(len(forged))] ^= 1 << random.IntN(8)
		plan, refused := b.takes(given(task(), forged))
		if len(refused) > 0 {
			continue
		}
		taken++ // a hint, such as the key's id
		if e, err := seal.Parse(plan.Assignments[0].Envelope); err != nil || e.Digest() != said.Digest() || asJSON(t, plan.Assignments[0].Task) != asJSON(t, task()) {
			t.Fatalf("taken: %s", forged)
		}
	}
	if taken > 150 {
		t.Errorf("%d of 1500 were taken", taken)
	}
}

// FuzzGate: no bytes make the gate panic, and none but the signed ones are taken.
func FuzzGate(f *testing.F) {
	f.Add([]byte(`{"payloadType":"application/vnd.fleetcron.statement.v1+json","payload":"e30=","signatures":[{"keyid":"x","sig":"eA=="}]}`), []byte(`{"v":1}`))
	f.Add([]byte(`{}`), []byte(`{"v":1,"cluster":"00112233445566778899aabbccddeeff","kind":"task","name":"x","namespace":"data","serial":1,"issued":"2026-01-01T00:00:00Z","task":{"state":"enabled","definition":{"task":"x"}}}`))
	f.Add([]byte(``), []byte(`{"v":1,"kind":"event","event":null,"order":{},"hosts":[]}`))
	f.Add([]byte(`[`), []byte(`{"v":1,"kind":"calendar","name":"c","calendar":{"definition":{"calendar":"c","windows":[{"cron":"x"}]}}}`))
	b := newBed(f, usual)
	f.Fuzz(func(t *testing.T, envelope, payload []byte) {
		own := forgeBytes(t, payload, b.anna)
		for _, text := range [][]byte{envelope, own} {
			plan := &fleet.Plan{
				Host: hostID, Assignments: []fleet.Assignment{given(task(), text)}, Sealed: [][]byte{text}, Tombstones: [][]byte{text},
				Orders:    []fleet.Order{{ID: orderA, Run: orderA, Kind: fleet.OrderRun, Task: "data/nightly", Envelope: text}},
				Adoptions: []fleet.Adoption{wish(fleet.AdoptionWanted, text)},
			}
			opened, _ := b.gate.Open(plan)
			for _, a := range opened.Assignments {
				if e, err := seal.Parse(a.Envelope); a.Refused == nil && a.Unread == "" && (err != nil || len(e.Signers([]ed25519.PublicKey{b.anna.Public()})) == 0 || a.Task.Validate() != nil) {
					t.Fatalf("taken: %+v", a)
				}
			}
		}
	})
}
