package gossip

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"
	"time"
)

// A knock travels as a user event whose payload is a list of hashed names, 8
// bytes each; no name at all means everyone. A hash that two names share makes
// one of them look in vain, which costs a request and nothing else.
const (
	knockName    = "knock"
	hashSize     = 8
	knocksEach   = 48                    // names an event: serf's limit is 512 bytes encoded
	knocksAtMost = 4 * knocksEach        // more names than this are everyone
	knockPause   = 50 * time.Millisecond // knocks of this long go out together
)

// Knock asks the named members to look for news now, or everyone when none is
// named. It returns at once; Run sends it, together with others of the same
// moment. A knock may be lost, and it carries nothing.
func (m *Mesh) Knock(names ...string) {
	m.knocking.Lock()
	m.knockAll = m.knockAll || len(names) == 0
	for _, name := range names {
		m.knockNames[name] = struct{}{}
	}
	m.knocking.Unlock()
	select {
	case m.knocks <- struct{}{}:
	default:
	}
}

// sendKnocks sends what Knock collected, until ctx ends.
func (m *Mesh) sendKnocks(ctx context.Context) {
	for {
		select {
		case <-m.knocks:
		case <-ctx.Done():
			return
		}
		if !pause(ctx, knockPause) {
			return
		}
		for _, payload := range m.takeKnocks() {
			if err := m.serf.UserEvent(knockName, payload, false); err != nil {
				m.log.Warn("knock not sent", "error", err)
			}
		}
	}
}

// takeKnocks empties the collected names into payloads.
func (m *Mesh) takeKnocks() [][]byte {
	m.knocking.Lock()
	defer m.knocking.Unlock()
	names, all := m.knockNames, m.knockAll
	m.knockNames, m.knockAll = make(map[string]struct{}), false
	if all || len(names) > knocksAtMost {
		return [][]byte{nil}
	}
	var payloads [][]byte
	for some := range slices.Chunk(slices.Sorted(maps.Keys(names)), knocksEach) {
		payload := make([]byte, 0, len(some)*hashSize)
		for _, name := range some {
			payload = binary.BigEndian.AppendUint64(payload, hash(name))
		}
		payloads = append(payloads, payload)
	}
	return payloads
}

// means reports whether a knock's payload means the named member.
func means(payload []byte, name string) bool {
	if len(payload) == 0 {
		return true
	}
	want := hash(name)
	for chunk := range slices.Chunk(payload, hashSize) {
		if len(chunk) == hashSize && binary.BigEndian.Uint64(chunk) == want {
			return true
		}
	}
	return false
}

func hash(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

// pause waits; it returns false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
