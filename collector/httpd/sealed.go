package httpd

import (
	"context"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// sealedIn is a statement that somebody submits. Who signed it is for the hosts
// to judge, that have the keys; here it counts who submits it.
type sealedIn struct {
	change
	said      *seal.Statement
	envelope  []byte   // as it goes to the hosts
	signers   []string // ids of the keys, as the envelope names them
	digest    string   // of the payload
	unmatched bool     // a task that matches no host is welcome
	queue     bool     // orders may wait for hosts that are silent
}

// sealedQuery is what the URL says beside the statement.
type sealedQuery struct {
	Unmatched string `query:"unmatched"`
	Queue     string `query:"queue"`
}

func parseSealed(r *request) (in sealedIn, err error) {
	var q sealedQuery
	if err = r.query(&q); err != nil {
		return in, err
	}
	if err = oneOf("unmatched", q.Unmatched, "allow"); err != nil {
		return in, err
	}
	if err = oneOf("queue", q.Queue, "allow"); err != nil {
		return in, err
	}
	in.unmatched, in.queue = q.Unmatched != "", q.Queue != ""
	if in.change, err = r.change(); err != nil {
		return in, err
	}
	return in, in.open(r.body)
}

// open reads the envelope and what it says.
func (in *sealedIn) open(text []byte) error {
	envelope, err := seal.Parse(text)
	if err != nil {
		return err
	}
	if in.said, err = envelope.Statement(); err != nil {
		return err
	}
	in.envelope, in.digest, in.signers = envelope.Marshal(), envelope.Digest(), keysOf(envelope)
	return nil
}

// keysOf returns the ids of the keys, as the envelope names them.
func keysOf(envelope *seal.Envelope) []string {
	ids := make([]string, len(envelope.Signatures))
	for i, signature := range envelope.Signatures {
		ids[i] = signature.KeyID
	}
	return ids
}

// why is what the audit chain says of it beside the person's words: the values
// that a run was ordered with.
func (in *sealedIn) why() string {
	switch {
	case in.said.Order == nil || len(in.said.Order.Params) == 0:
		return "" // the person's words
	case in.Reason == "":
		return "with " + in.said.Order.Params.String()
	}
	return in.Reason + "; with " + in.said.Order.Params.String()
}

// submission is what a statement amounts to.
type submission struct {
	action  string // the word of the audit chain
	command ledger.Command
	drop    ledger.Command // carried out after it; nil: nothing
}

// submissions is what becomes of each kind of statement: who may submit it, and
// the command that it amounts to.
var submissions = map[seal.Kind]struct {
	permission Permission
	prepare    func(*Server, context.Context, *sealedIn) (submission, error)
}{
	seal.KindTask:     {WriteTasks, (*Server).sealedTask},
	seal.KindOrder:    {RunTasks, (*Server).sealedOrder},
	seal.KindEvent:    {ControlTasks, (*Server).sealedEvent},
	seal.KindCalendar: {WriteTasks, (*Server).sealedCalendar},
	seal.KindAdopt:    {WriteTasks, (*Server).sealedAdoption},
	seal.KindRelease:  {WriteTasks, (*Server).sealedRelease},
	seal.KindNode:     {ManageNodes, (*Server).sealedNode},
}

// submit carries a statement out, or has it wait for the people that the rules
// of its namespace ask for.
func (s *Server) submit(ctx context.Context, in sealedIn) (api.Sealed, error) {
	kind := submissions[in.said.Kind]
	permission := kind.permission
	if in.said.Order != nil && in.said.Order.Kind.Stands() {
		permission = ControlTasks
	}
	if err := refuseUnpermitted(callerOf(ctx), permission); err != nil {
		return api.Sealed{}, err
	}
	if err := s.ours(ctx, in.said); err != nil {
		return api.Sealed{}, err
	}
	if result, found, err := s.remembered(in.change); found || err != nil {
		return s.sealed(result, err)
	}
	todo, err := kind.prepare(s, ctx, &in)
	if err != nil {
		return api.Sealed{}, err
	}
	in.Sealed = in.digest
	about := act{todo.action, in.said.Object(), in.why()}
	rules := s.Ledger.RulesOf(in.said.Namespace)
	if dangers := withheld(&rules, in.said); len(dangers) > 0 {
		about.Action = "request.put"
		return s.sealed(s.propose(ctx, in.change, about, s.requested(&in, todo, &rules, dangers)))
	}
	sealed, err := s.sealed(s.propose(ctx, in.change, about, todo.command))
	if err == nil && todo.drop != nil {
		_, failed := s.record(ctx, in.By, act{"order.drop", in.said.Object(), in.Reason}, todo.drop)
		if failed != nil && fleet.KindOf(failed) != fleet.NotFound {
			return sealed, failed
		}
		sealed.Dropped = failed == nil
	}
	return sealed, err
}

// ours refuses a statement that is for others, and what whoever submits it may
// not see: as if there were no such thing.
func (s *Server) ours(ctx context.Context, said *seal.Statement) error {
	cluster, _, err := s.Ledger.Cluster()
	if err != nil {
		return err
	}
	if said.Cluster != cluster.ID {
		return fleet.Errorf(fleet.Conflict, "the statement is for cluster %s, this is %s", said.Cluster, cluster.ID).WithCode(api.CodeOtherCluster).
			WithHint("is it the right address? fleetctl whoami")
	}
	if !said.Expires.IsZero() && !said.Expires.After(time.Now()) {
		return fleet.Errorf(fleet.Conflict, "the statement expired at %s", said.Expires.UTC().Format(time.RFC3339)).WithCode("time").
			WithHint("sign it anew; is this machine's clock right?")
	}
	switch said.Kind {
	case seal.KindEvent: // about whatever waits for it, within the scope
		return nil
	case seal.KindCalendar, seal.KindNode:
		if !scopeOf(ctx).All() {
			return fleet.Errorf(fleet.Refused, "a %s is the whole fleet's, and you have %v", said.Kind, scopeOf(ctx).Namespaces()).WithCode(api.CodePermission)
		}
	default:
		if !scopeOf(ctx).Holds(said.Namespace) {
			return noTask(fleet.NewTaskID(said.Namespace, said.Name))
		}
	}
	return nil
}

// sealed reads what the ledger answered.
func (s *Server) sealed(result any, err error) (api.Sealed, error) {
	answer := api.Sealed{Index: s.ledgerIndex()}
	if err != nil {
		return answer, err
	}
	switch value := result.(type) {
	case fleet.TaskRecord:
		answer.Task = &value
	case []fleet.Order:
		answer.Orders = value
	case fleet.CalendarRecord:
		answer.Calendar = &value
	case fleet.Adoption:
		answer.Adoption = &value
	case fleet.Request:
		answer.Request = &value
	case nil: // a calendar is dropped, a collector revoked
	default:
		return answer, fleet.Errorf(fleet.Internal, "the ledger answered %T", result)
	}
	return answer, nil
}
