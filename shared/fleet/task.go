package fleet

import (
	"net/netip"
	"strconv"
	"time"
)

// Task is a command fleetcron is given: what runs, when, where and within
// which limits. Its JSON form is the task file.
type Task struct {
	Name        string `json:"task"`
	Namespace   string `json:"namespace,omitempty"` // empty: "default"
	Owner       string `json:"owner,omitempty"`
	Description string `json:"description,omitempty"`
	// Params are the values that an order to run may say, by their names.
	Params map[string]Param `json:"params,omitempty"`
	On     Trigger          `json:"on"`
	Run    Execute          `json:"run"`
	Where  Where            `json:"where"`
	Limits Limits           `json:"limits,omitzero"`

	WaitFor WaitFor `json:"wait_for,omitzero"` // what must be there before a run begins
	Retry   Retry   `json:"retry,omitzero"`
	Breaker Breaker `json:"breaker,omitzero"`
	Restart Restart `json:"restart,omitzero"` // of daemon and startup
	Health  Health  `json:"health,omitzero"`  // of daemon and startup
	// Needs names daemons of the same namespace and host that are up before
	// this daemon is started, and are stopped after it.
	Needs []string `json:"needs,omitempty"`
}

// ID returns the task's identity.
func (t *Task) ID() TaskID { return NewTaskID(t.Namespace, t.Name) }

// Trigger says when a task is due. Exactly one of Cron, Every, At, Event, File,
// Webhook, Startup, Manual and Daemon is set.
type Trigger struct {
	Cron   string     `json:"cron,omitempty"`   // five fields as vixie, six seconds-first, or an @word
	Every  Duration   `json:"every,omitempty"`  // at anchor + k × period; at least 1s
	Anchor *time.Time `json:"anchor,omitempty"` // of Every; nil: 1970-01-01T00:00:00Z
	At     *time.Time `json:"at,omitempty"`     // one instant
	// Event is the name of an event: the task is due once on each of its hosts
	// whenever somebody raises it. A name like a task's.
	Event string `json:"event,omitempty"`
	// File is an absolute path, wildcards allowed in its last element: the task
	// is due on a host when a file there that matches appears or changes and
	// has been still for a second.
	File    string `json:"file,omitempty"`
	Webhook bool   `json:"webhook,omitempty"` // when its own address is called
	// Startup is due once per boot of the host, or once per start of its agent.
	Startup Startup `json:"startup,omitempty"`
	Manual  bool    `json:"manual,omitempty"` // only when a person orders it
	Daemon  bool    `json:"daemon,omitempty"` // one instance, always; restarted with backoff

	Timezone string     `json:"timezone,omitempty"` // IANA name; of Cron only; empty: UTC
	Spread   Duration   `json:"spread,omitempty"`   // each host is this much late at most, always by the same amount
	Deadline Duration   `json:"deadline,omitempty"` // not begun by then is missed; zero: DefaultDeadline
	Starts   *time.Time `json:"starts,omitempty"`   // not due before
	Ends     *time.Time `json:"ends,omitempty"`     // not due from then on
	Missed   Missed     `json:"missed,omitzero"`
	// AfterEnd counts the period of Every from the end of the run before; the
	// first run is due one period after the task reached the host.
	AfterEnd bool `json:"after_end,omitempty"`
	// Merge makes one run of all that happens within so long after the first:
	// of Event, File and Webhook. It gets what the last one brought along.
	Merge Duration `json:"merge,omitempty"`
	// Blackout names calendars: what is due within one of their windows is
	// skipped. What a person orders is not.
	Blackout []string `json:"blackout,omitempty"`
}

// Startup is boot or agent.
type Startup string

// The startups there are.
const (
	StartupBoot  Startup = "boot"  // once per boot id, when the agent starts first after it
	StartupAgent Startup = "agent" // at each start of the agent
)

// Clocked reports whether the clock alone says when the task is due.
func (o *Trigger) Clocked() bool {
	return o.Cron != "" || o.Every != 0 && !o.AfterEnd || o.At != nil
}

// Supervised reports whether the task's command is to stay up: it is started
// again when it ends, as Restart says.
func (t *Task) Supervised() bool {
	return t.On.Daemon || t.On.Startup != "" && t.Restart.Policy != "" && t.Restart.Policy != RestartNever
}

