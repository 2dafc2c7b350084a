package policy

import (
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

const (
	cluster = "00112233445566778899aabbccddeeff"
	hostID  = fleet.HostID("0123456789abcdef0123456789abcdef")
	other   = fleet.HostID("fedcba9876543210fedcba9876543210")
)

// bed is a host with a gate, and the people who sign for it.
type bed struct {
	t      testing.TB
	dir    string
	gate   *Gate
	anna   seal.Key
	bert   seal.Key
	config Config
	silent map[fleet.TaskID]bool
	serial uint64
}

func newKey(t testing.TB) seal.Key {
	t.Helper()
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newBed makes a host with the policy; ANNA and BERT in it are keys.
func newBed(t testing.TB, policy string) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir(), anna: newKey(t), bert: newKey(t), silent: map[fleet.TaskID]bool{}, serial: uint64(time.Now().UnixMilli())}
	if err := os.Chmod(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0:root:/root:/bin/sh\nbackup:x:34:34:backup:/var/backups:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nwww-data:x:33:33::/:/bin/sh\nmallory:x:1001:1001::/:/bin/sh\nlocked:x:1002:1002::/:/bin/sh\nexpired:x:1003:1003::/:/bin/sh\n", 0o644)
	b.file("etc/group", "root:x:0:\nbackup:x:34:\nalice:x:1000:\nadm:x:4:alice\ndocker:x:999:\n", 0o644)
	b.file("etc/shadow", "root:*:1:0:99999:7:::\nbackup:*:1:0:99999:7:::\nalice:$6$x:1:0:99999:7:::\nlocked:!$6$x:1:0:99999:7:::\nexpired:$6$x:1:0:99999:7::1:\n", 0o600)
	b.policy(policy)
	b.config = Config{
		Path: b.path("policy.yaml"), Dir: b.path("state"), Cluster: cluster, Journal: "1", Accounts: b.path("etc"),
		Host:   fleet.Host{ID: hostID, Name: "db-1", Labels: map[string]string{"role": "db", "env": "prod"}},
		Silent: func(task fleet.TaskID) bool { return b.silent[task] },
		Log:    slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	b.open()
	return b
}

func (b *bed) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bed) file(name, text string, mode os.FileMode) string {
	b.t.Helper()
	path := b.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// policy writes the policy file.
func (b *bed) policy(text string) { b.file("policy.yaml", b.named(text), 0o644) }

// named puts the keys in the place of ANNA and BERT.
func (b *bed) named(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "ANNA", seal.PublicText(b.anna.Public())), "BERT", seal.PublicText(b.bert.Public()))
}

// open begins the gate, again.
func (b *bed) open() {
	b.t.Helper()
	if b.gate != nil {
		b.gate.Close()
	}
	var err error
	if b.gate, err = New(b.config); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.gate.Close() })
}

// reread takes a changed policy in.
func (b *bed) reread() {
	b.gate.mu.Lock()
	defer b.gate.mu.Unlock()
	b.gate.read()
}

const usual = `execute: on
keys:
  - key: ANNA
    name: anna
    namespaces: ["*"]
users:
  allow: [alice, backup]
commands:
  - path: /bin/true
  - path: /bin/echo
    args: ["(full|diff)", "/srv/[a-z]+"]
`

// task is one that the usual policy takes.
func task() fleet.Task {
	return fleet.Task{
		Name: "nightly", Namespace: "data", On: fleet.Trigger{Cron: "30 2 * * *"},
		Run:   fleet.Execute{Command: fleet.Command{Argv: []string{"/bin/true"}}, User: "alice"},
		Where: fleet.Where{Labels: "role=db"},
	}
}

// says is a statement about a task.
func (b *bed) says(task fleet.Task) *seal.Statement {
	b.serial++
	return &seal.Statement{
		Version: 1, Cluster: cluster, Kind: seal.KindTask, Namespace: task.Namespace, Name: task.Name, Serial: b.serial, Issued: time.UnixMilli(int64(b.serial)).UTC(),
		Task: &seal.Task{State: fleet.TaskEnabled, Definition: &task, Document: "task: nightly\n", MediaType: "application/yaml"},
	}
}

// retires is its tombstone.
func (b *bed) retires(task fleet.Task) *seal.Statement {
	s := b.says(task)
	s.Task = &seal.Task{State: fleet.TaskRetired}
	return s
}

