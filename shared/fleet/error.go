package fleet

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says what a caller can do about an error. The zero value is Internal.
type Kind uint8

// The kinds, each with its exit code and HTTP status in the table below.
const (
	Internal        Kind = iota // a fault of ours; report it
	Usage                       // the command line is wrong
	Invalid                     // the input is wrong; correct it
	NotFound                    // there is no such thing
	Refused                     // permission or policy forbids it
	Conflict                    // it changed, exists, or may not move that way now
	Unavailable                 // no leader, or unreachable; try again
	TooLarge                    // the input is larger than the limit
	Unauthenticated             // it is not known who asks; log in, or use another token
	TooMany                     // asked too often; wait
)

// kinds is the one place that maps a kind to what the outside world sees.
var kinds = [...]struct {
	name   string
	exit   int // of fleetctl
	status int // of the HTTP API
}{
	Internal:        {"internal", 1, 500},
	Usage:           {"usage", 2, 400},
	Invalid:         {"invalid", 2, 422},
	NotFound:        {"not_found", 3, 404},
	Refused:         {"refused", 4, 403},
	Conflict:        {"conflict", 5, 409},
	Unavailable:     {"unavailable", 6, 503},
	TooLarge:        {"too_large", 2, 413},
	Unauthenticated: {"unauthenticated", 4, 401},
	TooMany:         {"too_many", 6, 429},
}

// String returns the kind's stable name, which is also the default error code.
func (k Kind) String() string { return kinds[k].name }

// ExitCode returns the exit code fleetctl ends with.
func (k Kind) ExitCode() int { return kinds[k].exit }

// Status returns the HTTP status the API answers with.
func (k Kind) Status() int { return kinds[k].status }

// Error is an error a person can act on.
type Error struct {
	Kind    Kind
	Code    string       // stable; empty means Kind.String()
	Message string       // one sentence without a final stop
	Hint    string       // the next thing to try; may be empty
	Fields  []FieldError // what is wrong with the input; may be empty
	Err     error        // the cause; may be nil
}

// FieldError names one wrong field of an input.
type FieldError struct {
	Field  string `json:"field"` // dotted path, "on.cron"
	Value  string `json:"value,omitempty"`
	Reason string `json:"reason"`
	Line   int    `json:"line,omitempty"`   // 1-based; 0 where the input has no lines
	Column int    `json:"column,omitempty"` // 1-based, in bytes
}

// String returns `field "value": reason`, led by line and column where known.
func (f FieldError) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d, column %d: ", f.Line, f.Column)
	}
	b.WriteString(f.Field)
	if f.Value != "" {
		fmt.Fprintf(&b, " %q", f.Value)
	}
	b.WriteString(": " + f.Reason)
	return b.String()
}

// Error returns the message, the wrong fields and the cause.
func (e *Error) Error() string {
	parts := make([]string, 0, len(e.Fields)+2)
	if e.Message != "" {
		parts = append(parts, e.Message)
	}
	for _, field := range e.Fields {
		parts = append(parts, field.String())
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an error of the given kind.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Invalidf returns an Invalid error about one field.
func Invalidf(field, value, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Fields: []FieldError{{Field: field, Value: value, Reason: fmt.Sprintf(format, args...)}}}
}

// WithHint sets the next thing to try and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithCode sets a stable code finer than the kind and returns e.
func (e *Error) WithCode(code string) *Error {
	e.Code = code
	return e
}

// KindOf returns the kind of the first *Error in err's chain, else Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
