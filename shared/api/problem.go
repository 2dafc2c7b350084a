package api

import (
	"cmp"
	"errors"
	"net/http"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Problem is an error as the API writes it (RFC 9457).
type Problem struct {
	Type      string             `json:"type"` // "about:blank"
	Title     string             `json:"title"`
	Status    int                `json:"status"`
	Detail    string             `json:"detail"`
	Code      string             `json:"code"` // stable
	Field     string             `json:"field,omitempty"`
	Hint      string             `json:"hint,omitempty"`
	Errors    []fleet.FieldError `json:"errors,omitempty"`
	RequestID string             `json:"request_id,omitempty"`
}

// Codes finer than a kind that the API itself gives.
const (
	CodeMalformed    = "malformed"             // the body is no JSON, or not the JSON asked for
	CodeMediaType    = "media_type"            // the Content-Type is not one the route reads
	CodeMethod       = "method_not_allowed"    // the path exists, the method does not
	CodeNoRoute      = "no_route"              // there is no such path
	CodeMisdirected  = "misdirected"           // the Host header names somebody else
	CodePrecondition = "precondition_required" // a destructive change without If-Match
	CodeStale        = "stale"                 // If-Match names an older version
	CodeExists       = "exists"                // there is one already
	CodeSilent       = "silent"                // the host does not answer now
	CodeUnmatched    = "unmatched"             // the task matches no host
	CodeNoLeader     = "no_leader"             // no collector leads now
	CodeNotLeader    = "not_leader"            // this collector does not lead
	CodeUnknown      = "outcome_unknown"       // it may have happened; ask again with the same Idempotency-Key
	CodeKeyReused    = "key_reused"            // the idempotency key stands for another request
	CodeNoPlace      = fleet.CodeNoPlace       // all places of the task in the fleet are taken; waiting may help
	CodeTooMany      = "too_many"              // the limit of what may wait at once is reached
	CodePermission   = "permission_denied"     // the caller is known and may not
	CodeNotAgents    = "agent_not_allowed"     // an agent asked for what is not an agent's
	CodeAgentID      = "agent_id_mismatch"     // an agent spoke for another host than its certificate's
	CodeToken        = "token_invalid"         // no token, or none of this cluster
	CodeParameter    = "unknown_parameter"     // the URL says what the route does not read
	CodeOtherCluster = "cluster"               // the statement is for another cluster
	CodeApproval     = "approval"              // the approval does not count
)

// statuses gives a code its own HTTP status; the others have their kind's.
var statuses = map[string]int{
	CodeMalformed:    http.StatusBadRequest,
	CodeMediaType:    http.StatusUnsupportedMediaType,
	CodeMethod:       http.StatusMethodNotAllowed,
	CodeMisdirected:  http.StatusMisdirectedRequest,
	CodePrecondition: http.StatusPreconditionRequired,
	CodeStale:        http.StatusPreconditionFailed,
	CodeTooMany:      http.StatusTooManyRequests,
	CodeParameter:    http.StatusBadRequest,

	// What one reader of JSON would take in one way and another in another.
	"json":               http.StatusBadRequest,
	"json_type":          http.StatusBadRequest,
	"json_depth":         http.StatusBadRequest,
	"json_utf8":          http.StatusBadRequest,
	"json_case":          http.StatusBadRequest,
	"json_trailing":      http.StatusBadRequest,
	"json_duplicate_key": http.StatusBadRequest,
	"unknown_field":      http.StatusBadRequest,
}

// ProblemOf says an error the way the API does. What is no *fleet.Error is a
// fault of ours: its text stays in the log, where the request id finds it.
func ProblemOf(err error) Problem {
	e, ok := errors.AsType[*fleet.Error](err)
	if !ok || e.Kind == fleet.Internal {
		return Problem{
			Type: "about:blank", Title: http.StatusText(500), Status: 500, Code: fleet.Internal.String(),
			Detail: "something went wrong here", Hint: "the collector's log tells more; look for the request id",
		}
	}
	code := cmp.Or(e.Code, e.Kind.String())
	status := cmp.Or(statuses[code], e.Kind.Status())
	problem := Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code,
		Detail: err.Error(), Hint: e.Hint, Errors: e.Fields,
	}
	if len(e.Fields) > 0 {
		problem.Field = e.Fields[0].Field
	}
	return problem
}

// Err returns the problem as the error it was made from.
func (p *Problem) Err() *fleet.Error {
	e := &fleet.Error{Kind: p.kind(), Code: p.Code, Message: p.Detail, Hint: p.Hint, Fields: p.Errors}
	if len(p.Errors) > 0 {
		// The detail repeats the fields, and so would the error.
		said := make([]string, len(p.Errors))
		for i, field := range p.Errors {
			said[i] = field.String()
		}
		head, _, _ := strings.Cut(p.Detail, strings.Join(said, ": "))
		e.Message = strings.TrimSuffix(head, ": ")
	}
	if e.Kind == fleet.Internal && p.RequestID != "" {
		e.Message += " (request " + p.RequestID + ")"
	}
	return e
}

func (p *Problem) kind() fleet.Kind {
	switch p.Status {
	case http.StatusNotFound:
		return fleet.NotFound
	case http.StatusUnauthorized:
		return fleet.Unauthenticated
	case http.StatusForbidden:
		return fleet.Refused
	case http.StatusConflict, http.StatusPreconditionFailed:
		return fleet.Conflict
	case http.StatusRequestEntityTooLarge:
		return fleet.TooLarge
	case http.StatusTooManyRequests:
		return fleet.TooMany
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fleet.Unavailable
	}
	if p.Status >= 400 && p.Status < 500 {
		return fleet.Invalid
	}
	return fleet.Internal
}
