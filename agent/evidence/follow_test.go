package evidence

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// logger is a log as a syslog daemon and logrotate keep it, beside a follower.
type logger struct {
	dir     string
	now     time.Time
	written int              // lines, numbered from 1
	there   map[string][]int // whole lines in each file
	partial bool             // the log ends in the middle of line written+1
	late    bool             // the daemon has not noticed a rotation yet
	cursor  *cursor
	heard   []int
}

const logName = "syslog"

func (l *logger) path(n int) string {
	if n == 0 {
		return filepath.Join(l.dir, logName)
	}
	for _, suffix := range []string{"", ".gz"} {
		path := filepath.Join(l.dir, fmt.Sprintf("%s.%d%s", logName, n, suffix))
		if _, err := os.Lstat(path); err == nil {
			return path
		}
	}
	return ""
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (l *logger) append(text string) {
	file, err := os.OpenFile(l.path(0), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	must(err)
	_, err = file.WriteString(text)
	must(err)
	l.late = l.late && text == ""
	must(file.Close())
	must(os.Chtimes(l.path(0), l.now, l.now))
}

// write ends the line that was begun, or writes a whole one.
func (l *logger) write(length int) {
	l.written++
	text := strings.Repeat("x", length) + "\n"
	if !l.partial {
		text = strconv.Itoa(l.written) + " " + text
	}
	l.append(text)
	l.partial = false
	l.there[l.path(0)] = append(l.there[l.path(0)], l.written)
}

// begin writes the begin of a line.
func (l *logger) begin(length int) {
	if !l.partial {
		l.append(strconv.Itoa(l.written+1) + " " + strings.Repeat("y", length))
	}
	l.partial = true
}

// shift makes room for a new .1; the oldest goes.
func (l *logger) shift(keep int) {
	for n := keep; n >= 1; n-- {
		old := l.path(n)
		if old == "" {
			continue
		}
		if n == keep {
			must(os.Remove(old))
			delete(l.there, old)
			continue
		}
		next := strings.Replace(old, fmt.Sprintf(".%d", n), fmt.Sprintf(".%d", n+1), 1)
		must(os.Rename(old, next))
		l.there[next] = l.there[old]
		delete(l.there, old)
	}
}

func (l *logger) rotate(keep int, copytruncate, create bool) {
	if _, err := os.Lstat(l.path(0)); err != nil {
		return
	}
	if l.partial {
		l.write(1)
	}
	l.shift(keep)
	first := filepath.Join(l.dir, logName+".1")
	l.late = !copytruncate
	if l.there[first] = l.there[l.path(0)]; copytruncate {
		text, err := os.ReadFile(l.path(0))
		must(err)
		must(os.WriteFile(first, text, 0o644))
		must(os.Chtimes(first, l.now, l.now))
		must(os.Truncate(l.path(0), 0))
		must(os.Chtimes(l.path(0), l.now, l.now))
	} else {
		must(os.Rename(l.path(0), first))
	}
	delete(l.there, l.path(0))
	if create {
		l.append("")
	}
}

// writeLate writes a line into the file that was put aside.
func (l *logger) writeLate() {
	first := filepath.Join(l.dir, logName+".1")
	if l.late && !l.partial && len(l.there[l.path(0)]) == 0 && l.path(1) == first {
		l.written++
		file, err := os.OpenFile(first, os.O_APPEND|os.O_WRONLY, 0)
		must(err)
		_, err = fmt.Fprintf(file, "%d late\n", l.written)
		must(err)
		must(file.Close())
		must(os.Chtimes(first, l.now, l.now))
		l.there[first] = append(l.there[first], l.written)
	}
}

// compress packs one of the rotated files, as delaycompress does.
func (l *logger) compress(n int) {
	path := l.path(n)
	if path == "" || l.late || strings.HasSuffix(path, ".gz") {
		return
	}
	info, err := os.Stat(path)
	must(err)
	text, err := os.ReadFile(path)
	must(err)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(text)
	must(err)
	must(w.Close())
	must(os.WriteFile(path+".gz", packed.Bytes(), 0o644))
	must(os.Chtimes(path+".gz", info.ModTime(), info.ModTime()))
	must(os.Remove(path))
	l.there[path+".gz"] = l.there[path]
	delete(l.there, path)
}

// wipe empties the log, as a person does.
func (l *logger) wipe() {
	if _, err := os.Lstat(l.path(0)); err == nil {
		must(os.Truncate(l.path(0), 0))
		must(os.Chtimes(l.path(0), l.now, l.now))
		delete(l.there, l.path(0))
		if l.partial {
			l.written++ // this line never ends, but may have been heard
		}
		l.partial = false
	}
}

// read is a round of the follower.
func (l *logger) read(t *rapid.T) {
	dir := openDir(l.dir)
	defer dir.Close()
	last := 0
	if len(l.heard) > 0 {
		last = l.heard[len(l.heard)-1]
	}
	to, _, err := dir.follow(context.Background(), logName, l.cursor, l.now, func(_ time.Time, line []byte) {
		number, _, _ := bytes.Cut(line, []byte(" "))
		n, err := strconv.Atoi(string(number))
		if err != nil {
			t.Fatalf("not a line: %.40q", line)
		}
		if n <= last {
			t.Fatalf("line %d after line %d", n, last)
		}
		last = n
		l.heard = append(l.heard, n)
	})
	if err != nil && l.cursor != nil && l.path(0) != "" && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if to != nil {
		l.cursor = to
	}
	for path, lines := range l.there {
		for _, n := range lines {
			if _, found := slices.BinarySearch(l.heard, n); !found {
				t.Fatalf("line %d of %s was not heard; heard %v", n, path, l.heard)
			}
		}
	}
}

// restart is what becomes of the cursor when the agent ends.
func (l *logger) restart() {
	if l.cursor == nil {
		return
	}
	text, err := json.Marshal(l.cursor)
	must(err)
	l.cursor = new(cursor)
	must(json.Unmarshal(text, l.cursor))
}

func openDir(path string) *directory {
	root, err := os.OpenRoot(path)
	must(err)
	return &directory{root, limits{round: 1 << 20, unpacked: 4 << 20}}
}

// TestEveryLineOnce lets a log be written, rotated in every way, packed and
// wiped between rounds and restarts. Every whole line that is in a file at a
// round has been heard after it, once, and in order.
func TestEveryLineOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "evidence")
		must(err)
		defer os.RemoveAll(dir)
		l := &logger{dir: dir, now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), there: map[string][]int{}}
		lengths := rapid.SampledFrom([]int{0, 1, 10, 200, 2000, maxLine - 3, maxLine, 3 * maxLine})
		keep := rapid.IntRange(1, 4).Draw(t, "keep")
		timed := func(do func(*rapid.T)) func(*rapid.T) {
			return func(t *rapid.T) {
				l.now = l.now.Add(time.Minute)
				do(t)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"write":        timed(func(t *rapid.T) { l.write(lengths.Draw(t, "length")) }),
			"write more":   timed(func(t *rapid.T) { l.write(lengths.Draw(t, "length")) }),
			"begin":        timed(func(t *rapid.T) { l.begin(lengths.Draw(t, "length")) }),
			"write late":   timed(func(*rapid.T) { l.writeLate() }),
			"rename":       timed(func(t *rapid.T) { l.rotate(keep, false, false) }),
			"create":       timed(func(t *rapid.T) { l.rotate(keep, false, true) }),
			"copytruncate": timed(func(t *rapid.T) { l.rotate(keep, true, false) }),
			"compress":     timed(func(t *rapid.T) { l.compress(rapid.IntRange(1, keep).Draw(t, "n")) }),
			"wipe":         timed(func(t *rapid.T) { l.wipe() }),
			"read":         timed(l.read),
			"read again":   timed(l.read),
			"restart":      func(*rapid.T) { l.restart() },
		})
	})
}

