package ledger

import (
	"bytes"
	"maps"
	"time"

	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// RecordSightings records what a host saw its found jobs do. What is older than
// what is on record, and what is known, write nothing. Since is taken whole: a
// kind that it does not name is not watched. Sightings may come before the
// report that names their job: they wait for it, but only those of one word.
type RecordSightings struct {
	Host      fleet.HostID    `json:"host"`
	Sightings fleet.Sightings `json:"sightings"`
	At        time.Time       `json:"at"`
}

// maxAhead is how far before the collectors' clock evidence may lie before it
// is taken for an error of its host, and newer words replace it.
const maxAhead = 24 * time.Hour

// sightingRow is the evidence of one job on disk, in few bytes: there are as
// many as jobs. Instants are nanoseconds since 1970, zero for none; the numbers
// stay for ever.
type sightingRow struct {
	Last   int64  `cbor:"1,keyasint"`
	Grade  string `cbor:"2,keyasint"`
	From   string `cbor:"3,keyasint,omitempty"`
	Ended  int64  `cbor:"4,keyasint,omitempty"`
	Result string `cbor:"5,keyasint,omitempty"`
}

func (cmd *RecordSightings) apply(c *change) any {
	host := string(cmd.Host)
	if c.get(inHosts, key(host)) == nil {
		return unknownHost(cmd.Host)
	}
	told := cmd.writeSince(c)
	strangers := false
	for id, seen := range sorted(cmd.Sightings.Jobs) {
		next, whole := newSighting(&seen)
		if !whole || !keyable(string(id)) {
			continue
		}
		k := key(host, string(id))
		if c.get(inJobs, k) == nil && !strangers {
			forgetSightings(c, cmd.Host) // of those that were told before
			strangers = true
		}
		old, found := stored[sightingRow](c, inSightings, k)
		if found && !old.yieldsTo(&next, cmd.At) {
			continue
		}
		c.put(inSightings, k, encode(next))
		told = true
	}
	if told {
		c.hosts = append(c.hosts, cmd.Host)
	}
	return nil
}

// writeSince records which kinds are watched, and says whether that is news.
func (cmd *RecordSightings) writeSince(c *change) bool {
	host, since := key(string(cmd.Host)), cmd.Sightings.Since
	if len(since) == 0 {
		since = nil
	}
	if old := c.get(inCoverage, host); old == nil && since == nil || bytes.Equal(old, encode(since)) {
		return false
	}
	c.put(inCoverage, host, encode(since))
	c.after(func(l *Ledger) { l.memory.setSince(cmd.Host, since) })
	return true
}

// newSighting returns the row, and false for what cannot be kept.
func newSighting(e *fleet.Evidence) (row sightingRow, whole bool) {
	if !compact.Plausible(&e.Last) || e.Ended != nil && !compact.Plausible(e.Ended) {
		return row, false
	}
	row = sightingRow{Last: e.Last.UnixNano(), Grade: e.Grade, From: e.From, Result: e.Result}
	if e.Ended != nil {
		row.Ended = e.Ended.UnixNano()
	}
	return row, true
}

// yieldsTo reports whether next says more than the row.
func (s *sightingRow) yieldsTo(next *sightingRow, now time.Time) bool {
	switch {
	case *s == *next:
		return false
	case s.Last > now.Add(maxAhead).UnixNano():
		return true
	case s.Last == next.Last:
		return s.Ended == 0 || next.Ended != 0
	}
	return next.Last > s.Last
}

func (s *sightingRow) evidence() *fleet.Evidence {
	e := &fleet.Evidence{Last: time.Unix(0, s.Last).UTC(), Grade: s.Grade, From: s.From, Result: s.Result}
	if s.Ended != 0 {
		ended := time.Unix(0, s.Ended).UTC()
		e.Ended = &ended
	}
	return e
}

// evidence returns what the host saw of each of its jobs.
func (r *reader) evidence(host fleet.HostID) (map[fleet.JobID]*fleet.Evidence, error) {
	seen := map[fleet.JobID]*fleet.Evidence{}
	own := prefix(string(host))
	err := eachRow(r, inSightings, own, func(k []byte, row sightingRow) bool {
		seen[fleet.JobID(k[len(own):])] = row.evidence()
		return true
	})
	return seen, err
}

// forgetSightings removes the evidence of jobs that the host no longer has.
func forgetSightings(c *change, host fleet.HostID) {
	for _, k := range c.keys(inSightings, prefix(string(host))) {
		if c.get(inJobs, k) == nil {
			c.delete(inSightings, k)
		}
	}
}

// News returns what of the sightings the ledger would record, and whether that
// is anything.
func (l *Ledger) News(id fleet.HostID, said fleet.Sightings, now time.Time) (news fleet.Sightings, some bool, err error) {
	host, known := l.Host(everywhere, id)
	if !known {
		return news, false, unknownHost(id)
	}
	news.Since = said.Since
	some = !maps.EqualFunc(host.Since, said.Since, time.Time.Equal)
	err = l.view(func(r *reader) error {
		for job, seen := range said.Jobs {
			next, whole := newSighting(&seen)
			old, found, err := row[sightingRow](r, inSightings, key(string(id), string(job)))
			if err != nil {
				return err
			}
			if !whole || found && !old.yieldsTo(&next, now) {
				continue
			}
			if news.Jobs == nil {
				news.Jobs = map[fleet.JobID]fleet.Evidence{}
			}
			news.Jobs[job] = seen
		}
		return nil
	})
	return news, some || len(news.Jobs) > 0, err
}
