package rpmdb

import (
	"context"
	"encoding/binary"
)

// An sqlite file has pages of one size, numbered from 1; the first begins with
// 100 bytes of head and is the root of the tree of tables. A table is a tree of
// pages whose leaves hold the rows, a long row's end on a chain of pages.
const (
	sqliteMagic   = "SQLite format 3\x00"
	sqliteHead    = 100
	sqliteInner   = 0x05
	sqliteLeaf    = 0x0d
	maxTreeDepth  = 20
	packagesTable = "Packages"
)

type sqlite struct {
	src    Source
	size   int64 // of a page
	usable int64 // of it
	pages  int64
	left   int64 // pages that may still be read: each belongs to one tree
	log    map[uint32]int64
	buffer []byte // of a row
	room   []byte // of a page of its end
}

func sqliteBlobs(ctx context.Context, src Source, blob func([]byte) error) error {
	head := make([]byte, sqliteHead)
	if _, err := src.File.ReadAt(head, 0); err != nil {
		return broken("the head", 0)
	}
	s := &sqlite{src: src, size: int64(binary.BigEndian.Uint16(head[16:]))}
	if s.size == 1 {
		s.size = 64 << 10
	}
	if s.size < 512 || s.size&(s.size-1) != 0 || s.size-int64(head[20]) < 480 {
		return broken("the head", 0)
	}
	s.usable, s.room = s.size-int64(head[20]), make([]byte, s.size)
	s.pages = src.Size / s.size
	if err := s.readLog(); err != nil {
		return err
	}
	s.pages = min(s.pages, (src.Size+src.LogSize)/s.size)
	s.left = 2 * s.pages
	root := uint32(0)
	err := s.walk(ctx, 1, 0, func(row []byte) error {
		if columns := record(row); len(columns) >= 4 && string(columns[0]) == "table" && string(columns[1]) == packagesTable {
			root = number(columns[3])
		}
		return nil
	})
	if err != nil {
		return err
	}
	if root == 0 {
		return broken("the table "+packagesTable, 0)
	}
	return s.walk(ctx, root, 0, func(row []byte) error {
		if columns := record(row); len(columns) >= 2 {
			return blob(columns[1])
		}
		return nil
	})
}

// page reads a page, of which the log may have a later state.
func (s *sqlite) page(number uint32, page []byte) error {
	if s.left--; s.left < 0 || number == 0 || int64(number) > s.pages {
		return broken("a page number", int64(number))
	}
	if at, ok := s.log[number]; ok {
		_, err := s.src.Log.ReadAt(page, at)
		return err
	}
	_, err := s.src.File.ReadAt(page, (int64(number)-1)*s.size)
	return err
}

// walk hands out the rows of the tree at a page, each good until the next.
func (s *sqlite) walk(ctx context.Context, root uint32, depth int, row func([]byte) error) error {
	page := make([]byte, s.size)
	err := s.page(root, page)
	if err != nil {
		return err
	}
	begin, at := 0, (int64(root)-1)*s.size
	if root == 1 {
		begin = sqliteHead
	}
	kind, cells := page[begin], int(binary.BigEndian.Uint16(page[begin+3:]))
	pointers := begin + 8
	if kind == sqliteInner {
		pointers = begin + 12
	}
	if kind != sqliteInner && kind != sqliteLeaf || pointers+2*cells > len(page) || depth > maxTreeDepth {
		return broken("the page", at)
	}
	for i := range cells {
		if err := ctx.Err(); err != nil {
			return err
		}
		cell := int(binary.BigEndian.Uint16(page[pointers+2*i:]))
		if cell+4 > int(s.usable) {
			return broken("the page", at)
		}
		if kind == sqliteInner {
			err = s.walk(ctx, binary.BigEndian.Uint32(page[cell:]), depth+1, row)
		} else {
			err = s.leaf(page[cell:s.usable], at, row)
		}
		if err != nil {
			return err
		}
	}
	if kind == sqliteInner {
		return s.walk(ctx, binary.BigEndian.Uint32(page[begin+8:]), depth+1, row)
	}
	return nil
}

// leaf hands out the row of a leaf's cell: its size, its number, its beginning,
// and the page on which it goes on.
func (s *sqlite) leaf(cell []byte, at int64, row func([]byte) error) error {
	size, n := varint(cell)
	_, m := varint(cell[n:])
	if n == 0 || m == 0 || size > maxBlob {
		return broken("a row of the page", at)
	}
	cell = cell[n+m:]
	local := s.local(int64(size))
	if local > int64(len(cell)) || local < int64(size) && local+4 > int64(len(cell)) {
		return broken("a row of the page", at)
	}
	if local == int64(size) {
		return row(cell[:size])
	}
	text, page := append(s.buffer[:0], cell[:local]...), s.room
	for next := binary.BigEndian.Uint32(cell[local:]); int64(len(text)) < int64(size); {
		if err := s.page(next, page); err != nil {
			return err
		}
		text = append(text, page[4:4+min(s.usable-4, int64(size)-int64(len(text)))]...)
		next = binary.BigEndian.Uint32(page)
	}
	s.buffer = text
	return row(text)
}

// local is how much of a row lies in the leaf itself.
func (s *sqlite) local(size int64) int64 {
	most, least := s.usable-35, (s.usable-12)*32/255-23
	if size <= most {
		return size
	}
	if part := least + (size-least)%(s.usable-4); part <= most {
		return part
	}
	return least
}

// maxColumns is how many columns of a row are looked at: those of the schema.
const maxColumns = 5

// record cuts a row into its first columns; nil where it is broken.
func record(row []byte) [][]byte {
	size, n := varint(row)
	if n == 0 || size < uint64(n) || size > uint64(len(row)) {
		return nil
	}
	kinds, data := row[n:size], row[size:]
	var columns [][]byte
	for len(kinds) > 0 && len(columns) < maxColumns {
		kind, n := varint(kinds)
		if n == 0 {
			return nil
		}
		kinds = kinds[n:]
		width := uint64(0)
		switch {
		case kind >= 12:
			width = (kind - 12) / 2
		case kind <= 4:
			width = kind
		case kind == 5:
			width = 6
		case kind == 6 || kind == 7:
			width = 8
		}
		if width > uint64(len(data)) {
			return nil
		}
		columns, data = append(columns, data[:width]), data[width:]
	}
	return columns
}

// number reads a page number, which has four bytes at most.
func number(column []byte) uint32 {
	n := uint32(0)
	for _, b := range column[max(0, len(column)-4):] {
		n = n<<8 | uint32(b)
	}
	return n
}

// varint reads a number of one to nine bytes and tells how many; 0: it is cut.
func varint(text []byte) (value uint64, n int) {
	for n < len(text) && n < 8 {
		value = value<<7 | uint64(text[n]&0x7f)
		if n++; text[n-1] < 0x80 {
			return value, n
		}
	}
	if n < len(text) && n == 8 {
		return value<<8 | uint64(text[8]), 9
	}
	return 0, 0
}
