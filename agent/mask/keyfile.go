package mask

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// KeyFile is the file of the state directory with the key of the hashes that
// stand for a host's secrets.
const KeyFile = "mask.key"

// DrawKey returns the masker of a host, whose key is drawn the first time and
// kept in the file.
func DrawKey(path string) (*Masker, error) {
	m, err := OpenKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	if err := durable.Once(path, []byte(hex.EncodeToString(passing())+"\n")); err != nil {
		return nil, fmt.Errorf("mask key: %w", err)
	}
	return OpenKey(path)
}

// OpenKey returns the masker of a host on which an agent has run; the error is
// fs.ErrNotExist where none has.
func OpenKey(path string) (*Masker, error) {
	key, err := readKey(path)
	if err != nil {
		return nil, err
	}
	return New(key), nil
}

// Passing returns a masker whose key nobody keeps.
func Passing() *Masker { return New(passing()) }

func passing() []byte {
	key := make([]byte, KeySize)
	rand.Read(key) // never fails
	return key
}

func readKey(path string) ([]byte, error) {
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
	if err != nil || len(key) != KeySize {
		return nil, fleet.Errorf(fleet.Invalid, "%s has %d bytes; it must hold a key of %d hex digits", path, len(text), 2*KeySize).
			WithHint("%s", hint)
	}
	return key, nil
}
