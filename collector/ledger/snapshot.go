package ledger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// A snapshot is magic, then for each bucket in the order of the table its name
// and its keys and values in their order, then the sum of all that. Equal
// ledgers have equal snapshots. Each item is a byte that says what it is, and
// texts with their length before them.
const snapshotMagic = "fleetcron ledger 1\n"

const (
	itemBucket = 'b' // name
	itemPair   = 'p' // key, value
	itemEnd    = 'e' // CRC-32C of everything before it, big-endian
)

// Snapshot is the ledger at one index. It must be closed.
type Snapshot struct {
	tx *bbolt.Tx
	r  reader
}

// Snapshot returns the ledger as it is now. Applying goes on while it is held,
// but the pages it shows are not reused, so it is to be written to the local
// disk and closed, never held across a network.
func (l *Ledger) Snapshot() (*Snapshot, error) {
	l.files.RLock()
	defer l.files.RUnlock()
	tx, err := l.db.Begin(false)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return &Snapshot{tx: tx, r: reader{tx: tx}}, nil
}

// Index returns the index of the last entry in the snapshot.
func (s *Snapshot) Index() uint64 { return s.r.index() }

// Close lets go of the pages. It may be called again.
func (s *Snapshot) Close() error {
	if err := s.tx.Rollback(); err != nil && !errors.Is(err, bbolterrors.ErrTxClosed) {
		return fmt.Errorf("close snapshot: %w", err)
	}
	return nil
}

// WriteTo writes the snapshot.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	out := &itemWriter{w: bufio.NewWriterSize(w, 1<<18), sum: crc32.New(castagnoli)}
	out.write([]byte(snapshotMagic))
	for b, name := range bucketNames {
		out.item(itemBucket, []byte(name))
		each(s.r.bucket(bucket(b)), nil, nil, func(k, v []byte) bool {
			out.item(itemPair, k, v)
			return out.err == nil
		})
	}
	out.write([]byte{itemEnd})
	out.write(binary.BigEndian.AppendUint32(nil, out.sum.Sum32()))
	if out.err == nil {
		out.err = out.w.Flush()
	}
	if out.err != nil {
		return out.n, fmt.Errorf("write snapshot: %w", out.err)
	}
	return out.n, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// itemWriter counts and sums what it writes, and keeps the first error.
type itemWriter struct {
	w   *bufio.Writer
	sum interface {
		io.Writer
		Sum32() uint32
	}
	n   int64
	err error
}

func (o *itemWriter) write(data []byte) {
	if o.err != nil {
		return
	}
	var n int
	n, o.err = o.w.Write(data)
	o.n += int64(n)
	_, _ = o.sum.Write(data) // a hash takes everything
}

func (o *itemWriter) item(what byte, texts ...[]byte) {
	var head [1 + binary.MaxVarintLen64]byte
	head[0] = what
	start := 0
	for _, text := range texts {
		end := binary.PutUvarint(head[1:], uint64(len(text))) + 1
		o.write(head[start:end])
		o.write(text)
		start = 1
	}
	if len(texts) == 0 {
		o.write(head[:1])
	}
}

// Scratch returns an empty file on the ledger's disk that has no name: it is
// gone when it is closed, or when the process ends.
func (l *Ledger) Scratch() (*os.File, error) {
	file, err := os.CreateTemp(filepath.Dir(l.path), "scratch-")
	if err != nil {
		return nil, fmt.Errorf("scratch file: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("scratch file: %w", err), file.Close())
	}
	return file, nil
}
