package policy

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Entry is one link of a host's own audit chain. Hash is the SHA-256 of the
// entry as JSON without Hash, and with it of all before it.
type Entry struct {
	Seq    uint64    `json:"seq"` // from 1, without a gap
	At     time.Time `json:"at"`
	Action string    `json:"action"` // taken, refused, begun, adopted, released, policy, confirmed, dropped
	Object string    `json:"object"`
	Code   string    `json:"code,omitempty"`
	Why    string    `json:"why,omitempty"`
	Digest string    `json:"digest,omitempty"` // of the statement, or of the policy file
	Before string    `json:"before"`           // hash of the entry before, hex; 64 zeros for the first
	Hash   string    `json:"hash,omitempty"`
}

// sum computes the hash.
func (e Entry) sum() string {
	e.Hash = ""
	text, _ := json.Marshal(e) // strings, a number and an instant: cannot fail
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

const (
	// chainFile bounds one file of the chain; there is this one and the one before.
	chainFile = 4 << 20
	// maxEntry bounds the line of one entry.
	maxEntry = 16 << 10
)

// chain is the audit chain on disk. Entries are written at once and synced in
// batches, by sync.
type chain struct {
	path string

	mu    sync.Mutex
	file  *os.File
	size  int64
	seq   uint64
	head  string
	dirty bool
}

// openChain goes on with the chain on disk. A torn last line is cut.
func openChain(path string) (*chain, error) {
	c := &chain{path: path, head: hex.EncodeToString(make([]byte, sha256.Size))}
	last, whole, err := lastEntry(path)
	if err != nil {
		return nil, err
	}
	if last == nil { // it may just have been turned over
		if last, _, err = lastEntry(path + ".1"); err != nil {
			return nil, err
		}
	}
	if last != nil {
		c.seq, c.head = last.Seq, last.Hash
	}
	c.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := c.file.Truncate(whole); err != nil {
		c.file.Close()
		return nil, err
	}
	c.size = whole
	return c, nil
}

// lastEntry returns the last whole entry of a file, and how many bytes are whole.
func lastEntry(path string) (last *Entry, whole int64, err error) {
	err = eachEntry(path, func(e *Entry, end int64) error {
		last, whole = e, end
		return nil
	})
	if errors.Is(err, errTorn) {
		err = nil
	}
	return last, whole, err
}

var errTorn = errors.New("the last line is torn")

// eachEntry visits the entries of one file.
func eachEntry(path string, visit func(e *Entry, end int64) error) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	end := int64(0)
	for reader := bufio.NewReaderSize(file, maxEntry); ; {
		line, err := reader.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		var e Entry
		if err != nil || json.Unmarshal(bytes.TrimSuffix(line, []byte("\n")), &e) != nil {
			return fmt.Errorf("%s: after %d bytes: %w", path, end, errTorn)
		}
		end += int64(len(line))
		if err := visit(&e, end); err != nil {
			return err
		}
	}
}

// add appends an entry.
func (c *chain) add(e Entry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.Seq, e.Before, e.At = c.seq+1, c.head, e.At.UTC()
	e.Why, e.Object = clip(e.Why), clip(e.Object)
	e.Hash = e.sum()
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if c.size > 0 && c.size+int64(len(text))+1 > chainFile {
		if err := c.turn(); err != nil {
			return err
		}
	}
	if _, err := c.file.Write(append(text, '\n')); err != nil {
		_ = c.file.Truncate(c.size) // else the next line would be joined to half of this
		return err
	}
	c.size += int64(len(text)) + 1
	c.seq, c.head, c.dirty = e.Seq, e.Hash, true
	return nil
}

func clip(text string) string {
	const most = 1000
	if len(text) <= most {
		return text
	}
	return string(bytes.ToValidUTF8([]byte(text[:most]), nil)) + "…"
}

// turn begins a new file; the one before that is gone. The first entry of the
// new one holds the hash of the last.
func (c *chain) turn() error {
	if err := c.file.Sync(); err != nil {
		return err
	}
	next, err := os.OpenFile(c.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Rename(c.path, c.path+".1"), os.Rename(c.path+".new", c.path)); err != nil {
		next.Close()
		return err
	}
	c.file.Close()
	c.file, c.size = next, 0
	return nil
}

// sync makes what was added durable.
func (c *chain) sync() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dirty {
		return nil
	}
	err := c.file.Sync()
	c.dirty = err != nil
	return err
}

// last returns the number and the hash of the last entry.
func (c *chain) last() (uint64, []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	head, _ := hex.DecodeString(c.head) // we wrote it
	return c.seq, head
}

func (c *chain) Close() error { return errors.Join(c.sync(), c.file.Close()) }

// VerifyChain recomputes the chain in a directory of a Gate and returns its
// head. The error names the first entry that is not what it was.
func VerifyChain(dir string) (seq uint64, head string, err error) {
	for _, name := range []string{chainName + ".1", chainName} {
		err = eachEntry(dir+"/"+name, func(e *Entry, _ int64) error {
			if seq > 0 && (e.Seq != seq+1 || e.Before != head) || e.Hash != e.sum() {
				return fleet.Errorf(fleet.Refused, "the chain is broken at entry %d", e.Seq).WithCode("audit_broken")
			}
			seq, head = e.Seq, e.Hash
			return nil
		})
		if err != nil {
			return seq, head, err
		}
	}
	return seq, head, nil
}
