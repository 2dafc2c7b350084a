package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// format is the number of the file's layout; a file of another one is refused.
const format = 2 // 1 held found jobs under long names, and none of their history

// lockWait is how long Open waits for another process to let go of the file.
const lockWait = time.Second

// Ledger is the replicated state of one collector. Its methods may be called
// from any goroutine; Apply and Restore take turns.
type Ledger struct {
	path    string
	options bbolt.Options

	writing sync.Mutex // held by Apply and Restore
	broken  *Fatal     // set once; guarded by writing

	files sync.RWMutex // held for reading while db is used, for writing while it is swapped
	db    *bbolt.DB

	mu      sync.RWMutex // guards what follows
	memory  memory
	watches map[Topic]*watch
	opened  uint64 // what a topic that has not changed since counts from
	onHost  []func(fleet.HostID)

	contents *contents
}

// Open opens the ledger's file, or makes an empty one whole before it gets its
// name. A file that another process holds is a Conflict.
func Open(path string) (*Ledger, error) {
	return open(path, bbolt.Options{})
}

func open(path string, options bbolt.Options) (*Ledger, error) {
	options.Timeout = lockWait
	options.FreelistType = bbolt.FreelistMapType
	options.NoStatistics = true
	if strconv.IntSize == 64 {
		// Address space, not memory: a file that outgrows its mapping is
		// mapped anew, and that waits for every reader.
		options.InitialMmapSize = 1 << 36
	}
	l := &Ledger{path: path, options: options, watches: map[Topic]*watch{}, contents: newContents()}
	if err := removeIfThere(l.beside()); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := l.create(); err != nil {
			return nil, fmt.Errorf("create ledger: %w", err)
		}
	}
	db, err := l.openFile(path)
	if err != nil {
		return nil, err
	}
	fresh, err := readMemory(db)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger %s: %w", path, err), db.Close())
	}
	l.db = db
	l.remember(fresh)
	return l, nil
}

// Close closes the file. It waits for readers.
func (l *Ledger) Close() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.files.Lock()
	defer l.files.Unlock()
	if err := l.db.Close(); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}

// Applied returns index and term of the last entry applied.
func (l *Ledger) Applied() (index, term uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.memory.index, l.memory.term
}

// beside is where a new file is written before it takes the ledger's name.
func (l *Ledger) beside() string { return l.path + ".new" }

func (l *Ledger) create() error {
	db, err := l.openFile(l.beside())
	if err != nil {
		return err
	}
	if err := errors.Join(l.adopt(db), db.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(l.path))
}

// adopt makes what is in db durable and gives it the ledger's name; the name
// is durable once the directory is synced.
func (l *Ledger) adopt(db *bbolt.DB) error {
	if err := db.Sync(); err != nil {
		return err
	}
	return os.Rename(l.beside(), l.path)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// openFile opens a file, with every bucket in it.
func (l *Ledger) openFile(path string) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &l.options)
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fleet.Errorf(fleet.Conflict, "ledger %s is in use by another process", path).
			WithCode("in_use").WithHint("stop the other collector, or give this one a data directory of its own")
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	if err := db.Update(prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger %s: %w", path, err), db.Close())
	}
	return db, nil
}

func prepare(tx *bbolt.Tx) error {
	for _, name := range bucketNames {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	meta := tx.Bucket([]byte(bucketNames[inMeta]))
	switch found := meta.Get([]byte("format")); {
	case found == nil:
		return meta.Put([]byte("format"), bigEndian(format))
	case number(found) != format:
		return fmt.Errorf("its format is %d, this collector reads %d", number(found), format)
	}
	return nil
}

// view runs fn in a read transaction. It must not wait for anything.
func (l *Ledger) view(fn func(r *reader) error) error {
	l.files.RLock()
	defer l.files.RUnlock()
	return l.db.View(func(tx *bbolt.Tx) error { return fn(&reader{tx: tx}) })
}

// reader reads rows within one transaction.
type reader struct {
	tx     *bbolt.Tx
	opened [buckets]*bbolt.Bucket
}

func (r *reader) bucket(b bucket) *bbolt.Bucket {
	if r.opened[b] == nil {
		r.opened[b] = r.tx.Bucket([]byte(bucketNames[b]))
		if b == inRuns || b == inJobs || b == inAudit {
			r.opened[b].FillPercent = 0.9 // runs and links are appended, for their keys sort by time; jobs come host by host and seldom grow
		}
	}
	return r.opened[b]
}

func (r *reader) get(b bucket, key []byte) []byte { return r.bucket(b).Get(key) }

// index returns the index of the last entry in the transaction.
func (r *reader) index() uint64 {
	index, _ := position(r.get(inMeta, []byte("applied")))
	return index
}

// row reads one row; found is false when there is none.
func row[T any](r *reader, b bucket, key []byte) (value T, found bool, err error) {
	data := r.get(b, key)
	if data == nil {
		return value, false, nil
	}
	value, err = decode[T](data)
	return value, err == nil, err
}

func position(data []byte) (index, term uint64) {
	if len(data) != 16 {
		return 0, 0
	}
	return binary.BigEndian.Uint64(data), binary.BigEndian.Uint64(data[8:])
}
