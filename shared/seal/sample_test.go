package seal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

var issued = time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)

const (
	clusterA = "0123456789abcdef0123456789abcdef"
	hostA    = fleet.HostID("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	hostB    = fleet.HostID("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
	orderA   = "0197a8f0-0000-7000-8000-000000000001"
)

// keyOf returns the same key for the same name.
func keyOf(name string) Key {
	seed := sha256.Sum256([]byte(name))
	return Key{ed25519.NewKeyFromSeed(seed[:])}
}

// sample returns a valid statement of a kind.
func sample(kind Kind) *Statement {
	s := &Statement{Version: 1, Cluster: clusterA, Kind: kind, Namespace: "data", Name: "backup", Serial: uint64(issued.UnixMilli()), Issued: issued}
	task := &Task{State: fleet.TaskEnabled, Document: "task: backup\nnamespace: data\n# <&>\n…", MediaType: "application/yaml", Definition: &fleet.Task{
		Name: "backup", Namespace: "data", On: fleet.Trigger{Cron: "30 2 * * *"},
		Run:   fleet.Execute{Command: fleet.Command{Argv: []string{"/usr/local/bin/backup", "--all"}}, User: "backup"},
		Where: fleet.Where{Labels: "role=db"}, Limits: fleet.Limits{Timeout: fleet.Duration(30 * time.Minute)},
	}}
	switch kind {
	case KindTask:
		s.Task = task
	case KindOrder:
		s.Order = &Order{Kind: fleet.OrderRun, ID: orderA, Due: issued, Reason: "by hand"}
	case KindEvent:
		s.Namespace, s.Event = "", &Event{ID: orderA, Due: issued, Payload: `{"version": 3}`}
	case KindCalendar:
		to := issued.Add(time.Hour)
		s.Namespace = ""
		s.Calendar = &Calendar{Definition: &fleet.Calendar{Name: "backup", Windows: []fleet.Window{{From: &s.Issued, To: &to}}}}
	case KindAdopt:
		s.Task, s.Adopt = task, &Adoption{Job: "0011223344556677", Source: "/etc/cron.d/backup", Line: 7, Fingerprint: "f00d"}
	case KindRelease:
		s.Task = &Task{State: fleet.TaskRetired}
	case KindNode:
		s.Namespace, s.Name, s.Node = "", "c3", &Node{Role: fleet.CollectorKind, State: fleet.NodeRevoked}
	}
	if !s.lasting() {
		s.Expires = issued.Add(time.Hour)
	}
	if partsOf[kind]&hasHosts != 0 {
		s.Hosts = []fleet.HostID{hostA}
	}
	return s
}

var kinds = []Kind{KindTask, KindOrder, KindEvent, KindCalendar, KindAdopt, KindRelease, KindNode}

func sign(t testing.TB, s *Statement, signer Signer) *Envelope {
	t.Helper()
	e, err := Sign(s, signer)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func codeOf(err error) string {
	if e, ok := err.(*fleet.Error); ok {
		return e.Code
	}
	return ""
}
