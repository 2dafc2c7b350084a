package ledger

import (
	"bytes"
	"math"
	"slices"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// dropProofs removes blocks that were received before ProofsBefore and, where all
// of them together have more than ProofBytes, the oldest of those hosts that have
// the most: no host makes those of another go before its own.
func (cmd *Prune) dropProofs(c *change, limit int) (dropped int) {
	if cmd.ProofsBefore.IsZero() && cmd.ProofBytes <= 0 {
		return 0
	}
	var hosts []fleet.HostID
	states := map[fleet.HostID]*proofRow{}
	var sizes []int64
	each(c.bucket(inProofHosts), nil, nil, func(k, v []byte) bool {
		state, err := decode[proofRow](v)
		if err != nil {
			panic(unwritten{err})
		}
		host := fleet.HostID(bytes.Clone(k))
		hosts, states[host], sizes = append(hosts, host), &state, append(sizes, state.Bytes)
		return true
	})
	share := shareOf(sizes, cmd.ProofBytes)
	for _, host := range hosts {
		if n := cmd.dropProofsOf(c, host, states[host], share, limit-dropped); n > 0 {
			dropped += n
			c.put(inProofHosts, key(string(host)), encode(states[host]))
		}
	}
	return dropped
}

// shareOf returns how many bytes each may have so that all of them together have
// at most so many; nobody has less because others have more.
func shareOf(sizes []int64, most int64) int64 {
	sizes = slices.Sorted(slices.Values(sizes))
	for i, size := range sizes {
		left := int64(len(sizes) - i)
		if most <= 0 || size*left > most {
			return most / left
		}
		most -= size
	}
	return math.MaxInt64 // all of them fit
}

// dropProofsOf removes the oldest blocks of one host.
func (cmd *Prune) dropProofsOf(c *change, host fleet.HostID, state *proofRow, share int64, limit int) int {
	var gone [][]byte
	bytesLeft := state.Bytes
	each(c.bucket(inProofs), prefix(string(host)), nil, func(k, v []byte) bool {
		row, err := decode[blockRow](v)
		if err != nil {
			panic(unwritten{err})
		}
		if len(gone) >= limit || !row.At.Before(cmd.ProofsBefore) && (cmd.ProofBytes <= 0 || bytesLeft <= share) {
			return false
		}
		bytesLeft -= int64(len(v))
		gone = append(gone, bytes.Clone(k))
		if chain := state.chain(row.Chain); chain != nil {
			chain.Oldest = max(chain.Oldest, row.Last+1)
		}
		return true
	})
	for _, k := range gone {
		row, _ := stored[blockRow](c, inProofs, k)
		place := placeKey(host, row.Chain, row.First)
		if bytes.Equal(c.get(inProofPlaces, place), k[len(k)-8:]) {
			c.delete(inProofPlaces, place)
		}
		c.delete(inProofs, k)
	}
	state.Bytes, state.Blocks, state.Dropped = bytesLeft, state.Blocks-uint64(len(gone)), state.Dropped+uint64(len(gone))
	return len(gone)
}
