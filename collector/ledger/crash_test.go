package ledger

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// crashChild names, in the environment of a child process, the file it is to
// apply entries to until it is killed.
const crashChild = "FLEETCRON_TEST_CRASH_CHILD"

// crashEntries is more than a child gets to apply before it is killed.
const crashEntries = 3000

// TestMain runs the child of TestKilledWhileApplying, or the tests.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashChild); path != "" {
		if err := applyForEver(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// applyForEver goes on where the ledger is and says each index once Apply has
// returned.
func applyForEver(path string) error {
	l, err := Open(path)
	if err != nil {
		return err
	}
	entries := randomEntries(&testing.T{}, 5, crashEntries)
	for len(entries) > 0 {
		n := min(len(entries), 1+len(entries)%4)
		l.Apply(entries[:n])
		fmt.Println(entries[n-1].Index)
		entries = entries[n:]
	}
	return l.Close()
}

// TestKilledWhileApplying kills a process with SIGKILL in the middle of its
// applying, again and again on one file. What it said it had applied is there,
// and the file is exactly the entries up to its applied index.
func TestKilledWhileApplying(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	entries := randomEntries(t, 5, crashEntries)
	fresh, next := newLedger(t), 0
	for round := range 6 {
		said := killedAfter(t, path, 5+rand.IntN(60))
		l, err := Open(path)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		applied, _ := l.Applied()
		if applied < said {
			t.Errorf("round %d: it said %d was applied, %d is", round, said, applied)
		}
		for ; next < len(entries) && entries[next].Index <= applied; next++ {
			fresh.Apply(entries[next : next+1])
		}
		if !bytes.Equal(snapshotOf(t, l), snapshotOf(t, fresh.Ledger)) {
			t.Errorf("round %d: not the entries up to %d: %s", round, applied, diffDumps(dump(t, fresh.Ledger), dump(t, l)))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if next < 50 {
		t.Errorf("only %d entries were applied in all", next)
	}
}

// killedAfter starts the child and kills it once it has said so many indexes.
// It returns the last that was said.
func killedAfter(t *testing.T, path string, lines int) (last uint64) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashChild+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for n := 0; scanner.Scan(); n++ {
		// A line may be cut by the kill: the one before it counts.
		if index, err := strconv.ParseUint(strings.TrimSpace(scanner.Text()), 10, 64); err == nil && n <= lines {
			last = index
		}
		if n == lines {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // it was killed
	return last
}
