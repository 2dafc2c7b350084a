package rpmdb

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fixture is a file that rpm 4.18 wrote, packed.
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.Open("testdata/" + name + ".gz")
	must(t, err)
	defer file.Close()
	packed, err := gzip.NewReader(file)
	must(t, err)
	content, err := io.ReadAll(packed)
	must(t, err)
	return content
}

func source(file, log []byte) Source {
	src := Source{File: bytes.NewReader(file), Size: int64(len(file))}
	if log != nil {
		src.Log, src.LogSize = bytes.NewReader(log), int64(len(log))
	}
	return src
}

// files reads which package owns what under /etc and /usr/lib.
func files(src Source) ([]string, error) {
	owner := make(map[string]string)
	within := func(dir string) bool { return strings.HasPrefix(dir, "/etc/") || strings.HasPrefix(dir, "/usr/lib/") }
	err := Read(context.Background(), src, within, func(name, file string) { owner[file] = name })
	var list []string
	for _, file := range slices.Sorted(maps.Keys(owner)) {
		list = append(list, file+" "+owner[file])
	}
	return list, err
}

var installed = []string{
	"/etc/anacrontab tables", "/etc/cron.d/nightly nightly", "/etc/cron.daily/rotate tables", "/etc/cron.hourly/bulk bulk", "/etc/hosts.x tables",
	"/usr/lib/systemd/system/nightly.service nightly", "/usr/lib/systemd/system/nightly.timer nightly",
}

// TestSqlite reads a database that rpm wrote, and its log: one transaction that
// renames a package, and one that removes another.
func TestSqlite(t *testing.T) {
	db, log := fixture(t, "rpmdb.sqlite"), fixture(t, "rpmdb.sqlite-wal")
	var renamed []string
	for _, line := range installed {
		renamed = append(renamed, strings.Replace(line, " nightly", " weekly!", 1))
	}
	removed := slices.DeleteFunc(slices.Clone(renamed), func(line string) bool { return strings.HasSuffix(line, " bulk") })
	torn := slices.Clone(log)
	torn[len(torn)-1] ^= 1
	other := slices.Clone(log)
	other[16] ^= 1 // a salt
	for _, c := range []struct {
		name string
		log  []byte
		want []string
	}{
		{"no log", nil, installed},
		{"an empty log", []byte{}, installed},
		{"the log", log, removed},
		{"a log that is cut", log[:len(log)-1], renamed},
		{"a log whose last page is torn", torn, renamed},
		{"a log of another file", other, installed},
		{"a log without a whole transaction", log[:logHead+logFrameHead+4000], installed},
	} {
		got, err := files(source(db, c.log))
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, diff)
		}
	}
}

// pack makes a header of some files, as rpm does.
func pack(name string, paths ...string) []byte {
	var dirs, bases, indexes []byte
	seen := make(map[string]int)
	for _, path := range paths {
		cut := strings.LastIndexByte(path, '/') + 1
		if _, ok := seen[path[:cut]]; !ok {
			seen[path[:cut]] = len(seen)
			dirs = append(append(dirs, path[:cut]...), 0)
		}
		bases = append(append(bases, path[cut:]...), 0)
		indexes = binary.BigEndian.AppendUint32(indexes, uint32(seen[path[:cut]]))
	}
	var index, data []byte
	add := func(tag, kind, count int, value []byte) {
		for _, n := range []int{tag, kind, len(data), count} {
			index = binary.BigEndian.AppendUint32(index, uint32(n))
		}
		data = append(data, value...)
	}
	add(tagName, typeString, 1, append([]byte(name), 0))
	add(1004, typeString, 1, []byte("a summary\x00"))
	add(tagDirIndexes, typeInt32, len(paths), indexes)
	add(tagBaseNames, typeStringList, len(paths), bases)
	add(tagDirNames, typeStringList, len(seen), dirs)
	blob := binary.BigEndian.AppendUint32(nil, 5)
	blob = binary.BigEndian.AppendUint32(blob, uint32(len(data)))
	return append(append(blob, index...), data...)
}

