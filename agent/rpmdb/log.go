package rpmdb

import (
	"encoding/binary"
	"errors"
	"io"
)

// The write-ahead log holds pages that are newer than the file's, each after
// a head of 24 bytes: a page's number, how many pages the file has where a
// transaction ends, the log's salts, and a checksum of all before. It ends, for
// a reader, with the last transaction that is whole.
const (
	logMagic     = 0x377f0682 // and 1 for sums of big-endian words
	logHead      = 32
	logFrameHead = 24
	maxLog       = 1 << 30
)

// readLog finds where in the log the newest state of each page lies.
func (s *sqlite) readLog() error {
	if s.src.Log == nil || s.src.LogSize < logHead || s.src.LogSize > maxLog {
		return nil
	}
	head := make([]byte, logHead)
	if _, err := s.src.Log.ReadAt(head, 0); err != nil {
		return err
	}
	magic := binary.BigEndian.Uint32(head)
	if magic&^1 != logMagic || int64(binary.BigEndian.Uint32(head[8:])) != s.size {
		return nil // of another file, or empty
	}
	sum := checksum{order: binary.LittleEndian}
	if magic&1 == 1 {
		sum.order = binary.BigEndian
	}
	if sum.add(head[:24]); !sum.is(head[24:]) {
		return nil
	}
	salts := string(head[16:24])
	s.log = make(map[uint32]int64)
	open := make(map[uint32]int64) // of a transaction that is not yet seen to end
	frame := make([]byte, logFrameHead+s.size)
	for at := int64(logHead); at+int64(len(frame)) <= s.src.LogSize; at += int64(len(frame)) {
		if _, err := s.src.Log.ReadAt(frame, at); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		sum.add(frame[:8])
		sum.add(frame[logFrameHead:])
		if string(frame[8:16]) != salts || !sum.is(frame[16:]) {
			break
		}
		open[binary.BigEndian.Uint32(frame)] = at + logFrameHead
		if pages := binary.BigEndian.Uint32(frame[4:]); pages != 0 {
			for number, place := range open {
				s.log[number] = place
			}
			clear(open)
			s.pages = int64(pages)
		}
	}
	return nil
}

// checksum is sqlite's running sum over words of four bytes.
type checksum struct {
	order binary.ByteOrder
	a, b  uint32
}

func (c *checksum) add(text []byte) {
	for ; len(text) >= 8; text = text[8:] {
		c.a += c.order.Uint32(text) + c.b
		c.b += c.order.Uint32(text[4:]) + c.a
	}
}

func (c *checksum) is(sum []byte) bool {
	return binary.BigEndian.Uint32(sum) == c.a && binary.BigEndian.Uint32(sum[4:]) == c.b
}
