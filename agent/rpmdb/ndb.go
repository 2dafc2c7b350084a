package rpmdb

import (
	"context"
	"encoding/binary"
	"io"
)

// An ndb file begins with pages of slots of 16 bytes, the first two of which
// hold the file's own head. A slot says where in the file, in blocks of 16
// bytes, a package's blob lies, which has a head of its own. Numbers are
// little-endian.
const (
	ndbMagic  = "RpmP"
	ndbSlot   = "Slot"
	ndbBlob   = "BlbS"
	ndbPage   = 4096
	ndbBlock  = 16
	maxNDBTop = 4096 // pages of slots: a million packages
)

func ndbBlobs(ctx context.Context, src Source, blob func([]byte) error) error {
	var head [2 * ndbBlock]byte
	if _, err := src.File.ReadAt(head[:], 0); err != nil {
		return broken("the head", 0)
	}
	pages := binary.LittleEndian.Uint32(head[12:])
	if version := binary.LittleEndian.Uint32(head[4:]); version != 0 || pages == 0 || pages > maxNDBTop || int64(pages)*ndbPage > src.Size {
		return broken("the head", 0)
	}
	slots := make([]byte, int64(pages)*ndbPage-int64(len(head)))
	if _, err := src.File.ReadAt(slots, int64(len(head))); err != nil {
		return err
	}
	var buffer []byte
	for at := int64(len(head)); len(slots) > 0; slots, at = slots[ndbBlock:], at+ndbBlock {
		if string(slots[:4]) != ndbSlot {
			return broken("the slot", at)
		}
		offset, number := int64(binary.LittleEndian.Uint32(slots[8:]))*ndbBlock, slots[4:8]
		if offset == 0 {
			continue // free
		}
		var front [ndbBlock]byte
		if _, err := src.File.ReadAt(front[:], offset); err != nil || string(front[:4]) != ndbBlob || string(front[4:8]) != string(number) {
			return broken("the blob", offset)
		}
		size := int64(binary.LittleEndian.Uint32(front[12:]))
		if size > maxBlob || offset+ndbBlock+size > src.Size {
			return broken("the blob", offset)
		}
		if int64(cap(buffer)) < size {
			buffer = make([]byte, size)
		}
		buffer = buffer[:size]
		if _, err := io.ReadFull(io.NewSectionReader(src.File, offset+ndbBlock, size), buffer); err != nil {
			return err
		}
		if err := blob(buffer); err != nil {
			return err
		}
	}
	return ctx.Err()
}
