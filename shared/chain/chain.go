// Package chain links audit entries, so that one that was edited, dropped or put in between is found by whoever has the list.
//
// The hash of an entry is SHA-256 over the hash of the entry before (32 zero
// bytes for the first) and the entry itself as CBOR (RFC 8949 with core
// deterministic encoding; names as in JSON; instants as RFC 3339 in UTC with
// nanoseconds) without its hash, which stands as null. It is computed from the
// entry's meaning, so that a list that was exported as JSON can be held to it
// with nothing else at hand. What a chain cannot tell is that its end was cut
// off; for that, compare its head with one that was told earlier.
package chain

import (
	"bytes"
	"crypto/sha256"
	"iter"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

var encoding = func() cbor.EncMode {
	mode, err := cbor.EncOptions{Sort: cbor.SortCoreDeterministic, IndefLength: cbor.IndefLengthForbidden, Time: cbor.TimeRFC3339NanoUTC}.EncMode()
	if err != nil {
		panic(err) // the options are fixed
	}
	return mode
}()

// First is what stands before the first entry.
func First() []byte { return make([]byte, sha256.Size) }

// Hash returns the hash of an entry. Of Before and Hash it does not matter what
// is in them: before is given, and no entry holds its own hash.
func Hash(before []byte, entry fleet.AuditEntry) []byte {
	entry.Before, entry.Hash = before, nil
	body, err := encoding.Marshal(entry)
	if err != nil {
		panic(err) // texts, numbers and instants cannot fail
	}
	sum := sha256.Sum256(append(bytes.Clone(before), body...))
	return sum[:]
}

// Append links the entry to the head of a chain (nil: it is the first) and
// fills in its Seq, Before and Hash. Text that is not UTF-8 is made so, for
// JSON could not bring it back.
func Append(head *fleet.AuditEntry, entry fleet.AuditEntry) fleet.AuditEntry {
	for _, text := range []*string{&entry.By.Name, &entry.By.Token, &entry.By.Via, &entry.Action, &entry.Object, &entry.Decision, &entry.Code, &entry.Why, &entry.Digest} {
		*text = strings.ToValidUTF8(*text, "\uFFFD")
	}
	entry.Seq, entry.Before = 1, First()
	if head != nil {
		entry.Seq, entry.Before = head.Seq+1, head.Hash
	}
	entry.Hash = Hash(entry.Before, entry)
	return entry
}

// Verify walks a chain and returns the number of the first entry that is not
// what it was: edited, missing, or not linked to the one before. Zero: it is
// whole. A list that begins later than with the first entry is held to itself.
func Verify(entries iter.Seq[fleet.AuditEntry]) (broken uint64) {
	var last *fleet.AuditEntry
	for entry := range entries {
		before, seq := First(), uint64(1)
		switch {
		case last != nil:
			before, seq = last.Hash, last.Seq+1
		case entry.Seq > 1:
			before, seq = entry.Before, entry.Seq
		}
		if entry.Seq != seq || !bytes.Equal(entry.Before, before) || !bytes.Equal(entry.Hash, Hash(before, entry)) {
			return seq
		}
		last = &entry
	}
	return 0
}
