package author

import (
	"context"
	"crypto/ed25519"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
	"github.com/fleetcron/fleetcron/shared/taskfile"
)

// CodeUntrusted is the code of a refusal to build upon a statement that nobody
// signed whom the author trusts.
const CodeUntrusted = "untrusted"

// Task gives a task, or replaces the one of that name. An empty state keeps a
// paused task paused and enables any other.
func (a *Author) Task(ctx context.Context, document []byte, media string, state fleet.TaskState, o Options) (api.Sealed, error) {
	definition, err := taskfile.ParseOne(document, media)
	if err != nil {
		return api.Sealed{}, err
	}
	id := definition.ID()
	stands, err := a.record(ctx, id)
	if err != nil {
		return api.Sealed{}, err
	}
	if state == "" {
		state = a.stateOf(&stands)
	}
	return a.give(ctx, id, stands.Serial, &seal.Task{State: state, Document: string(document), MediaType: media, Definition: &definition}, o)
}

// stateOf returns the state in which a task goes on that is replaced. What was
// paused stays paused, by its statement's word where it can be believed: nobody
// enables a task again by calling it enabled.
func (a *Author) stateOf(stands *fleet.TaskRecord) fleet.TaskState {
	state := stands.State
	if said, err := a.Verified(stands); err == nil {
		state = said.State
	}
	if state == fleet.TaskPaused {
		return state
	}
	return fleet.TaskEnabled
}

// State pauses, resumes or retires a task. What a task says stays as it is.
func (a *Author) State(ctx context.Context, id fleet.TaskID, state fleet.TaskState, o Options) (api.Sealed, error) {
	if state == fleet.TaskRetired {
		stands, err := a.record(ctx, id)
		if err != nil {
			return api.Sealed{}, err
		}
		return a.give(ctx, id, stands.Serial, &seal.Task{State: state}, o)
	}
	stands, err := a.client.Task(ctx, id)
	if err != nil {
		return api.Sealed{}, err
	}
	said, err := a.Verified(&stands.TaskRecord)
	if err != nil {
		return api.Sealed{}, err
	}
	if said.State == fleet.TaskRetired {
		return api.Sealed{}, fleet.Errorf(fleet.NotFound, "there is no task %s", id)
	}
	task := *said
	task.State, o.Unmatched = state, true // where it runs is not new
	if o.IfIndex == nil {
		o.IfIndex = &stands.Index // nobody may have changed it in between
	}
	return a.give(ctx, id, stands.Serial, &task, o)
}

func (a *Author) give(ctx context.Context, id fleet.TaskID, previous uint64, task *seal.Task, o Options) (api.Sealed, error) {
	s, err := a.statement(seal.KindTask, id.Namespace(), id.Name(), previous, o)
	if err != nil {
		return api.Sealed{}, err
	}
	s.Task = task
	return a.submit(ctx, s, o)
}

// record returns the task as the collectors keep it; zero where there is none.
func (a *Author) record(ctx context.Context, id fleet.TaskID) (fleet.TaskRecord, error) {
	view, err := a.client.Task(ctx, id)
	if err != nil && fleet.KindOf(err) != fleet.NotFound {
		return fleet.TaskRecord{}, err
	}
	return view.TaskRecord, nil
}

// Verified returns what the statement of a task says that stands. One that
// nobody signed whom the author trusts is Refused: whoever built upon it would
// lend it his name.
func (a *Author) Verified(record *fleet.TaskRecord) (*seal.Task, error) {
	id := record.Task.ID()
	e, err := seal.Parse(record.Envelope)
	if err != nil {
		return nil, &fleet.Error{Kind: fleet.Refused, Code: CodeUntrusted, Message: "the collectors have no statement about task " + string(id), Err: err,
			Hint: "give it anew: fleetctl apply"}
	}
	if len(e.Signers(a.trusted)) == 0 {
		return nil, fleet.Errorf(fleet.Refused, "task %s as it stands is signed by key %s, which you do not trust", id, e.Signatures[0].KeyID).
			WithCode(CodeUntrusted).WithHint("trust its owner: fleetctl key trust fck1.…; or look at it (fleetctl tasks %s) and give it anew: fleetctl apply -f", id)
	}
	s, err := e.Statement()
	switch {
	case err != nil:
		return nil, err
	case s.Cluster != a.cluster || s.Task == nil || s.Object() != "task "+string(id):
		return nil, fleet.Errorf(fleet.Refused, "the collectors show a statement about %s of cluster %s as that of task %s", s.Object(), s.Cluster, id).WithCode(CodeUntrusted)
	}
	return s.Task, nil
}

