package gossip

import (
	"bytes"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// A rotation takes the ring through three steps. A new key is installed first:
// everyone can read what it encrypts, and nobody uses it. Then it encrypts.
// At last the old one goes. Who hears of each step within installFor misses
// nothing; who slept through all of them is deaf until it has fetched the ring.
const (
	installFor = 3 * time.Minute // an agent hears of the ring with each answer, and waits a minute for one
	useFor     = 5 * time.Minute // both keys are read for as long
)

// Rotate begins a rotation: it installs a new key. Step does the rest. One that
// is under way must end first.
func (r *Ring) Rotate(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.keys) > 1 {
		return fleet.Errorf(fleet.Conflict, "the gossip key is being rotated already").WithCode("rotation_under_way").
			WithHint("that ends at %s", newest(r.keys).Made.Add(installFor+useFor).Format(time.RFC3339))
	}
	return r.replace(append(slices.Clone(r.keys), Key{Secret: NewKey(), Made: now.UTC().Truncate(time.Second)}))
}

// Step takes a rotation as far as it may be now, and returns how long it is
// until the next step; zero: none is under way. What is to be done is read off
// the ring itself, so a new leader goes on where the last one ended.
func (r *Ring) Step(now time.Time) (time.Duration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys, wait := step(r.keys, now)
	if slices.EqualFunc(keys, r.keys, func(a, b Key) bool { return bytes.Equal(a.Secret, b.Secret) }) {
		return wait, nil
	}
	return wait, r.replace(keys)
}

// step is what a ring should be at an instant, and when that changes.
func step(keys []Key, now time.Time) ([]Key, time.Duration) {
	if len(keys) < 2 {
		return keys, 0
	}
	last := newest(keys)
	age := now.Sub(last.Made)
	if age >= installFor+useFor {
		return []Key{last}, 0
	}
	if age < installFor {
		return keys, installFor - age
	}
	rest := slices.DeleteFunc(slices.Clone(keys), func(key Key) bool { return bytes.Equal(key.Secret, last.Secret) })
	return append([]Key{last}, rest...), installFor + useFor - age
}

func newest(keys []Key) Key {
	return slices.MaxFunc(keys, func(a, b Key) int { return a.Made.Compare(b.Made) })
}
