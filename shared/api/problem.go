package api

import "github.com/fleetcron/fleetcron/shared/fleet"

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