// orders is an order about a task.
func (b *bed) orders(kind fleet.OrderKind, id string) *seal.Statement {
	b.serial++
	s := &seal.Statement{
		Version: 1, Cluster: cluster, Kind: seal.KindOrder, Namespace: "data", Name: "nightly", Serial: b.serial, Issued: time.UnixMilli(int64(b.serial)).UTC(),
		Expires: time.Now().Add(time.Hour).UTC(), Hosts: []fleet.HostID{hostID}, Order: &seal.Order{Kind: kind, ID: id, Due: time.Now().UTC()},
	}
	if kind == fleet.OrderCancel {
		s.Order.Run = "11111111-1111-4111-8111-111111111111"
	}
	return s
}

// sign seals a statement.
func sign(t testing.TB, s *seal.Statement, keys ...seal.Signer) []byte {
	t.Helper()
	e, err := seal.Sign(s, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys[1:] {
		if err := e.Add(key); err != nil {
			t.Fatal(err)
		}
	}
	return e.Marshal()
}

// forge seals what Sign would not.
func forge(t testing.TB, s any, keys ...seal.Key) []byte {
	t.Helper()
	payload, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return forgeBytes(t, payload, keys...)
}

func forgeBytes(t testing.TB, payload []byte, keys ...seal.Key) []byte {
	t.Helper()
	e := seal.Envelope{PayloadType: seal.PayloadType, Payload: payload}
	for _, key := range keys {
		if err := e.Add(key); err != nil {
			t.Fatal(err)
		}
	}
	return e.Marshal()
}

// given is an assignment as an honest collector makes it.
func given(task fleet.Task, envelope []byte) fleet.Assignment {
	return fleet.Assignment{Task: task, State: fleet.TaskEnabled, Generation: 1, Since: time.Now().UTC(), Envelope: envelope}
}

// takes opens a plan of these assignments.
func (b *bed) takes(assignments ...fleet.Assignment) (*fleet.Plan, []fleet.Refusal) {
	return b.gate.Open(&fleet.Plan{Host: hostID, Index: 1, Assignments: assignments})
}

// take opens a plan of one task and returns why it is refused; nil: it is not.
func (b *bed) take(s *seal.Statement, keys ...seal.Signer) *fleet.Refusal {
	b.t.Helper()
	if len(keys) == 0 {
		keys = []seal.Signer{b.anna}
	}
	beside := task()
	if s.Task != nil && s.Task.Definition != nil {
		beside = *s.Task.Definition
	}
	return b.offer(given(beside, sign(b.t, s, keys...)))
}

// offer opens a plan of one assignment.
func (b *bed) offer(a fleet.Assignment) *fleet.Refusal {
	b.t.Helper()
	plan, refused := b.takes(a)
	if len(refused) == 0 {
		if len(plan.Assignments) != 1 || plan.Assignments[0].Refused != nil {
			b.t.Fatalf("taken, and the plan is %+v", plan)
		}
		if err := b.gate.May(&plan.Assignments[0].Task); err != nil {
			b.t.Fatalf("taken, and may not begin: %v", err)
		}
		return nil
	}
	for i := range plan.Assignments {
		if plan.Assignments[i].Refused == nil {
			b.t.Fatalf("refused, and the plan holds %+v", plan.Assignments[i])
		}
		if b.gate.May(&plan.Assignments[i].Task) == nil {
			b.t.Fatalf("refused (%v), and may begin", refused)
		}
	}
	return &refused[0]
}

// order opens a plan of the last task and these orders.
func (b *bed) order(a fleet.Assignment, orders ...fleet.Order) (*fleet.Plan, []fleet.Refusal) {
	return b.gate.Open(&fleet.Plan{Host: hostID, Index: 2, Assignments: []fleet.Assignment{a}, Orders: orders})
}

// ordered is an order as an honest collector makes it.
func (b *bed) ordered(s *seal.Statement, envelope []byte) fleet.Order {
	id := fleet.NewTaskID(s.Namespace, s.Name)
	return fleet.Order{
		ID: seal.OrderID(s.Order.ID, hostID, id), Kind: s.Order.Kind, Host: hostID, Task: id, Run: seal.RunID(s.Order.ID, hostID, id),
		Due: s.Order.Due, Expires: s.Expires, Envelope: envelope,
	}
}

// want fails unless the refusal has the code, and a sentence.
func want(t *testing.T, r *fleet.Refusal, code string) {
	t.Helper()
	switch {
	case r == nil && code != "":
		t.Errorf("taken, want a refusal with %s", code)
	case r != nil && r.Code != code:
		t.Errorf("refused with %s: %s; want %q", r.Code, r.Why, code)
	case r != nil && len(r.Why) < 10:
		t.Errorf("refused with %s and no sentence: %q", r.Code, r.Why)
	}
}
