package fleet

import (
	"strconv"
	"strings"
)

// Retry says whether an occurrence that failed is attempted again. Its zero
// value does not.
type Retry struct {
	Attempts int      `json:"attempts,omitempty"` // all together; 2–100
	Base     Duration `json:"base,omitempty"`     // before the second attempt; zero: 1s
	Factor   float64  `json:"factor,omitempty"`   // how much longer each time; zero: 2
	Cap      Duration `json:"cap,omitempty"`      // at most, jitter not counted; zero: 5m
	// Jitter makes each wait longer by up to that part of it, 0–1; drawn from
	// the run's id, so that who computes it again gets the same.
	Jitter float64 `json:"jitter,omitempty"`
	// Budget is how long after the first attempt began another may begin;
	// zero: no bound.
	Budget Duration `json:"budget,omitempty"`
	// On lists what is attempted again: failure (a bad exit, a signal, a start
	// that failed), timeout, unknown (which makes it at-least-once: it may have
	// done its work), an exit code such as "75", or a signal such as "SIGTERM".
	// Empty: failure and timeout.
	On []string `json:"on,omitempty"`
}

// Breaker stops a task on a host that keeps failing: closed, then open for a
// while in which nothing begins, then half-open: one run tries. Its zero value
// does not.
type Breaker struct {
	Failures int      `json:"failures,omitempty"` // within Window, of which the last one opens it
	Rate     float64  `json:"rate,omitempty"`     // 0–1: opens only if that part of the runs within Window failed; zero: any
	Window   Duration `json:"window,omitempty"`   // zero: 1h
	Open     Duration `json:"open,omitempty"`     // before it is half-open; zero: 30m
	// Key is shared by tasks of a namespace that depend on the same thing: they
	// have one breaker on each host. Empty: the task's own.
	Key string `json:"key,omitempty"`
}

// RestartPolicy is always, on-failure or never.
type RestartPolicy string

// The policies for a supervised command that ended.
const (
	RestartAlways    RestartPolicy = "always"     // of a daemon, if nothing is said
	RestartOnFailure RestartPolicy = "on-failure" // not after exit code 0
	RestartNever     RestartPolicy = "never"      // of a startup task, if nothing is said
)

// Restart says when and how a supervised command is started again.
type Restart struct {
	Policy RestartPolicy `json:"policy,omitempty"`
	Base   Duration      `json:"base,omitempty"`  // zero: 1s; twice as long each time
	Cap    Duration      `json:"cap,omitempty"`   // zero: 5m
	Reset  Duration      `json:"reset,omitempty"` // up for so long, the next wait is Base again; zero: 10m
	// GiveUp ends in a crash loop, which only a person ends: so many starts
	// within the time. Zero: never.
	GiveUp Frequency `json:"give_up,omitzero"`
	// When restarts what uses too much.
	When Excess `json:"when,omitzero"`
}

// Excess bounds what a run and all that it started use; each bound holds when it
// is exceeded in every look for the time For. Zero: no bound.
type Excess struct {
	Memory Bytes    `json:"memory,omitempty"` // resident
	CPU    float64  `json:"cpu,omitempty"`    // processors
	Files  int      `json:"files,omitempty"`  // open descriptors
	For    Duration `json:"for,omitempty"`    // zero: 1m
}

// Health says how to find out whether a supervised command does its work.
// Exactly one of Exec, HTTP and TCP is set; the zero value asks nothing.
type Health struct {
	Exec    []string `json:"exec,omitempty"`    // as the task's user, in its directory; exit code 0 is healthy
	HTTP    string   `json:"http,omitempty"`    // a URL; 200–399 is healthy
	TCP     string   `json:"tcp,omitempty"`     // host:port; a connection is healthy
	Every   Duration `json:"every,omitempty"`   // zero: 10s
	Timeout Duration `json:"timeout,omitempty"` // zero: 2s
	Fail    int      `json:"fail,omitempty"`    // bad answers in a row before it is restarted; zero: 3
	Start   Duration `json:"start,omitempty"`   // in which bad answers after a start do not count; zero: 30s
}

// IsZero reports whether nothing is asked.
func (h Health) IsZero() bool {
	return len(h.Exec) == 0 && h.HTTP == "" && h.TCP == "" && h.Every == 0 && h.Timeout == 0 && h.Fail == 0 && h.Start == 0
}

// WaitFor lists what must be there before a run begins. The run is pending
// meanwhile, and missed for the reason precondition when Timeout is over.
type WaitFor struct {
	TCP     []string `json:"tcp,omitempty"`     // host:port that accepts a connection
	HTTP    []string `json:"http,omitempty"`    // URL that answers with 200–399
	File    []string `json:"file,omitempty"`    // absolute path that exists
	Unit    []string `json:"unit,omitempty"`    // unit of systemd that is active
	Command []string `json:"command,omitempty"` // one command, as the task's user, whose exit code is 0
	Every   Duration `json:"every,omitempty"`   // zero: 5s
	Timeout Duration `json:"timeout,omitempty"` // zero: 5m
}

// IsZero reports whether nothing is waited for.
func (w WaitFor) IsZero() bool {
	return len(w.TCP)+len(w.HTTP)+len(w.File)+len(w.Unit)+len(w.Command) == 0 && w.Every == 0 && w.Timeout == 0
}

// Frequency is so many times within a time, written "10/1h".
type Frequency struct {
	Times int
	Per   Duration
}

// String writes the form that UnmarshalText reads.
func (f Frequency) String() string {
	if f == (Frequency{}) {
		return ""
	}
	return strconv.Itoa(f.Times) + "/" + f.Per.String()
}

// MarshalText writes the form that UnmarshalText reads.
func (f Frequency) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads a frequency such as "10/1h".
func (f *Frequency) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*f = Frequency{}
		return nil
	}
	times, per, _ := strings.Cut(string(text), "/")
	n, err := strconv.ParseUint(times, 10, 16)
	if err != nil || n == 0 {
		return Invalidf("frequency", string(text), "want so many within a time, such as 10/1h")
	}
	d, err := ParseDuration(per)
	if err != nil || d == 0 {
		return Invalidf("frequency", string(text), "want so many within a time, such as 10/1h")
	}
	*f = Frequency{Times: int(n), Per: d}
	return nil
}
