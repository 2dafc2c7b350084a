package seal

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Save writes the key to a new file that only its owner can read, whole or not at
// all. A file that is there is a Conflict: a key that was lost cannot be made
// again.
func (k Key) Save(path string) error {
	if len(k.private) != ed25519.PrivateKeySize {
		return fleet.Errorf(fleet.Invalid, "there is no key to save")
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".key-*") // 0600
	if err != nil {
		return fmt.Errorf("save key: %w", err)
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(secretPrefix + base64.RawURLEncoding.EncodeToString(k.private.Seed()) + "\n")
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Link(file.Name(), path) // which never replaces
	}
	switch {
	case os.IsExist(err):
		return fleet.Errorf(fleet.Conflict, "key file %s is there already", path).
			WithHint("name another file, or move it away: what was signed with it stays valid on hosts that trust it")
	case err != nil:
		return fmt.Errorf("save key: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("save key: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("save key: %w", err)
	}
	return nil
}

// LoadKey reads a key file. One that anybody but its owner can read, or that
// belongs to somebody else than the reader or root, is Refused.
func LoadKey(path string) (Key, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not hold us
	if err != nil {
		return Key{}, fleet.Errorf(fleet.Usage, "key file: %v", err).
			WithHint("fleetctl key new makes one; key_file in the configuration says where it is")
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Key{}, fmt.Errorf("key file: %w", err)
	}
	if err := private(path, info); err != nil {
		return Key{}, err
	}
	text, err := io.ReadAll(io.LimitReader(file, 256))
	if err != nil {
		return Key{}, fmt.Errorf("key file: %w", err)
	}
	encoded, ours := strings.CutPrefix(strings.TrimSpace(string(text)), secretPrefix)
	seed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ours || err != nil || len(seed) != ed25519.SeedSize {
		return Key{}, fleet.Errorf(fleet.Invalid, "key file %s holds no key: want fcs1. and 43 characters", path).WithHint("fleetctl key new makes one")
	}
	return Key{ed25519.NewKeyFromSeed(seed)}, nil
}

// private refuses a file that is not its reader's own secret.
func private(path string, info os.FileInfo) error {
	status, _ := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return fleet.Errorf(fleet.Refused, "key file %s is no regular file", path).WithCode("key_file")
	case info.Mode().Perm()&0o077 != 0:
		return fleet.Errorf(fleet.Refused, "key file %s has mode %04o: others on this machine may read it", path, info.Mode().Perm()).
			WithCode("key_file").WithHint("chmod 600 %s; if others may have read it, make another key", path)
	case status != nil && status.Uid != 0 && int(status.Uid) != os.Geteuid():
		return fleet.Errorf(fleet.Refused, "key file %s belongs to uid %d and not to you", path, status.Uid).
			WithCode("key_file").WithHint("chown it, or make your own: fleetctl key new")
	}
	return nil
}
