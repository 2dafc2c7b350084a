package gossip

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/memberlist"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// KeySize is the length of a key in bytes: AES-256.
const KeySize = 32

// NewKey draws a key.
func NewKey() []byte {
	key := make([]byte, KeySize)
	rand.Read(key) // never fails: it ends the process instead
	return key
}

// WriteKeyring writes keys to a file that only its owner reads. The first one
// encrypts, all of them decrypt. The file must not exist yet.
func WriteKeyring(path string, keys ...[]byte) error {
	text, err := json.Marshal(keys)
	if err != nil {
		return fmt.Errorf("write keyring: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write keyring: %w", err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write keyring: %w", err)
	}
	_, err = file.Write(append(text, '\n'))
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write keyring: %w", err)
	}
	return nil
}

// ReadKeyring reads a file that WriteKeyring wrote: a JSON list of base64
// keys. A file that others may read is refused.
func ReadKeyring(path string) ([][]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read keyring: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fleet.Invalidf("gossip.keyring", path, "mode %04o lets others read it", mode).
			WithHint("chmod 600 %s", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read keyring: %w", err)
	}
	return parseKeyring(path, text)
}

func parseKeyring(path string, text []byte) ([][]byte, error) {
	var encoded []string
	if err := json.Unmarshal(text, &encoded); err != nil || len(encoded) == 0 {
		return nil, fleet.Invalidf("gossip.keyring", path, "want a JSON list of base64 keys, at least one")
	}
	keys := make([][]byte, len(encoded))
	for i, line := range encoded {
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(key) != KeySize {
			return nil, fleet.Invalidf("gossip.keyring", path, "key %d is not base64 of %d bytes", i+1, KeySize)
		}
		keys[i] = key
	}
	return keys, nil
}

// ring returns the keys of c for the library.
func (c *Config) ring() (*memberlist.Keyring, error) {
	keys := [][]byte{c.Key}
	if c.Keyring != "" {
		read, err := ReadKeyring(c.Keyring)
		if err != nil {
			return nil, err
		}
		keys = read
	}
	if len(keys[0]) != KeySize {
		return nil, fleet.Invalidf("gossip.key", "", "want %d bytes, have %d", KeySize, len(keys[0]))
	}
	return memberlist.NewKeyring(keys, keys[0])
}
