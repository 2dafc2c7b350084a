// Package backup provides the file that a backup of the collectors is: who it
// is of and when it was taken, the ledger's snapshot, the word of the collector
// that took it, and a sum over all, so that a file which is damaged, cut off, of
// something else or of somebody else is known as that before anything is done
// with it.
package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	magic        = "fleetcron backup 2\n"
	maxHeader    = 4096
	maxWord      = 16 << 10
	sumBytes     = sha256.Size
	trailerBytes = 4 + sumBytes // how long the word is, and the sum
	leastBytes   = len(magic) + trailerBytes
)

// Header says what a backup is of.
type Header struct {
	Cluster string    `json:"cluster"`           // id of the cluster that was backed up
	Index   uint64    `json:"index"`             // of the last entry in it
	Taken   time.Time `json:"taken"`             // by the collector's clock
	Version string    `json:"version,omitempty"` // of the collector
}

// Write writes a backup: magic, header as one line of JSON, content, a word about
// the SHA-256 of all that, how long the word is, SHA-256 of everything. The word
// is vouch's for the sum, so that who may write to the file cannot put another
// backup there; nil: an empty one.
func Write(w io.Writer, header Header, content io.WriterTo, vouch func(sum []byte) ([]byte, error)) error {
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
	var word []byte
	if vouch != nil {
		if word, err = vouch(sum.Sum(nil)); err != nil {
			return fmt.Errorf("write backup: %w", err)
		}
	}
	if _, err := both.Write(binary.BigEndian.AppendUint32(word, uint32(len(word)))); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	if _, err := w.Write(sum.Sum(nil)); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

// Word is what somebody said of a backup.
type Word struct {
	Sum  []byte // SHA-256 of header and content
	Text []byte // as vouch returned it; empty: nobody said anything
}

// Open reads all of a backup once to see that it is whole, and returns what it
// is of, who vouches for it and its content. A file that is no backup, or not a
// whole one, is an Invalid error.
func Open(file io.ReadSeeker) (Header, Word, io.Reader, error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return Header{}, Word{}, nil, fmt.Errorf("open backup: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return Header{}, Word{}, nil, fmt.Errorf("open backup: %w", err)
	}
	header, began, err := readHeader(file, size)
	if err != nil {
		return Header{}, Word{}, nil, err
	}
	word, err := checkSum(file, began, size)
	if err != nil {
		return Header{}, Word{}, nil, err
	}
	if _, err := file.Seek(began, io.SeekStart); err != nil {
		return Header{}, Word{}, nil, fmt.Errorf("open backup: %w", err)
	}
	return header, word, io.LimitReader(file, size-trailerBytes-int64(len(word.Text))-began), nil
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
	if began > size-trailerBytes {
		return header, 0, notOne("it ends after its header")
	}
	return header, began, nil
}

// checkSum compares the sum at the end with what stands before it, and returns
// the word that stands between.
func checkSum(file io.ReadSeeker, began, size int64) (word Word, err error) {
	trailer := make([]byte, trailerBytes)
	if err := readAt(file, size-trailerBytes, trailer); err != nil {
		return word, err
	}
	length := int64(binary.BigEndian.Uint32(trailer))
	if length > maxWord || began > size-trailerBytes-length {
		return word, damaged()
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return word, fmt.Errorf("open backup: %w", err)
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, file, size-trailerBytes-length); err != nil {
		return word, fmt.Errorf("read backup: %w", err)
	}
	word.Sum, word.Text = sum.Sum(nil), make([]byte, length)
	if _, err := io.ReadFull(file, word.Text); err != nil {
		return word, fmt.Errorf("read backup: %w", err)
	}
	sum.Write(word.Text)
	sum.Write(trailer[:trailerBytes-sumBytes])
	if !bytes.Equal(sum.Sum(nil), trailer[trailerBytes-sumBytes:]) {
		return word, damaged()
	}
	return word, nil
}

func readAt(file io.ReadSeeker, at int64, into []byte) error {
	if _, err := file.Seek(at, io.SeekStart); err != nil {
		return fmt.Errorf("open backup: %w", err)
	}
	if _, err := io.ReadFull(file, into); err != nil {
		return fmt.Errorf("read backup: %w", err)
	}
	return nil
}

func damaged() error {
	return fleet.Errorf(fleet.Invalid, "the backup is damaged or cut off: its sum does not fit").
		WithCode("backup_damaged").WithHint("take another backup, or another copy of this one")
}

func notOne(format string, args ...any) error {
	return fleet.Errorf(fleet.Invalid, "this file is no backup: %s", fmt.Sprintf(format, args...)).
		WithCode("no_backup").WithHint("fleetctl backup FILE makes one")
}
