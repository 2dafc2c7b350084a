package seal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestSamplesAreValid(t *testing.T) {
	for _, kind := range kinds {
		if err := sample(kind).Validate(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	for _, test := range []struct {
		kind  Kind
		what  string
		spoil func(s *Statement)
		want  string
	}{
		{KindTask, "version", func(s *Statement) { s.Version = 2 }, `v "2": want 1`},
		{KindTask, "cluster", func(s *Statement) { s.Cluster = strings.ToUpper(clusterA) }, "cluster"},
		{KindTask, "cluster with a newline", func(s *Statement) { s.Cluster += "\n" }, "cluster"},
		{KindTask, "kind", func(s *Statement) { s.Kind = "delete" }, `kind "delete": want task,`},
		{KindTask, "no kind", func(s *Statement) { s.Kind = "" }, "kind: want task,"},
		{KindTask, "name", func(s *Statement) { s.Name = "../x" }, "name"},
		{KindTask, "no namespace", func(s *Statement) { s.Namespace = "" }, "namespace"},
		{KindTask, "every namespace", func(s *Statement) { s.Namespace = fleet.Everywhere }, "namespace"},
		{KindEvent, "namespace", func(s *Statement) { s.Namespace = "data" }, "namespace"},
		{KindCalendar, "namespace", func(s *Statement) { s.Namespace = "data" }, "namespace"},
		{KindTask, "no serial", func(s *Statement) { s.Serial = 0 }, "serial"},
		{KindTask, "serial before issued", func(s *Statement) { s.Serial-- }, "serial"},
		{KindTask, "serial uses up the numbers", func(s *Statement) { s.Serial = 1<<64 - 1 }, "serial"},
		{KindTask, "serial two days ahead", func(s *Statement) { s.Serial += 2 * 86400_000 }, "serial"},
		{KindTask, "no issued", func(s *Statement) { s.Issued = time.Time{} }, "issued"},
		{KindTask, "expires before issued", func(s *Statement) { s.Expires = issued.Add(-1) }, "expires"},
		{KindOrder, "no end", func(s *Statement) { s.Expires = time.Time{} }, "expires"},
		{KindEvent, "no end", func(s *Statement) { s.Expires = time.Time{} }, "expires"},
		{KindAdopt, "too late an end", func(s *Statement) { s.Expires = issued.Add(MaxOrderLife + 1) }, "expires"},
		{KindRelease, "no end", func(s *Statement) { s.Expires = time.Time{} }, "expires"},
		{KindTask, "no part", func(s *Statement) { s.Task = nil }, "kind"},
		{KindTask, "a part too many", func(s *Statement) { s.Order = sample(KindOrder).Order }, "kind"},
		{KindTask, "hosts", func(s *Statement) { s.Hosts = []fleet.HostID{hostA} }, "kind"},
		{KindOrder, "no hosts", func(s *Statement) { s.Hosts = nil }, "kind"},
		{KindOrder, "a host's name", func(s *Statement) { s.Hosts[0] = "db-1" }, `hosts "db-1"`},
		{KindOrder, "a host twice", func(s *Statement) { s.Hosts = []fleet.HostID{hostA, hostB, hostA} }, "stands twice"},
		{KindOrder, "too many hosts", func(s *Statement) {
			for i := range MaxHosts {
				s.Hosts = append(s.Hosts, fleet.HostID(fmt.Sprintf("%032x", i)))
			}
		}, `hosts "1001": want at most 1000`},
		{KindTask, "state", func(s *Statement) { s.Task.State = "on" }, "task.state"},
		{KindTask, "no definition", func(s *Statement) { s.Task.Definition = nil }, "task.definition: is missing"},
		{KindTask, "retired with a definition", func(s *Statement) { s.Task.State = fleet.TaskRetired }, "task.definition"},
		{KindTask, "retired with a document", func(s *Statement) { s.Task = &Task{State: fleet.TaskRetired, Document: "x"} }, "task.definition"},
		{KindTask, "another task", func(s *Statement) { s.Task.Definition.Name = "restore" }, `task.definition "data/restore": is another task`},
		{KindTask, "another namespace", func(s *Statement) { s.Task.Definition.Namespace = "" }, `task.definition "default/backup": is another task`},
		{KindTask, "a wrong definition", func(s *Statement) { s.Task.Definition.On = fleet.Trigger{} }, "task.definition.on: want exactly one of"},
		{KindTask, "nowhere", func(s *Statement) { s.Task.Definition.Where = fleet.Where{} }, "task.definition.where"},
		{KindTask, "document", func(s *Statement) { s.Task.Document = strings.Repeat("x", fleet.MaxTaskBytes+1) }, "task.document"},
		{KindAdopt, "paused", func(s *Statement) { s.Task.State = fleet.TaskPaused }, "what is adopted is enabled"},
		{KindAdopt, "two hosts", func(s *Statement) { s.Hosts = append(s.Hosts, hostB) }, "a job is adopted on its own host"},
		{KindAdopt, "no fingerprint", func(s *Statement) { s.Adopt.Fingerprint = "" }, "adopt: want job, source and fingerprint"},
		{KindAdopt, "line", func(s *Statement) { s.Adopt.Line = -1 }, "adopt.line"},
		{KindAdopt, "source", func(s *Statement) { s.Adopt.Source = strings.Repeat("x", 5000) }, "adopt: is too large"},
		{KindRelease, "enabled", func(s *Statement) { s.Task = sample(KindTask).Task }, "what is released is retired"},
		{KindOrder, "kind of order", func(s *Statement) { s.Order.Kind = "kill" }, "order.kind"},
		{KindOrder, "id", func(s *Statement) { s.Order.ID = "1" }, "order.id"},
		{KindOrder, "a run in a run", func(s *Statement) { s.Order.Run = orderA }, "order.run"},
		{KindOrder, "a cancel of nothing", func(s *Statement) { s.Order.Kind = fleet.OrderCancel }, "order.run"},
		{KindOrder, "parent of a stop", func(s *Statement) { s.Order.Kind, s.Order.Parent = fleet.OrderStop, orderA }, "order.parent"},
		{KindOrder, "no due", func(s *Statement) { s.Order.Due = time.Time{} }, "order.due"},
		{KindOrder, "reason", func(s *Statement) { s.Order.Reason = strings.Repeat("x", 1025) }, "order.reason"},
		{KindOrder, "payload", func(s *Statement) { s.Order.Payload = strings.Repeat("x", fleet.MaxPayload+1) }, "order.payload"},
		{KindOrder, "payload of a stop", func(s *Statement) { s.Order.Kind, s.Order.Payload = fleet.OrderStop, "{}" }, "order.payload"},
		{KindEvent, "id", func(s *Statement) { s.Event.ID = strings.ToUpper("0197A8F0-0000-7000-8000-000000000001") }, "event.id"},
		{KindEvent, "no due", func(s *Statement) { s.Event.Due = time.Time{} }, "event.due"},
		{KindEvent, "payload", func(s *Statement) { s.Event.Payload = strings.Repeat("x", fleet.MaxPayload+1) }, "event.payload"},
		{KindCalendar, "another calendar", func(s *Statement) { s.Calendar.Definition.Name = "x" }, "is another calendar"},
		{KindCalendar, "windows", func(s *Statement) {
			s.Calendar.Definition.Windows = make([]fleet.Window, fleet.MaxWindows+1)
		}, "are too many"},
		{KindCalendar, "dropped with a document", func(s *Statement) { s.Calendar = &Calendar{Document: "x"} }, "calendar.document"},
	} {
		s := sample(test.kind)
		test.spoil(s)
		err := s.Validate()
		if err == nil || !strings.Contains(err.Error(), test.want) || fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%s, %s: %v, want %q", test.kind, test.what, err, test.want)
		}
		if _, signed := Sign(s, keyOf("anna")); signed == nil {
			t.Errorf("%s, %s: is signed", test.kind, test.what)
		}
	}
}

func TestDroppedAndRetired(t *testing.T) {
	for kind, s := range map[Kind]*Statement{KindTask: sample(KindTask), KindCalendar: sample(KindCalendar)} {
		if s.Task != nil {
			s.Task = &Task{State: fleet.TaskRetired}
		} else {
			s.Calendar = &Calendar{}
		}
		if err := s.Validate(); err != nil {
			t.Errorf("tombstone of a %s: %v", kind, err)
		}
	}
}

func TestObject(t *testing.T) {
	for kind, want := range map[Kind]string{
		KindTask: "task data/backup", KindAdopt: "task data/backup", KindRelease: "task data/backup",
		KindOrder: "order " + orderA, KindEvent: "event backup", KindCalendar: "calendar backup",
	} {
		if got := sample(kind).Object(); got != want {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
}

// TestIDsAreBoundToWhatTheyAreOf: no two orders, hosts or tasks share one.
func TestIDsAreBoundToWhatTheyAreOf(t *testing.T) {
	seen := map[string]bool{}
	for _, id := range []string{
		string(OrderID("a", hostA, "data/x")), string(OrderID("a", hostB, "data/x")), string(OrderID("b", hostA, "data/x")), string(OrderID("a", hostA, "data/y")),
		string(RunID("a", hostA, "x/y")), string(RunID("a", hostA, "x/z")), string(RunID("a", hostB, "x/y")),
	} {
		if seen[id] || !uuidForm.MatchString(id) || id[14] != '8' {
			t.Errorf("%s stands twice or is no UUID of version 8", id)
		}
		seen[id] = true
	}
	if got, want := OrderID("a", hostA, "data/x"), OrderID("a", hostA, "data/x"); got != want {
		t.Errorf("%s and %s", got, want)
	}
}