// ndbFile writes blobs as rpm's ndb does: a page of slots, then the blobs.
func ndbFile(blobs ...[]byte) []byte {
	file := make([]byte, ndbPage)
	copy(file, ndbMagic)
	binary.LittleEndian.PutUint32(file[12:], 1)
	for at := 32; at < ndbPage; at += ndbBlock {
		copy(file[at:], ndbSlot)
	}
	for i, blob := range blobs {
		slot := file[32+ndbBlock*(i+1):] // the first is free
		binary.LittleEndian.PutUint32(slot[4:], uint32(i+1))
		binary.LittleEndian.PutUint32(slot[8:], uint32(len(file)/ndbBlock))
		head := binary.LittleEndian.AppendUint32([]byte(ndbBlob), uint32(i+1))
		head = binary.LittleEndian.AppendUint32(head, 7)
		head = binary.LittleEndian.AppendUint32(head, uint32(len(blob)))
		file = append(append(file, head...), blob...)
		file = append(file, make([]byte, 12+(ndbBlock-(len(file)+12)%ndbBlock)%ndbBlock)...)
	}
	return file
}

// berkeleyFile writes blobs as Berkeley DB does: a page of keys and values, and
// a chain of pages for each value.
func berkeleyFile(order binary.ByteOrder, blobs ...[]byte) []byte {
	const size = 512
	file := make([]byte, 2*size)
	order.PutUint32(file[12:], berkeleyMagic)
	order.PutUint32(file[20:], size)
	file[25] = pageMeta
	entries, at := 0, size
	page := func() []byte { return file[size : 2*size] }
	entry := func(text []byte) {
		at -= len(text)
		copy(page()[at:], text)
		order.PutUint16(page()[berkeleyHead+2*entries:], uint16(at))
		entries++
		order.PutUint16(page()[20:], uint16(entries))
	}
	page()[25] = pageHash
	entry([]byte{1, 0, 0, 0, 0})
	entry([]byte{1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) // the counter
	for _, blob := range blobs {
		entry([]byte{1, 1, 0, 0, 0})
		value := make([]byte, 12)
		value[0] = entryOffPage
		order.PutUint32(value[4:], uint32(len(file)/size))
		order.PutUint32(value[8:], uint32(len(blob)))
		entry(value)
		for len(blob) > 0 {
			part := make([]byte, size)
			n := copy(part[berkeleyHead:], blob)
			blob = blob[n:]
			part[25] = pageOverflow
			order.PutUint16(part[22:], uint16(n))
			if len(blob) > 0 {
				order.PutUint32(part[16:], uint32(len(file)/size+1))
			}
			file = append(file, part...)
		}
	}
	return file
}

// examples are headers of which one has more files than fit on a page.
func examples() [][]byte {
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("/etc/many/%d", i))
	}
	return [][]byte{
		pack("a", "/etc/cron.d/a", "/usr/bin/a", "/usr/lib/systemd/system/a.timer"), pack("many", many...), pack("none"),
		[]byte("no header"), pack("b", "/etc/cron.d/b"),
	}
}

