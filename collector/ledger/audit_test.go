package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/chain"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func ann() fleet.Principal {
	return fleet.Principal{Kind: fleet.PersonKind, Name: "ann", Token: "of-ann", Roles: []fleet.Role{fleet.Admin}, Scope: []string{fleet.Everywhere}}
}

// audited wraps a command as the API does.
func audited(key, action string, command Command) *Audited {
	return &Audited{At: noon, By: ann(), Action: action, Object: "data/a", Why: "because", Digest: "dd",
		Command: &Once{Key: key, Digest: "d", At: noon, Expires: noon.Add(time.Hour), Command: command}}
}

func (b *bench) chain() []fleet.AuditEntry {
	b.t.Helper()
	list, err := b.Audit(everywhere, api.AuditQuery{Page: api.Page{Limit: 1000}})
	if err != nil {
		b.t.Fatal(err)
	}
	return list.Items
}

func TestAudited(t *testing.T) {
	l := newLedger(t)
	_, changed := l.Watch(Audit)
	made := l.must(audited("k1", "task.put", testTask("a", "*"))).(fleet.TaskRecord)
	<-changed
	if again := l.must(audited("k1", "task.put", testTask("a", "*"))).(fleet.TaskRecord); again.Index != made.Index {
		t.Errorf("repeated: %+v", again)
	}
	if refusal, refused := IsRefusal(l.apply(audited("k2", "task.pause", &SetTaskState{ID: "default/none", State: fleet.TaskPaused, At: noon}))); !refused || refusal.Kind != fleet.NotFound {
		t.Errorf("%v", refusal)
	}
	l.must(&RecordRefusals{Entries: []fleet.AuditEntry{
		{At: noon, By: fleet.Principal{Via: "api"}, Action: "login", Decision: AuditRefused, Code: "token_invalid", Why: "bad \xff text", Count: 11},
		{At: noon, By: ann(), Action: "login", Decision: AuditDone, Seq: 99, Hash: []byte("forged")},
	}})
	links := l.chain()
	if len(links) != 4 {
		t.Fatalf("%d links: %+v", len(links), links)
	}
	for i, want := range []struct{ action, decision, code, why string }{
		{"task.put", AuditDone, "", "because"},
		{"task.pause", AuditRefused, "not_found", "no task default/none"},
		{"login", AuditRefused, "token_invalid", "bad \uFFFD text"},
		{"login", AuditDone, "", ""},
	} {
		got := links[i]
		if got.Seq != uint64(i+1) || got.Action != want.action || got.Decision != want.decision || got.Code != want.code || !strings.HasPrefix(got.Why, want.why) {
			t.Errorf("link %d: %+v, want %+v", i+1, got, want)
		}
	}
	if first := links[0]; first.By.Name != "ann" || first.Object != "data/a" || first.Digest != "dd" || !first.At.Equal(noon) || !bytes.Equal(first.Before, make([]byte, 32)) {
		t.Errorf("%+v", first)
	}
	if broken, err := l.VerifyAudit(); broken != 0 || err != nil {
		t.Errorf("broken at %d, %v", broken, err)
	}
	// As fleetctl verifies what it exported.
	text, err := json.Marshal(links)
	if err != nil {
		t.Fatal(err)
	}
	var back []fleet.AuditEntry
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if broken := chain.Verify(slices.Values(back)); broken != 0 {
		t.Errorf("the export is broken at %d", broken)
	}
	for _, bad := range []Command{&RecordRefusals{}, &RecordRefusals{Entries: []fleet.AuditEntry{{Decision: "perhaps"}}}, &Audited{At: noon, Command: testTask("b", "*")}} {
		l.refused("invalid", bad)
	}
}

func TestAuditedHoldsNoOther(t *testing.T) {
	inner := audited("k", "a", testTask("a", "*"))
	for name, command := range map[string]Command{
		"audited twice":       &Audited{At: noon, Action: "a", Command: inner},
		"once around":         &Once{Key: "k", Command: inner},
		"a request of one":    &PutRequest{Request: wholeRequest(), Command: inner},
		"a request of once":   &PutRequest{Request: wholeRequest(), Command: inner.Command},
		"a request of itself": &PutRequest{Request: wholeRequest(), Command: &PutRequest{}},
		"nothing":             &Audited{At: noon, Action: "a"},
	} {
		if data, err := Encode(command); err == nil {
			t.Errorf("%s was encoded: %x", name, data)
		}
	}
	// Nor does decoding go deeper, whatever an entry says.
	good, err := Encode(inner)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]any{
		"audited in audited": auditedRow{Action: "a", Entry: good},
		"audited in once":    onceRow{Key: "k", Entry: good},
		"audited in request": requestBody{Entry: good},
	} {
		data, err := encoding.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		number := map[string]byte{"audited in audited": numberOfAudited, "audited in once": numberOfOnce, "audited in request": 41}[name]
		if command, err := Decode(append([]byte{number, 1}, data...)); err == nil {
			t.Errorf("%s was read: %+v", name, command)
		}
	}
}

