package cron

import "fmt"

// SyntaxError says which part of an expression is refused, and why.
type SyntaxError struct {
	Expression string // as given
	Field      string // "minute", "day of week", …, "word" or "expression"
	Value      string // the refused part
	Column     int    // where Value starts: 1-based, in bytes
	Reason     string // for a daemon's dialect, in that daemon's words
}

// Error is one sentence. Long values are cut.
func (e *SyntaxError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("cron expression %q: %s", clip(e.Expression), e.Reason)
	}
	return fmt.Sprintf("cron expression %q: %s %q at column %d: %s",
		clip(e.Expression), e.Field, clip(e.Value), e.Column, e.Reason)
}

func fail(expr, field, value string, column int, reason string) *SyntaxError {
	return &SyntaxError{Expression: expr, Field: field, Value: value, Column: column, Reason: reason}
}

// clip keeps an error readable whatever was typed.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
