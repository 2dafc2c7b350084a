package proof

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestAWholeExport(t *testing.T) {
	report, err := Verify(bytes.NewReader(exported(t, both())), Known{
		Keys:  map[string][]string{"db-1": {fingerprintOf(1)}},
		Heads: map[string][]Hash{string(hostTwo): {chain(hostTwo, chainOf, keyOf(2), 1)[0].After}},
	})
	if err != nil || !report.Whole {
		t.Fatalf("%v: %+v", err, report)
	}
	if one := report.Hosts[0]; !one.Compared || one.Name != "db-1" || len(one.Spans) != 1 || one.Spans[0].First != 1 || one.Spans[0].Last != 12 || !one.Spans[0].To.Equal(noon.Add(3*time.Minute)) {
		t.Errorf("%+v", one)
	}
	if report.Hosts[1].Compared {
		t.Error("the key of a host that nobody named was compared")
	}
}

// TestForeignLinesAsHashes shows that a chain holds where lines are not shown.
func TestForeignLinesAsHashes(t *testing.T) {
	blocks := both()
	for i := range blocks {
		blocks[i].Block = *blocks[i].Within(func(id fleet.TaskID) bool { return id.Namespace() == "data" })
	}
	text := exported(t, blocks)
	if bytes.Contains(text, []byte("web/clean")) || !bytes.Contains(text, []byte("data/backup")) {
		t.Error("other lines are shown than those of the namespace")
	}
	report, err := Verify(bytes.NewReader(text), Known{})
	if err != nil || !report.Whole || report.Hosts[0].Spans[0].Hidden != 4 {
		t.Fatalf("%v: %+v", err, report)
	}
}