// Missed says what happens to instants that were not begun in time.
type Missed struct {
	Policy MissedPolicy `json:"policy,omitempty"` // empty: skip
	Within Duration     `json:"within,omitempty"` // how far back to catch up; zero: 1h
}

// MissedPolicy is skip, once (only the latest) or all (up to MaxCatchUp).
type MissedPolicy string

// The policies for missed instants.
const (
	MissedSkip MissedPolicy = "skip"
	MissedOnce MissedPolicy = "once"
	MissedAll  MissedPolicy = "all"
)

// MaxCatchUp bounds how many missed instants the policy "all" runs again.
const MaxCatchUp = 100

// Execute says what runs, as whom and with what around it.
type Execute struct {
	Command Command           `json:"command"`
	User    string            `json:"user,omitempty"` // empty: the agent's own user
	Dir     string            `json:"dir,omitempty"`  // empty: the user's home
	Env     map[string]string `json:"env,omitempty"`
	Stdin   string            `json:"stdin,omitempty"` // what the command reads; empty: nothing, its input ends at once
	// Shell says how a command that is one text is read; empty: plain.
	Shell  Shell    `json:"shell,omitempty"`
	Group  string   `json:"group,omitempty"`  // empty: the user's own
	Groups []string `json:"groups,omitempty"` // instead of those that the user is in; empty: those
	// Login lets the user's login shell read its profile first, and gives the
	// command the environment that comes of it.
	Login      bool   `json:"login,omitempty"`
	Umask      string `json:"umask,omitempty"`        // octal, such as "0027"; empty: "0022"
	NoNewPrivs bool   `json:"no_new_privs,omitempty"` // nothing that it executes gains rights: no setuid, no file capabilities
	PrivateTmp bool   `json:"private_tmp,omitempty"`  // /tmp and /var/tmp of its own, gone after the run
}

// Shell is plain or strict.
type Shell string

// The shells there are.
const (
	ShellPlain  Shell = "plain"  // /bin/sh -c
	ShellStrict Shell = "strict" // /bin/bash -euo pipefail -c: the first failure ends it, in a pipe too
)

// Where says on which hosts a task runs. Every part that is set must match;
// within Hosts and within Networks one match is enough.
type Where struct {
	Labels   string         `json:"labels,omitempty"`   // a Selector; "*" is everywhere
	Hosts    []string       `json:"hosts,omitempty"`    // names, ids, or patterns with * and ?
	Networks []netip.Prefix `json:"networks,omitempty"` // one of the host's addresses lies within
	Pick     Pick           `json:"pick,omitempty"`     // empty: all
}

// Pick is how many of the matching hosts run the task. No number is accepted in
// this version: nobody decides yet which hosts those are, and who is next.
type Pick string

// The picks there are. None is of a task that is known and runs nowhere yet;
// it stands alone.
const (
	PickAll  Pick = "all"
	PickNone Pick = "none"
)

// Limits bounds the runs of a task.
type Limits struct {
	Timeout Duration `json:"timeout,omitempty"`  // zero: none
	Grace   Duration `json:"grace,omitempty"`    // between TERM and KILL; zero: 10s
	Overlap Overlap  `json:"overlap,omitempty"`  // empty: skip
	PerHost int      `json:"per_host,omitempty"` // runs at once on one host; zero: 1
	// Fleet is how many runs go on at once on all hosts together; zero: no
	// bound. A run begins under a lease that a collector grants, and the lease
	// ends with the run or when Timeout has stopped it, so Timeout is needed.
	Fleet  int      `json:"fleet,omitempty"`
	Wait   Duration `json:"wait,omitempty"`   // for a lease, then it is missed; zero: DefaultLeaseWait
	Nice   int      `json:"nice,omitempty"`   // -20..19
	Output Bytes    `json:"output,omitempty"` // kept per run and stream; zero: DefaultOutput

	// Stall stops a run that reports neither heartbeat nor progress for so
	// long; zero: it need not report any.
	Stall Duration `json:"stall,omitempty"`
	Keep  Keep     `json:"keep,omitzero"` // how much output of past runs

	// What the kernel holds the run and all that it starts to, by a cgroup of
	// its own. A host that cannot do that does not begin the run, and says so.
	Memory    Bytes   `json:"memory,omitempty"`    // zero: no bound
	CPU       float64 `json:"cpu,omitempty"`       // processors; zero: no bound
	Processes int     `json:"processes,omitempty"` // threads included; zero: no bound
	IOWeight  int     `json:"io_weight,omitempty"` // 1–10000; zero: 100

	IONice  string            `json:"ionice,omitempty"`  // idle, or best-effort with a level: "best-effort:7"; empty: of the niceness
	Rlimits map[string]uint64 `json:"rlimits,omitempty"` // by the names of getrlimit(2) in lower case without RLIMIT_, soft and hard
}

