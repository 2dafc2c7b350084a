package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sort"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// cursor remembers where in which segment the next unread record begins.
type cursor struct {
	path     string
	sequence uint64
	offset   int64
}

// Outbox returns at most limit records that travel, with a sequence beyond
// after, in order. A record that a later one of the same answer made
// superfluous is left out; one that a record beyond the answer did is not, or
// the collectors would hear of later instants before they hear of its. An empty
// answer means that there is nothing to deliver.
func (j *Journal) Outbox(after uint64, limit int) ([]fleet.RunRecord, error) {
	records, err := j.gatherAfter(after, limit)
	return newestOf(records), err
}

// newestOf leaves out what a later record says again.
func newestOf(records []fleet.RunRecord) []fleet.RunRecord {
	newest := make(map[fleet.RunID]uint64, len(records))
	for i := range records {
		if records[i].Stint == nil {
			newest[records[i].Run.ID] = records[i].Sequence
		}
	}
	return slices.DeleteFunc(records, func(r fleet.RunRecord) bool {
		return r.Stint == nil && newest[r.Run.ID] != r.Sequence
	})
}

func (j *Journal) gatherAfter(after uint64, limit int) ([]fleet.RunRecord, error) {
	var records []fleet.RunRecord
	missing := ""
	for len(records) < limit {
		piece, ok := j.piece(after + 1)
		if !ok {
			break
		}
		next, err := j.read(piece, limit, &records)
		if errors.Is(err, fs.ErrNotExist) { // acknowledged, or made dense meanwhile
			if missing == piece.segment.path {
				j.log.Error("journal segment gone, records lost", "segment", missing, "to", piece.segment.lastRun)
				after = max(after, piece.segment.lastRun)
			}
			missing = piece.segment.path
			continue
		}
		if err != nil {
			return records, err
		}
		if next == after+1 {
			break
		}
		after = next - 1
	}
	return records, nil
}

// piece is a part of one segment that is safe to read.
type piece struct {
	segment  segment
	sequence uint64 // of the record at offset
	offset   int64
	end      int64 // of the durable frames; -1: of the file
	wanted   uint64
}

// piece finds the segment that holds the wanted sequence or the next after it.
func (j *Journal) piece(wanted uint64) (piece, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if wanted >= j.state.next {
		return piece{}, false
	}
	// The last segment that begins at or before the wanted record; where that
	// one is gone, the next that is left.
	i := max(0, sort.Search(len(j.segments), func(i int) bool { return j.segments[i].first > wanted })-1)
	for ; i < len(j.segments); i++ {
		p := piece{segment: j.segments[i], sequence: j.segments[i].first, offset: headerBytes, end: -1, wanted: wanted}
		newest := i == len(j.segments)-1
		if newest {
			p.end = j.active.end
		}
		if p.segment.lastRun < wanted && !newest {
			continue
		}
		if j.cursor.path == p.segment.path && j.cursor.sequence <= wanted {
			p.sequence, p.offset = j.cursor.sequence, j.cursor.offset
		}
		return p, true
	}
	return piece{}, false
}

// read appends the piece's records to records, at most up to limit of them, and
// returns the sequence behind the last one it passed.
func (j *Journal) read(p piece, limit int, records *[]fleet.RunRecord) (uint64, error) {
	data, err := readPiece(p)
	if err != nil {
		return 0, err
	}
	sequence, at := p.sequence, 0
	for len(*records) < limit {
		got, payload, size, err := readFrame(data[at:])
		if err != nil || !follows(got, sequence, p.segment.dense) {
			break
		}
		sequence = got
		if sequence >= p.wanted && travels(payload[0]) {
			r, err := decodeRecord(payload)
			if err != nil {
				return 0, err
			}
			if r.run != nil {
				*records = append(*records, fleet.RunRecord{Sequence: sequence, Run: r.run.Run.Whole()})
			} else {
				*records = append(*records, fleet.RunRecord{Sequence: sequence, Stint: r.watermark.stint()})
			}
		}
		sequence, at = sequence+1, at+size
	}
	j.mu.Lock()
	j.cursor = cursor{path: p.segment.path, sequence: sequence, offset: p.offset + int64(at)}
	j.mu.Unlock()
	if p.end < 0 && len(*records) < limit {
		if sequence <= p.segment.lastRun {
			j.log.Error("journal segment damaged, records lost", "segment", p.segment.path, "from", sequence, "to", p.segment.lastRun)
			j.mu.Lock()
			j.stats.Damaged++
			j.mu.Unlock()
		}
		return max(sequence, p.segment.lastRun+1), nil
	}
	return max(sequence, p.wanted), nil
}

func readPiece(p piece) ([]byte, error) {
	if p.segment.dense {
		data, err := readDense(p.segment.path)
		return data[min(int64(len(data)), p.offset):], err
	}
	file, err := os.Open(p.segment.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	end := p.end
	if end < 0 {
		end = p.segment.size
	}
	data := make([]byte, max(0, end-p.offset))
	n, err := file.ReadAt(data, p.offset)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return data[:n], err
}

// Acknowledge notes that the collectors have every record up to sequence, and
// removes the segments that hold nothing else. It is written with the next
// record: what is lost of it is delivered again, and ignored there.
func (j *Journal) Acknowledge(sequence uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if sequence <= j.state.acknowledged {
		return
	}
	j.state.acknowledged = min(sequence, j.state.next-1)
	j.ackNew = true
	for len(j.segments) > 1 && j.segments[0].lastRun <= j.state.acknowledged {
		if err := os.Remove(j.segments[0].path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			j.log.Warn("journal segment not removed", "error", err)
			return
		}
		j.segments = j.segments[1:]
	}
}
