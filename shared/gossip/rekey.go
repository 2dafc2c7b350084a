package gossip

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/memberlist"
)

// libraryRing returns the keys of a ring as the library wants them.
func libraryRing(ring *Ring) (*memberlist.Keyring, error) {
	keys, _ := ring.state()
	if len(keys) == 0 {
		return nil, fmt.Errorf("join gossip: the ring is empty")
	}
	return memberlist.NewKeyring(secrets(keys), keys[0].Secret)
}

func secrets(keys []Key) [][]byte {
	all := make([][]byte, len(keys))
	for i, key := range keys {
		all[i] = key.Secret
	}
	return all
}

// followRing gives the library each change of the ring until ctx ends.
func (m *Mesh) followRing(ctx context.Context) {
	for began := true; ; began = false {
		keys, changed := m.ring.state()
		if err := rekey(m.keys, secrets(keys)); err != nil {
			m.log.Error("gossip keys not changed", "error", err)
		} else if !began {
			m.log.Info("gossip keys changed", "keys", len(keys), "ring", m.ring.Digest())
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// rekey makes the library's ring hold these keys, the first encrypting. The
// library takes a key out by moving the later ones in place, under the eyes of
// whoever deciphers at that moment; so what goes is brought to the end first,
// where nothing moves.
func rekey(ring *memberlist.Keyring, want [][]byte) error {
	wanted := func(key []byte) bool {
		return slices.ContainsFunc(want, func(other []byte) bool { return bytes.Equal(key, other) })
	}
	for _, key := range want {
		if err := ring.AddKey(key); err != nil {
			return err
		}
	}
	if err := ring.UseKey(want[0]); err != nil {
		return err
	}
	have := ring.GetKeys()
	if from := slices.IndexFunc(have, func(key []byte) bool { return !wanted(key) }); from >= 0 && slices.ContainsFunc(have[from:], wanted) {
		for _, key := range slices.Backward(want) {
			if err := ring.UseKey(key); err != nil {
				return err
			}
		}
	}
	for _, key := range slices.Backward(slices.Clone(ring.GetKeys())) {
		if wanted(key) {
			continue
		}
		if err := ring.RemoveKey(key); err != nil {
			return err
		}
	}
	return nil
}
