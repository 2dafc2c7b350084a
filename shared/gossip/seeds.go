package gossip

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// Seeds that did not answer are tried again after a pause that doubles from
// seedPauseMin to seedPauseMax, each give or take a half.
const (
	seedPauseMin = time.Second
	seedPauseMax = 30 * time.Second
)

// joinSeeds calls each seed until it has answered once, and all of them again
// whenever no other member is left. A member that is in touch leaves its seeds
// alone: a join exchanges the state of the whole fleet.
func (m *Mesh) joinSeeds(ctx context.Context) {
	missing, wait := slices.Clone(m.seeds), seedPauseMin
	for {
		before := len(missing)
		missing = slices.DeleteFunc(missing, m.joinSeed)
		if len(missing) < before {
			wait = seedPauseMin
		}
		if !pause(ctx, wait/2+rand.N(wait)) {
			return
		}
		wait = min(2*wait, seedPauseMax)
		if len(missing) == 0 && m.alone() {
			missing, wait = slices.Clone(m.seeds), seedPauseMin
		}
	}
}

func (m *Mesh) joinSeed(seed string) bool {
	const ignoreOldEvents = true
	_, err := m.serf.Join([]string{seed}, ignoreOldEvents)
	if err != nil {
		m.log.Debug("seed not reached", "seed", seed, "error", err)
		return false
	}
	m.log.Info("seed reached", "seed", seed)
	return true
}

// alone reports whether no other member is alive.
func (m *Mesh) alone() bool {
	return !slices.ContainsFunc(m.Members(), func(member Member) bool {
		return member.Name != m.name && member.Status == StatusAlive
	})
}
