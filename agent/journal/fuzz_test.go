package journal

import (
	"bytes"
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// FuzzFrame feeds the decoder what a broken disk might.
func FuzzFrame(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "segment-1.golden"))
	if err != nil {
		f.Fatal(err)
	}
	at := frames(golden)
	for i := range at[:len(at)-1] {
		f.Add(golden[at[i]:at[i+1]])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		sequence, payload, size, err := readFrame(data)
		if err != nil {
			return
		}
		if size > len(data) || len(payload) == 0 {
			t.Fatalf("size %d of %d, payload %d", size, len(data), len(payload))
		}
		r, err := decodeRecord(payload)
		if err != nil {
			return
		}
		newState().step(sequence, r)
	})
}

// FuzzBody goes past the checksum, where a random input seldom gets.
func FuzzBody(f *testing.F) {
	for _, r := range []record{
		{run: &runEntry{Run: compact.Of(new(run(1, fleet.RunRan)))}},
		{checkpoint: &checkpoint{Open: []runEntry{{Run: compact.Of(new(run(1, fleet.RunBegun)))}}}},
		{checkpoint: &checkpoint{Memos: map[fleet.TaskID][]byte{"a/b": []byte("text")}}},
		{watermark: &watermark{Task: "a/b"}},
		{memo: &memo{Task: "a/b", Text: []byte("text")}},
		{done: &done{Order: "o", At: 7}},
	} {
		frame, err := appendFrame(nil, 1, r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame[frameBytes:])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := decodeRecord(payload)
		if err != nil {
			return
		}
		s := newState()
		s.step(1, r)
		frame, err := appendFrame(nil, 1, r)
		if err != nil {
			return // such as a text that is not UTF-8: never written by us
		}
		_, again, _, err := readFrame(frame)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeRecord(again)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := appendFrame(nil, 1, back)
		if err != nil || !bytes.Equal(frame, twice) {
			t.Fatalf("encodes differently the second time: %v", err)
		}
	})
}

// FuzzSegment opens a journal over whatever lies in its directory.
func FuzzSegment(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "segment-1.golden"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add(golden[:headerBytes+5])
	f.Add(append(golden[:200:200], golden[120:]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		end, _, found := scan(data, func(_ uint64, payload []byte) error {
			_, err := decodeRecord(payload)
			return err
		})
		if end > len(data) || found == intact && len(bytes.Trim(data[end:], "\x00")) > 0 {
			t.Fatalf("end %d of %d, %v", end, len(data), found)
		}
	})
}
