package replica

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Where bbolt keeps the figures that say how long its file must be: two meta
// pages, each a page header and a meta record in the machine's byte order.
const (
	metaMagic     = 0xED0CDAED
	metaAt        = 16 // of the record in its page
	metaPageSize  = metaAt + 8
	metaHighWater = metaAt + 40 // pages in use
	metaTx        = metaAt + 48
	metaEnd       = metaAt + 64
)

// checkComplete refuses a bbolt file that was cut off. The library maps the
// file into memory and would die of a fault where the end is missing.
func checkComplete(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open raft log: %w", err)
	}
	defer file.Close()
	var need, newest int64
	for _, at := range []int64{0, int64(os.Getpagesize())} {
		meta := make([]byte, metaEnd)
		if _, err := file.ReadAt(meta, at); err != nil {
			continue
		}
		tx := int64(binary.NativeEndian.Uint64(meta[metaTx:]))
		if binary.NativeEndian.Uint32(meta[metaAt:]) == metaMagic && tx >= newest {
			newest = tx
			need = int64(binary.NativeEndian.Uint64(meta[metaHighWater:])) * int64(binary.NativeEndian.Uint32(meta[metaPageSize:]))
		}
	}
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("open raft log: %w", err)
	}
	if info.Size() < need || newest == 0 {
		return fleet.Errorf(fleet.Internal, "raft log %s is cut off: %d bytes of %d", path, info.Size(), need).
			WithCode("log_damaged").
			WithHint("move the data directory away and let this collector join again with an empty one")
	}
	return nil
}
