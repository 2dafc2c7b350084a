package replica

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func openTestStore(t testing.TB, path string) *logStore {
	t.Helper()
	store, err := openLogStore(path, func(err error) { t.Errorf("fatal: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestLogStoreStablesAreReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	store := openTestStore(t, path)
	if _, err := store.Get([]byte("vote")); err == nil || err.Error() != "not found" {
		t.Errorf("a missing value: %v; raft compares the text", err)
	}
	if _, err := store.GetUint64([]byte("term")); err == nil || err.Error() != "not found" {
		t.Errorf("a missing number: %v; raft compares the text", err)
	}
	for _, err := range []error{store.Set([]byte("vote"), []byte("c2")), store.Set([]byte("empty"), nil), store.SetUint64([]byte("term"), 1<<40), store.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	store = openTestStore(t, path)
	defer store.Close()
	if vote, err := store.Get([]byte("vote")); err != nil || string(vote) != "c2" {
		t.Errorf("vote %q, %v", vote, err)
	}
	if empty, err := store.Get([]byte("empty")); err != nil || len(empty) != 0 {
		t.Errorf("empty %q, %v", empty, err)
	}
	if term, err := store.GetUint64([]byte("term")); err != nil || term != 1<<40 {
		t.Errorf("term %d, %v", term, err)
	}
	if _, err := store.GetUint64([]byte("vote")); err == nil {
		t.Error("a text was read as a number")
	}
}

// TestLogStoreBehavesAsInMemory does the same to ours and to raft's own store
// in memory, with restarts of ours in between.
func TestLogStoreBehavesAsInMemory(t *testing.T) {
	dir := t.TempDir()
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		path := filepath.Join(dir, fmt.Sprint(round))
		fatal := func(err error) { t.Fatalf("fatal: %v", err) }
		ours, err := openLogStore(path, fatal)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { ours.Close() }()
		model := raft.NewInmemStore()
		t.Repeat(map[string]func(*rapid.T){
			"store": func(t *rapid.T) {
				first, _ := model.FirstIndex()
				last, _ := model.LastIndex()
				from := rapid.Uint64Range(max(1, first), last+1).Draw(t, "from")
				var entries []*raft.Log
				for i := range rapid.Uint64Range(1, 20).Draw(t, "n") {
					entries = append(entries, drawEntry(t, from+i))
				}
				check(t, ours.StoreLogs(entries), model.StoreLogs(entries))
			},
			"forget the oldest": func(t *rapid.T) {
				first, _ := model.FirstIndex()
				last, _ := model.LastIndex()
				if last == 0 {
					t.Skip("nothing to forget")
				}
				high := rapid.Uint64Range(first, last+1).Draw(t, "high")
				check(t, ours.DeleteRange(first, high), model.DeleteRange(first, high))
			},
			"cut the newest": func(t *rapid.T) {
				first, _ := model.FirstIndex()
				last, _ := model.LastIndex()
				if last == 0 {
					t.Skip("nothing to cut")
				}
				low := rapid.Uint64Range(first, last).Draw(t, "low")
				check(t, ours.DeleteRange(low, last), model.DeleteRange(low, last))
			},
			"restart": func(t *rapid.T) {
				if err := ours.Close(); err != nil {
					t.Fatal(err)
				}
				if ours, err = openLogStore(path, fatal); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) { compare(t, ours, model) },
		})
	})
}

func check(t *rapid.T, ours, model error) {
	if (ours == nil) != (model == nil) {
		t.Fatalf("ours: %v, in memory: %v", ours, model)
	}
}

func drawEntry(t *rapid.T, index uint64) *raft.Log {
	entry := &raft.Log{
		Index: index,
		Term:  rapid.Uint64().Draw(t, "term"),
		Type:  raft.LogType(rapid.IntRange(0, 5).Draw(t, "type")),
		Data:  rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data"),
	}
	if rapid.Bool().Draw(t, "extended") {
		entry.Extensions = rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "extensions")
		entry.AppendedAt = time.Unix(0, rapid.Int64Range(1, 1<<62).Draw(t, "at")).UTC()
	}
	return entry
}

func compare(t *rapid.T, ours, model raft.LogStore) {
	first, _ := model.FirstIndex()
	last, _ := model.LastIndex()
	if ourFirst, err := ours.FirstIndex(); err != nil || ourFirst != first {
		t.Fatalf("first is %d (%v), want %d", ourFirst, err, first)
	}
	if ourLast, err := ours.LastIndex(); err != nil || ourLast != last {
		t.Fatalf("last is %d (%v), want %d", ourLast, err, last)
	}
	for index := max(first, 2) - 1; index <= last+1; index++ {
		var got, want raft.Log
		gotErr, wantErr := ours.GetLog(index, &got), model.GetLog(index, &want)
		if !errors.Is(gotErr, wantErr) {
			t.Fatalf("entry %d: %v, want %v", index, gotErr, wantErr)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("entry %d: %s", index, diff)
		}
	}
}

func TestLogStoreRefusesWhatItCannotTrust(t *testing.T) {
	fill := func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "log.db")
		store := openTestStore(t, path)
		for index := uint64(1); index <= 200; index++ {
			if err := store.StoreLog(&raft.Log{Index: index, Term: 1, Data: []byte(strings.Repeat("x", 500))}); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Run("cut off", func(t *testing.T) {
		path := fill(t)
		for _, size := range []int64{64 << 10, 8192, 4096, 100, 0} {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			if _, err := openLogStore(path, func(error) {}); err == nil || !strings.Contains(err.Error(), "cut off") {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	})
	t.Run("a flipped byte", func(t *testing.T) {
		path := fill(t)
		store := openTestStore(t, path)
		err := store.db.Update(func(tx *bbolt.Tx) error {
			value := append([]byte{}, tx.Bucket(logBucket).Get(key(42))...)
			value[100] ^= 1
			return tx.Bucket(logBucket).Put(key(42), value)
		})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		var entry raft.Log
		if err := store.GetLog(42, &entry); err == nil || !strings.Contains(err.Error(), "entry 42 of the raft log is damaged") {
			t.Errorf("got %v", err)
		}
		if err := store.GetLog(43, &entry); err != nil {
			t.Errorf("its neighbour: %v", err)
		}
	})
	t.Run("in use", func(t *testing.T) {
		path := fill(t)
		defer openTestStore(t, path).Close()
		if _, err := openLogStore(path, func(error) {}); fleet.KindOf(err) != fleet.Conflict || !strings.Contains(err.Error(), "in use by another process") {
			t.Errorf("got %v", err)
		}
	})
}

func TestLogStoreTellsOfADiskThatFails(t *testing.T) {
	var told error
	store, err := openLogStore(filepath.Join(t.TempDir(), "log.db"), func(err error) { told = err })
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := store.StoreLog(&raft.Log{Index: 1}); err == nil || told == nil {
		t.Errorf("stored with %v, told %v", err, told)
	}
}

const crashDir = "FLEETCRON_TEST_CRASH_DIR"

// TestLogStoreSurvivesKill stores entries in a child process, kills it at some
// moment and wants every entry that the child had acknowledged.
func TestLogStoreSurvivesKill(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		storeUntilKilled(dir)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "log.db")
	var acknowledged uint64
	for round := range 5 {
		child := exec.Command(os.Args[0], "-test.run=^TestLogStoreSurvivesKill$")
		child.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 20*(round+1) && lines.Scan(); n++ {
			acknowledged = parseIndex(t, lines.Text())
		}
		child.Process.Kill()
		for lines.Scan() {
			acknowledged = parseIndex(t, lines.Text())
		}
		child.Wait()
		store := openTestStore(t, path)
		last, err := store.LastIndex()
		if err != nil || last < acknowledged {
			t.Fatalf("round %d: ends at %d (%v), %d was acknowledged", round, last, err, acknowledged)
		}
		for index := uint64(1); index <= last; index++ {
			var entry raft.Log
			if err := store.GetLog(index, &entry); err != nil || string(entry.Data) != fmt.Sprint("entry ", index) {
				t.Fatalf("entry %d: %q, %v", index, entry.Data, err)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func parseIndex(t *testing.T, line string) uint64 {
	t.Helper()
	index, err := strconv.ParseUint(line, 10, 64)
	if err != nil {
		t.Fatalf("the child says %q", line)
	}
	return index
}

// storeUntilKilled is the child: it prints each index once it is stored.
func storeUntilKilled(dir string) {
	store, err := openLogStore(filepath.Join(dir, "log.db"), die)
	if err != nil {
		die(err)
	}
	last, err := store.LastIndex()
	if err != nil {
		die(err)
	}
	for index := last + 1; ; index++ {
		if err := store.StoreLog(&raft.Log{Index: index, Term: 1, Data: []byte(fmt.Sprint("entry ", index))}); err != nil {
			die(err)
		}
		fmt.Println(index)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(uint64(7), encodeEntry(&raft.Log{Index: 7, Term: 3, Data: []byte("x"), Extensions: []byte("y"), AppendedAt: time.Unix(1, 2)}))
	f.Add(uint64(1), []byte{})
	f.Fuzz(func(t *testing.T, index uint64, value []byte) {
		var entry raft.Log
		if decodeEntry(index, value, &entry) == nil {
			if diff := cmp.Diff(value, encodeEntry(&entry)); diff != "" {
				t.Error(diff)
			}
		}
	})
}