func TestAuditPages(t *testing.T) {
	l := newLedger(t)
	for n := range 25 {
		by := ann()
		by.Name = fmt.Sprint("p", n%3)
		l.must(&RecordRefusals{Entries: []fleet.AuditEntry{{At: noon.Add(time.Duration(n) * time.Minute), By: by, Action: []string{"login", "x"}[n%2], Object: fmt.Sprint(n % 5), Decision: AuditDone}}})
	}
	for _, newest := range []bool{false, true} {
		var seqs []uint64
		for q := (api.AuditQuery{Page: api.Page{Limit: 7}, Newest: newest}); ; {
			page, err := l.Audit(everywhere, q)
			if err != nil || page.Total != 25 {
				t.Fatalf("%+v, %v", page, err)
			}
			for _, entry := range page.Items {
				seqs = append(seqs, entry.Seq)
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		if newest {
			slices.Reverse(seqs)
		}
		if len(seqs) != 25 || !slices.IsSorted(seqs) {
			t.Errorf("newest %v: %v", newest, seqs)
		}
	}
	for want, q := range map[int]api.AuditQuery{
		9: {Actor: "p0"}, 13: {Action: "login"}, 5: {Object: "4"}, 15: {Since: noon.Add(10 * time.Minute)}, 10: {Until: noon.Add(10 * time.Minute)}, 25: {Actor: "of-ann"}, 0: {Object: "none"},
	} {
		page, err := l.Audit(everywhere, q)
		if err != nil || len(page.Items) != want || page.Total != -1 {
			t.Errorf("%+v: %d of %d, %v", q, len(page.Items), page.Total, err)
		}
	}
	if _, err := l.Audit(everywhere, api.AuditQuery{Page: api.Page{After: "x"}}); fleet.KindOf(err) != fleet.Invalid {
		t.Error(err)
	}
}

// TestAttack112_AnEditedChainIsBroken changes the file behind the ledger's back.
func TestAttack112_AnEditedChainIsBroken(t *testing.T) {
	const links = 2500 // more than are read at once
	whole := newLedger(t)
	for n := 0; n < links; n += 500 {
		entries := make([]fleet.AuditEntry, 500)
		for i := range entries {
			entries[i] = fleet.AuditEntry{At: noon, By: ann(), Action: "x", Object: fmt.Sprint(n + i), Decision: AuditDone}
		}
		whole.must(&RecordRefusals{Entries: entries})
	}
	image := snapshotOf(t, whole.Ledger)
	for name, c := range map[string]struct {
		edit func(*bbolt.Bucket, *bbolt.Bucket) error
		at   uint64
	}{
		"nothing":   {func(_, _ *bbolt.Bucket) error { return nil }, 0},
		"edited":    {edited(1700, func(e *fleet.AuditEntry) { e.By.Name = "bob" }), 1700},
		"rehashed":  {edited(1700, func(e *fleet.AuditEntry) { e.Why = "no"; e.Hash = chain.Hash(e.Before, *e) }), 1701},
		"dropped":   {func(b, _ *bbolt.Bucket) error { return b.Delete(bigEndian(1000)) }, 1000},
		"the first": {func(b, _ *bbolt.Bucket) error { return b.Delete(bigEndian(1)) }, 1},
		"the last":  {func(b, _ *bbolt.Bucket) error { return b.Delete(bigEndian(links)) }, links},
		"the end":   {func(b, _ *bbolt.Bucket) error { return dropFrom(b, 1001) }, 1001},
		"all":       {func(b, _ *bbolt.Bucket) error { return dropFrom(b, 1) }, 1},
		"no entry":  {func(b, _ *bbolt.Bucket) error { return b.Put(bigEndian(5), []byte("x")) }, 5},
		"moved":     {func(b, _ *bbolt.Bucket) error { return b.Put(bigEndian(5), b.Get(bigEndian(6))) }, 5},
		"the head":  {func(b, meta *bbolt.Bucket) error { return meta.Put(headKey, b.Get(bigEndian(2000))) }, 0}, // as long as it was then
		"last edited": {edited(links, func(e *fleet.AuditEntry) {
			e.Why = "no"
			e.Hash = chain.Hash(e.Before, *e)
		}), links},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			if err := l.Restore(bytes.NewReader(image)); err != nil {
				t.Fatal(err)
			}
			err := l.db.Update(func(tx *bbolt.Tx) error {
				return c.edit(tx.Bucket([]byte(bucketNames[inAudit])), tx.Bucket([]byte(bucketNames[inMeta])))
			})
			if err != nil {
				t.Fatal(err)
			}
			if broken, err := l.VerifyAudit(); broken != c.at || err != nil {
				t.Errorf("broken at %d, want %d; %v", broken, c.at, err)
			}
		})
	}
}

