// Package rpmdb tells which package of rpm's owns which file, from rpm's own database and without rpm.
//
// The database is one file in one of three formats, told apart by how it
// begins: sqlite (Fedora, RHEL 9), ndb (SUSE) or Berkeley DB (RHEL 8 and
// before). Each holds the same thing, a blob per package: its header, in which
// a few of many tags say its name and its files. [Read] hands out every blob in
// turn and keeps none. It reads only, takes no lock, and takes nothing for
// granted: every length and every page number is checked, and no file however
// broken makes it read more than its size a few times over.
package rpmdb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxBlob bounds the header of one package, in bytes; rpm's own bound is 256 MiB.
const maxBlob = 64 << 20

// maxDirs bounds the directories of one package; kernels and fonts have some
// thousands.
const maxDirs = 1 << 18

// Source is a database that is open.
type Source struct {
	File io.ReaderAt
	Size int64 // of File, in bytes
	// Log is sqlite's write-ahead log, which lies beside the file while
	// something is to be brought into it; nil: there is none.
	Log     io.ReaderAt
	LogSize int64 // of Log, in bytes
}

// format is one way in which rpm keeps its packages.
type format struct {
	name   string
	begins func(head []byte) bool
	// blobs hands out the header of each package, good until the next.
	blobs func(ctx context.Context, src Source, blob func([]byte) error) error
}

var formats = []format{
	{"sqlite", func(head []byte) bool { return bytes.HasPrefix(head, []byte(sqliteMagic)) }, sqliteBlobs},
	{"ndb", func(head []byte) bool { return bytes.HasPrefix(head, []byte(ndbMagic)) }, ndbBlobs},
	{"Berkeley DB", func(head []byte) bool { return berkeleyOrder(head) != nil }, berkeleyBlobs},
}

var errFormat = errors.New("it is in none of rpm's formats: sqlite, ndb, Berkeley DB")

// Read calls add with every file in a directory that within wants, and the
// name of the package it came with. A directory's name ends with a slash. A
// package whose header is broken is left out; the error is about the database.
func Read(ctx context.Context, src Source, within func(dir string) bool, add func(name, file string)) error {
	head := make([]byte, min(src.Size, 32))
	if _, err := src.File.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, f := range formats {
		if !f.begins(head) {
			continue
		}
		err := f.blobs(ctx, src, func(blob []byte) error {
			readHeader(blob, within, add)
			return ctx.Err()
		})
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		return nil
	}
	return errFormat
}

// broken says what of a file contradicts its format.
func broken(what string, at int64) error {
	return fmt.Errorf("%s at byte %d is broken", what, at)
}

// The tags of a header that are read, and the types of their values.
const (
	tagName        = 1000
	tagOldNames    = 1027 // whole names, before rpm 4
	tagDirIndexes  = 1116
	tagBaseNames   = 1117
	tagDirNames    = 1118
	typeInt32      = 4
	typeString     = 6
	typeStringList = 8
)

// header is a package's, without its tags that are of no matter here.
type header struct {
	data   []byte
	values map[uint32]value
}

type value struct{ kind, offset, count uint32 }

// readHeader tells the files of one package.
func readHeader(blob []byte, within func(dir string) bool, add func(name, file string)) {
	h, ok := parseHeader(blob)
	if !ok {
		return
	}
	name, ok := h.text(tagName)
	if !ok {
		return
	}
	for old := range h.list(tagOldNames) {
		if within(string(old[:bytes.LastIndexByte(old, '/')+1])) {
			add(name, string(old))
		}
	}
	var dirs []string // empty: not wanted
	wanted := false
	for dir := range h.list(tagDirNames) {
		if len(dirs) == maxDirs {
			return
		}
		text := string(dir)
		if !within(text) {
			text = ""
		}
		wanted = wanted || text != ""
		dirs = append(dirs, text)
	}
	if !wanted {
		return
	}
	at := h.values[tagDirIndexes]
	i := uint32(0)
	for base := range h.list(tagBaseNames) {
		position := uint64(at.offset) + uint64(i)*4
		if i++; i > at.count || at.kind != typeInt32 || position+4 > uint64(len(h.data)) {
			return
		}
		if dir := binary.BigEndian.Uint32(h.data[position:]); uint64(dir) < uint64(len(dirs)) && dirs[dir] != "" {
			add(name, dirs[dir]+string(base))
		}
	}
}

// parseHeader reads the index: how many entries and bytes there are, then the
// entries of 16 bytes, then the bytes that these point into.
func parseHeader(blob []byte) (header, bool) {
	if len(blob) < 8 {
		return header{}, false
	}
	entries, size := uint64(binary.BigEndian.Uint32(blob)), uint64(binary.BigEndian.Uint32(blob[4:]))
	begin := 8 + entries*16
	if begin+size > uint64(len(blob)) {
		return header{}, false
	}
	h := header{data: blob[begin : begin+size], values: make(map[uint32]value, 5)}
	for entry := blob[8:begin]; len(entry) > 0; entry = entry[16:] {
		switch tag := binary.BigEndian.Uint32(entry); tag {
		case tagName, tagOldNames, tagDirIndexes, tagBaseNames, tagDirNames:
			h.values[tag] = value{binary.BigEndian.Uint32(entry[4:]), binary.BigEndian.Uint32(entry[8:]), binary.BigEndian.Uint32(entry[12:])}
		}
	}
	return h, true
}

// text is the value of a tag that has one string.
func (h *header) text(tag uint32) (string, bool) {
	v, ok := h.values[tag]
	if !ok || v.kind != typeString || uint64(v.offset) >= uint64(len(h.data)) {
		return "", false
	}
	text, _, ended := bytes.Cut(h.data[v.offset:], []byte{0})
	return string(text), ended && len(text) > 0
}

// list yields the strings of a tag that has many.
func (h *header) list(tag uint32) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		v, ok := h.values[tag]
		if !ok || v.kind != typeStringList || uint64(v.offset) > uint64(len(h.data)) {
			return
		}
		rest := h.data[v.offset:]
		for range v.count {
			text, after, ended := bytes.Cut(rest, []byte{0})
			if !ended || !yield(text) {
				return
			}
			rest = after
		}
	}
}
