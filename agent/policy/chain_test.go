package policy

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func openTestChain(t *testing.T, dir string) *chain {
	t.Helper()
	c, err := openChain(filepath.Join(dir, chainName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestAChainGoesOnWhereItEnded(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		c := openTestChain(t, dir)
		for j := range 4 {
			if err := c.add(Entry{At: time.Now(), Action: "taken", Object: fmt.Sprint("task ", i, j), Why: "x\ny"}); err != nil {
				t.Fatal(err)
			}
		}
		seq, head := c.last()
		c.Close()
		if got, gotHead, err := VerifyChain(dir); err != nil || got != seq || gotHead != hex.EncodeToString(head) || seq != uint64(4*i+4) {
			t.Errorf("%d %s %v, want %d", got, gotHead, err, seq)
		}
	}
}

func TestATornLineIsCut(t *testing.T) {
	dir := t.TempDir()
	c := openTestChain(t, dir)
	for range 3 {
		if err := c.add(Entry{Action: "taken", Object: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	path := filepath.Join(dir, chainName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for cut := second; cut < len(whole); cut += 7 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		c := openTestChain(t, dir)
		if seq, _ := c.last(); seq != 2 {
			t.Fatalf("cut at %d: goes on after %d", cut, seq)
		}
		if err := c.add(Entry{Action: "taken", Object: "y"}); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if seq, _, err := VerifyChain(dir); err != nil || seq != 3 {
			t.Fatalf("cut at %d: %d, %v", cut, seq, err)
		}
	}
}

func TestWhoeverChangesTheChainBreaksIt(t *testing.T) {
	dir := t.TempDir()
	c := openTestChain(t, dir)
	for i := range 5 {
		if err := c.add(Entry{Action: "refused", Object: fmt.Sprint("task ", i), Code: "signature"}); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	path := filepath.Join(dir, chainName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	for name, text := range map[string]string{
		"a word":  strings.Replace(string(whole), "task 2", "task 7", 1),
		"dropped": lines[0] + lines[1] + lines[3] + lines[4],
		"swapped": lines[0] + lines[2] + lines[1] + lines[3] + lines[4],
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := VerifyChain(dir); fleet.KindOf(err) != fleet.Refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAChainIsBoundedAndKeepsItsHead(t *testing.T) {
	dir := t.TempDir()
	c := openTestChain(t, dir)
	const entries = 12_000
	for range entries {
		if err := c.add(Entry{Action: "refused", Object: "task data/x", Code: "signature", Why: strings.Repeat("x", 5000)}); err != nil {
			t.Fatal(err)
		}
	}
	size := int64(0)
	for _, name := range []string{chainName, chainName + ".1"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 2*chainFile {
		t.Errorf("it takes %d bytes", size)
	}
	if seq, _, err := VerifyChain(dir); err != nil || seq != entries {
		t.Errorf("%d, %v", seq, err)
	}
	c.Close()
	if err := os.Remove(filepath.Join(dir, chainName)); err != nil { // power failed as it was turned over
		t.Fatal(err)
	}
	c = openTestChain(t, dir)
	if seq, _ := c.last(); seq == 0 || seq >= entries {
		t.Errorf("goes on after %d", seq)
	}
}
