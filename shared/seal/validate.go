package seal

import (
	"regexp"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

var (
	clusterForm = regexp.MustCompile(`\A[0-9a-f]{32}\z`)
	uuidForm    = regexp.MustCompile(`\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z`)
)

// Validate reports what no statement may say, whoever signed it. It knows no
// clock and no policy.
func (s *Statement) Validate() error {
	var wrong []fleet.FieldError
	that := func(ok bool, field, value, reason string) {
		if !ok {
			wrong = append(wrong, fleet.FieldError{Field: field, Value: value, Reason: reason})
		}
	}
	that(s.Version == 1, "v", strconv.Itoa(s.Version), "want 1")
	that(clusterForm.MatchString(s.Cluster), "cluster", s.Cluster, "want 32 hex digits")
	that(fleet.ValidName(s.Name), "name", s.Name, "is no name")
	taskish := s.Kind != KindEvent && s.Kind != KindCalendar
	that(taskish == fleet.ValidName(s.Namespace) && (taskish || s.Namespace == ""), "namespace", s.Namespace, "want the task's namespace, and none for events and calendars")
	that(s.Serial > 0, "serial", "0", "want the milliseconds since 1970")
	that(!s.Issued.IsZero(), "issued", "", "is missing")
	that(s.Expires.IsZero() || s.Expires.After(s.Issued), "expires", s.Expires.Format(time.RFC3339), "is not after issued")
	parts, known := partsOf[s.Kind]
	that(known, "kind", string(s.Kind), "want task, order, event, calendar, adopt or release")
	that(!known || parts == s.parts(), "kind", string(s.Kind), "want its own part and no other")
	if s.Kind != KindTask && s.Kind != KindCalendar {
		that(!s.Expires.IsZero() && s.Expires.Sub(s.Issued) <= MaxOrderLife, "expires", "", "want an end within 24h of issued")
	}
	that(len(s.Hosts) <= MaxHosts, "hosts", strconv.Itoa(len(s.Hosts)), "want at most 1000")
	for _, host := range s.Hosts {
		that(host.Valid(), "hosts", string(host), "want 32 lower-case hex digits")
	}
	if len(wrong) == 0 {
		s.validateParts(that)
	}
	if len(wrong) > 0 {
		return &fleet.Error{Kind: fleet.Invalid, Message: "statement", Fields: wrong}
	}
	return nil
}

// part is a bit for each part of a statement.
type part uint8

const (
	hasTask part = 1 << iota
	hasOrder
	hasEvent
	hasCalendar
	hasAdopt
	hasHosts
)

var partsOf = map[Kind]part{
	KindTask: hasTask, KindOrder: hasOrder | hasHosts, KindEvent: hasEvent, KindCalendar: hasCalendar,
	KindAdopt: hasTask | hasAdopt | hasHosts, KindRelease: hasTask | hasHosts,
}

func (s *Statement) parts() (has part) {
	for bit, there := range map[part]bool{
		hasTask: s.Task != nil, hasOrder: s.Order != nil, hasEvent: s.Event != nil,
		hasCalendar: s.Calendar != nil, hasAdopt: s.Adopt != nil, hasHosts: len(s.Hosts) > 0,
	} {
		if there {
			has |= bit
		}
	}
	return has
}

func (s *Statement) validateParts(that func(ok bool, field, value, reason string)) {
	if t := s.Task; t != nil {
		_, known := fleet.TaskMoves[t.State]
		that(known, "task.state", string(t.State), "is no state of a task")
		that(s.Kind != KindAdopt || t.State == fleet.TaskEnabled, "task.state", string(t.State), "what is adopted is enabled")
		retired := t.State == fleet.TaskRetired
		that(s.Kind != KindRelease || retired, "task.state", string(t.State), "what is released is retired")
		that(retired == (t.Definition == nil), "task.definition", "", "want one, and none of a retired task")
		that(len(t.Document) <= fleet.MaxTaskBytes, "task.document", strconv.Itoa(len(t.Document)), "is too large")
		if d := t.Definition; d != nil {
			that(d.ID() == fleet.NewTaskID(s.Namespace, s.Name), "task.definition", string(d.ID()), "is another task than namespace and name say")
		}
	}
	if o := s.Order; o != nil {
		that(uuidForm.MatchString(o.ID), "order.id", o.ID, "want a UUID")
		that(len(o.Payload) <= fleet.MaxPayload, "order.payload", strconv.Itoa(len(o.Payload)), "is too large")
	}
	if e := s.Event; e != nil {
		that(uuidForm.MatchString(e.ID), "event.id", e.ID, "want a UUID")
		that(len(e.Payload) <= fleet.MaxPayload, "event.payload", strconv.Itoa(len(e.Payload)), "is too large")
	}
	if a := s.Adopt; a != nil {
		that(a.Fingerprint != "" && a.Source != "" && a.Job != "", "adopt", "", "names no job with its source and fingerprint")
		that(len(s.Hosts) == 1, "hosts", strconv.Itoa(len(s.Hosts)), "a job is adopted on its own host")
	}
}
