package ledger

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// changeKinds is what can change about a job. Its place here is its bit on
// disk, for ever: add at the end.
var changeKinds = []struct {
	kind    fleet.ChangeKind
	differs func(a, b *fleet.Job) bool // nil: it follows from there being no a or no b
}{
	{fleet.ChangeAppeared, nil},
	{fleet.ChangeVanished, nil},
	{fleet.ChangeMoved, func(a, b *fleet.Job) bool { return a.Source != b.Source }},
	{fleet.ChangeSchedule, func(a, b *fleet.Job) bool { return a.Schedule != b.Schedule }},
	{fleet.ChangeTimezone, func(a, b *fleet.Job) bool { return a.Timezone != b.Timezone }},
	{fleet.ChangeCommand, func(a, b *fleet.Job) bool { return a.Command != b.Command }},
	{fleet.ChangeUser, func(a, b *fleet.Job) bool { return a.User != b.User }},
	{fleet.ChangeEnvironment, func(a, b *fleet.Job) bool { return !maps.Equal(a.Env, b.Env) }},
	{fleet.ChangeEnabled, func(a, b *fleet.Job) bool { return a.Enabled != b.Enabled }},
	{fleet.ChangeVerdict, func(a, b *fleet.Job) bool { return !sameVerdict(a.Verdict, b.Verdict) }},
}

// whats is a set of kinds of change, by their bits.
type whats uint16

const (
	appeared whats = 1 << iota
	vanished
)

// sameVerdict reports whether the scheduler does the same for the same reason.
// The words for a reason are no change.
func sameVerdict(a, b fleet.Verdict) bool {
	return a.Runs == b.Runs && a.Code == b.Code && (a.Code != "" || a.Why == b.Why)
}

// compareJobs returns what changed from one reading of a job to the next. The
// line it stands on does not count, nor what only people are told.
func compareJobs(a, b *fleet.Job) (what whats) {
	for i, row := range changeKinds {
		if row.differs != nil && row.differs(a, b) {
			what |= 1 << i
		}
	}
	return what
}

func (w whats) kinds() (kinds []fleet.ChangeKind) {
	for i, row := range changeKinds {
		if w&(1<<i) != 0 {
			kinds = append(kinds, row.kind)
		}
	}
	return kinds
}

func bitOf(kind fleet.ChangeKind) whats {
	for i, row := range changeKinds {
		if row.kind == kind {
			return 1 << i
		}
	}
	return 0
}

// changed is one job's part of a row in changes. What it was and what it is
// stands in versions and jobs.
type changed struct {
	_    struct{} `cbor:",toarray"`
	Job  fleet.JobID
	What whats
	Was  fleet.JobID // its id before, where that was another
}

// before returns the id that the job had before; empty: it appeared.
func (e *changed) before() fleet.JobID {
	switch {
	case e.What&appeared != 0:
		return ""
	case e.Was != "":
		return e.Was
	}
	return e.Job
}

// history gathers what one report changed.
type history struct {
	c     *change
	host  string
	at    time.Time
	found []changed
}

// versionKey is where a version lies that begins at the instant.
func versionKey(host string, job fleet.JobID, from time.Time) []byte {
	return append(prefix(host, string(job)), bigEndian(uint64(from.UnixNano()))...)
}

// note records that a job changed, and keeps the version that ends with that.
func (h *history) note(was *jobRow, job fleet.JobID, what whats) {
	entry := changed{Job: job, What: what}
	if was != nil {
		if was.Job.ID != job {
			entry.Was = was.Job.ID
		}
		old := *was
		old.Job.Next = nil // they are past
		h.c.put(inVersions, versionKey(h.host, old.Job.ID, old.Changed), append(bigEndian(uint64(h.at.UnixNano())), encode(old)...))
	}
	h.found = append(h.found, entry)
}

// write writes what was gathered: one row a report, however many jobs it
// changed, in the order of time and in that of its host.
func (h *history) write() {
	if len(h.found) == 0 {
		return
	}
	at := bigEndian(uint64(h.at.UnixNano()))
	h.c.put(inChanges, append(at, h.host...), encode(h.found))
	linked := byte(0)
	if slices.ContainsFunc(h.found, func(e changed) bool { return e.Was != "" }) {
		linked = 1
	}
	h.c.put(inChangesByHost, append(prefix(h.host), at...), []byte{linked})
}

// likeness says when a job that vanished and one that appeared in the same
// report are one job, by a key that both have; empty: by nothing.
type likeness func(*fleet.Job) string

// likenesses are tried in their order. What is moved keeps its command; what
// is edited in place keeps its line, or, as lines shift, all but its command.
var likenesses = []likeness{
	func(j *fleet.Job) string { return join(j.Fingerprint != "", j.User, j.Fingerprint) },
	func(j *fleet.Job) string { return join(j.Line > 0, string(j.Kind), j.Source, strconv.Itoa(j.Line)) },
	func(j *fleet.Job) string {
		own := j.Kind == fleet.KindRunParts || j.Kind == fleet.KindAt // each stands in a file of its own
		return join(!own, string(j.Kind), j.Source, j.User, j.Schedule)
	},
}

func join(applies bool, parts ...string) string {
	if !applies {
		return ""
	}
	return string(key(parts...))
}

// match finds which of the jobs that are gone became which of the new ones.
// Both are in the order of their source and line; matched ones are removed.
func match(gone []*jobRow, fresh []*fleet.Job) (became map[fleet.JobID]*jobRow) {
	became = map[fleet.JobID]*jobRow{}
	taken := map[fleet.JobID]bool{}
	for _, like := range likenesses {
		waiting := map[string][]*jobRow{}
		for _, old := range gone {
			if k := like(&old.Job); k != "" && !taken[old.Job.ID] {
				waiting[k] = append(waiting[k], old)
			}
		}
		for _, job := range fresh {
			k := like(job)
			if k == "" || became[job.ID] != nil || len(waiting[k]) == 0 || compareJobs(&waiting[k][0].Job, job) == 0 {
				continue
			}
			became[job.ID], waiting[k] = waiting[k][0], waiting[k][1:]
			taken[became[job.ID].Job.ID] = true
		}
	}
	return became
}
