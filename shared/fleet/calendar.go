package fleet

import "time"

// Calendar is a named set of windows in which tasks that name it are not due.
type Calendar struct {
	Name        string   `json:"calendar"`
	Description string   `json:"description,omitempty"`
	Timezone    string   `json:"timezone,omitempty"` // IANA name, of Cron and Rule; empty: UTC
	Windows     []Window `json:"windows"`            // 1–MaxWindows
}

// Window is a time from an instant to another, once or again and again. Exactly
// one of To and For says where it ends; From, or Cron, where it begins.
type Window struct {
	From *time.Time `json:"from,omitempty"`
	To   *time.Time `json:"to,omitempty"`
	Cron string     `json:"cron,omitempty"` // begins at each of its instants
	For  Duration   `json:"for,omitempty"`
	// Rule is an RRULE of RFC 5545 without its name; the window from From is
	// the first one.
	Rule    string      `json:"rule,omitempty"`
	Except  []time.Time `json:"except,omitempty"`  // of Rule: no window begins then
	Summary string      `json:"summary,omitempty"` // why, for people
}

// MaxWindows is how many windows a calendar has at most.
const MaxWindows = 2000

// CalendarRecord is a calendar as the ledger keeps it.
type CalendarRecord struct {
	Calendar
	Changed   time.Time `json:"changed"`
	ChangedBy string    `json:"changed_by,omitempty"`
	Index     uint64    `json:"index"` // of the last change; the ETag
	Envelope  []byte    `json:"envelope,omitempty"`
	Serial    uint64    `json:"serial,omitempty"`
}
