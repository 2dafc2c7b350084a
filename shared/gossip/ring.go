package gossip

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// KeySize is the length of a key in bytes: AES-256.
const KeySize = 32

// keysMax bounds what another's ring may hold.
const keysMax = 8

// Key is one key of a ring.
type Key struct {
	Secret []byte    // KeySize bytes
	Made   time.Time // zero: unknown, and so older than any other
}

// NewKey draws a key.
func NewKey() []byte {
	key := make([]byte, KeySize)
	rand.Read(key) // never fails: it ends the process instead
	return key
}

// text is how a key stands in files and answers: base64, and when it was made.
func (k Key) text() string {
	text := base64.StdEncoding.EncodeToString(k.Secret)
	if !k.Made.IsZero() {
		text += " " + k.Made.UTC().Format(time.RFC3339)
	}
	return text
}

func parseKey(text string) (key Key, err error) {
	secret, made, dated := strings.Cut(text, " ")
	if key.Secret, err = base64.StdEncoding.Strict().DecodeString(secret); err != nil || len(key.Secret) != KeySize {
		return Key{}, fmt.Errorf("is not base64 of %d bytes", KeySize)
	}
	if dated {
		if key.Made, err = time.Parse(time.RFC3339, made); err != nil {
			return Key{}, errors.New("bears no RFC 3339 time after its base64")
		}
	}
	return key, nil
}

// Ring holds the keys that members encrypt and decrypt with. The first
// encrypts, all of them decrypt. Its methods may be called from many
// goroutines.
type Ring struct {
	path string // empty: kept in memory only

	mu      sync.Mutex // guards what follows
	keys    []Key
	changed chan struct{} // closed and replaced at each change
}

// NewRing returns a ring that no file keeps.
func NewRing(secrets ...[]byte) *Ring {
	r := &Ring{changed: make(chan struct{})}
	for _, secret := range secrets {
		r.keys = append(r.keys, Key{Secret: secret})
	}
	return r
}

// OpenRing reads a ring from its file, which only its owner may read: a JSON
// list of keys, each in base64. Later changes are kept there.
func OpenRing(path string) (*Ring, error) {
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
	var texts []string
	if err := json.Unmarshal(text, &texts); err != nil {
		return nil, fleet.Invalidf("gossip.keyring", path, "want a JSON list of base64 keys, at least one")
	}
	keys, err := parseKeys(path, texts)
	if err != nil {
		return nil, err
	}
	return &Ring{path: path, keys: keys, changed: make(chan struct{})}, nil
}

// MakeRing writes keys into a file that must not exist yet, and opens it.
// Without any it draws one.
func MakeRing(path string, texts ...string) (*Ring, error) {
	if len(texts) == 0 {
		texts = []string{Key{Secret: NewKey(), Made: time.Now()}.text()}
	}
	keys, err := parseKeys(path, texts)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("write keyring: %w", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("write keyring %s: %w", path, cmp.Or(err, error(fs.ErrExist)))
	}
	r := &Ring{path: path, changed: make(chan struct{})}
	return r, r.replace(keys)
}

func parseKeys(path string, texts []string) ([]Key, error) {
	if len(texts) == 0 || len(texts) > keysMax {
		return nil, fleet.Invalidf("gossip.keyring", path, "want a JSON list of base64 keys, 1–%d of them", keysMax)
	}
	keys := make([]Key, len(texts))
	for i, text := range texts {
		key, err := parseKey(text)
		if err != nil {
			return nil, fleet.Invalidf("gossip.keyring", path, "key %d %v", i+1, err)
		}
		if slices.ContainsFunc(keys[:i], func(other Key) bool { return bytes.Equal(other.Secret, key.Secret) }) {
			return nil, fleet.Invalidf("gossip.keyring", path, "key %d stands in it twice", i+1)
		}
		keys[i] = key
	}
	return keys, nil
}

// Texts returns the keys as they stand in the file, for another member that
// may have them.
func (r *Ring) Texts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return texts(r.keys)
}

func texts(keys []Key) []string {
	lines := make([]string, len(keys))
	for i, key := range keys {
		lines[i] = key.text()
	}
	return lines
}

// Digest tells two rings apart and tells nothing of their keys.
func (r *Ring) Digest() string { return DigestOf(r.Texts()) }

// DigestOf returns the digest of a ring with these keys.
func DigestOf(texts []string) string {
	sum := sha256.Sum256([]byte("fleetcron ring\n" + strings.Join(texts, "\n")))
	return hex.EncodeToString(sum[:8])
}

// Take replaces the ring by another member's. One that is the same changes
// nothing.
func (r *Ring) Take(texts []string) error {
	keys, err := parseKeys(r.path, texts)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Equal(texts, r.texts()) {
		return nil
	}
	return r.replace(keys)
}

func (r *Ring) texts() []string { return texts(r.keys) }

// state returns the keys, and what is closed when they change.
func (r *Ring) state() ([]Key, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys, r.changed
}

// replace keeps other keys and tells who waits; the caller holds the lock.
func (r *Ring) replace(keys []Key) error {
	if r.path != "" {
		if err := r.save(keys); err != nil {
			return fmt.Errorf("write keyring: %w", err)
		}
	}
	r.keys = keys
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}

// save replaces the file as a whole.
func (r *Ring) save(keys []Key) error {
	text, err := json.Marshal(texts(keys))
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(r.path), ".ring-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(append(text, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), r.path)
}
