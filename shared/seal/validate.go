package seal

import (
	"errors"
	"regexp"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

var (
	clusterForm = regexp.MustCompile(`\A[0-9a-f]{32}\z`)
	uuidForm    = regexp.MustCompile(`\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z`)
)

// The bounds of what people write into a statement, in bytes.
const (
	maxReason = 1024
	maxSource = 4096 // a path
)

// part is a bit for each part of a statement.
type part uint8

const (
	hasTask part = 1 << iota
	hasOrder
	hasEvent
	hasCalendar
	hasAdopt
	hasHosts
	hasNode
)

// partsOf lists what each kind of statement says; it says nothing else.
var partsOf = map[Kind]part{
	KindTask:     hasTask,
	KindOrder:    hasOrder | hasHosts,
	KindEvent:    hasEvent,
	KindCalendar: hasCalendar,
	KindAdopt:    hasTask | hasAdopt | hasHosts,
	KindRelease:  hasTask | hasHosts,
	KindNode:     hasNode,
}

// parts returns what the statement says.
func (s *Statement) parts() (has part) {
	for _, p := range []struct {
		part  part
		there bool
	}{
		{hasTask, s.Task != nil},
		{hasOrder, s.Order != nil},
		{hasEvent, s.Event != nil},
		{hasCalendar, s.Calendar != nil},
		{hasAdopt, s.Adopt != nil},
		{hasHosts, len(s.Hosts) > 0},
		{hasNode, s.Node != nil},
	} {
		if p.there {
			has |= p.part
		}
	}
	return has
}

// lasting reports whether what the statement says stands until another one.
func (s *Statement) lasting() bool {
	return s.Kind == KindTask || s.Kind == KindCalendar || s.Kind == KindNode
}

// checker collects what is wrong.
type checker struct{ fields []fleet.FieldError }

func (c *checker) that(ok bool, field, value, reason string) {
	if !ok {
		c.fields = append(c.fields, fleet.FieldError{Field: field, Value: value, Reason: reason})
	}
}

// at takes over what is wrong with a part.
func (c *checker) at(prefix string, err error) {
	if err == nil {
		return
	}
	wrong, ok := errors.AsType[*fleet.Error](err)
	if !ok || len(wrong.Fields) == 0 {
		c.that(false, prefix, "", err.Error())
		return
	}
	for _, field := range wrong.Fields {
		c.that(false, prefix+"."+field.Field, field.Value, field.Reason)
	}
}

// Validate reports what no statement may say, whoever signed it. It knows no
// clock and no policy. The windows of a calendar are package blackout's to judge.
func (s *Statement) Validate() error {
	var check checker
	s.validateHead(&check)
	s.validateTimes(&check)
	s.validateHosts(&check)
	if len(check.fields) == 0 {
		s.validateParts(&check)
	}
	if len(check.fields) > 0 {
		return &fleet.Error{Kind: fleet.Invalid, Message: "statement", Fields: check.fields}
	}
	return nil
}

func (s *Statement) validateHead(check *checker) {
	check.that(s.Version == 1, "v", strconv.Itoa(s.Version), "want 1")
	check.that(clusterForm.MatchString(s.Cluster), "cluster", s.Cluster, "want 32 hex digits")
	check.that(fleet.ValidName(s.Name), "name", s.Name, "is no name")
	if s.Kind == KindEvent || s.Kind == KindCalendar || s.Kind == KindNode {
		check.that(s.Namespace == "", "namespace", s.Namespace, "an event, a calendar and a collector have none")
	} else {
		check.that(fleet.ValidName(s.Namespace), "namespace", s.Namespace, "want the task's namespace")
	}
	parts, known := partsOf[s.Kind]
	check.that(known, "kind", string(s.Kind), "want task, order, event, calendar, adopt, release or node")
	check.that(!known || parts == s.parts(), "kind", string(s.Kind), "does not go with the parts that are there: want its own and no other")
}

func (s *Statement) validateTimes(check *checker) {
	issued := s.Issued.UnixMilli()
	if issued <= 0 {
		check.that(false, "issued", "", "is missing")
		return
	}
	ahead := s.Serial >= uint64(issued) && s.Serial-uint64(issued) <= uint64(MaxAhead.Milliseconds())
	check.that(ahead, "serial", strconv.FormatUint(s.Serial, 10), "want the milliseconds since 1970 of issued, and at most a day more")
	check.that(s.Expires.IsZero() || s.Expires.After(s.Issued), "expires", s.Expires.Format(time.RFC3339), "is not after issued")
	if !s.lasting() {
		check.that(!s.Expires.IsZero() && s.Expires.Sub(s.Issued) <= MaxOrderLife, "expires", "", "want an end within 24h of issued")
	}
}

func (s *Statement) validateHosts(check *checker) {
	check.that(len(s.Hosts) <= MaxHosts, "hosts", strconv.Itoa(len(s.Hosts)), "want at most 1000")
	seen := make(map[fleet.HostID]bool, len(s.Hosts))
	for _, host := range s.Hosts {
		check.that(host.Valid(), "hosts", string(host), "want 32 lower-case hex digits")
		check.that(!seen[host], "hosts", string(host), "stands twice")
		seen[host] = true
	}
}

func (s *Statement) validateParts(check *checker) {
	if s.Task != nil {
		s.validateTask(check)
	}
	if s.Order != nil {
		s.Order.validate(check)
	}
	if e := s.Event; e != nil {
		check.that(uuidForm.MatchString(e.ID), "event.id", e.ID, "want a UUID")
		check.that(!e.Due.IsZero(), "event.due", "", "is missing")
		check.that(len(e.Payload) <= fleet.MaxPayload, "event.payload", strconv.Itoa(len(e.Payload)), "is too large")
	}
	if c := s.Calendar; c != nil && c.Definition != nil {
		check.that(c.Definition.Name == s.Name, "calendar.definition.calendar", c.Definition.Name, "is another calendar than name says")
		check.that(len(c.Definition.Windows) <= fleet.MaxWindows, "calendar.definition.windows", strconv.Itoa(len(c.Definition.Windows)), "are too many")
	} else if c != nil {
		check.that(c.Document == "" && c.MediaType == "", "calendar.document", "", "what is dropped has none")
	}
	if n := s.Node; n != nil {
		check.that(n.Role == fleet.CollectorKind, "node.role", string(n.Role), "want collector: whether an agent counts is the collectors' to say")
		check.that(n.State == fleet.NodeRevoked, "node.state", string(n.State), "want revoked")
		check.that(s.Expires.IsZero(), "expires", "", "what is revoked is so for ever")
	}
	if a := s.Adopt; a != nil {
		check.that(a.Job != "" && a.Source != "" && a.Fingerprint != "", "adopt", "", "want job, source and fingerprint")
		check.that(len(a.Job)+len(a.Source)+len(a.Fingerprint) <= maxSource, "adopt", "", "is too large")
		check.that(a.Line >= 0, "adopt.line", strconv.Itoa(a.Line), "is no line")
		check.that(len(s.Hosts) == 1, "hosts", strconv.Itoa(len(s.Hosts)), "a job is adopted on its own host")
	}
}

func (s *Statement) validateTask(check *checker) {
	t := s.Task
	_, known := fleet.TaskMoves[t.State]
	check.that(known, "task.state", string(t.State), "want enabled, paused or retired")
	check.that(s.Kind != KindAdopt || t.State == fleet.TaskEnabled, "task.state", string(t.State), "what is adopted is enabled")
	check.that(s.Kind != KindRelease || t.State == fleet.TaskRetired, "task.state", string(t.State), "what is released is retired")
	if t.State == fleet.TaskRetired {
		check.that(t.Definition == nil && t.Document == "" && t.MediaType == "", "task.definition", "", "a retired task has none, and no document")
		return
	}
	check.that(len(t.Document) <= fleet.MaxTaskBytes, "task.document", strconv.Itoa(len(t.Document)), "is too large")
	if t.Definition == nil {
		check.that(false, "task.definition", "", "is missing")
		return
	}
	id := t.Definition.ID()
	check.that(id == fleet.NewTaskID(s.Namespace, s.Name), "task.definition", string(id), "is another task than namespace and name say")
	check.at("task.definition", t.Definition.Validate())
}

// cancels reports whether the order is about a run, and not about its task.
func (o *Order) cancels() bool { return o.Kind == fleet.OrderCancel }

func (o *Order) validate(check *checker) {
	known := o.Kind == fleet.OrderRun || o.cancels() || o.Kind.Stands()
	check.that(known, "order.kind", string(o.Kind), "want run, cancel, start, stop, restart or reset")
	check.that(uuidForm.MatchString(o.ID), "order.id", o.ID, "want a UUID")
	check.that(o.cancels() == (o.Run != "") && len(o.Run) <= 64, "order.run", string(o.Run), "want the run to cancel, and none in other orders")
	check.that(o.Parent == "" || o.Kind == fleet.OrderRun && len(o.Parent) <= 64, "order.parent", string(o.Parent), "belongs to run only")
	check.that(!o.Due.IsZero(), "order.due", "", "is missing")
	check.that(len(o.Reason) <= maxReason, "order.reason", strconv.Itoa(len(o.Reason)), "is too long: want at most 1024 bytes")
	check.that(o.Payload == "" || o.Kind == fleet.OrderRun, "order.payload", "", "belongs to run only")
	check.that(len(o.Payload) <= fleet.MaxPayload, "order.payload", strconv.Itoa(len(o.Payload)), "is too large")
	check.that(len(o.Params) == 0 || o.Kind == fleet.OrderRun, "order.params", "", "belongs to run only")
	check.at("order", o.Params.Validate())
}
