package ledger

import (
	"bytes"
	"strings"

	"go.etcd.io/bbolt"
)

// bucket numbers a bucket of the file. The numbers are of this process only;
// the names in the table are what stays on disk.
type bucket uint8

const (
	inMeta bucket = iota
	inCollectors
	inHosts
	inReports
	inProblems
	inJobs
	inTasks
	inOrders
	inApplied
	inJournals
	inRuns
	inRunsByTask
	inRunsByHost
	inRunsByOrder
	inRunsFailed
	inRunsFailedByTask
	inRunsFailedByHost
	inRunsOpen
	inPresumed
	inHours
	inKept
	inAccounts
	inStints
	inGenerations
	inLeases
	inRequests
	inRequestExpiry
	inSightings
	inCoverage
	inPins
	inAnnotations
	inAcks
	inAdoptions
	inVersions
	inChanges
	inChangesByHost
	inCalendars
	inStandings
	inAudit
	inTokens
	inJoinTokens
	inNodes
	inRules
	inHeld
	inPolicies
	inEnvelopes
	inTombstones
	inHoursOf
	inProofHosts
	inProofs
	inProofPlaces
	buckets
)

// bucketNames is every bucket there is, with its key → value. A dot in a key
// below is a NUL byte, which no id contains, so that the range of "foo" ends
// before "foo2" begins.
var bucketNames = [buckets]string{
	inMeta:             "meta",            // "applied" → index, term; "cluster" → Cluster; "format" → number; "history" → instant it begins at; "audit" → the last link
	inCollectors:       "collectors",      // collector → Collector
	inHosts:            "hosts",           // host → hostRow
	inReports:          "reports",         // host → reportRow
	inProblems:         "problems",        // host → []fleet.Problem
	inJobs:             "jobs",            // host.job → packedJob
	inTasks:            "tasks",           // task → taskRow
	inOrders:           "orders",          // host.order → fleet.Order
	inApplied:          "applied",         // host → appliedRow
	inJournals:         "journals",        // host.journal → the highest sequence recorded
	inRuns:             "runs",            // run → compact.Run; run ids sort by time
	inRunsByTask:       "runs_task",       // task.run
	inRunsByHost:       "runs_host",       // host.run
	inRunsByOrder:      "runs_order",      // order.run
	inRunsFailed:       "runs_failed",     // run
	inRunsFailedByTask: "failed_task",     // task.run
	inRunsFailedByHost: "failed_host",     // host.run
	inRunsOpen:         "runs_open",       // run, while it has no outcome
	inPresumed:         "runs_presumed",   // run → 1, while its outcome is not its host's word
	inHours:            "hours",           // hour since 1970 → runs and failures first seen in it
	inKept:             "runs_kept",       // task → how many runs it has
	inAccounts:         "accounts",        // task.host → accountRow
	inStints:           "stints",          // task.host.instant → stintRow
	inGenerations:      "generations",     // task.generation → fleet.Task, its name and trigger only
	inLeases:           "leases",          // task.run → fleet.Lease
	inRequests:         "requests",        // idempotency key → requestRow
	inRequestExpiry:    "requests_expiry", // instant.key
	inSightings:        "sightings",       // host.job → sightingRow
	inCoverage:         "coverage",        // host → from when on a start of each kind would have been seen
	inPins:             "pins",            // name → fleet.Pin
	inAnnotations:      "annotations",     // fingerprint → fleet.Annotation
	inAcks:             "acks",            // finding → fleet.Ack
	inAdoptions:        "adoptions",       // task → fleet.Adoption
	inVersions:         "versions",        // host.job.instant it began → instant it ended, packedJob as it was
	inChanges:          "changes",         // instant host → what the report changed
	inChangesByHost:    "changes_host",    // host.instant → 1, where a job got another id
	inCalendars:        "calendars",       // name → fleet.CalendarRecord
	inStandings:        "standings",       // host → standingRow
	inAudit:            "audit",           // number → fleet.AuditEntry
	inTokens:           "tokens",          // token → fleet.Token
	inJoinTokens:       "join_tokens",     // join token → fleet.JoinToken
	inNodes:            "nodes",           // node → nodeRow
	inRules:            "rules",           // namespace → fleet.Rules
	inHeld:             "held",            // request → heldRow
	inPolicies:         "policies",        // host → fleet.PolicyReport
	inEnvelopes:        "envelopes",       // digest of what was signed → envelopeRow, of orders
	inTombstones:       "tombstones",      // calendar → tombstoneRow
	inHoursOf:          "hours_namespace", // namespace.hour → as hours
	inProofHosts:       "proof_hosts",     // host → proofRow
	inProofs:           "proofs",          // host.number → blockRow, as they were received
	inProofPlaces:      "proof_places",    // host.chain.number of a line → the last block that began with it
}

// key joins the parts of a key.
func key(parts ...string) []byte { return []byte(strings.Join(parts, "\x00")) }

// prefix returns where the keys that begin with the parts lie.
func prefix(parts ...string) []byte { return append(key(parts...), 0) }

// each walks the keys with the prefix from the first after the key `after`
// (nil: the first), until fn returns false. Key and value are only valid
// within fn.
func each(b *bbolt.Bucket, prefix, after []byte, fn func(k, v []byte) bool) {
	cursor := b.Cursor()
	start := prefix
	if bytes.Compare(after, start) > 0 {
		start = after
	}
	k, v := cursor.Seek(start)
	if k != nil && after != nil && bytes.Equal(k, after) {
		k, v = cursor.Next()
	}
	for ; k != nil && bytes.HasPrefix(k, prefix); k, v = cursor.Next() {
		if !fn(k, v) {
			return
		}
	}
}

// eachBack walks the keys with the prefix backwards from the last before the
// key `before` (nil: the last), until fn returns false.
func eachBack(b *bbolt.Bucket, prefix, before []byte, fn func(k, v []byte) bool) {
	cursor := b.Cursor()
	k, v := seekBefore(cursor, prefix, before)
	for ; k != nil && bytes.HasPrefix(k, prefix); k, v = cursor.Prev() {
		if !fn(k, v) {
			return
		}
	}
}

func seekBefore(cursor *bbolt.Cursor, prefix, before []byte) (k, v []byte) {
	end := before
	if end == nil {
		end = successor(prefix)
	}
	if end == nil {
		return cursor.Last()
	}
	if k, _ := cursor.Seek(end); k == nil {
		return cursor.Last()
	}
	return cursor.Prev()
}

// successor returns the first key after all keys with the prefix; nil when
// there is none.
func successor(prefix []byte) []byte {
	next := bytes.Clone(prefix)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i] != 0xff {
			next[i]++
			return next[:i+1]
		}
	}
	return nil
}
