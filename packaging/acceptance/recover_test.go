//go:build acceptance

package acceptance

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fleetcron/fleetcron/shared/backup"
)

// TestGoingOnAfterAMajorityIsLost loses two of three collectors with their
// disks, lets the third go on, takes the place of one lost with an empty one,
// and begins another cluster with a backup. The agent runs its task through
// all of it.
func TestGoingOnAfterAMajorityIsLost(t *testing.T) {
	c := newCluster(t, 3, 1)
	c.put(t.Context(), "kept", "task: kept\non: {every: 1s}\nrun: {command: 'true'}\nwhere: {labels: '*'}\n")
	c.ran("default/kept", 1)
	file := filepath.Join(c.dir, "all.backup")
	if out, code := c.fleetctl("backup", file); code != 0 || !strings.Contains(out, "at entry") {
		t.Fatalf("backup: %d %s", code, out)
	}
	out, code := c.fleetctl("backup", file)
	refused(t, "a backup over a backup", out, code, "is there already", "never replaces")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("backup %v, %v", info, err)
	}
	before, err := c.client.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	config := func(n int) []string { return []string{"--config", filepath.Join(c.dir, fmt.Sprintf("c%d.yaml", n))} }
	out, code = c.run("fleetcron-collector", append([]string{"recover", "--yes"}, config(1)...)...)
	refused(t, "recover of a collector that runs", out, code, "in use")
	for n, p := range c.collectors {
		p.kill(syscall.SIGKILL)
		if n > 0 {
			if err := os.RemoveAll(filepath.Join(c.dir, p.name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, code = c.run("fleetcron-collector", append([]string{"recover"}, config(1)...)...)
	refused(t, "recover without a yes", out, code, "c2 at", "last entry", "lost is", "nothing was changed", "--yes")
	c.must(binary(t, "fleetcron-collector"), append([]string{"recover", "--yes"}, config(1)...)...)
	c.collectors[0].start()
	c.alone(c.addresses[0])
	c.leads()
	after, err := c.client.Cluster(t.Context())
	if err != nil || after.ID != before.ID || len(after.Collectors) != 1 {
		t.Errorf("cluster %+v became %+v, %v", before, after, err)
	}
	if _, err := c.client.Task(t.Context(), "default/kept"); err != nil {
		t.Errorf("the task is lost: %v", err)
	}
	c.ran("default/kept", 5)

	c.configure(4) // the id of one that is lost is never used again
	c.join(4)
	c.members(2)

	// The memory of the cluster begins anew on another machine, with the backup.
	c.configure(5)
	c.enrol("fleetcron-collector", "c5", "--collector", "c5")
	for _, p := range []*program{c.collectors[0], c.collectors[3]} {
		p.kill(syscall.SIGTERM)
	}
	out, code = c.run("fleetcron-collector", append([]string{"restore", file}, config(1)...)...)
	refused(t, "a restore over what is there", out, code, "has state", "never overwrites")
	damaged := filepath.Join(c.dir, "damaged.backup")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(damaged, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, code = c.run("fleetcron-collector", append([]string{"restore", damaged}, config(5)...)...)
	refused(t, "a damaged backup", out, code, "damaged")
	forged := filepath.Join(c.dir, "forged.backup")
	rewritten(t, file, forged)
	out, code = c.run("fleetcron-collector", append([]string{"restore", forged}, config(5)...)...)
	refused(t, "a backup that somebody wrote anew", out, code, "no collector of this cluster vouches", "nothing was changed")
	c.must(binary(t, "fleetcron-collector"), append([]string{"restore", file}, config(5)...)...)
	c.start("fleetcron-collector", "c5")
	c.alone(c.addresses[4])
	c.leads()
	if _, err := c.client.Task(t.Context(), "default/kept"); err != nil {
		t.Errorf("the task is not in the backup: %v", err)
	}
	if restored, err := c.client.Cluster(t.Context()); err != nil || restored.ID != before.ID {
		t.Errorf("the restored cluster is %s, %v", restored.ID, err)
	}
}

// rewritten makes the backup that somebody makes who has the file and no key:
// whole, with a sum that fits, and the word of the one that it was.
func rewritten(t *testing.T, from, to string) {
	t.Helper()
	file, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	header, word, content, err := backup.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	header.Index++
	if err := backup.Write(&out, header, bytes.NewReader(text), func([]byte) ([]byte, error) { return word.Text, nil }); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// alone makes the test ask one collector only.
func (c *cluster) alone(address string) {
	c.t.Helper()
	if err := c.client.SetAddresses([]string{address}); err != nil {
		c.t.Fatal(err)
	}
}