// Approve signs a request as well. The person has seen what it says.
func (a *Author) Approve(ctx context.Context, request *fleet.Request, reason string) (api.Sealed, error) {
	e, err := a.countersigned(request.Envelope)
	if err != nil {
		return api.Sealed{}, err
	}
	return a.client.Approve(ctx, request.ID, request.Index, e, reason)
}

// Countersign signs the statement of a task that stands as well, where a host's
// policy wants more than one signature.
func (a *Author) Countersign(ctx context.Context, record *fleet.TaskRecord) (fleet.TaskRecord, error) {
	e, err := a.countersigned(record.Envelope)
	if err != nil {
		return fleet.TaskRecord{}, err
	}
	return a.client.Countersign(ctx, record.Task.ID(), record.Index, e)
}

func (a *Author) countersigned(envelope []byte) (*seal.Envelope, error) {
	e, err := seal.Parse(envelope)
	if err != nil {
		return nil, err
	}
	s, err := e.Statement()
	if err != nil {
		return nil, err
	}
	if s.Cluster != a.cluster {
		return nil, fleet.Errorf(fleet.Refused, "the statement is for cluster %s, and you are of %s", s.Cluster, a.cluster).WithCode(api.CodeOtherCluster)
	}
	if len(e.Signers([]ed25519.PublicKey{a.signer.Public()})) > 0 {
		return nil, fleet.Errorf(fleet.Conflict, "you signed it already: %s", s.Object()).WithCode("approval_key").WithHint("another person must approve it")
	}
	return e, e.Add(a.signer)
}

// Calendar makes or replaces a calendar. A large document is left out: hosts read
// the definition.
func (a *Author) Calendar(ctx context.Context, definition fleet.Calendar, document []byte, media string, o Options) (api.Sealed, error) {
	s, err := a.calendar(ctx, definition.Name, o)
	if err != nil {
		return api.Sealed{}, err
	}
	s.Calendar = &seal.Calendar{Definition: &definition}
	if len(document) <= fleet.MaxTaskBytes {
		s.Calendar.Document, s.Calendar.MediaType = string(document), media
	}
	return a.submit(ctx, s, o)
}

// DropCalendar removes a calendar that no task names.
func (a *Author) DropCalendar(ctx context.Context, name string, o Options) (api.Sealed, error) {
	s, err := a.calendar(ctx, name, o)
	if err != nil {
		return api.Sealed{}, err
	}
	s.Calendar = &seal.Calendar{}
	return a.submit(ctx, s, o)
}

// RevokeCollector lets hosts know that a collector, which the others have revoked
// already, is none any more: they speak with it no longer.
func (a *Author) RevokeCollector(ctx context.Context, id string, o Options) error {
	s, err := a.statement(seal.KindNode, "", id, 0, o)
	if err != nil {
		return err
	}
	s.Node = &seal.Node{Role: fleet.CollectorKind, State: fleet.NodeRevoked}
	_, err = a.submit(ctx, s, o)
	return err
}

func (a *Author) calendar(ctx context.Context, name string, o Options) (*seal.Statement, error) {
	stands, err := a.client.Calendar(ctx, name)
	if err != nil && fleet.KindOf(err) != fleet.NotFound {
		return nil, err
	}
	return a.statement(seal.KindCalendar, "", name, stands.Serial, o)
}