// TestWhatWasCutOff has a rotated file whose last line does not end, and a log
// that somebody has shortened.
func TestWhatWasCutOff(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	name := filepath.Join(dir, logName)
	text := strings.Repeat("old line\n", 300)
	must(os.WriteFile(name+".1", []byte("first\nunended"), 0o644))
	must(os.Chtimes(name+".1", now, now))
	must(os.WriteFile(name, []byte(text), 0o644))
	d := openDir(dir)
	defer d.Close()
	var heard []string
	hear := func(_ time.Time, line []byte) { heard = append(heard, string(line)) }
	at, _, err := d.follow(t.Context(), logName, nil, now, hear)
	if err != nil || len(heard) != 302 || heard[1] != "unended" || heard[2] != "old line" {
		t.Fatalf("heard %d lines: %q, %v", len(heard), heard[:min(3, len(heard))], err)
	}
	must(os.WriteFile(name, []byte(text[:len(text)/2]+"new line\n"), 0o644))
	_, gap, err := d.follow(t.Context(), logName, at, now, hear)
	if err != nil || !gap || heard[len(heard)-1] != "new line" {
		t.Errorf("heard %q last, gap %v, %v", heard[len(heard)-1], gap, err)
	}
}

// TestAFirstReadingIsBounded takes in the newest part of logs that are larger
// than a round, beginning with a whole line.
func TestAFirstReadingIsBounded(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	line := func(n int) string { return fmt.Sprintf("%09d %s\n", n, strings.Repeat("z", 89)) } // 100 bytes
	const round = 1 << 20
	const lines = round/100 + 5000
	var text strings.Builder
	for n := range lines {
		text.WriteString(line(n))
	}
	must(os.WriteFile(filepath.Join(dir, logName), []byte(text.String()), 0o644))
	must(os.WriteFile(filepath.Join(dir, logName+".1"), []byte(line(1)), 0o644))
	must(os.Chtimes(filepath.Join(dir, logName+".1"), now, now))
	d := openDir(dir)
	defer d.Close()
	var heard []string
	hear := func(_ time.Time, line []byte) { heard = append(heard, string(line[:9])) }
	cursor, gap, err := d.follow(t.Context(), logName, nil, now, hear)
	if err != nil || !gap {
		t.Fatal(gap, err)
	}
	if first, last, n := heard[0], heard[len(heard)-1], len(heard); n != round/100 || last != line(lines - 1)[:9] || first != line(lines - n)[:9] {
		t.Errorf("heard %d lines from %s to %s", n, first, last)
	}
	heard = nil
	if cursor, gap, err = d.follow(t.Context(), logName, cursor, now, hear); err != nil || gap || len(heard) > 0 {
		t.Errorf("heard %d lines again, gap %v, %v", len(heard), gap, err)
	}
	_ = cursor
}

