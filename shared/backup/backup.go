// Package backup provides the file that a backup of the collectors is: who it
// is of and when it was taken, the ledger's snapshot, and a sum over both, so
// that a file which is damaged, cut off or of something else is known as that
// before anything is done with it.
package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	magic      = "fleetcron backup 1\n"
	maxHeader  = 4096
	sumBytes   = sha256.Size
	leastBytes = len(magic) + sumBytes
)

// Header says what a backup is of.
type Header struct {
	Cluster string    `json:"cluster"`           // id of the cluster that was backed up
	Index   uint64    `json:"index"`             // of the last entry in it
	Taken   time.Time `json:"taken"`             // by the collector's clock
	Version string    `json:"version,omitempty"` // of the collector
}

// Write writes a backup: magic, header as one line of JSON, content, SHA-256 of
// all that.
func Write(w io.Writer, header Header, content io.WriterTo) error {
	sum := sha256.New()
	both := io.MultiWriter(w, sum)
	line, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	if _, err := fmt.Fprintf(both, "%s%s\n", magic, line); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	if _, err := content.WriteTo(both); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	if _, err := w.Write(sum.Sum(nil)); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

// Open reads all of a backup once to see that it is whole, and returns what it
// is of and its content. A file that is no backup, or not a whole one, is an
// Invalid error.
func Open(file io.ReadSeeker) (Header, io.Reader, error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return Header{}, nil, fmt.Errorf("open backup: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return Header{}, nil, fmt.Errorf("open backup: %w", err)
	}
	header, began, err := readHeader(file, size)
	if err != nil {
		return Header{}, nil, err
	}
	if err := checkSum(file, size); err != nil {
		return Header{}, nil, err
	}
	if _, err := file.Seek(began, io.SeekStart); err != nil {
		return Header{}, nil, fmt.Errorf("open backup: %w", err)
	}
	return header, io.LimitReader(file, size-sumBytes-began), nil
}

// readHeader reads the header and returns where the content begins.
func readHeader(file io.Reader, size int64) (header Header, began int64, err error) {
	if size < int64(leastBytes) {
		return header, 0, notOne("it has %d bytes", size)
	}
	r := bufio.NewReaderSize(io.LimitReader(file, int64(len(magic)+maxHeader)), len(magic)+maxHeader)
	if begin, _ := r.Peek(len(magic)); string(begin) != magic {
		return header, 0, notOne("it does not begin with %q", magic[:len(magic)-1])
	}
	_, _ = r.Discard(len(magic)) // they were looked at
	line, err := r.ReadBytes('\n')
	if err != nil {
		return header, 0, notOne("its header has no end")
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&header); err != nil || header.Cluster == "" {
		return header, 0, notOne("its header names no cluster")
	}
	began = int64(len(magic) + len(line))
	if began > size-sumBytes {
		return header, 0, notOne("it ends after its header")
	}
	return header, began, nil
}

// checkSum compares the sum at the end with what stands before it.
func checkSum(file io.ReadSeeker, size int64) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("open backup: %w", err)
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, file, size-sumBytes); err != nil {
		return fmt.Errorf("read backup: %w", err)
	}
	want := make([]byte, sumBytes)
	if _, err := io.ReadFull(file, want); err != nil {
		return fmt.Errorf("read backup: %w", err)
	}
	if !bytes.Equal(sum.Sum(nil), want) {
		return fleet.Errorf(fleet.Invalid, "the backup is damaged or cut off: its sum does not fit").
			WithCode("backup_damaged").WithHint("take another backup, or another copy of this one")
	}
	return nil
}

func notOne(format string, args ...any) error {
	return fleet.Errorf(fleet.Invalid, "this file is no backup: %s", fmt.Sprintf(format, args...)).
		WithCode("no_backup").WithHint("fleetctl backup FILE makes one")
}
