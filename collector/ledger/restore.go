package ledger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"
)

// restoreBatch is how many bytes one transaction of a restore takes in.
const restoreBatch = 4 << 20

// limits of a text in a snapshot: what bbolt takes for a key, and more than an
// entry can hold for a value.
const (
	maxKey   = bbolt.MaxKeySize
	maxValue = 64 << 20
)

// Restore replaces everything by a snapshot: it is written to a new file,
// synced and put in the old one's place. Until then, and when it fails, the
// ledger stays as it is. Everyone who watches is woken.
func (l *Ledger) Restore(r io.Reader) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := removeIfThere(l.beside()); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	fresh, err := l.openFile(l.beside())
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	filled, err := l.fill(fresh, r)
	if err != nil {
		return errors.Join(fmt.Errorf("restore: %w", err), fresh.Close(), removeIfThere(l.beside()))
	}
	old := l.swap(fresh, filled)
	if err := syncDir(filepath.Dir(l.path)); err != nil {
		// Which file a restart would find is not known: apply nothing more.
		l.broken = &Fatal{Path: l.path, Index: filled.index, Err: err}
		return errors.Join(fmt.Errorf("restore: %w", err), old.Close())
	}
	if err := old.Close(); err != nil { // waits for who still reads it
		return fmt.Errorf("restore: close what was there before: %w", err)
	}
	return nil
}

// fill writes the snapshot into a file of its own, reads what is to be in
// memory, and gives that file the ledger's name.
func (l *Ledger) fill(db *bbolt.DB, r io.Reader) (memory, error) {
	db.NoSync = true // nobody depends on it before adopt has synced it
	in := &itemReader{r: bufio.NewReaderSize(r, 1<<18), sum: crc32.New(castagnoli)}
	if err := in.copyInto(db); err != nil {
		return memory{}, err
	}
	db.NoSync = l.options.NoSync
	filled, err := readMemory(db)
	if err != nil {
		return memory{}, err
	}
	return filled, l.adopt(db)
}

// swap puts the new file in the old one's place, and tells the hooks about
// every host that was and that is.
func (l *Ledger) swap(fresh *bbolt.DB, filled memory) (old *bbolt.DB) {
	l.files.Lock()
	old, l.db = l.db, fresh
	hosts := slices.Collect(maps.Keys(l.memory.hosts))
	l.remember(filled)
	l.files.Unlock()
	hosts = slices.AppendSeq(hosts, maps.Keys(filled.hosts))
	slices.Sort(hosts)
	for _, host := range slices.Compact(hosts) {
		for _, hook := range l.hooks() {
			hook(host)
		}
	}
	return old
}

// itemReader sums up what it reads.
type itemReader struct {
	r   *bufio.Reader
	sum interface {
		io.Writer
		Sum32() uint32
	}
}

var errSnapshot = errors.New("this is no whole snapshot of a ledger")

// copyInto writes all items into db, some megabytes a transaction.
func (in *itemReader) copyInto(db *bbolt.DB) error {
	if magic, err := in.read(len(snapshotMagic)); err != nil || string(magic) != snapshotMagic {
		return errSnapshot
	}
	name, done := "", false
	for !done {
		err := db.Update(func(tx *bbolt.Tx) (err error) {
			name, done, err = in.copySome(tx, name)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copySome copies items until the batch is full. It returns the bucket it is
// in, and whether the end was reached and the sum is right.
func (in *itemReader) copySome(tx *bbolt.Tx, name string) (string, bool, error) {
	for size := 0; size < restoreBatch; {
		what, err := in.read(1)
		if err != nil {
			return "", false, err
		}
		switch what[0] {
		case itemBucket:
			text, err := in.text(maxKey)
			if err != nil {
				return "", false, err
			}
			if name = string(text); !slices.Contains(bucketNames[:], name) {
				return "", false, fmt.Errorf("bucket %q is unknown: the snapshot is of a newer collector", name)
			}
		case itemPair:
			n, err := in.pair(tx.Bucket([]byte(name)))
			if err != nil {
				return "", false, err
			}
			size += n
		case itemEnd:
			return name, true, in.checkEnd()
		default:
			return "", false, errSnapshot
		}
	}
	return name, false, nil
}

func (in *itemReader) pair(b *bbolt.Bucket) (int, error) {
	if b == nil {
		return 0, errSnapshot
	}
	k, err := in.text(maxKey)
	if err != nil {
		return 0, err
	}
	v, err := in.text(maxValue)
	if err != nil {
		return 0, err
	}
	b.FillPercent = 0.9 // keys come in their order
	return len(k) + len(v), b.Put(k, v)
}

// checkEnd compares the sum of everything up to and with the end item.
func (in *itemReader) checkEnd() error {
	want := in.sum.Sum32()
	sum, err := in.read(4)
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint32(sum) != want {
		return errSnapshot
	}
	return nil
}

func (in *itemReader) text(limit int) ([]byte, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil || n > uint64(limit) {
		return nil, errSnapshot
	}
	return in.read(int(n))
}

// ReadByte reads one byte of a length.
func (in *itemReader) ReadByte() (byte, error) {
	b, err := in.read(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (in *itemReader) read(n int) ([]byte, error) {
	data := make([]byte, n)
	if _, err := io.ReadFull(in.r, data); err != nil {
		return nil, fmt.Errorf("%w: %w", errSnapshot, err)
	}
	_, _ = in.sum.Write(data) // a hash takes everything
	return data, nil
}
