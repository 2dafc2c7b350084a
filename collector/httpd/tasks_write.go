package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// keyLife is how long a request with an Idempotency-Key is remembered.
const keyLife = 24 * time.Hour

// propose carries a change out, once for each idempotency key.
func (s *Server) propose(ctx context.Context, c change, command ledger.Command) (any, error) {
	if c.Key != "" {
		now := time.Now().UTC()
		command = &ledger.Once{Key: c.Key, Digest: c.Digest, At: now, Expires: now.Add(keyLife), Command: command}
	}
	return s.Replica.Propose(ctx, command)
}

// remembered returns the answer to an earlier request with the same key, for
// services whose own checks would answer otherwise by now.
func (s *Server) remembered(c change) (result any, found bool, err error) {
	if c.Key == "" {
		return nil, false, nil
	}
	result, found, err = s.Ledger.Remembered(c.Key, c.Digest, time.Now())
	if err == nil && found {
		if refusal, refused := ledger.IsRefusal(result); refused {
			return nil, true, refusal
		}
	}
	return result, found, err
}

// given is a task document as its author sent it.
type given struct {
	document []byte
	media    string
}

func parseDocument(r *request) (given, error) {
	return given{r.body, r.media}, r.query(&struct{}{})
}

// read decodes and checks the document. The bytes stay as they are.
func (s *Server) read(in given) (fleet.Task, error) {
	task, err := s.ParseTask(in.document, in.media)
	if err != nil {
		return task, err
	}
	return task, task.Validate()
}

// resolve says what a task would do, without doing it.
func (s *Server) resolve(_ context.Context, in given) (api.Resolution, error) {
	task, err := s.read(in)
	if err != nil {
		return api.Resolution{}, err
	}
	resolution := api.Resolution{Task: task, Changes: true}
	current, err := s.Ledger.Task(everywhere, task.ID())
	if err == nil {
		resolution.Current = current.Generation
		resolution.Changes = !sameTask(&current.Task, &task)
	} else if fleet.KindOf(err) != fleet.NotFound {
		return resolution, err
	}
	resolution.Hosts, err = s.resolved(&task)
	return resolution, err
}

func sameTask(a, b *fleet.Task) bool {
	left, errLeft := json.Marshal(a)
	right, errRight := json.Marshal(b)
	return errLeft == nil && errRight == nil && bytes.Equal(left, right)
}

// putIn asks for a task to be as a document says.
type putIn struct {
	given
	change
	id        fleet.TaskID // that the document must name; empty: any
	replace   bool
	unmatched bool // a task that matches no host is welcome
}

// putQuery is what the URL of a put may say.
type putQuery struct {
	Replace   bool   `query:"replace"`
	Unmatched string `query:"unmatched"`
}

func parsePut(r *request) (putIn, error) {
	in := putIn{given: given{r.body, r.media}}
	var q putQuery
	if err := r.query(&q); err != nil {
		return in, err
	}
	if err := oneOf("unmatched", q.Unmatched, "allow"); err != nil {
		return in, err
	}
	in.replace, in.unmatched = q.Replace, q.Unmatched != ""
	var err error
	in.change, err = r.change()
	return in, err
}

// parsePostTask wants a new task, or with ?replace=true any.
func parsePostTask(r *request) (putIn, error) {
	in, err := parsePut(r)
	if !in.replace && !in.If.Given {
		in.If = condition{Given: true, Absent: true}
	}
	return in, err
}

// parsePutTask wants a condition: a put that overwrites what nobody looked at
// destroys it.
func parsePutTask(r *request) (putIn, error) {
	in, err := parsePut(r)
	if err != nil {
		return in, err
	}
	if !in.If.Given {
		return in, unconditional("task")
	}
	in.id, err = r.taskID()
	return in, err
}

func unconditional(noun string) error {
	return fleet.Errorf(fleet.Invalid, "this change needs If-Match").WithCode(api.CodePrecondition).
		WithHint("read the %s and send its ETag in If-Match, or * for whatever is there; If-None-Match: * for a new one", noun)
}

func (s *Server) putTask(ctx context.Context, in putIn) (fleet.TaskRecord, error) {
	if result, found, err := s.remembered(in.change); found || err != nil {
		return recordOf(result, err)
	}
	task, err := s.read(in.given)
	if err != nil {
		return fleet.TaskRecord{}, err
	}
	if in.id != "" && task.ID() != in.id {
		return fleet.TaskRecord{}, fleet.Invalidf("task", string(task.ID()), "the path names %s", in.id)
	}
	if in.If.Any {
		if _, err := s.Ledger.Task(everywhere, task.ID()); err != nil {
			return fleet.TaskRecord{}, fleet.Errorf(fleet.Conflict, "there is no task %s to replace", task.ID()).WithCode(api.CodeStale)
		}
	}
	if !in.unmatched && task.Where.Pick != fleet.PickNone && len(s.Ledger.Matching(everywhere, &task)) == 0 {
		return fleet.TaskRecord{}, &fleet.Error{Kind: fleet.Invalid, Code: api.CodeUnmatched,
			Fields: []fleet.FieldError{{Field: "where", Value: whereText(&task.Where), Reason: "matches no host"}},
			Hint:   "see fleetctl hosts; add ?unmatched=allow for hosts that are still to come"}
	}
	result, err := s.propose(ctx, in.change, &ledger.PutTask{
		Task: task, Document: in.document, MediaType: in.media, IfIndex: in.If.index(),
		At: time.Now().UTC(), Actor: in.Actor, Reason: in.Reason,
	})
	if e, ok := errors.AsType[*fleet.Error](err); ok && e.Code == api.CodeExists && in.id != "" {
		e.Code = api.CodeStale // of a PUT it was a condition that failed
	}
	return recordOf(result, err)
}

