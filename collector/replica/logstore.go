package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// logStore keeps raft's log and its few stable values in one bbolt file. A
// call that stores returns after the fsync. Entries are keyed by their index,
// big-endian, so the log is one range.
type logStore struct {
	db      *bbolt.DB
	fatal   func(error)  // called when the disk failed a write; must end the process
	written atomic.Int64 // bytes of entries stored since the last compaction
}

var (
	logBucket    = []byte("log")
	stableBucket = []byte("stable")
)

// errNotFound has exactly the text that raft compares with.
var errNotFound = errors.New("not found")

const (
	lockPatience = 250 * time.Millisecond // for the other process to let go of the file
	logFill      = 0.95                   // of a page: entries are only ever appended
	logMap       = 64 << 20               // bytes of address space; growing within it stalls nobody
)

func logOptions() *bbolt.Options {
	return &bbolt.Options{
		Timeout: lockPatience, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true,
		NoStatistics: true, InitialMmapSize: logMap,
	}
}

// openLogStore opens the file, or makes it: under another name first, so that
// a crash meanwhile leaves none.
func openLogStore(path string, fatal func(error)) (*logStore, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := createLogStore(path); err != nil {
			return nil, fmt.Errorf("create raft log: %w", err)
		}
	}
	if err := checkComplete(path); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(path, 0o600, logOptions())
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fleet.Errorf(fleet.Conflict, "raft log %s is in use by another process", path).
			WithHint("one collector a data directory; see who has it: fuser %s", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open raft log %s: %w", path, err)
	}
	return &logStore{db: db, fatal: fatal}, nil
}

func createLogStore(path string) error {
	draft := path + ".new"
	if err := os.Remove(draft); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(draft, 0o600, logOptions())
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{logBucket, stableBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Close closes the file.
func (s *logStore) Close() error { return s.db.Close() }

// update stores, and ends the process when the disk failed: an fsync that is
// tried again lies. A full disk is not a failure; it can be emptied.
func (s *logStore) update(change func(*bbolt.Tx) error) error {
	err := s.db.Update(change)
	if err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		s.fatal(fmt.Errorf("store in raft log: %w", err))
	}
	return err
}

// FirstIndex returns the index of the oldest entry, 0 without any.
func (s *logStore) FirstIndex() (uint64, error) {
	return s.edge(func(c *bbolt.Cursor) []byte { key, _ := c.First(); return key })
}

// LastIndex returns the index of the newest entry, 0 without any.
func (s *logStore) LastIndex() (uint64, error) {
	return s.edge(func(c *bbolt.Cursor) []byte { key, _ := c.Last(); return key })
}

func (s *logStore) edge(seek func(*bbolt.Cursor) []byte) (index uint64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		if key := seek(tx.Bucket(logBucket).Cursor()); key != nil {
			index = binary.BigEndian.Uint64(key)
		}
		return nil
	})
	return index, err
}

// GetLog reads one entry, or raft.ErrLogNotFound.
func (s *logStore) GetLog(index uint64, entry *raft.Log) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		value := tx.Bucket(logBucket).Get(key(index))
		if value == nil {
			return raft.ErrLogNotFound
		}
		return decodeEntry(index, value, entry)
	})
}

// StoreLog stores one entry.
func (s *logStore) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

// StoreLogs stores entries in one transaction.
func (s *logStore) StoreLogs(entries []*raft.Log) error {
	size := 0
	err := s.update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(logBucket)
		bucket.FillPercent = logFill
		for _, entry := range entries {
			value := encodeEntry(entry)
			size += len(value)
			if err := bucket.Put(key(entry.Index), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.written.Add(int64(size))
	}
	return err
}

// DeleteRange deletes the entries from low to high, both included, at once: a
// crash never leaves a hole.
func (s *logStore) DeleteRange(low, high uint64) error {
	return s.update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(logBucket)
		first, _ := bucket.Cursor().First()
		last, _ := bucket.Cursor().Last()
		if first == nil {
			return nil
		}
		low, high := max(low, binary.BigEndian.Uint64(first)), min(high, binary.BigEndian.Uint64(last))
		for index := low; index <= high; index++ {
			if err := bucket.Delete(key(index)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Set stores a stable value.
func (s *logStore) Set(name, value []byte) error {
	return s.update(func(tx *bbolt.Tx) error { return tx.Bucket(stableBucket).Put(name, value) })
}

// Get returns a stable value, or the "not found" that raft expects.
func (s *logStore) Get(name []byte) (value []byte, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		found := tx.Bucket(stableBucket).Get(name)
		if found == nil {
			return errNotFound
		}
		value = append([]byte{}, found...)
		return nil
	})
	return value, err
}

// SetUint64 stores a number.
func (s *logStore) SetUint64(name []byte, value uint64) error { return s.Set(name, key(value)) }

// GetUint64 returns a number, or the "not found" that raft expects.
func (s *logStore) GetUint64(name []byte) (uint64, error) {
	value, err := s.Get(name)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("stable value %q of the raft log is damaged: %d bytes", name, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

func key(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }
