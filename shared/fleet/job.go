package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// JobKind says which mechanism of the host starts a job.
type JobKind string

// The kinds of jobs that discovery knows.
const (
	KindCron     JobKind = "cron"
	KindRunParts JobKind = "run-parts"
	KindAnacron  JobKind = "anacron"
	KindTimer    JobKind = "timer"
	KindAt       JobKind = "at"
)

// Job is a scheduled job found on a host.
type Job struct {
	ID       JobID   `json:"id"`
	Kind     JobKind `json:"kind"`
	Source   string  `json:"source"`         // absolute path on the host
	Line     int     `json:"line,omitempty"` // 1-based; 0 where the source has no lines
	User     string  `json:"user"`
	Schedule string  `json:"schedule"`           // the fields as written
	Timezone string  `json:"timezone,omitempty"` // the zone the schedule is read in
	// Command is the text after the time fields (and user) as cron keeps it,
	// '%' included.
	Command string `json:"command"`
	// Env is only what the file sets, in force at that line, quotes removed as
	// cron removes them.
	Env         map[string]string `json:"env,omitempty"`
	Next        []time.Time       `json:"next,omitempty"` // the coming instants at scan time, UTC
	Enabled     bool              `json:"enabled"`
	Verdict     Verdict           `json:"verdict"`
	Risks       []Risk            `json:"risks,omitempty"` // what the host alone can see to be wrong though it runs
	Evidence    *Evidence         `json:"evidence,omitempty"`
	Container   string            `json:"container,omitempty"` // where it was found inside one, its id or name
	Stale       *time.Time        `json:"stale,omitempty"`     // its source could not be read since then; this is its last good state
	Unseen      bool              `json:"unseen,omitempty"`    // the host keeps no trace of its starts, whatever Sightings.Since says of its kind
	Unit        string            `json:"unit,omitempty"`      // that a timer starts, where it is not the service of its own name
	Latin1      bool              `json:"latin1,omitempty"`    // it holds bytes that are no UTF-8, each shown as the Latin-1 character
	Package     string            `json:"package,omitempty"`
	ManagedBy   string            `json:"managed_by,omitempty"`
	Fingerprint string            `json:"fingerprint"` // equal for the same command wherever it stands
}

// Verdict says whether the host's scheduler will run a job, and if not, why.
type Verdict struct {
	Runs bool        `json:"runs"`
	Code VerdictCode `json:"code,omitempty"` // empty when it runs
	Why  string      `json:"why,omitempty"`  // a sentence; empty when it runs
}

// VerdictCode names the reason why a job will not run.
type VerdictCode string

// Every reason why a job will not run.
const (
	BadMode        VerdictCode = "file_mode"       // the daemon refuses the file's mode
	BadOwner       VerdictCode = "file_owner"      // … its owner
	BadLinks       VerdictCode = "file_links"      // … its links, hard or symbolic
	BadName        VerdictCode = "file_name"       // … its name
	FileRefused    VerdictCode = "file_refused"    // one line makes the daemon refuse the whole file
	NoNewline      VerdictCode = "no_newline"      // the last line does not end
	Denied         VerdictCode = "denied"          // cron.allow or cron.deny
	UnknownUser    VerdictCode = "unknown_user"    // no such account
	LockedUser     VerdictCode = "locked_user"     // the account is locked or expired
	NoCommand      VerdictCode = "missing_command" // what it starts does not exist
	NotExecutable  VerdictCode = "not_executable"  // … or must not be executed
	Masked         VerdictCode = "masked"          // a masked timer
	Disabled       VerdictCode = "disabled"        // a timer that nothing starts, or a line switched off
	Inactive       VerdictCode = "inactive"        // the timer is not active, as the running systemd says
	NoScheduler    VerdictCode = "no_scheduler"    // what would run it is not installed
	SchedulerDown  VerdictCode = "scheduler_down"  // … or installed but not running
	NeverDue       VerdictCode = "never"           // its date does not come
	Unreadable     VerdictCode = "unreadable"      // the scheduler cannot read it either
	OtherwiseWrong VerdictCode = "other"
)

// Risk is something wrong with a job that runs, seen on its host: what others
// can write or read, or what does not mean what it seems to.
type Risk struct {
	Kind FindingKind `json:"kind"`
	Why  string      `json:"why"` // a sentence
}

// Evidence is what the host itself says about a job's last run.
type Evidence struct {
	Last   time.Time  `json:"last"`             // the newest start; of a stamp, its instant
	Grade  string     `json:"grade"`            // started, ended or stamp
	From   string     `json:"from"`             // where it was read
	Ended  *time.Time `json:"ended,omitempty"`  // where its end was seen
	Result string     `json:"result,omitempty"` // "success", or what the host says of its failure: "exit 3", "signal KILL"
}

