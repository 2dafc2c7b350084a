package proof

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	cluster = "00112233445566778899aabbccddeeff"
	hostOne = fleet.HostID("0123456789abcdef0123456789abcdef")
	hostTwo = fleet.HostID("fedcba9876543210fedcba9876543210")
	chainOf = "cccccccccccccccccccccccccccccccc"
	journal = fleet.JournalID("abababababababababababababababab")
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// keyOf returns a key that is the same each time.
func keyOf(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func fingerprintOf(seed byte) string {
	return PublicKey(keyOf(seed).Public().(ed25519.PublicKey)).Fingerprint()
}

// lineOf returns the n-th line of a host; every third is of another namespace.
func lineOf(n int) Line {
	exit, started, ended := n%3, noon.Add(time.Duration(n)*time.Second), noon.Add(time.Duration(n+1)*time.Second)
	task := fleet.TaskID("data/backup")
	if n%3 == 2 {
		task = "web/clean"
	}
	statement := Hash{byte(n)}
	return Line{
		Run: fleet.RunID(fmt.Sprintf("0190a000-0000-7000-8000-%012d", n)), Task: task, Generation: 3, Due: noon, Attempt: 1,
		State: fleet.RunRan, Exit: &exit, Started: &started, Ended: &ended, Stdout: 12, Statement: &statement, Params: map[string]string{"b": "2", "a": "1"},
	}
}

// chain returns n blocks of three lines each.
func chain(host fleet.HostID, id string, key ed25519.PrivateKey, n int) (blocks []Kept) {
	head := Start(cluster, host, id)
	for i := range n {
		b := Block{Cluster: cluster, Host: host, Chain: id, First: uint64(3*i + 1), Before: head, At: noon.Add(time.Duration(i) * time.Minute), Journal: journal, Sequence: uint64(10 * i)}
		for j := range 3 {
			line := lineOf(3*i + j + 1)
			b.Lines = append(b.Lines, Entry{Line: &line})
		}
		b.Sign(key)
		head = b.After
		blocks = append(blocks, Kept{Block: b})
	}
	return blocks
}

func both() []Kept {
	return slices.Concat(chain(hostOne, chainOf, keyOf(1), 4), chain(hostTwo, chainOf, keyOf(2), 2))
}

func exported(t testing.TB, blocks []Kept) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, nil)
	var err error
	add := func(next error) {
		if err == nil {
			err = next
		}
	}
	for _, host := range []struct {
		id   fleet.HostID
		name string
		key  ed25519.PrivateKey
	}{{hostOne, "db-1", keyOf(1)}, {hostTwo, "db-2", keyOf(2)}} {
		public := PublicKey(host.key.Public().(ed25519.PublicKey))
		add(w.Key(HostKey{Host: host.id, Name: host.name, Key: public, Fingerprint: public.Fingerprint(), How: Enrolled, Since: noon}))
	}
	for _, block := range blocks {
		add(w.Block(block))
	}
	add(w.End())
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