func TestFormats(t *testing.T) {
	blobs := examples()
	for name, file := range map[string][]byte{
		"ndb":                        ndbFile(blobs...),
		"Berkeley DB":                berkeleyFile(binary.LittleEndian, blobs...),
		"Berkeley DB, the other end": berkeleyFile(binary.BigEndian, blobs...),
	} {
		got, err := files(source(file, nil))
		must(t, err)
		got = slices.DeleteFunc(got, func(line string) bool { return strings.HasSuffix(line, " many") && line != "/etc/many/99 many" })
		want := []string{"/etc/cron.d/a a", "/etc/cron.d/b b", "/etc/many/99 many", "/usr/lib/systemd/system/a.timer a"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestBroken: what contradicts its format is an error, and ends.
func TestBroken(t *testing.T) {
	db := fixture(t, "rpmdb.sqlite")
	ndb := ndbFile(examples()...)
	berkeley := berkeleyFile(binary.LittleEndian, examples()...)
	change := func(file []byte, at int, bytes ...byte) []byte {
		file = slices.Clone(file)
		copy(file[at:], bytes)
		return file
	}
	round := slices.Clone(berkeley)
	binary.LittleEndian.PutUint32(round[3*512+16:], 3) // a chain that leads to itself
	value := bytes.Index(round, []byte{entryOffPage, 0, 0, 0, 3, 0, 0, 0})
	binary.LittleEndian.PutUint32(round[value+8:], 1<<24)
	for name, file := range map[string][]byte{
		"empty":                  {},
		"short":                  []byte("RpmP"),
		"something else":         []byte(strings.Repeat("x", 5000)),
		"sqlite, cut":            db[:5000],
		"sqlite, odd pages":      change(db, 16, 3),
		"sqlite, no table":       bytes.ReplaceAll(db, []byte("tablePackages"), []byte("tableXackages")),
		"sqlite, odd first page": change(db, 100, 9),
		"ndb, cut":               ndb[:ndbPage+100],
		"ndb, no slot":           change(ndb, 64, 'x'),
		"ndb, another's blob":    change(ndb, ndbPage+4, 9),
		"ndb, a large blob":      change(ndb, ndbPage+12, 0xff, 0xff, 0xff, 0x7f),
		"Berkeley DB, cut":       berkeley[:1024],
		"Berkeley DB, a circle":  round,
		"Berkeley DB, encrypted": change(berkeley, 24, 1),
	} {
		if _, err := files(source(file, nil)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, file := range [][]byte{db, ndb, berkeley} {
		if err := Read(ctx, source(file, nil), func(string) bool { return true }, func(string, string) {}); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that has ended: %v", err)
		}
	}
}

// FuzzRead holds that no file makes it panic or read without end.
func FuzzRead(f *testing.F) {
	f.Add(ndbFile(examples()...), []byte{})
	f.Add(berkeleyFile(binary.LittleEndian, examples()...), []byte{})
	f.Add(fixture(f, "rpmdb.sqlite")[:8192], fixture(f, "rpmdb.sqlite-wal")[:5000])
	f.Fuzz(func(t *testing.T, file, log []byte) {
		_, _ = files(source(file, log))
	})
}

// FuzzHeader holds the same of one package's header.
func FuzzHeader(f *testing.F) {
	for _, blob := range examples() {
		f.Add(blob)
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		readHeader(blob, func(string) bool { return true }, func(string, string) {})
	})
}

// TestNoRoom: a row of nothing but columns and a header of nothing but
// directories take little memory, however many there are.
func TestNoRoom(t *testing.T) {
	const n = 8 << 20
	row := append([]byte{0x84, 0x80, 0x80, 0x04}, bytes.Repeat([]byte{8}, n)...) // the head has n+4 bytes
	if columns := record(row); len(columns) == 0 || len(columns) > maxColumns {
		t.Errorf("%d columns", len(columns))
	}
	entry := func(tag, kind, offset, count uint32) []byte {
		var b []byte
		for _, number := range []uint32{tag, kind, offset, count} {
			b = binary.BigEndian.AppendUint32(b, number)
		}
		return b
	}
	data := append([]byte("name\x00"), make([]byte, n)...)
	blob := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 2), uint32(len(data)))
	blob = append(append(append(blob, entry(tagName, typeString, 0, 1)...), entry(tagDirNames, typeStringList, 5, n)...), data...)
	asked := 0
	readHeader(blob, func(string) bool { asked++; return true }, func(string, string) {})
	if asked == 0 || asked > maxDirs {
		t.Errorf("asked for %d directories", asked)
	}
}
