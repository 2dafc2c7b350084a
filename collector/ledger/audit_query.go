package ledger

import (
	"bytes"
	"strconv"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/chain"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Audit returns a page of the audit chain, as it goes or the newest first. Who
// does not see every namespace gets the links about their own, without hashes,
// for a chain can be verified only whole; numbers count on for everyone. Total is
// -1 where the query or the scope filters. A page may have fewer links than
// asked for and still a Next.
func (l *Ledger) Audit(scope fleet.Scope, q api.AuditQuery) (api.List[fleet.AuditEntry], error) {
	list := api.List[fleet.AuditEntry]{Items: []fleet.AuditEntry{}}
	list.Index, _ = l.Applied()
	after, err := seqOf(q.After)
	if err != nil {
		return list, err
	}
	err = l.view(func(r *reader) error {
		list.Index = r.index()
		head, _, err := row[fleet.AuditEntry](r, inMeta, headKey)
		if err != nil {
			return err
		}
		if list.Total = int(head.Seq); q.Actor != "" || q.Action != "" || q.Object != "" || !q.Since.IsZero() || !q.Until.IsZero() || !scope.All() {
			list.Total = -1
		}
		limit, visits := pageSize(q.Page), 0
		walk := each
		if q.Newest {
			walk = eachBack
		}
		walk(r.bucket(inAudit), nil, after, func(k, v []byte) bool {
			if len(list.Items) == limit || visits == maxVisits {
				list.Next = strconv.FormatUint(number(after), 10)
				return false
			}
			visits++
			after = bytes.Clone(k)
			var entry fleet.AuditEntry
			if entry, err = decode[fleet.AuditEntry](v); err == nil && (scope.All() || scope.Holds(entry.Namespace)) && audits(&q, &entry) {
				list.Items = append(list.Items, shownLink(scope, entry))
			}
			return err == nil
		})
		return err
	})
	return list, err
}

// shownLink returns the link as the scope sees it.
func shownLink(scope fleet.Scope, entry fleet.AuditEntry) fleet.AuditEntry {
	if !scope.All() {
		entry.Before, entry.Hash, entry.By.Scope = nil, nil, namesWithin(scope, entry.By.Scope)
	}
	return entry
}

// seqOf reads a cursor; nil: the beginning.
func seqOf(cursor string) ([]byte, error) {
	if cursor == "" {
		return nil, nil
	}
	seq, err := strconv.ParseUint(cursor, 10, 64)
	if err != nil {
		return nil, fleet.Invalidf("after", "", "want the next of the page before")
	}
	return bigEndian(seq), nil
}

// audits reports whether the query asks for the link.
func audits(q *api.AuditQuery, entry *fleet.AuditEntry) bool {
	switch {
	case q.Actor != "" && q.Actor != entry.By.Name && q.Actor != entry.By.Token,
		q.Action != "" && q.Action != entry.Action,
		q.Object != "" && q.Object != entry.Object,
		!q.Since.IsZero() && entry.At.Before(q.Since),
		!q.Until.IsZero() && !entry.At.Before(q.Until):
		return false
	}
	return true
}

// verifyStep is how many links are read in one transaction.
const verifyStep = 1000

// VerifyAudit returns the number of the first link of the chain that is not
// what was written: edited, gone, or cut off at the end. Zero: it is whole.
// What is written meanwhile is not looked at.
func (l *Ledger) VerifyAudit() (broken uint64, err error) {
	var head fleet.AuditEntry
	err = l.view(func(r *reader) (err error) {
		head, _, err = row[fleet.AuditEntry](r, inMeta, headKey)
		return err
	})
	if err != nil {
		return 1, err
	}
	last := fleet.AuditEntry{Hash: chain.First()}
	for last.Seq < head.Seq {
		some, err := l.links(last.Seq)
		if err != nil {
			return last.Seq + 1, err
		}
		for _, entry := range some {
			if entry.Seq != last.Seq+1 || !bytes.Equal(entry.Before, last.Hash) || !bytes.Equal(entry.Hash, chain.Hash(last.Hash, entry)) {
				return last.Seq + 1, nil
			}
			if last = entry; last.Seq == head.Seq {
				break
			}
		}
		if len(some) == 0 {
			return last.Seq + 1, nil
		}
	}
	if last.Seq > 0 && !bytes.Equal(last.Hash, head.Hash) {
		return last.Seq, nil
	}
	return 0, nil
}

// links reads the next of the chain, up to one that cannot be read: that comes
// as an empty one.
func (l *Ledger) links(after uint64) (some []fleet.AuditEntry, err error) {
	err = l.view(func(r *reader) error {
		each(r.bucket(inAudit), nil, bigEndian(after), func(k, v []byte) bool {
			entry, err := decode[fleet.AuditEntry](v)
			if err != nil || entry.Seq != number(k) {
				entry = fleet.AuditEntry{}
			}
			some = append(some, entry)
			return err == nil && len(some) < verifyStep
		})
		return nil
	})
	return some, err
}