// TestEveryChangeIsFound edits, drops, reorders, cuts and swaps.
func TestEveryChangeIsFound(t *testing.T) {
	line := func(change func(*Line)) func([]Kept) []Kept {
		return func(b []Kept) []Kept {
			change(b[1].Lines[1].Line)
			return b
		}
	}
	signedBy := func(seed byte, change func(*Block)) func([]Kept) []Kept {
		return func(b []Kept) []Kept {
			change(&b[1].Block)
			b[1].Sign(keyOf(seed))
			return b
		}
	}
	later, far := noon.Add(time.Hour), time.Date(2894, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, change := range map[string]func([]Kept) []Kept{
		"the exit code":          line(func(l *Line) { *l.Exit = 0 }),
		"no exit code":           line(func(l *Line) { l.Exit = nil }),
		"the state":              line(func(l *Line) { l.State = fleet.RunMissed }),
		"the task":               line(func(l *Line) { l.Task = "data/other" }),
		"the time":               line(func(l *Line) { l.Ended = &later }),
		"a time beyond counting": line(func(l *Line) { l.Ended = &far }),
		"the statement":          line(func(l *Line) { l.Statement = nil }),
		"a parameter":            line(func(l *Line) { l.Params["a"] = "2" }),
		"a line for a hash":      func(b []Kept) []Kept { b[1].Lines[1] = Entry{Hash: &Hash{}}; return b },
		"a line and its hash":    func(b []Kept) []Kept { h := b[1].Lines[1].hash(); b[1].Lines[1].Hash = &h; return b },
		"a line dropped":         func(b []Kept) []Kept { b[1].Lines = slices.Delete(b[1].Lines, 1, 2); return b },
		"lines swapped":          func(b []Kept) []Kept { l := b[1].Lines; l[0], l[1] = l[1], l[0]; return b },
		"a line twice":           func(b []Kept) []Kept { b[1].Lines = append(b[1].Lines, b[1].Lines[2]); return b },
		"no lines":               func(b []Kept) []Kept { b[1].Lines = nil; return b },
		"a block dropped":        func(b []Kept) []Kept { return slices.Delete(b, 1, 2) },
		"blocks swapped":         func(b []Kept) []Kept { b[1], b[2] = b[2], b[1]; return b },
		"a block twice":          func(b []Kept) []Kept { return slices.Insert(b, 1, b[1]) },
		"a block of another chain": func(b []Kept) []Kept {
			b[1] = chain(hostOne, strings.Repeat("d", 32), keyOf(1), 2)[1]
			b[1].Chain = chainOf
			return b
		},
		"the number":          func(b []Kept) []Kept { b[1].First = 5; return b },
		"the time of signing": func(b []Kept) []Kept { b[1].At = later; return b },
		"another host":        func(b []Kept) []Kept { b[1].Host = hostTwo; return b },
		"every block's host": func(b []Kept) []Kept {
			for i := range 4 {
				b[i].Host = hostTwo
			}
			return b
		},
		"another cluster":         func(b []Kept) []Kept { b[1].Cluster = strings.Repeat("e", 32); return b },
		"another key":             signedBy(9, func(*Block) {}),
		"another key, other line": signedBy(9, func(b *Block) { *b.Lines[1].Line.Exit = 0 }),
		"a head":                  func(b []Kept) []Kept { b[1].After[3]++; return b },
		"the head before":         func(b []Kept) []Kept { b[1].Before[3]++; return b },
		"the head of nothing": func(b []Kept) []Kept {
			b[0].Before[3]++
			b[0].Sign(keyOf(1))
			return b[:1]
		},
		"the journal":                       func(b []Kept) []Kept { b[1].Sequence++; return b },
		"the signature":                     func(b []Kept) []Kept { b[1].Signature[5]++; return b },
		"signed twice by the host":          signedBy(1, func(b *Block) { *b.Lines[1].Line.Exit = 0 }),
		"the end cut off, and a head known": func(b []Kept) []Kept { return b[:3] },
		"the host left out":                 func(b []Kept) []Kept { return b[4:] },
	} {
		report, err := Verify(bytes.NewReader(exported(t, change(both()))), Known{
			Keys: map[string][]string{"db-1": {fingerprintOf(1)}}, Heads: map[string][]Hash{"db-1": {chain(hostOne, chainOf, keyOf(1), 4)[3].After}},
		})
		if err == nil && report.Whole {
			t.Errorf("%s: nothing was found", name)
		}
	}
}

func TestAFileThatWasCut(t *testing.T) {
	text := exported(t, both())
	lines := bytes.SplitAfter(text, []byte("\n"))
	for n := range len(lines) - 1 {
		if report, err := Verify(bytes.NewReader(bytes.Join(lines[:n], nil)), Known{}); err == nil && report.Whole {
			t.Errorf("a file of %d lines is whole", n)
		}
	}
	if report, err := Verify(bytes.NewReader(text[:len(text)/2]), Known{}); err == nil && report.Whole {
		t.Error("a file that ends within a line is whole")
	}
	if len(lines) != 10 { // two keys, six blocks, the end, and nothing
		t.Fatal(len(lines))
	}
	lines = slices.Delete(lines, 7, 8) // the last block, of which no chain tells
	if report, err := Verify(bytes.NewReader(bytes.Join(lines, nil)), Known{}); err == nil && report.Whole {
		t.Error("a file with a block less than its end says is whole")
	}
}

// TestWhatIsMarked shows what is no break: a host that began anew, one that has
// another key, and old blocks that are kept no longer.
func TestWhatIsMarked(t *testing.T) {
	other := strings.Repeat("d", 32)
	for name, blocks := range map[string][]Kept{
		"another chain": slices.Concat(chain(hostOne, chainOf, keyOf(1), 2), chain(hostOne, other, keyOf(1), 1)),
		"another key":   slices.Concat(chain(hostOne, chainOf, keyOf(1), 2), chain(hostOne, other, keyOf(3), 1)),
	} {
		report, err := Verify(bytes.NewReader(exported(t, blocks)), Known{})
		if err != nil || !report.Whole || len(report.Hosts[0].Marked) == 0 || len(report.Hosts[0].Spans) != 2 {
			t.Errorf("%s: %v: %+v", name, err, report)
		}
	}
	begun := chain(hostOne, chainOf, keyOf(1), 4)[2:]
	if report, err := Verify(bytes.NewReader(exported(t, begun)), Known{}); err != nil || !report.Whole || report.Hosts[0].Spans[0].First != 7 {
		t.Errorf("an old beginning that is kept no longer: %v: %+v", err, report)
	}
}

func TestBadFiles(t *testing.T) {
	good := string(exported(t, both()))
	for name, text := range map[string]string{
		"no JSON":        "hello\n" + good,
		"a field twice":  strings.Replace(good, `"exit":1`, `"exit":1,"exit":1`, 1),
		"another case":   strings.Replace(good, `"exit":1`, `"exit":1,"Exit":0`, 1),
		"unknown field":  strings.Replace(good, `"exit":1`, `"exit":1,"note":"x"`, 1),
		"nothing":        "{}\n",
		"two at once":    `{"end":{"blocks":0,"lines":0},"key":{"host":"x","key":"","fingerprint":""}}` + "\n",
		"a long head":    strings.Replace(good, `"before":"`, `"before":"0`, 1),
		"upper case hex": strings.Replace(good, `"statement":"0`, `"statement":"A`, 1),
	} {
		if text == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := Verify(strings.NewReader(text), Known{}); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	if report, err := Verify(strings.NewReader(good+good), Known{}); err == nil && report.Whole {
		t.Error("a file that goes on after its end is whole")
	}
	if report, err := Verify(strings.NewReader(good), Known{Keys: map[string][]string{"web-1": {"x"}}}); err == nil && report.Whole {
		t.Error("a host that is not in the file was not missed")
	}
}

// FuzzVerify shows that whatever stands in a file, nothing holds that the key's
// holder has not signed.
func FuzzVerify(f *testing.F) {
	good := exported(f, both()[:2])
	f.Add(good)
	f.Add([]byte(`{"end":{"blocks":0,"lines":0}}`))
	f.Add([]byte(`{"block":{"lines":[{"line":null}]}}`))
	f.Add(bytes.ReplaceAll(good, []byte(`"exit":1`), []byte(`"exit":0`)))
	signed := chain(hostOne, chainOf, keyOf(1), 2)
	f.Fuzz(func(t *testing.T, text []byte) {
		report, err := Verify(bytes.NewReader(text), Known{Keys: map[string][]string{string(hostOne): {fingerprintOf(1)}}})
		if err != nil || !report.Whole {
			return
		}
		for _, host := range report.Hosts {
			for _, span := range host.Spans {
				if host.Host == hostOne && span.Head != signed[0].After && span.Head != signed[1].After {
					t.Errorf("%+v was never signed", span)
				}
			}
		}
	})
}
