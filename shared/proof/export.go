package proof

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// Mark says what is unusual about a block beside the one that the collectors had
// of its host before. They keep such a block all the same.
type Mark string

// The marks.
const (
	MarkGap   Mark = "gap"   // lines between the two were never brought
	MarkFork  Mark = "fork"  // its numbers were used before, for other lines
	MarkChain Mark = "chain" // it is of another chain: the host has lost its state, or was put back to an older one
	MarkKey   Mark = "key"   // it is signed by another key than the host was known by
)

// Kept is a block as it is kept.
type Kept struct {
	Block
	Received time.Time `json:"received,omitzero"` // by the collectors
	Marks    []Mark    `json:"marks,omitempty"`
}

// HostKey is a key that blocks of a host are signed with.
type HostKey struct {
	Host        fleet.HostID `json:"host"`
	Name        string       `json:"name,omitempty"` // of the host, for people
	Key         PublicKey    `json:"key"`
	Fingerprint string       `json:"fingerprint"`
	Since       time.Time    `json:"since,omitzero"` // when the collectors heard of it
	How         string       `json:"how,omitempty"`  // "enrolled": with the host; "told": with a block
}

// How a key was heard of.
const (
	Enrolled = "enrolled"
	Told     = "told"
)

// End is the last line of an export. A file without it was cut off.
type End struct {
	Blocks uint64 `json:"blocks"`
	Lines  uint64 `json:"lines"`
}

// record is one line of an export: one of them is set.
type record struct {
	Key   *HostKey `json:"key,omitempty"`
	Block *Kept    `json:"block,omitempty"`
	End   *End     `json:"end,omitempty"`
}

// Writer writes an export: JSON, one key, block or end a line.
type Writer struct {
	out    *bufio.Writer
	escape func([]byte) []byte
	end    End
}

// NewWriter returns a writer. What is written goes through escape, which must
// leave it the same JSON; nil: as it is.
func NewWriter(out io.Writer, escape func([]byte) []byte) *Writer {
	if escape == nil {
		escape = func(text []byte) []byte { return text }
	}
	return &Writer{out: bufio.NewWriter(out), escape: escape}
}

func (w *Writer) write(r record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write proofs: %w", err)
	}
	_, err = w.out.Write(append(w.escape(text), '\n'))
	return err
}

// Key writes a key.
func (w *Writer) Key(key HostKey) error { return w.write(record{Key: &key}) }

// Block writes a block.
func (w *Writer) Block(block Kept) error {
	w.end.Blocks++
	w.end.Lines += uint64(len(block.Lines))
	return w.write(record{Block: &block})
}

// End writes the end.
func (w *Writer) End() error {
	if err := w.write(record{End: &w.end}); err != nil {
		return err
	}
	return w.out.Flush()
}

// maxRecord bounds one line of an export, in bytes.
const maxRecord = 8 << 20

// records reads an export. Each line is read as strictly as what people sign: no
// two readers may read two things.
func records(source io.Reader) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		lines := bufio.NewScanner(source)
		lines.Buffer(make([]byte, 0, 64<<10), maxRecord)
		n := 0
		for lines.Scan() {
			n++
			var r record
			err := seal.DecodeStrict(lines.Bytes(), &r)
			if err == nil && !r.whole() {
				err = errors.New("it is neither a key, nor a block, nor the end")
			}
			if err != nil {
				err = fleet.Errorf(fleet.Invalid, "line %d of the file is not as proofs export writes it: %v", n, err).WithCode("proof_unreadable")
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(record{}, fleet.Errorf(fleet.Invalid, "line %d of the file cannot be read: %v", n+1, err).WithCode("proof_unreadable"))
		}
	}
}

// whole reports whether one of the parts is there.
func (r *record) whole() bool {
	there := 0
	for _, is := range []bool{r.Key != nil, r.Block != nil, r.End != nil} {
		if is {
			there++
		}
	}
	return there == 1
}
