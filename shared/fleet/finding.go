package fleet

import "time"

// Severity says how soon a person should look at a finding.
type Severity string

// The severities, the most urgent last.
const (
	Notice   Severity = "notice"   // worth knowing
	Warning  Severity = "warning"  // wrong, or soon to be
	Critical Severity = "critical" // work is not done, or others can take over root
)

// FindingKind names one sort of finding.
type FindingKind string

// Every kind of finding. Where severity and words come from is the table of
// the collector's room findings.
const (
	FindIgnored    FindingKind = "ignored"     // a job that its scheduler will not run
	FindProblem    FindingKind = "problem"     // a line or file that could not be taken as it stands
	FindPercent    FindingKind = "percent"     // an unescaped % cuts the command
	FindPath       FindingKind = "path"        // the command is not on the PATH that cron gives it
	FindWritable   FindingKind = "writable"    // others can write what root runs, or a directory above it
	FindExposed    FindingKind = "exposed"     // others can read a secret in the file
	FindSecret     FindingKind = "secret"      // a secret stands in the command or its environment
	FindOverdue    FindingKind = "overdue"     // it should have started, and nothing saw it start
	FindFailed     FindingKind = "failed"      // the host says its last run failed
	FindStale      FindingKind = "stale"       // its source can no longer be read
	FindUnexpected FindingKind = "unexpected"  // a job that the host's pin does not allow
	FindNewcomer   FindingKind = "newcomer"    // a job that appeared lately and nobody answers for
	FindTwice      FindingKind = "twice"       // the same command twice on one host
	FindEverywhere FindingKind = "everywhere"  // the same command at the same instant on many hosts
	FindOutlier    FindingKind = "outlier"     // a host without what nearly all of its kind have, or with what none has
	FindOrphan     FindingKind = "orphan"      // its user or its package is gone
	FindNoOwner    FindingKind = "no_owner"    // no package, no configuration management, no person answers for it
	FindCollision  FindingKind = "collision"   // many jobs at one instant
	FindDST        FindingKind = "dst"         // a change of the clock skips or doubles it within a year
	FindNoSignal   FindingKind = "no_signal"   // nobody would hear of its failure
	FindClockSkew  FindingKind = "clock_skew"  // the host's clock is off
	FindSilentHost FindingKind = "silent_host" // its agent is not heard of
	FindAdoption   FindingKind = "adoption"    // an adopted job is back, or its adoption is stuck
	FindRefused    FindingKind = "refused"     // the host's policy refuses what was given to it
	FindProof      FindingKind = "proof"       // the host signs what it ran with a key that nobody vouched for
)

// Finding is something a person should look at.
type Finding struct {
	ID          string      `json:"id"` // 16 hex digits; the same while the same thing is wrong
	Kind        FindingKind `json:"kind"`
	Severity    Severity    `json:"severity"`
	Host        HostID      `json:"host,omitempty"` // empty: it concerns several
	HostName    string      `json:"host_name,omitempty"`
	Job         JobID       `json:"job,omitempty"`
	Source      string      `json:"source,omitempty"`
	Line        int         `json:"line,omitempty"`
	User        string      `json:"user,omitempty"`
	Command     string      `json:"command,omitempty"`
	Fingerprint string      `json:"fingerprint,omitempty"`
	Owner       string      `json:"owner,omitempty"`
	Summary     string      `json:"summary"`         // one sentence: what is wrong
	Explain     string      `json:"explain"`         // why it matters, and what follows
	Fix         string      `json:"fix"`             // the command to try next
	Hosts       []string    `json:"hosts,omitempty"` // names, sorted, at most 20, where it concerns several
	Since       time.Time   `json:"since,omitzero"`  // since when, where that is known
	Ack         *Ack        `json:"ack,omitempty"`
}

// Ack says that a person knows of a finding and why it may stand.
type Ack struct {
	Finding string    `json:"finding"`
	By      string    `json:"by"`
	Reason  string    `json:"reason"`           // 1–500 bytes
	At      time.Time `json:"at"`               // when it was given
	Expires time.Time `json:"expires,omitzero"` // zero: it stands until it is taken back
}

// Pin says that the hosts of a selector may contain only the jobs it lists.
type Pin struct {
	Name   string    `json:"name"`   // as a task's name
	Labels string    `json:"labels"` // a selector; "*" is every host
	Allow  []Allowed `json:"allow"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Allowed is one job that a pin allows: a command and who runs it.
type Allowed struct {
	Fingerprint string `json:"fingerprint"`
	User        string `json:"user"`
	Command     string `json:"command,omitempty"` // for people
}

// Annotation is what people say about a command, wherever it stands.
type Annotation struct {
	Fingerprint string    `json:"fingerprint"`
	Owner       string    `json:"owner,omitempty"` // at most 100 bytes
	Note        string    `json:"note,omitempty"`  // at most 2,000 bytes
	By          string    `json:"by,omitempty"`
	At          time.Time `json:"at"`
}
