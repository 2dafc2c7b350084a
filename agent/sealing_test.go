package agent

import (
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/policy"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

const testCluster = "00112233445566778899aabbccddeeff"

// author signs what the tests give; the policies of trusting trust it.
var author = sync.OnceValue(func() seal.Key {
	key, err := seal.NewKey()
	if err != nil {
		panic(err)
	}
	return key
})

var serials atomic.Uint64

func seals(s *seal.Statement) []byte {
	serials.CompareAndSwap(0, uint64(time.Now().UnixMilli()))
	s.Version, s.Cluster, s.Serial = 1, testCluster, serials.Add(1)
	s.Issued = time.UnixMilli(int64(s.Serial)).Add(-time.Second).UTC()
	e, err := seal.Sign(s, author())
	if err != nil {
		panic(err)
	}
	return e.Marshal()
}

// sealed signs everything in a plan, as people would have.
func sealed(plan fleet.Plan) fleet.Plan {
	for i := range plan.Assignments {
		a := &plan.Assignments[i]
		id := a.Task.ID()
		a.Envelope = seals(&seal.Statement{
			Kind: seal.KindTask, Namespace: id.Namespace(), Name: id.Name(), Task: &seal.Task{State: a.State, Definition: &a.Task},
		})
	}
	for i := range plan.Orders {
		o := &plan.Orders[i]
		order := &seal.Order{Kind: o.Kind, ID: string(o.ID), Due: o.Due, Reason: o.Reason}
		if o.Kind == fleet.OrderCancel {
			order.Run = o.Run
		}
		o.Envelope = seals(&seal.Statement{
			Kind: seal.KindOrder, Namespace: o.Task.Namespace(), Name: o.Task.Name(), Order: order, Hosts: []fleet.HostID{plan.Host}, Expires: o.Expires,
		})
	}
	return plan
}

// trusting makes the host one that is enrolled and lets the author do anything.
func trusting(t *testing.T, cfg *Config) {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Policy = filepath.Join(cfg.StateDir, "policy.yaml")
	for path, text := range map[string]string{
		filepath.Join(cfg.StateDir, "cluster"): testCluster + "\n",
		cfg.Policy: fmt.Sprintf(`execute: on
keys: [{key: %s, namespaces: ["*"]}]
users: {allow: ["*", %s], deny: [], min_uid: 0}
commands: [{path: "*", rest: "(?s).*"}]
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
}

// gateWith is a gate that has taken the tasks.
func gateWith(t *testing.T, tasks ...fleet.Task) *policy.Gate {
	t.Helper()
	cfg := Config{StateDir: t.TempDir()}
	trusting(t, &cfg)
	gate, err := policy.New(policy.Config{Path: cfg.Policy, Dir: cfg.policyDir(), Host: fleet.Host{ID: thisHost, Name: "web-1"}, Cluster: testCluster, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gate.Close() })
	plan := fleet.Plan{Host: thisHost}
	for _, task := range tasks {
		plan.Assignments = append(plan.Assignments, fleet.Assignment{Task: task, State: fleet.TaskEnabled, Generation: 1})
	}
	plan = sealed(plan)
	if _, refused := gate.Open(&plan); len(refused) > 0 {
		t.Fatal(refused)
	}
	return gate
}