// Keep bounds the output that is kept of a task's past runs on a host, beyond
// what the agent's own settings say. Zero: as the agent's settings say.
type Keep struct {
	Runs int      `json:"runs,omitempty"`
	Age  Duration `json:"age,omitempty"`
	Size Bytes    `json:"size,omitempty"`
}

// Overlap says what happens when a task is due while its last run goes on.
type Overlap string

// The overlap policies.
const (
	OverlapSkip    Overlap = "skip"
	OverlapQueue   Overlap = "queue" // at most one due instant waits, and MaxCatchUp orders
	OverlapReplace Overlap = "replace"
	OverlapAllow   Overlap = "allow" // up to PerHost
)

// The values that a zero field stands for.
const (
	DefaultGrace  = 10 * time.Second
	DefaultOutput = Bytes(10 << 20)
	DefaultWithin = time.Hour
	DefaultExpiry = time.Hour // of a task that is due At one instant
	// DefaultLeaseWait is how long a run waits for its place in the fleet.
	DefaultLeaseWait = time.Hour
	// LeaseBegin is within which time of asking for a lease a run begins, or
	// gives it back.
	LeaseBegin     = 30 * time.Second
	MaxDeadline    = time.Minute
	MinEvery       = time.Second
	MaxMerge       = 10 * time.Minute
	MinRestart     = 100 * time.Millisecond
	MaxTaskBytes   = 64 << 10 // of a task file
	MaxCommandSize = 32 << 10 // of a command, all words together
	MaxPayload     = 16 << 10 // of what an event brings along
)

// TaskState says whether a task is due at all.
type TaskState string

// The task states; TaskMoves holds the legal moves.
const (
	TaskEnabled TaskState = "enabled"
	TaskPaused  TaskState = "paused"
	TaskRetired TaskState = "retired" // deleted; kept so that a later task of that name goes on counting generations
)

// TaskMoves lists the states that each task state may move to.
var TaskMoves = map[TaskState][]TaskState{
	TaskEnabled: {TaskPaused, TaskRetired},
	TaskPaused:  {TaskEnabled, TaskRetired},
	TaskRetired: {TaskEnabled},
}

// TaskRecord is a task as the ledger keeps it.
type TaskRecord struct {
	Task       Task      `json:"task"`
	State      TaskState `json:"state"`
	Generation uint64    `json:"generation"` // from 1, one more with each change of the definition
	// Document is the task exactly as its author sent it; MediaType says how
	// to read it. It is stored and forwarded verbatim.
	Document  []byte    `json:"document"`
	MediaType string    `json:"media_type"`
	Created   time.Time `json:"created"`
	Changed   time.Time `json:"changed"`
	ChangedBy string    `json:"changed_by,omitempty"`
	Reason    string    `json:"reason,omitempty"` // why it changed, in its author's words
	Index     uint64    `json:"index"`            // of the last change; the ETag
	// Envelope is the sealed statement that says definition and state; Serial is
	// its serial, which the next statement must exceed.
	Envelope []byte   `json:"envelope,omitempty"`
	Serial   uint64   `json:"serial,omitempty"`
	Signers  []string `json:"signers,omitempty"` // ids of the keys, as the envelope names them
}

// String returns the pick; the empty one is "all".
func (p Pick) String() string {
	if p == "" {
		return string(PickAll)
	}
	return string(p)
}

// Number returns how many hosts are picked, and false for all of them.
func (p Pick) Number() (int, bool) {
	n, err := strconv.Atoi(string(p))
	return n, err == nil
}
