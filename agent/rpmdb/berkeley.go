package rpmdb

import (
	"context"
	"encoding/binary"
)

// A Berkeley DB of hash tables has pages of one size. Each begins with 26 bytes
// of head; pages of entries go on with where each entry begins, keys and
// values in turn. A large value, as every header is, lies on a chain of pages.
const (
	berkeleyHead  = 26
	berkeleyMagic = 0x061561
	pageUnsorted  = 2
	pageOverflow  = 7
	pageMeta      = 8
	pageHash      = 13
	entryOffPage  = 3
)

// berkeleyOrder is the order of bytes in a hash database's numbers; nil: it is
// none.
func berkeleyOrder(head []byte) binary.ByteOrder {
	if len(head) < berkeleyHead {
		return nil
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if order.Uint32(head[12:]) == berkeleyMagic && head[25] == pageMeta {
			return order
		}
	}
	return nil
}

type berkeley struct {
	src    Source
	order  binary.ByteOrder
	size   int64 // of a page
	pages  int64
	left   int64 // pages that may still be read: each belongs to one chain
	buffer []byte
}

func berkeleyBlobs(ctx context.Context, src Source, blob func([]byte) error) error {
	head := make([]byte, 72)
	if _, err := src.File.ReadAt(head, 0); err != nil {
		return broken("the head", 0)
	}
	b := &berkeley{src: src, order: berkeleyOrder(head)}
	b.size = int64(b.order.Uint32(head[20:]))
	if b.size < 512 || b.size > 64<<10 || b.size&(b.size-1) != 0 || head[24] != 0 { // encrypted
		return broken("the head", 0)
	}
	b.pages = src.Size / b.size
	b.left = b.pages
	page := make([]byte, b.size)
	for number := int64(1); number < b.pages && ctx.Err() == nil; number++ {
		if err := b.page(number, page); err != nil {
			return err
		}
		if kind := page[25]; kind != pageHash && kind != pageUnsorted {
			continue
		}
		entries := int64(b.order.Uint16(page[20:]))
		if berkeleyHead+2*entries > b.size {
			return broken("the page", number*b.size)
		}
		for i := int64(1); i < entries; i += 2 { // the values
			at := int64(b.order.Uint16(page[berkeleyHead+2*i:]))
			if at+12 > b.size || page[at] != entryOffPage {
				continue // the counter of packages is small and no header
			}
			value, err := b.chain(int64(b.order.Uint32(page[at+4:])), int64(b.order.Uint32(page[at+8:])))
			if err != nil {
				return err
			}
			if err := blob(value); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (b *berkeley) page(number int64, into []byte) error {
	if number <= 0 || number >= b.pages {
		return broken("a page number", number)
	}
	_, err := b.src.File.ReadAt(into, number*b.size)
	return err
}

// chain reads a value that lies on pages of its own.
func (b *berkeley) chain(number, size int64) ([]byte, error) {
	if size > maxBlob {
		return nil, broken("a value", number*b.size)
	}
	value, page := b.buffer[:0], make([]byte, b.size)
	for int64(len(value)) < size {
		if b.left--; b.left < 0 {
			return nil, broken("a chain of pages", number*b.size)
		}
		if err := b.page(number, page); err != nil {
			return nil, err
		}
		used := int64(b.order.Uint16(page[22:]))
		if page[25] != pageOverflow || berkeleyHead+used > b.size || used == 0 {
			return nil, broken("the page", number*b.size)
		}
		value = append(value, page[berkeleyHead:berkeleyHead+used]...)
		number = int64(b.order.Uint32(page[16:]))
	}
	b.buffer = value
	return value[:size], nil
}
