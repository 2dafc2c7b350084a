package prove

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// KeyFile is the file of the state directory with the key that proofs are signed
// with. Only who runs commands reads it.
const KeyFile = "proof.key"

// Unusable is what is added to the name of a key file that proves nothing.
const Unusable = ".unusable"

// DrawKey returns the key in the file, which is drawn the first time. A file that
// holds none, or that others may have read, is set aside, and another key is
// drawn: the collectors report that, and the runs of this host go on.
func DrawKey(path string, log *slog.Logger) (ed25519.PrivateKey, error) {
	key, err := OpenKey(path)
	switch kind := fleet.KindOf(err); {
	case err == nil:
		return key, nil
	case errors.Is(err, fs.ErrNotExist):
	case kind == fleet.Refused || kind == fleet.Invalid:
		log.Error("the key of this host's proofs is set aside, and another one is drawn", "why", err, "kept", path+Unusable)
		if err := os.Rename(path, path+Unusable); err != nil {
			return nil, fmt.Errorf("proof key: %w", err)
		}
	default:
		return nil, err
	}
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails
	if err := durable.Once(path, []byte(hex.EncodeToString(seed)+"\n")); err != nil {
		return nil, fmt.Errorf("proof key: %w", err)
	}
	return OpenKey(path)
}

// OpenKey returns the key in the file; the error is fs.ErrNotExist where there is
// none.
func OpenKey(path string) (ed25519.PrivateKey, error) {
	stat, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("proof key: %w", err)
	}
	const hint = "the agent sets it aside when it starts and draws another one, under which this host's proofs go on; the collectors report that as a finding"
	if !stat.Mode().IsRegular() || stat.Mode().Perm()&0o077 != 0 {
		return nil, fleet.Errorf(fleet.Refused, "%s has mode %s, so others may know the key: it must be a file of mode 0600", path, stat.Mode()).
			WithHint("what others know proves nothing any more; %s", hint)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("proof key: %w", err)
	}
	seed, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fleet.Errorf(fleet.Invalid, "%s has %d bytes; it must hold a key of %d hex digits", path, len(text), 2*ed25519.SeedSize).
			WithHint("%s", hint)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}
