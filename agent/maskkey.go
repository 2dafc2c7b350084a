package agent

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fleetcron/fleetcron/agent/mask"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// maskKeyFile holds the key of the hashes that stand for this host's secrets.
const maskKeyFile = "mask.key"

// newMasker returns the masker of this host, whose key is drawn at the first
// start and kept in the state directory. Everything that was found passes it
// before it leaves the host.
func newMasker(stateDir string) (*mask.Masker, error) {
	if err := os.MkdirAll(stateDir, 0o750); err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	path := filepath.Join(stateDir, maskKeyFile)
	key, err := readMaskKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		raw := make([]byte, mask.KeySize)
		rand.Read(raw) // never fails
		if err := writeOnce(path, hex.EncodeToString(raw)+"\n"); err != nil {
			return nil, fmt.Errorf("mask key: %w", err)
		}
		key, err = readMaskKey(path)
	}
	if err != nil {
		return nil, err
	}
	return mask.New(key), nil
}

// ReadMasker returns the masker of a host on which an agent has run. Where
// none has, its key is one that nobody keeps.
func ReadMasker(stateDir string) (*mask.Masker, error) {
	key, err := readMaskKey(filepath.Join(stateDir, maskKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, mask.KeySize)
		rand.Read(key) // never fails
	} else if err != nil {
		return nil, err
	}
	return mask.New(key), nil
}

func readMaskKey(path string) ([]byte, error) {
	stat, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("mask key: %w", err)
	}
	const hint = "with another key the same secrets get other marks, which shows as changes; to draw a new one, remove the file and restart the agent"
	if !stat.Mode().IsRegular() || stat.Mode().Perm()&0o077 != 0 {
		return nil, fleet.Errorf(fleet.Refused, "%s has mode %s, so others may know the key: it must be a file of mode 0600", path, stat.Mode()).
			WithHint("chmod 600 %s; %s", path, hint)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("mask key: %w", err)
	}
	key, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(key) != mask.KeySize {
		return nil, fleet.Errorf(fleet.Invalid, "%s has %d bytes; it must hold a key of %d hex digits", path, len(text), 2*mask.KeySize).
			WithHint("%s", hint)
	}
	return key, nil
}
