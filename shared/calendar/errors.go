package calendar

import "fmt"

// SyntaxError says which part of an expression is refused, and why.
type SyntaxError struct {
	Expression string // as given
	Field      string // "year", "weekday", "timezone", …, or "expression"
	Value      string // the refused part; may be all of it
	Reason     string
}

// Error is one sentence. Long values are cut.
func (e *SyntaxError) Error() string {
	if e.Value == e.Expression || e.Value == "" {
		return fmt.Sprintf("calendar expression %q: %s: %s", clip(e.Expression), e.Field, e.Reason)
	}
	return fmt.Sprintf("calendar expression %q: %s %q: %s", clip(e.Expression), e.Field, clip(e.Value), e.Reason)
}

// clip keeps an error readable whatever was typed.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
