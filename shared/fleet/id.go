package fleet

import (
	"regexp"
	"strings"
	"time"
)

// HostID identifies a host: 32 lower-case hex digits drawn at random by the
// agent at its first start. A host's name is never its identity.
type HostID string

// JobID identifies a job within its host: 16 lower-case hex digits. It stays
// the same while source, user and normalised command stay the same, so an
// edited schedule is a change and not a new job.
type JobID string

// TaskID identifies a task: "namespace/name".
type TaskID string

// RunID identifies a run: a UUIDv7, so run ids sort by the time they were made.
type RunID string

// OrderID identifies an order: a UUIDv7.
type OrderID string

// JournalID identifies one agent journal: 32 lower-case hex digits drawn when
// the journal was created. A host whose disk was lost reports under a new one.
type JournalID string

// CollectorID identifies a collector in the raft configuration.
type CollectorID string

// DefaultNamespace is the namespace of a task that names none.
const DefaultNamespace = "default"

var (
	namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)
	hexPattern  = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// ValidName reports whether s may name a task, a namespace or a collector:
// 1–63 of a–z 0–9 . _ -, beginning and ending with a letter or digit.
func ValidName(s string) bool { return namePattern.MatchString(s) }

// Valid reports whether the id has the form of a host id.
func (id HostID) Valid() bool { return hexPattern.MatchString(string(id)) }

// Valid reports whether the id has the form of a journal id.
func (id JournalID) Valid() bool { return hexPattern.MatchString(string(id)) }

// NewTaskID joins a namespace and a name. An empty namespace is the default one.
func NewTaskID(namespace, name string) TaskID {
	if namespace == "" {
		namespace = DefaultNamespace
	}
	return TaskID(namespace + "/" + name)
}

// ParseTaskID reads "namespace/name", or "name" in the default namespace.
func ParseTaskID(s string) (TaskID, error) {
	namespace, name, found := strings.Cut(s, "/")
	if !found {
		namespace, name = DefaultNamespace, s
	}
	if !ValidName(namespace) || !ValidName(name) {
		return "", Invalidf("task", s, "want name or namespace/name, each 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit")
	}
	return NewTaskID(namespace, name), nil
}

// Namespace returns the part before the slash.
func (id TaskID) Namespace() string {
	namespace, _, _ := strings.Cut(string(id), "/")
	return namespace
}

// Name returns the part after the slash.
func (id TaskID) Name() string {
	_, name, _ := strings.Cut(string(id), "/")
	return name
}

// Occurrence is one due instant of a task in one scope. It names no leader,
// term, attempt or generation, so the same instant has the same identity
// whoever decides about it, however often.
type Occurrence struct {
	Task    TaskID    `json:"task"`
	Scope   HostID    `json:"scope"`
	Nominal time.Time `json:"nominal"` // the due instant, UTC
}

// String returns "namespace/name@scope@nominal", the form that commands see as
// FLEETCRON_OCCURRENCE.
func (o Occurrence) String() string {
	return string(o.Task) + "@" + string(o.Scope) + "@" + o.Nominal.UTC().Format(time.RFC3339Nano)
}
