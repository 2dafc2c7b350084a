package httpd

import (
	"bytes"
	"context"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// requestParameter is the id of a request.
var requestParameter = regexp.MustCompile(`^[0-9a-f]{16}$`)

// requests lists the changes that wait for other people.
func (s *Server) requests(ctx context.Context, in waiting) (api.List[fleet.Request], error) {
	list := api.List[fleet.Request]{Items: []fleet.Request{}}
	var err error
	if list.Index, err = s.newer(ctx, in, ledger.Requests); err != nil {
		return list, err
	}
	list.Items = append(list.Items, s.Ledger.Requests(scopeOf(ctx))...)
	list.Total = len(list.Items)
	return list, nil
}

func (s *Server) request(ctx context.Context, in named) (fleet.Request, error) {
	return s.Ledger.Request(scopeOf(ctx), in.id)
}

// dropRequest takes a request back: whoever made it, or an admin.
func (s *Server) dropRequest(ctx context.Context, in named) (receipt, error) {
	waits, err := s.Ledger.Request(scopeOf(ctx), in.id)
	if err != nil {
		return receipt{}, err
	}
	if caller := callerOf(ctx); waits.By.Name != caller.Name && !caller.Has(fleet.Admin) && !caller.Has(fleet.Approver) {
		return receipt{}, fleet.Errorf(fleet.Refused, "request %s is %s's", in.id, waits.By.Name).WithCode(api.CodePermission)
	}
	_, err = s.propose(ctx, in.change, act{"request.drop", waits.Object, ""}, &ledger.DropRequest{ID: in.id, At: time.Now().UTC(), Actor: in.Actor, Reason: in.Reason})
	return s.done(err)
}

// signedIn is an envelope with one signature more.
type signedIn struct {
	change
	id       string       // of a request …
	task     fleet.TaskID // … or a task
	envelope *seal.Envelope
}

func (in *signedIn) read(r *request) (err error) {
	if err = r.query(&struct{}{}); err != nil {
		return err
	}
	if in.change, err = r.change(); err != nil {
		return err
	}
	in.envelope, err = seal.Parse(r.body)
	return err
}

func parseApproval(r *request) (in signedIn, err error) {
	if in.id, err = r.path("request", requestParameter); err != nil {
		return in, err
	}
	return in, in.read(r)
}

func parsePutEnvelope(r *request) (in signedIn, err error) {
	if in.task, err = r.taskID(); err != nil {
		return in, err
	}
	return in, in.read(r)
}

// added returns the signature that an envelope has more than the one before,
// which must say the very same.
func added(before []byte, after *seal.Envelope) (seal.Signature, error) {
	stored, err := seal.Parse(before)
	if err != nil {
		return seal.Signature{}, err
	}
	if !bytes.Equal(stored.Payload, after.Payload) {
		return seal.Signature{}, fleet.Errorf(fleet.Conflict, "the envelope says something else").WithCode(api.CodeApproval).
			WithHint("read it again, look at what it says, and sign that")
	}
	var more []seal.Signature
	for _, one := range after.Signatures {
		if !slices.ContainsFunc(stored.Signatures, func(old seal.Signature) bool { return bytes.Equal(old.Sig, one.Sig) }) {
			more = append(more, one)
		}
	}
	kept := len(after.Signatures) - len(more)
	if len(more) != 1 || kept != len(stored.Signatures) {
		return seal.Signature{}, fleet.Errorf(fleet.Conflict, "want the %d signatures that are there, and one more", len(stored.Signatures)).
			WithCode(api.CodeApproval).WithHint("read it again, and sign that")
	}
	return more[0], nil
}

// approve adds one person's yes. With enough of them the change is made.
func (s *Server) approve(ctx context.Context, in signedIn) (api.Sealed, error) {
	waits, err := s.Ledger.Request(scopeOf(ctx), in.id)
	if err != nil {
		return api.Sealed{}, err
	}
	signature, err := added(waits.Envelope, in.envelope)
	if err != nil {
		return api.Sealed{}, err
	}
	if in.If.Given && !in.If.Any && in.If.Index != waits.Index {
		return api.Sealed{}, fleet.Errorf(fleet.Conflict, "request %s has changed since it was read", in.id).WithCode(api.CodeStale).WithHint("look at it again")
	}
	now := time.Now().UTC()
	in.Sealed = in.envelope.Digest()
	result, err := resultOf[ledger.Approved](s.propose(ctx, in.change, act{"request.approve", waits.Object, ""}, &ledger.Approve{
		ID: in.id, IfIndex: waits.Index, Envelope: in.envelope.Marshal(), At: now, Approval: fleet.Approval{By: in.By, Key: signature.KeyID, At: now},
	}))
	if err != nil {
		return api.Sealed{}, err
	}
	answer := api.Sealed{Task: result.Task, Orders: result.Orders, Calendar: result.Calendar, Adoption: result.Adoption, Index: s.ledgerIndex()}
	if !result.Done {
		answer.Request = &result.Request
	}
	return answer, nil
}

// serveEnvelope answers GET …/envelope: what hosts are given, byte for byte.
func (s *Server) serveEnvelope(w http.ResponseWriter, r *request) error {
	in, err := parseTask(r)
	if err != nil {
		return err
	}
	record, err := s.Ledger.Statement(scopeOf(r.Context()), in.id)
	if err != nil {
		return err
	}
	if len(record.Envelope) == 0 {
		return fleet.Errorf(fleet.NotFound, "task %s was given without a signature", in.id)
	}
	w.Header().Set("ETag", api.ETag(record.Index))
	writeBody(w, http.StatusOK, api.MediaSealed, record.Envelope)
	return nil
}

// putEnvelope adds a signature to what a task says now, for hosts that want
// more than one.
func (s *Server) putEnvelope(ctx context.Context, in signedIn) (fleet.TaskRecord, error) {
	record, err := s.Ledger.Statement(scopeOf(ctx), in.task)
	if err != nil {
		return record, err
	}
	if _, err := added(record.Envelope, in.envelope); err != nil {
		return record, err
	}
	in.Sealed = in.envelope.Digest()
	return resultOf[fleet.TaskRecord](s.propose(ctx, in.change, act{"task.sign", "task " + string(in.task), ""}, &ledger.PutEnvelope{
		Task: in.task, Serial: record.Serial, Envelope: in.envelope.Marshal(), Signers: keysOf(in.envelope), IfIndex: in.If.index(), At: time.Now().UTC(), Actor: in.Actor,
	}))
}