// Grades of evidence: its start was seen, its end too, or only a stamp that
// something leaves behind.
const (
	GradeStarted = "started"
	GradeEnded   = "ended"
	GradeStamp   = "stamp"
)

// Sightings is what a host saw its found jobs do since it last said so. Jobs
// that are not named did nothing new.
type Sightings struct {
	// Since says for each kind from when on a start would have been seen. A
	// kind that is not named leaves no trace on this host, so that nothing
	// follows from seeing nothing.
	Since map[JobKind]time.Time `json:"since,omitempty"`
	Jobs  map[JobID]Evidence    `json:"jobs,omitempty"`
}

// Problem is a line or a file that a scan could not take as it stands.
type Problem struct {
	Source string `json:"source"`
	Line   int    `json:"line,omitempty"` // 0: the file as a whole
	Text   string `json:"text,omitempty"`
	Reason string `json:"reason"`
}

// Report is everything one scan of one host found.
type Report struct {
	Host     string    `json:"host"` // the hostname; for people
	Scanned  time.Time `json:"scanned"`
	Jobs     []Job     `json:"jobs"`
	Problems []Problem `json:"problems"`
}

// NewJobID derives the id of a job. The ordinal tells apart jobs of one source
// with the same user and command, in the order of their lines, from 0.
func NewJobID(kind JobKind, source, user, command string, ordinal int) JobID {
	id, _ := identity(kind, source, user, command, ordinal, false)
	return id
}

// Identity returns what [NewJobID] and [CommandFingerprint] do, at less cost.
func Identity(kind JobKind, source, user, command string) (JobID, string) {
	return identity(kind, source, user, command, 0, true)
}

func identity(kind JobKind, source, user, command string, ordinal int, also bool) (id JobID, fingerprint string) {
	var buffer [512]byte // most jobs fit: nothing is allocated
	text := buffer[:0]
	for _, part := range [...]string{string(kind), source, user} {
		text = append(append(text, part...), 0)
	}
	begin := len(text)
	text = append(text, NormalCommand(command)...)
	if also {
		fingerprint = digest(text[begin:])
	}
	return JobID(digest(append(text, 0, byte(ordinal>>8), byte(ordinal)))), fingerprint
}

// digest returns 16 hex digits of the text's SHA-256.
func digest(text []byte) string {
	sum := sha256.Sum256(text)
	var digits [16]byte
	return string(hex.AppendEncode(digits[:0], sum[:8]))
}

// NormalCommand folds runs of blanks outside quotes and trims the ends, so
// that the same command written with other blanks is recognised.
func NormalCommand(command string) string {
	command = strings.TrimSpace(command)
	if !strings.Contains(command, "  ") && !strings.Contains(command, "\t") {
		return command // most commands are normal
	}
	var b strings.Builder
	b.Grow(len(command))
	var quote rune
	blank := false
	for _, r := range command {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == ' ' || r == '\t':
			blank = true
			continue
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// CommandFingerprint returns 16 hex digits that are equal for equal normalised
// commands, on whatever host and in whatever file.
func CommandFingerprint(command string) string {
	return digest([]byte(NormalCommand(command)))
}

// ContentHash returns 64 hex digits over what was found, leaving out the
// instant of the scan, the coming instants and the evidence, which change
// while nothing on the host does.
func (r *Report) ContentHash() string {
	still := Report{Jobs: make([]Job, len(r.Jobs)), Problems: r.Problems}
	for i, job := range r.Jobs {
		job.Next, job.Evidence = nil, nil
		still.Jobs[i] = job
	}
	// Encoding a Report cannot fail: it holds only strings, numbers and maps of strings.
	text, _ := json.Marshal(still)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Limits of a report, so that one host cannot fill the ledger.
const (
	MaxReportJobs     = 20_000
	MaxReportProblems = 20_000
)

// Validate reports every field of r that is wrong.
func (r *Report) Validate() error {
	var check checker
	check.that(len(r.Jobs) <= MaxReportJobs, "jobs", "", "at most 20000 jobs a report")
	check.that(len(r.Problems) <= MaxReportProblems, "problems", "", "at most 20000 problems a report")
	check.that(!r.Scanned.IsZero(), "scanned", "", "the instant of the scan is missing")
	seen := make(map[JobID]bool, len(r.Jobs))
	for i := range r.Jobs {
		job := &r.Jobs[i]
		check.that(job.ID != "" && !seen[job.ID], "jobs.id", string(job.ID), "every job needs an id of its own")
		check.that(job.Source != "", "jobs.source", string(job.ID), "a job needs its source")
		seen[job.ID] = true
	}
	return check.err()
}
