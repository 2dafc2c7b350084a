package ledger

import (
	"bytes"
	"fmt"
	"reflect"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Once carries a command out unless a request with the same key did before;
// then its result is the result of that time. A refused command is not
// remembered. The same key with another digest is a Conflict.
type Once struct {
	Key     string    // of the request, of 1–200 bytes
	Digest  string    // of what was asked, so that a key is not used for two things
	At      time.Time // now
	Expires time.Time // until when to remember
	Command Command   // any but Once
}

// onceRow is a Once in an entry.
type onceRow struct {
	Key     string    `json:"key"`
	Digest  string    `json:"digest"`
	At      time.Time `json:"at"`
	Expires time.Time `json:"expires"`
	Entry   []byte    `json:"entry"`
}

// requestRow is what is remembered of a request.
type requestRow struct {
	Digest  string    `json:"digest"`
	Expires time.Time `json:"expires"`
	Number  byte      `json:"number"` // of the command
	Version byte      `json:"version"`
	Result  []byte    `json:"result"` // empty: none
}

// MarshalCBOR writes the form that UnmarshalCBOR reads.
func (cmd Once) MarshalCBOR() ([]byte, error) {
	switch cmd.Command.(type) {
	case *Once:
		return nil, fmt.Errorf("a command can be done once, not once once")
	case *Audited:
		return nil, fmt.Errorf("Audited stands around Once, not within")
	}
	entry, err := Encode(cmd.Command)
	if err != nil {
		return nil, err
	}
	return encoding.Marshal(onceRow{cmd.Key, cmd.Digest, cmd.At, cmd.Expires, entry})
}

// UnmarshalCBOR reads the body of an entry.
func (cmd *Once) UnmarshalCBOR(data []byte) error {
	var row onceRow
	if err := decoding.Unmarshal(data, &row); err != nil {
		return err
	}
	if len(row.Entry) > 0 && (row.Entry[0] == numberOfOnce || row.Entry[0] == numberOfAudited) {
		return fmt.Errorf("a command can be done once, not once once, nor audited within")
	}
	command, err := Decode(row.Entry)
	if err != nil {
		return err
	}
	*cmd = Once{row.Key, row.Digest, row.At, row.Expires, command}
	return nil
}

// numberOfOnce keeps decoding from going deeper than one level.
const numberOfOnce = 13

func (cmd *Once) apply(c *change) any {
	if !keyable(cmd.Key) {
		return fleet.Invalidf("key", cmd.Key, "want 1–%d bytes", maxKeyPart)
	}
	old, found := stored[requestRow](c, inRequests, key(cmd.Key))
	if found && old.Expires.After(cmd.At) {
		return old.answer(cmd.Digest)
	}
	result := cmd.Command.apply(c)
	if _, refused := IsRefusal(result); refused {
		return result
	}
	if found {
		c.delete(inRequestExpiry, expiryKey(old.Expires, cmd.Key))
	}
	row, _ := kindOf(cmd.Command) // it was decoded by the same table
	next := requestRow{Digest: cmd.Digest, Expires: cmd.Expires, Number: row.number, Version: row.version}
	if result != nil {
		next.Result = encode(result)
	}
	c.put(inRequests, key(cmd.Key), encode(next))
	c.put(inRequestExpiry, expiryKey(cmd.Expires, cmd.Key), nil)
	return result
}

// answered reports whether the request was done before, so that it is only
// answered again.
func (cmd *Once) answered(c *change) bool {
	if !keyable(cmd.Key) {
		return false
	}
	old, found := stored[requestRow](c, inRequests, key(cmd.Key))
	return found && old.Expires.After(cmd.At)
}

// answer returns the remembered result, or refuses another question.
func (row requestRow) answer(digest string) any {
	if row.Digest != digest {
		return fleet.Errorf(fleet.Conflict, "the idempotency key was used for another request").
			WithCode("key_reused").WithHint("use a new key for each request")
	}
	kind, err := kindNumbered(row.Number, row.Version)
	if err != nil || kind.result == nil || len(row.Result) == 0 {
		return nil
	}
	result := kind.result()
	if err := decoding.Unmarshal(row.Result, result); err != nil {
		panic(unwritten{fmt.Errorf("remembered result: %w", err)})
	}
	return reflect.ValueOf(result).Elem().Interface()
}

func expiryKey(at time.Time, request string) []byte {
	return append(bigEndian(uint64(max(0, at.Unix()))), request...)
}

// forgetRequests forgets what expired by then.
func forgetRequests(c *change, at time.Time) int {
	var expired [][]byte
	each(c.bucket(inRequestExpiry), nil, nil, func(k, _ []byte) bool {
		if number(k[:8]) > uint64(max(0, at.Unix())) {
			return false
		}
		expired = append(expired, bytes.Clone(k))
		return true
	})
	for _, k := range expired {
		c.delete(inRequestExpiry, k)
		c.delete(inRequests, k[8:])
	}
	return len(expired)
}

// Remembered returns the result of the request with the key, as Apply would
// return it: nil when it had none, a *fleet.Error when digest is another. It
// is not found when it expired before now.
func (l *Ledger) Remembered(request, digest string, now time.Time) (result any, found bool, err error) {
	err = l.view(func(r *reader) error {
		old, exists, err := row[requestRow](r, inRequests, key(request))
		if found = exists && old.Expires.After(now); found {
			result = old.answer(digest)
		}
		return err
	})
	return result, found, err
}
