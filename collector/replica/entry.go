package replica

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// A stored entry is, in this order, all numbers big-endian:
//
//	4  CRC-32C of the index and of all that follows
//	1  layout, now 1
//	1  raft's type of the entry
//	8  term
//	8  when the leader appended it, Unix nanoseconds; 0: unknown
//	4  length of the extensions, and they
//	…  data
const (
	entryLayout = 1
	entryHead   = 4 + 1 + 1 + 8 + 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeEntry(entry *raft.Log) []byte {
	value := make([]byte, 4, entryHead+len(entry.Extensions)+len(entry.Data))
	value = append(value, entryLayout, byte(entry.Type))
	value = binary.BigEndian.AppendUint64(value, entry.Term)
	var appended uint64
	if !entry.AppendedAt.IsZero() {
		appended = uint64(entry.AppendedAt.UnixNano())
	}
	value = binary.BigEndian.AppendUint64(value, appended)
	value = binary.BigEndian.AppendUint32(value, uint32(len(entry.Extensions)))
	value = append(value, entry.Extensions...)
	value = append(value, entry.Data...)
	binary.BigEndian.PutUint32(value, checksum(entry.Index, value[4:]))
	return value
}

// decodeEntry fills entry from a stored value, which it copies.
func decodeEntry(index uint64, value []byte, entry *raft.Log) error {
	if len(value) < entryHead || binary.BigEndian.Uint32(value) != checksum(index, value[4:]) {
		return damaged(index, "its checksum does not match")
	}
	if value[4] != entryLayout {
		return damaged(index, fmt.Sprintf("layout %d is not known to this version", value[4]))
	}
	extensions := int(binary.BigEndian.Uint32(value[22:]))
	if extensions > len(value)-entryHead {
		return damaged(index, "its extensions are cut off")
	}
	*entry = raft.Log{
		Index: index,
		Type:  raft.LogType(value[5]),
		Term:  binary.BigEndian.Uint64(value[6:]),
		Data:  append([]byte{}, value[entryHead+extensions:]...),
	}
	if appended := binary.BigEndian.Uint64(value[14:]); appended != 0 {
		entry.AppendedAt = time.Unix(0, int64(appended)).UTC()
	}
	if extensions > 0 {
		entry.Extensions = append([]byte{}, value[entryHead:entryHead+extensions]...)
	}
	return nil
}

func checksum(index uint64, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(key(index), castagnoli), castagnoli, rest)
}

func damaged(index uint64, reason string) error {
	return fleet.Errorf(fleet.Internal, "entry %d of the raft log is damaged: %s", index, reason).
		WithCode("log_damaged").
		WithHint("move the data directory away and let this collector join again with an empty one")
}
