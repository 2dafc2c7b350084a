package prove

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetcron/fleetcron/shared/proof"
)

// A segment is frames of blocks: crc(4) length(4) body; the CRC-32C covers length
// and body. Numbers are little-endian. Its name is the number of its first block.
const (
	segmentSuffix = ".blocks"
	segmentBytes  = 1 << 20
	frameBytes    = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segment is one file of blocks. Blocks are numbered from 1 as they were added.
type segment struct {
	path  string
	first uint64
	size  int64
}

func segmentName(first uint64) string { return fmt.Sprintf("%016d%s", first, segmentSuffix) }

// listSegments returns the segments in a directory, in order.
func listSegments(dir string) (list []segment, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		number, is := strings.CutSuffix(entry.Name(), segmentSuffix)
		first, err := strconv.ParseUint(number, 10, 64)
		if !is || err != nil {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // delivered, and gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		list = append(list, segment{filepath.Join(dir, entry.Name()), first, info.Size()})
	}
	slices.SortFunc(list, func(a, b segment) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	return list, nil
}

// appendFrame appends the frame of a block.
func appendFrame(buffer []byte, b *proof.Block) []byte {
	return frame(buffer, b.Encode())
}

func frame(buffer, body []byte) []byte {
	start := len(buffer)
	buffer = append(buffer, 0, 0, 0, 0)
	buffer = binary.LittleEndian.AppendUint32(buffer, uint32(len(body)))
	buffer = append(buffer, body...)
	binary.LittleEndian.PutUint32(buffer[start:], crc32.Checksum(buffer[start+4:], castagnoli))
	return buffer
}

// readFrame returns the body of the frame that data begins with, and the frame's
// size; nil: there is no whole one.
func readFrame(data []byte) (body []byte, size int) {
	if len(data) < frameBytes {
		return nil, 0
	}
	length := binary.LittleEndian.Uint32(data[4:])
	if length == 0 || int64(length) > int64(len(data)-frameBytes) {
		return nil, 0
	}
	size = frameBytes + int(length)
	if binary.LittleEndian.Uint32(data) != crc32.Checksum(data[4:size], castagnoli) {
		return nil, 0
	}
	return data[frameBytes:size], size
}

// frames visits the bodies of blocks in a segment, from the block with a number
// that begins at an offset, until visit says no. It returns where the last whole
// one ends.
func (s *segment) frames(number uint64, offset int64, visit func(number uint64, body []byte, end int64) bool) (end int64, err error) {
	file, err := os.Open(s.path)
	if err != nil {
		return offset, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.NewSectionReader(file, offset, math.MaxInt64-offset))
	if err != nil {
		return offset, err
	}
	for end = offset; ; number++ {
		body, size := readFrame(data[end-offset:])
		if body == nil {
			return end, nil
		}
		end += int64(size)
		if !visit(number, body, end) {
			return end, nil
		}
	}
}

// Each visits all blocks in a directory of a Keeper in order, also while that is
// in use, until visit returns an error.
func Each(dir string, visit func(*proof.Block) error) error {
	segments, err := listSegments(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read proofs: %w", err)
	}
	for i := range segments {
		var refused error
		_, err := segments[i].frames(segments[i].first, 0, func(_ uint64, body []byte, _ int64) bool {
			b, err := proof.Decode(body)
			if err == nil {
				err = visit(b)
			}
			refused = err
			return err == nil
		})
		if errors.Is(err, fs.ErrNotExist) { // delivered, and gone meanwhile
			continue
		}
		if err := errors.Join(refused, err); err != nil {
			return fmt.Errorf("read proofs: %w", err)
		}
	}
	return nil
}