func edited(seq uint64, change func(*fleet.AuditEntry)) func(b, _ *bbolt.Bucket) error {
	return func(b, _ *bbolt.Bucket) error {
		entry, err := decode[fleet.AuditEntry](b.Get(bigEndian(seq)))
		if err != nil {
			return err
		}
		change(&entry)
		return b.Put(bigEndian(seq), encode(entry))
	}
}

func dropFrom(b *bbolt.Bucket, seq uint64) error {
	for ; b.Get(bigEndian(seq)) != nil; seq++ {
		if err := b.Delete(bigEndian(seq)); err != nil {
			return err
		}
	}
	return nil
}

// TestAgentsWordsAreNoChanges holds reports, runs and what else hosts say apart
// from the chain: it is changes by people that are audited.
func TestAgentsWordsAreNoChanges(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "default")
	l.must(testTask("a", "*"), testReport(1, testJob(1)), recordRun1(1, testRun(1, "default/a", fleet.RunRan)),
		&RecordPolicy{Host: hostID(1), Report: fleet.PolicyReport{Execute: true, At: noon}, At: noon})
	if links := l.chain(); len(links) != 0 {
		t.Errorf("%+v", links)
	}
}

// TestAuditWithinAScope shows the auditors of a namespace what concerns it: what
// was done, and what others tried.
func TestAuditWithinAScope(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "mine")
	l.enrol(2, "mine", "theirs")
	put := func(namespace string) *PutTask {
		task := testTask("a", "*")
		task.Task.Namespace = namespace
		return task
	}
	order := testOrder("o1", 1, "mine/a")
	both := []fleet.Order{testOrder("o2", 2, "mine/a"), testOrder("o3", 2, "theirs/a")}
	token := func(id string, namespaces ...string) *PutToken {
		return newToken(id, func(t *fleet.Token) { t.Namespaces = namespaces })
	}
	want := []string{}
	for _, c := range []struct {
		action string
		own    bool
		by     string
		cmd    Command
	}{
		{"task.put", true, "mine", put("mine")}, {"task.put theirs", false, "theirs", put("theirs")}, {"task.put by theirs", true, "theirs", put("mine")},
		{"pause", true, "mine", &SetTaskState{ID: "mine/a", State: fleet.TaskPaused, At: noon}}, {"retire theirs", false, "mine", &SetTaskState{ID: "theirs/a", State: fleet.TaskRetired, At: noon}},
		{"run", true, "mine", &PutOrders{Orders: []fleet.Order{order}, At: noon}}, {"run both", false, "*", &PutOrders{Orders: both, At: noon}},
		{"withdraw", true, "mine", &DropOrder{Host: hostID(1), ID: "o1"}},
		{"token", true, "mine", token("t1", "mine")}, {"token of both", false, "*", token("t2", "mine", "theirs")}, {"token of all", false, "*", token("t3", "*")},
		{"revoke", true, "mine", &RevokeToken{ID: "t1", At: noon}}, {"revoke both", false, "*", &RevokeToken{ID: "t2", At: noon}},
		{"join", true, "mine", &PutJoinToken{Token: fleet.JoinToken{ID: "j", Hash: hashOf("j"), Namespaces: []string{"mine"}, Created: noon, Expires: noon.Add(time.Hour)}}},
		{"node", true, "mine", &SetNodeState{ID: string(hostID(1)), State: fleet.NodeSuspended, At: noon}}, {"shared node", false, "*", &SetNodeState{ID: string(hostID(2)), State: fleet.NodeSuspended, At: noon}},
		{"rules", true, "mine", &PutRules{Rules: fleet.Rules{Namespace: "mine"}, At: noon}}, {"rules of all", false, "*", &PutRules{Rules: fleet.Rules{Namespace: "*"}, At: noon}},
		{"drop rules", true, "mine", &DropRules{Namespace: "mine"}},
	} {
		by := fleet.Principal{Kind: fleet.PersonKind, Name: "p", Scope: []string{c.by}}
		l.apply(&Audited{At: noon, By: by, Action: c.action, Command: c.cmd})
		if c.own {
			want = append(want, c.action)
		}
	}
	list, err := l.Audit(mine, api.AuditQuery{})
	got := []string{}
	for _, link := range list.Items {
		got = append(got, link.Action)
		if link.Hash != nil || link.Before != nil || slices.Contains(link.By.Scope, "theirs") || link.Namespace != "mine" {
			t.Errorf("%+v", link)
		}
	}
	if err != nil || !slices.Equal(got, want) || list.Total != -1 {
		t.Errorf("%v, want %v, %v", got, want, err)
	}
	if none, err := l.Audit(fleet.Scope{}, api.AuditQuery{}); err != nil || len(none.Items) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
	if broken, err := l.VerifyAudit(); broken != 0 || err != nil {
		t.Error(broken, err)
	}
}
