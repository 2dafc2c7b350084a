package chain

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// links returns a chain of n entries.
func links(n int) (entries []fleet.AuditEntry) {
	var head *fleet.AuditEntry
	for i := range n {
		entry := fleet.AuditEntry{
			At:     time.Date(2026, 3, 1, 12, 0, i, 123456789, time.FixedZone("east", 3600)),
			By:     fleet.Principal{Kind: fleet.PersonKind, Name: "ann", Token: "abcd1234", Roles: []fleet.Role{fleet.Operator}, Scope: []string{"data"}, Via: "api", Address: netip.MustParseAddr("10.1.2.3")},
			Action: "task.put", Object: "data/backup", Decision: "done", Why: "ünïcode \xff", Digest: "aa",
		}
		if i%2 == 1 {
			entry = fleet.AuditEntry{At: entry.At, By: fleet.Principal{Kind: fleet.SystemKind, Name: "c1"}, Action: "x", Decision: "refused", Code: "y", Count: i}
		}
		linked := Append(head, entry)
		entries, head = append(entries, linked), &linked
	}
	return entries
}

// TestHashStaysTheSame holds the hash to what is in chains: it can never change.
func TestHashStaysTheSame(t *testing.T) {
	entries := links(2)
	for i, want := range []string{
		"612e41fe96ecaaf6e7311b4ed63ada0100f396c49f4ddb5dfef73cbbeb209bc4",
		"a5a7205230475e48665882b36a3f8e9359191bfd59233d9426227853c3fd1621",
	} {
		if got := hex.EncodeToString(entries[i].Hash); got != want {
			t.Errorf("entry %d: %s, want %s", i+1, got, want)
		}
	}
}

func TestVerify(t *testing.T) {
	if broken := Verify(slices.Values(links(9))); broken != 0 {
		t.Errorf("a whole chain is broken at %d", broken)
	}
	if broken := Verify(slices.Values(links(9)[4:])); broken != 0 {
		t.Errorf("the end of a chain is broken at %d", broken)
	}
	for name, c := range map[string]struct {
		change func([]fleet.AuditEntry) []fleet.AuditEntry
		at     uint64
	}{
		"edited":     {func(e []fleet.AuditEntry) []fleet.AuditEntry { e[3].Object = "data/other"; return e }, 4},
		"who did it": {func(e []fleet.AuditEntry) []fleet.AuditEntry { e[2].By.Name = "bob"; return e }, 3},
		"edited with hash": {func(e []fleet.AuditEntry) []fleet.AuditEntry {
			e[3].Why = "no"
			e[3].Hash = Hash(e[3].Before, e[3])
			return e
		}, 5},
		"dropped":   {func(e []fleet.AuditEntry) []fleet.AuditEntry { return slices.Delete(e, 3, 4) }, 4},
		"the first": {func(e []fleet.AuditEntry) []fleet.AuditEntry { e[0].Before = e[1].Hash; return e }, 1},
		"twice":     {func(e []fleet.AuditEntry) []fleet.AuditEntry { return slices.Insert(e, 3, e[3]) }, 5},
		"swapped":   {func(e []fleet.AuditEntry) []fleet.AuditEntry { e[3], e[4] = e[4], e[3]; return e }, 4},
	} {
		if broken := Verify(slices.Values(c.change(links(9)))); broken != c.at {
			t.Errorf("%s: broken at %d, want %d", name, broken, c.at)
		}
	}
}

// TestAnExportVerifies shows that a chain is held to its hashes after a trip
// through JSON, where zones, nothing and empty lists look alike.
func TestAnExportVerifies(t *testing.T) {
	entries := links(6)
	text, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	var back []fleet.AuditEntry
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if broken := Verify(slices.Values(back)); broken != 0 {
		t.Errorf("broken at %d", broken)
	}
}
