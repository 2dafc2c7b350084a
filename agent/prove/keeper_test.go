package prove

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

const (
	cluster = "00112233445566778899aabbccddeeff"
	host    = fleet.HostID("0123456789abcdef0123456789abcdef")
	journal = fleet.JournalID("abababababababababababababababab")
)

func keyOf(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

// said returns lines about the records from one to another.
func said(from, to int) (lines []Said) {
	for n := from; n <= to; n++ {
		exit := n % 2
		lines = append(lines, Said{uint64(n), proof.Line{Run: fleet.RunID(fmt.Sprintf("run-%d", n)), Task: "data/backup", State: fleet.RunRan, Exit: &exit}})
	}
	return lines
}

func open(t testing.TB, dir string, options Options) *Keeper {
	t.Helper()
	k, err := Open(dir, keyOf(1), cluster, host, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func add(t testing.TB, k *Keeper, from, to int) {
	t.Helper()
	if err := k.Add(journal, uint64(to), said(from, to)); err != nil {
		t.Fatal(err)
	}
}

// runsOf returns the runs that all blocks in a directory speak of, after it
// checked them, and how many chains they are of.
func runsOf(t testing.TB, dir string) (runs []fleet.RunID, chains int) {
	t.Helper()
	var last *proof.Block
	if err := Each(dir, func(b *proof.Block) error {
		if err := b.Check(); err != nil {
			return err
		}
		if last == nil || b.Chain != last.Chain {
			chains++
		} else if !b.Follows(last) {
			return fmt.Errorf("line %d does not follow line %d", b.First, last.Last())
		}
		last = b
		for _, entry := range b.Lines {
			runs = append(runs, entry.Line.Run)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return runs, chains
}

func wantRuns(t testing.TB, dir string, from, to, chains int) {
	t.Helper()
	var want []fleet.RunID
	for _, line := range said(from, to) {
		want = append(want, line.Line.Run)
	}
	if runs, is := runsOf(t, dir); !slices.Equal(runs, want) || is != chains {
		t.Errorf("%v in %d chains, want %v in %d", runs, is, want, chains)
	}
}

func TestAChainGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "proofs")
	k := open(t, dir, Options{})
	if id, n := k.Spoken(); id != "" || n != 0 {
		t.Errorf("it has spoken of %s %d", id, n)
	}
	add(t, k, 1, 3)
	k.Close()
	k = open(t, dir, Options{})
	if id, n := k.Spoken(); id != journal || n != 3 {
		t.Errorf("it has spoken of %s %d", id, n)
	}
	add(t, k, 4, 4)
	wantRuns(t, dir, 1, 4, 1)
}

func TestAnotherChainBegins(t *testing.T) {
	for name, reopen := range map[string]func(dir string) (*Keeper, error){
		"another key": func(dir string) (*Keeper, error) { return Open(dir, keyOf(2), cluster, host, Options{}) },
		"another host": func(dir string) (*Keeper, error) {
			return Open(dir, keyOf(1), cluster, fleet.HostID(journal), Options{})
		},
		"another fleet": func(dir string) (*Keeper, error) {
			return Open(dir, keyOf(1), strings.Repeat("e", 32), host, Options{})
		},
		"an older journal": func(dir string) (*Keeper, error) {
			k, err := Open(dir, keyOf(1), cluster, host, Options{})
			if err == nil {
				k.Forsake()
			}
			return k, err
		},
	} {
		dir := t.TempDir()
		first := open(t, dir, Options{})
		add(t, first, 1, 2)
		first.Close()
		k, err := reopen(dir)
		if err != nil {
			t.Fatal(err)
		}
		if id, _ := k.Spoken(); id != "" {
			t.Errorf("%s: it goes on", name)
		}
		add(t, k, 3, 4)
		wantRuns(t, dir, 1, 4, 2)
		k.Close()
	}
}

// TestWhatWasDeliveredAndLost shows that numbers which the collectors know are
// never given to other lines.
func TestWhatWasDeliveredAndLost(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, Options{})
	add(t, k, 1, 1)
	add(t, k, 2, 2)
	if err := k.Delivered(2); err != nil {
		t.Fatal(err)
	}
	size := k.bytes()
	k.Close()
	if err := os.Truncate(filepath.Join(dir, segmentName(1)), size-1); err != nil {
		t.Fatal(err)
	}
	k = open(t, dir, Options{})
	if id, _ := k.Spoken(); id != "" {
		t.Error("the chain goes on with numbers that were used")
	}
	add(t, k, 3, 3)
	blocks, last, err := k.Undelivered(0, 1<<20)
	if err != nil || len(blocks) != 1 || last != 3 || blocks[0].First != 1 {
		t.Errorf("%d blocks to %d, %v", len(blocks), last, err)
	}
}

func TestUndelivered(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, Options{})
	for n := 1; n <= 5; n++ {
		add(t, k, n, n)
	}
	one := int(k.waiting[0])
	for _, step := range []struct {
		after uint64
		bytes int
		count int
		last  uint64
	}{{0, 1, 1, 1}, {1, 2 * one, 2, 3}, {3, 1 << 20, 2, 5}, {5, 1 << 20, 0, 5}, {0, 1 << 20, 5, 5}} {
		blocks, last, err := k.Undelivered(step.after, step.bytes)
		if err != nil || len(blocks) != step.count || last != step.last {
			t.Errorf("after %d: %d blocks to %d, %v", step.after, len(blocks), last, err)
		}
	}
	if err := k.Delivered(4); err != nil {
		t.Fatal(err)
	}
	k.Close()
	k = open(t, dir, Options{})
	if blocks, last, err := k.Undelivered(0, 1<<20); err != nil || len(blocks) != 1 || last != 5 || k.ahead != k.waiting[0] {
		t.Errorf("after another start: %d blocks to %d, %v", len(blocks), last, err)
	}
}

// TestRoom shows that what was delivered goes when there is too much, and what
// was not stays.
func TestRoom(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, Options{MaxBytes: 1 << 20, MaxAhead: 3 << 20})
	n := 0
	for ; !k.Full(); n += 50 {
		long := said(n+1, n+50)
		for i := range long {
			long[i].Line.Params = map[string]string{"text": strings.Repeat("x", 4000)}
		}
		if err := k.Add(journal, uint64(n+50), long); err != nil {
			t.Fatal(err)
		}
	}
	wantRuns(t, dir, 1, n, 1)
	if len(k.segments) < 3 {
		t.Fatalf("%d segments", len(k.segments))
	}
	if err := k.Delivered(k.next - 1); err != nil {
		t.Fatal(err)
	}
	if k.Full() || len(k.segments) > 2 {
		t.Errorf("%d segments are left", len(k.segments))
	}
	add(t, k, n+1, n+1)
	if blocks, _, err := k.Undelivered(0, 1); err != nil || len(blocks) != 1 || blocks[0].Lines[0].Line.Run != said(n+1, n+1)[0].Line.Run {
		t.Errorf("%+v, %v", blocks, err)
	}
}

// TestCutAtAnyByte ends the writing after some number of bytes, as a crash does,
// and shows that nothing is lost or said twice by who goes on then. It takes every
// number around the ends of frames, and each fifth between them.
func TestCutAtAnyByte(t *testing.T) {
	whole := t.TempDir()
	k := open(t, whole, Options{})
	add(t, k, 1, 2)
	before := k.bytes()
	add(t, k, 3, 5)
	k.Close()
	text, err := os.ReadFile(filepath.Join(whole, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	for size := range len(text) + 1 {
		if near := min(size, max(size-int(before), int(before)-size), len(text)-size); near > 2*frameBytes && size%5 != 0 {
			continue
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, segmentName(1)), text[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		k := open(t, dir, Options{sync: func(*os.File) error { return nil }})
		_, spoken := k.Spoken()
		want := uint64(0)
		switch {
		case size == len(text):
			want = 5
		case size >= int(before):
			want = 2
		}
		if spoken != want {
			t.Fatalf("after %d bytes it has spoken of %d, want %d", size, spoken, want)
		}
		if spoken < 5 {
			add(t, k, int(spoken)+1, 5)
		}
		wantRuns(t, dir, 1, 5, 1)
		k.Close()
	}
}

func TestADiskThatFails(t *testing.T) {
	dir := t.TempDir()
	full, broken := false, false
	k := open(t, dir, Options{
		write: func(file *os.File, frames []byte) (int, error) {
			if full {
				n, _ := file.Write(frames[:rand.IntN(len(frames))])
				return n, unix.ENOSPC
			}
			return file.Write(frames)
		},
		sync: func(file *os.File) error {
			if broken {
				return unix.EIO
			}
			return file.Sync()
		},
	})
	add(t, k, 1, 1)
	full = true
	if err := k.Add(journal, 2, said(2, 2)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("without space: %v", err)
	}
	full = false
	add(t, k, 2, 2)
	wantRuns(t, dir, 1, 2, 1)
	broken = true
	if err := k.Add(journal, 3, said(3, 3)); !errors.Is(err, unix.EIO) {
		t.Errorf("without a sync: %v", err)
	}
	broken = false
	if err := k.Add(journal, 3, said(3, 3)); err == nil {
		t.Error("after a sync that failed it went on as if nothing was")
	}
}

func TestKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), KeyFile)
	if _, err := OpenKey(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no key: %v", err)
	}
	key, err := DrawKey(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := DrawKey(path, slog.New(slog.DiscardHandler)); err != nil || !again.Equal(key) {
		t.Errorf("the key is another one the second time: %v", err)
	}
	if stat, err := os.Stat(path); err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", stat.Mode(), err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKey(path); fleet.KindOf(err) != fleet.Refused {
		t.Errorf("a key that others can read: %v", err)
	}
	for what, spoil := range map[string]func() error{
		"others may have read it": func() error { return os.Chmod(path, 0o640) },
		"it is cut":               func() error { return os.Truncate(path, 7) },
		"it is a link":            func() error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		next, err := DrawKey(path, slog.New(slog.DiscardHandler))
		if err != nil || next.Equal(key) {
			t.Errorf("%s: the same key, or none: %v", what, err)
		}
		if _, err := os.Lstat(path + Unusable); err != nil {
			t.Errorf("%s: it is not set aside: %v", what, err)
		}
		key = next
	}
}

// TestAnAgentGoesOnBesideProofsThatItCannotRead: those of a later version, after
// a way back.
func TestAnAgentGoesOnBesideProofsThatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	quiet := Options{Logger: slog.New(slog.DiscardHandler)}
	k := open(t, dir, quiet)
	add(t, k, 1, 1)
	last := k.segments[len(k.segments)-1].path
	k.Close()
	file, err := os.OpenFile(last, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(frame(nil, []byte{0xa1, 0x00, 0x00})); err != nil {
		t.Fatal(err)
	}
	file.Close()
	k = open(t, dir, quiet)
	add(t, k, 2, 2)
	blocks, through, err := k.Undelivered(0, 1<<20)
	if err != nil || len(blocks) != 2 || through != 3 || blocks[1].First != 1 || blocks[0].Chain == blocks[1].Chain {
		t.Fatalf("%d blocks through %d, %v: want the first, and one of another chain", len(blocks), through, err)
	}
	if err := k.Delivered(through); err != nil {
		t.Error(err)
	}
}

func TestStatements(t *testing.T) {
	path := filepath.Join(t.TempDir(), "statements.json")
	s, err := OpenStatements(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(20) {
		if err := s.Add([]Generation{{"data/backup", n + 1, proof.Hash{byte(n + 1)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = OpenStatements(path); err != nil {
		t.Fatal(err)
	}
	if !s.Knows("data/backup", 20) || s.Of("data/backup", 20)[0] != 20 || s.Knows("data/backup", 4) || s.Knows("data/other", 20) {
		t.Errorf("%v", s.known)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := OpenStatements(path); err != nil || s.Knows("data/backup", 20) {
		t.Errorf("a damaged file: %v", err)
	}
}