// TestOldFilesAreLeftAlone reads no rotated file that was written last before
// the window.
func TestOldFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for n, age := range map[int]time.Duration{0: 0, 1: 24 * time.Hour, 2: window + time.Hour} {
		name := filepath.Join(dir, logName)
		if n > 0 {
			name += "-2026110" + strconv.Itoa(9-n)
		}
		must(os.WriteFile(name, []byte(fmt.Sprintln(n)), 0o644))
		must(os.Chtimes(name, now.Add(-age), now.Add(-age)))
	}
	must(os.WriteFile(filepath.Join(dir, logName+".save"), []byte("9\n"), 0o644))
	d := openDir(dir)
	defer d.Close()
	var heard string
	_, _, err := d.follow(t.Context(), logName, nil, now, func(_ time.Time, line []byte) { heard += string(line) })
	if err != nil || heard != "10" {
		t.Errorf("heard %q, %v", heard, err)
	}
}

// TestAZippedFileThatUnpacksToTooMuch is read as far as its limit, and holds
// up nothing for ever.
func TestAZippedFileThatUnpacksToTooMuch(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	zeros := make([]byte, 1<<20)
	for range 6 {
		_, err := w.Write(zeros)
		must(err)
	}
	must(w.Close())
	must(os.WriteFile(filepath.Join(dir, logName+".1.gz"), packed.Bytes(), 0o644))
	must(os.Chtimes(filepath.Join(dir, logName+".1.gz"), now, now))
	must(os.WriteFile(filepath.Join(dir, logName), []byte("new\n"), 0o644))
	d := openDir(dir)
	defer d.Close()
	var at *cursor
	heard := ""
	for round := 0; heard != "new"; round++ {
		if round > 10 {
			t.Fatal("it does not come to an end")
		}
		var err error
		if at, _, err = d.follow(t.Context(), logName, at, now, func(_ time.Time, line []byte) { heard = string(line[:min(3, len(line))]) }); err != nil {
			t.Fatal(err)
		}
	}
}

// TestALineOfTenMegabytes does not hurt, and the next one is read.
func TestALineOfTenMegabytes(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	name := filepath.Join(dir, logName)
	long := bytes.Repeat([]byte("w"), 10<<20)
	must(os.WriteFile(name, long, 0o644))
	d := openDir(dir)
	d.limits.round = maxRound
	defer d.Close()
	var heard []int
	hear := func(_ time.Time, line []byte) { heard = append(heard, len(line)) }
	at, _, err := d.follow(t.Context(), logName, nil, now, hear)
	must(err)
	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	must(err)
	_, err = io.WriteString(file, "end of it\nshort\n")
	must(err)
	must(file.Close())
	_, _, err = d.follow(t.Context(), logName, at, now, hear)
	must(err)
	if !slices.Equal(heard, []int{maxLine, len("short")}) {
		t.Errorf("heard lines of %v bytes", heard)
	}
}
