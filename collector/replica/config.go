package replica

import (
	"cmp"
	"log/slog"
	"net/netip"
	"time"

	"github.com/hashicorp/raft"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// Config says which member this is and where its files lie. ID, Dir, Bind,
// Ledger and Credentials are required.
type Config struct {
	ID        fleet.CollectorID
	Dir       string // for raft's log and snapshots; made when it is missing
	Bind      string // "10.0.0.1:7771"; port 0 picks a free one
	Advertise string // ip:port the others dial; empty: Bind
	Ledger    Ledger
	Logger    *slog.Logger // nil: slog.Default

	// Credentials say who this member is, and whose word it takes for who the
	// others are. Judge, which may be nil, is asked about every peer besides.
	Credentials *pki.Credentials
	Judge       pki.Judge

	Timing Timing
	Log    LogLimits

	// Fatal is called when the disk hangs or fails, and must end the process.
	// Nil says why on standard error and exits with code 1.
	Fatal func(error)

	wrap func(raft.LogStore) raft.LogStore // tests put a faulty log in between
}

// Timing says how soon a silent leader is replaced; zero fields take raft's
// defaults (1 s, 1 s, 0.5 s), but for Commit: 20 ms.
type Timing struct {
	Heartbeat time.Duration // silence after which a follower seeks election
	Election  time.Duration // after which it seeks it again
	Lease     time.Duration // without a majority, after which a leader steps down
	Commit    time.Duration // after which followers hear of a commit, twice as late at the latest
}

// LogLimits says when the log is cut down to a snapshot; zero fields take the
// defaults.
type LogLimits struct {
	Entries  uint64        // in the log before a snapshot is taken; 16384
	Trailing uint64        // kept behind it for followers that lag; 4096
	Bytes    int64         // in the log before a snapshot is taken; 256 MiB
	Interval time.Duration // how often that is looked at; 30 s
}

const (
	defaultEntries  = 16384
	defaultTrailing = 4096
	defaultBytes    = 256 << 20
	defaultInterval = 30 * time.Second
	defaultCommit   = 20 * time.Millisecond // raft's 50 would be most of the way of a change to an agent
	batchEntries    = 512                   // applied or replicated at once, at most
)

// Validate reports every field that is wrong.
func (c *Config) Validate() error {
	var wrong []fleet.FieldError
	fail := func(field, value, reason string) {
		wrong = append(wrong, fleet.FieldError{Field: field, Value: value, Reason: reason})
	}
	if !fleet.ValidName(string(c.ID)) {
		fail("raft.id", string(c.ID), "want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit")
	}
	if c.Dir == "" {
		fail("raft.dir", "", "want a directory")
	}
	if c.Ledger == nil {
		fail("raft.ledger", "", "is missing")
	}
	if bind, err := netip.ParseAddrPort(c.Bind); err != nil {
		fail("raft.bind", c.Bind, "want ip:port such as 10.0.0.1:7771")
	} else if bind.Addr().IsUnspecified() && c.Advertise == "" {
		fail("raft.advertise", "", "is needed with bind "+c.Bind+": the others must know one address")
	}
	if c.Advertise != "" {
		if reason := addressFault(c.Advertise); reason != "" {
			fail("raft.advertise", c.Advertise, reason)
		}
	}
	if c.Credentials == nil {
		fail("raft.credentials", "", "are missing: collectors speak with each other by certificate alone")
	} else if id := c.Credentials.ID(); id.Role != pki.RoleCollector || id.Name != string(c.ID) {
		fail("raft.id", string(c.ID), "the certificate is of "+id.String())
	}
	if len(wrong) > 0 {
		return &fleet.Error{Kind: fleet.Invalid, Fields: wrong}
	}
	return nil
}

// addressFault says why nobody can be dialled at an address, or nothing.
func addressFault(value string) string {
	address, err := netip.ParseAddrPort(value)
	if err != nil || address.Addr().IsUnspecified() || address.Port() == 0 {
		return "want ip:port that others reach, such as 10.0.0.1:7771"
	}
	return ""
}

// withDefaults fills in what is zero.
func (l LogLimits) withDefaults() LogLimits {
	return LogLimits{
		Entries: cmp.Or(l.Entries, defaultEntries), Trailing: cmp.Or(l.Trailing, defaultTrailing),
		Bytes: cmp.Or(l.Bytes, defaultBytes), Interval: cmp.Or(l.Interval, defaultInterval),
	}
}

// raft translates c for the library.
func (c *Config) raft(logger *raftLog) *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(c.ID)
	conf.Logger = logger
	conf.NoLegacyTelemetry = true
	conf.ShutdownOnRemove = false
	conf.MaxAppendEntries = batchEntries
	conf.BatchApplyCh = true
	conf.HeartbeatTimeout = cmp.Or(c.Timing.Heartbeat, conf.HeartbeatTimeout)
	conf.ElectionTimeout = cmp.Or(c.Timing.Election, conf.ElectionTimeout)
	conf.LeaderLeaseTimeout = cmp.Or(c.Timing.Lease, conf.LeaderLeaseTimeout)
	conf.CommitTimeout = cmp.Or(c.Timing.Commit, defaultCommit)
	limits := c.Log.withDefaults()
	conf.SnapshotThreshold, conf.TrailingLogs, conf.SnapshotInterval = limits.Entries, limits.Trailing, limits.Interval
	return conf
}
