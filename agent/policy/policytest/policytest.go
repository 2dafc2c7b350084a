// Package policytest provides a person whom the policies of tests trust.
package policytest

import (
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/policy"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// Cluster is the one that the tests' hosts are enrolled in.
const Cluster = "00112233445566778899aabbccddeeff"

// author signs what the tests give; the policies of trusting trust it.
var author = sync.OnceValue(func() seal.Key {
	key, err := seal.NewKey()
	if err != nil {
		panic(err)
	}
	return key
})

var serials atomic.Uint64

func sealOne(s *seal.Statement) []byte {
	serials.CompareAndSwap(0, uint64(time.Now().UnixMilli()))
	s.Version, s.Cluster, s.Serial = 1, Cluster, serials.Add(1)
	s.Issued = time.UnixMilli(int64(s.Serial)).Add(-time.Second).UTC()
	e, err := seal.Sign(s, author())
	if err != nil {
		panic(err)
	}
	return e.Marshal()
}

// Sealed signs everything in a plan, as people would have.
func Sealed(plan fleet.Plan) fleet.Plan {
	for i := range plan.Assignments {
		a := &plan.Assignments[i]
		id := a.Task.ID()
		a.Envelope = sealOne(&seal.Statement{
			Kind: seal.KindTask, Namespace: id.Namespace(), Name: id.Name(), Task: &seal.Task{State: a.State, Definition: &a.Task},
		})
	}
	for i := range plan.Orders {
		o := &plan.Orders[i]
		order := &seal.Order{Kind: o.Kind, ID: string(o.ID), Due: o.Due, Reason: o.Reason}
		if o.Kind == fleet.OrderCancel {
			order.Run = o.Run
		}
		o.Envelope = sealOne(&seal.Statement{
			Kind: seal.KindOrder, Namespace: o.Task.Namespace(), Name: o.Task.Name(), Order: order, Hosts: []fleet.HostID{plan.Host}, Expires: o.Expires,
		})
	}
	return plan
}

// Retired returns what the person signs who takes tasks away: the tombstones of a
// plan without them.
func Retired(tasks ...fleet.TaskID) (tombstones [][]byte) {
	for _, id := range tasks {
		tombstones = append(tombstones, sealOne(&seal.Statement{
			Kind: seal.KindTask, Namespace: id.Namespace(), Name: id.Name(), Task: &seal.Task{State: fleet.TaskRetired},
		}))
	}
	return tombstones
}

// Trust makes the host of a state directory one that is enrolled, and returns a
// policy file that lets the person do anything.
func Trust(t testing.TB, stateDir string) (path string) {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(stateDir, "policy.yaml")
	for path, text := range map[string]string{
		filepath.Join(stateDir, "cluster"): Cluster + "\n",
		path: fmt.Sprintf(`execute: on
keys: [{key: %s, namespaces: ["*"]}]
users: {allow: ["*", %s], deny: [], min_uid: 0}
commands: [{path: "*", rest: "(?s).*", stdin: "(?s).*"}]
shell: allowed
login: allowed
env: ["*", PATH, SHELL, HOME]
probes: {files: [/], tcp: ["*"]}
adoption: allowed
`, seal.PublicText(author().Public()), me.Username),
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	id := filepath.Join(stateDir, "host-id")
	if _, err := os.Stat(id); err != nil {
		if err := os.WriteFile(id, []byte(strings.Repeat("a", 32)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// Gate returns a gate of the host that has taken the tasks.
func Gate(t testing.TB, host fleet.HostID, tasks ...fleet.Task) *policy.Gate {
	t.Helper()
	dir := t.TempDir()
	gate, err := policy.New(policy.Config{Path: Trust(t, dir), Dir: filepath.Join(dir, "policy"), Host: fleet.Host{ID: host, Name: "web-1"}, Cluster: Cluster, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gate.Close() })
	plan := fleet.Plan{Host: host}
	for _, task := range tasks {
		plan.Assignments = append(plan.Assignments, fleet.Assignment{Task: task, State: fleet.TaskEnabled, Generation: 1})
	}
	plan = Sealed(plan)
	if _, refused := gate.Open(&plan); len(refused) > 0 {
		t.Fatal(refused)
	}
	return gate
}