// whereText shows a where in one line.
func whereText(where *fleet.Where) string {
	text, err := json.Marshal(where)
	if err != nil {
		return ""
	}
	return clip(string(text))
}

func recordOf(result any, err error) (fleet.TaskRecord, error) {
	if err != nil {
		return fleet.TaskRecord{}, err
	}
	record, ok := result.(fleet.TaskRecord)
	if !ok {
		return record, fleet.Errorf(fleet.Internal, "the ledger answered %T", result)
	}
	return record, nil
}

// stateIn asks for a task to be paused, resumed or retired.
type stateIn struct {
	change
	id    fleet.TaskID
	state fleet.TaskState
	stop  bool
}

func parsePatchTask() func(*request) (stateIn, error) {
	decoder := newDecoder[api.TaskPatch]()
	return func(r *request) (in stateIn, err error) {
		if in.id, err = r.taskID(); err != nil {
			return in, err
		}
		if err = r.query(&struct{}{}); err != nil {
			return in, err
		}
		if in.change, err = r.change(); err != nil {
			return in, err
		}
		patch, err := decoder.decode(r.body)
		in.state = patch.State
		return in, err
	}
}

func (s *Server) patchTask(ctx context.Context, in stateIn) (fleet.TaskRecord, error) {
	if in.state != fleet.TaskEnabled && in.state != fleet.TaskPaused {
		return fleet.TaskRecord{}, fleet.Invalidf("state", clip(string(in.state)), "want enabled or paused").WithHint("DELETE takes a task back")
	}
	return recordOf(s.setState(ctx, in))
}

func (s *Server) setState(ctx context.Context, in stateIn) (any, error) {
	return s.propose(ctx, in.change, &ledger.SetTaskState{
		ID: in.id, State: in.state, IfIndex: in.If.index(), At: time.Now().UTC(), Actor: in.Actor, Reason: in.Reason,
	})
}

func parseDeleteTask(r *request) (in stateIn, err error) {
	in.state = fleet.TaskRetired
	var q struct {
		Stop bool `query:"stop"`
	}
	if in.id, err = r.taskID(); err != nil {
		return in, err
	}
	if err = r.query(&q); err != nil {
		return in, err
	}
	in.stop = q.Stop
	if in.change, err = r.change(); err == nil && !in.If.Given {
		err = unconditional("task")
	}
	return in, err
}

// deleteTask retires the task first, so that nothing new begins, and then
// orders what goes on to stop.
func (s *Server) deleteTask(ctx context.Context, in stateIn) (api.Deleted, error) {
	deleted := api.Deleted{Orders: []fleet.Order{}}
	record, err := recordOf(s.setState(ctx, in))
	if err != nil {
		return deleted, err
	}
	deleted.Index = record.Index
	if !in.stop {
		return deleted, nil
	}
	deleted.Orders, err = s.stopRuns(ctx, in)
	return deleted, err
}

// stopTries is how often runs may end between being seen to go on and being
// told to stop.
const stopTries = 10

// stopRuns orders every run of the task to stop. Orders are taken all or none,
// and one to a run that has ended is refused: then what still goes on is looked
// at again.
func (s *Server) stopRuns(ctx context.Context, in stateIn) ([]fleet.Order, error) {
	for range stopTries {
		running, err := s.openRuns(in.id)
		orders := make([]fleet.Order, len(running))
		for i, run := range running {
			orders[i] = cancelOrder(run.Host, run.Task, run.ID, in.change)
		}
		if err != nil || len(orders) == 0 {
			return orders, err
		}
		_, err = s.Replica.Propose(ctx, &ledger.PutOrders{Orders: orders, At: time.Now().UTC()})
		if fleet.KindOf(err) != fleet.Conflict {
			return orders, err
		}
	}
	return []fleet.Order{}, fleet.Errorf(fleet.Conflict, "the task is deleted, but its runs end too fast to be told to stop").
		WithHint("fleetctl runs --task %s", in.id)
}

// openRuns returns every run of the task without an outcome.
func (s *Server) openRuns(id fleet.TaskID) (open []fleet.Run, err error) {
	for _, state := range []fleet.RunState{fleet.RunPending, fleet.RunBegun, fleet.RunRunning} {
		query := api.RunQuery{Task: id, State: state, Page: api.Page{Limit: api.MaxPage}}
		for {
			page, err := s.Ledger.Runs(everywhere, query)
			if err != nil {
				return nil, err
			}
			open = append(open, page.Items...)
			if query.After = page.Next; page.Next == "" {
				break
			}
		}
	}
	return open, nil
}
