package httpd_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/blackout"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
	"github.com/fleetcron/fleetcron/shared/takeover"
	"github.com/fleetcron/fleetcron/shared/taskfile"
)

// clusterID is the cluster of every test.
const clusterID = "0123456789abcdef0123456789abcdef"

var serials atomic.Uint64

// statement returns one that only lacks its part.
func statement(kind seal.Kind, namespace, name string) *seal.Statement {
	now := time.Now().UTC().Truncate(time.Second)
	s := &seal.Statement{Version: 1, Cluster: clusterID, Kind: kind, Namespace: namespace, Name: name, Issued: now,
		Serial: uint64(now.UnixMilli()) + serials.Add(1)}
	if kind != seal.KindTask && kind != seal.KindCalendar {
		s.Expires = now.Add(time.Hour)
	}
	return s
}

// tasked says that there be this task; a retired one has no document.
func tasked(t testing.TB, document string, state fleet.TaskState) *seal.Statement {
	t.Helper()
	task, err := taskfile.ParseOne([]byte(document), api.MediaJSON)
	if err != nil {
		t.Fatal(err)
	}
	s := statement(seal.KindTask, task.ID().Namespace(), task.ID().Name())
	s.Task = &seal.Task{State: state}
	if state != fleet.TaskRetired {
		s.Task.Document, s.Task.MediaType, s.Task.Definition = document, api.MediaJSON, &task
	}
	return s
}

func retired(id fleet.TaskID) *seal.Statement {
	s := statement(seal.KindTask, id.Namespace(), id.Name())
	s.Task = &seal.Task{State: fleet.TaskRetired}
	return s
}

// ordered says that hosts do something about a task now.
func ordered(kind fleet.OrderKind, id fleet.TaskID, hosts ...fleet.HostID) *seal.Statement {
	s := statement(seal.KindOrder, id.Namespace(), id.Name())
	s.Order, s.Hosts = &seal.Order{Kind: kind, ID: uuid.NewString(), Due: s.Issued}, hosts
	return s
}

// cancelled says that a run stop.
func cancelled(run fleet.Run) *seal.Statement {
	s := ordered(fleet.OrderCancel, run.Task, run.Host)
	s.Order.Run = run.ID
	return s
}

// raised says that an event happened.
func raised(name, payload string) *seal.Statement {
	s := statement(seal.KindEvent, "", name)
	s.Event = &seal.Event{ID: uuid.NewString(), Due: s.Issued, Payload: payload}
	return s
}

// closing says that there be a calendar.
func closing(t testing.TB, name, document, media string) *seal.Statement {
	t.Helper()
	calendar, err := blackout.Parse([]byte(document), media)
	if err != nil {
		t.Fatal(err)
	}
	calendar.Name = name
	s := statement(seal.KindCalendar, "", name)
	s.Calendar = &seal.Calendar{Document: document, MediaType: media, Definition: &calendar}
	return s
}

// adopted says that a host hand a found job over, as a task of that name.
func adopted(t testing.TB, host fleet.Host, job fleet.Job, id fleet.TaskID, force bool) *seal.Statement {
	t.Helper()
	task, err := takeover.Adopt(&job, &host, id, "")
	if err != nil {
		t.Fatal(err)
	}
	document, err := taskfile.Format(task)
	if err != nil {
		t.Fatal(err)
	}
	s := statement(seal.KindAdopt, id.Namespace(), id.Name())
	s.Task = &seal.Task{State: fleet.TaskEnabled, Document: string(document), MediaType: api.MediaYAML, Definition: &task}
	s.Adopt, s.Hosts = &seal.Adoption{Job: job.ID, Source: job.Source, Line: job.Line, Fingerprint: job.Fingerprint, Force: force}, []fleet.HostID{host.ID}
	return s
}

// released says that a host take back what was adopted there.
func released(id fleet.TaskID, host fleet.HostID) *seal.Statement {
	s := retired(id)
	s.Kind, s.Hosts, s.Expires = seal.KindRelease, []fleet.HostID{host}, s.Issued.Add(time.Hour)
	return s
}

// signed returns the statement in an envelope, as JSON.
func signed(t testing.TB, said *seal.Statement) string {
	t.Helper()
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := seal.Sign(said, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(envelope.Marshal())
}

// submit brings a statement; query is what the URL says beside it.
func (h *house) submit(t testing.TB, said *seal.Statement, query string, header ...string) *http.Response {
	t.Helper()
	return h.do(t, http.MethodPost, api.PathSealed+query, signed(t, said), append(header, "Content-Type", api.MediaSealed)...)
}

// give gives a task, or gives it anew.
func (h *house) give(t testing.TB, document string, header ...string) *http.Response {
	t.Helper()
	return h.submit(t, tasked(t, document, fleet.TaskEnabled), "", header...)
}

// taskOf returns the task that an answer tells of.
func taskOf(t testing.TB, reply *http.Response) fleet.TaskRecord {
	t.Helper()
	sealed := decoded[api.Sealed](t, reply, http.StatusOK)
	if sealed.Task == nil {
		t.Fatalf("no task: %+v", sealed)
	}
	return *sealed.Task
}

// order has hosts do something, silent ones too, and returns the orders.
func (h *house) order(t testing.TB, said *seal.Statement, header ...string) api.Sealed {
	t.Helper()
	return decoded[api.Sealed](t, h.submit(t, said, "?queue=allow", header...), http.StatusOK)
}

// submitted has a client bring a statement about a task.
func submitted(t *testing.T, client *api.Client, said *seal.Statement, options api.SubmitOptions) (fleet.TaskRecord, error) {
	t.Helper()
	envelope, err := seal.Parse([]byte(signed(t, said)))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := client.Submit(t.Context(), envelope, options)
	if err != nil {
		return fleet.TaskRecord{}, err
	}
	return *sealed.Task, nil
}
