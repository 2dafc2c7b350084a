//go:build acceptance

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestOneCollectorOnEitherStore gives a collector the same work on disk and in
// memory, restarts it, and finds everything again or nothing.
func TestOneCollectorOnEitherStore(t *testing.T) {
	for _, test := range []struct {
		store string
		kept  bool
	}{{"disk", true}, {"memory", false}} {
		t.Run(test.store, func(t *testing.T) {
			c := &cluster{t: t, dir: t.TempDir(), net: 100 + int(networks.Add(1)) + os.Getpid()%100}
			id := fmt.Sprintf("store-%d-%s", os.Getpid(), test.store)
			c.write("c1.yaml", fmt.Sprintf(`id: %[1]s
store: %[2]s
data_dir: %[3]s/data
listen: {api: '127.%[4]d.0.1:7770', raft: '127.%[4]d.0.1:7771', gossip: '127.%[4]d.0.1:7772', web: '127.%[4]d.0.1:7780'}
log: {level: warn}
`, id, test.store, c.dir, c.net))
			if test.kept {
				c.must(binary(t, "fleetcron-collector"), "init", "--config", c.dir+"/c1.yaml")
			} else {
				out, code := c.run("fleetcron-collector", "init", "--config", c.dir+"/c1.yaml")
				refused(t, "init of a store in memory", out, code, "memory", "no init")
			}
			c.addresses = []string{fmt.Sprintf("https://127.%d.0.1:7770", c.net)}
			collector := c.start("fleetcron-collector", "c1")
			kit := filepath.Join(c.dir, "data", "admin")
			if !test.kept {
				kit = fmt.Sprintf("/dev/shm/fleetcron-%s-%d/admin", id, os.Getuid())
			}
			c.eventually("the kit", func(context.Context) error {
				_, err := os.Stat(filepath.Join(kit, "config.yaml"))
				return err
			})
			c.enter(kit)
			c.leads()
			c.put(t.Context(), "kept", "task: kept\non: {manual: true}\nrun: {command: 'true'}\nwhere: {pick: none}\n")
			before, err := c.client.Cluster(t.Context())
			if err != nil {
				t.Fatal(err)
			}

			collector.kill(syscall.SIGKILL)
			if !test.kept { // the next one is another cluster, with another kit
				if err := os.RemoveAll(kit); err != nil {
					t.Fatal(err)
				}
			}
			collector.start()
			c.eventually("the kit", func(context.Context) error {
				_, err := os.Stat(filepath.Join(kit, "config.yaml"))
				return err
			})
			c.enter(kit)
			c.leads()
			_, err = c.client.Task(t.Context(), "default/kept")
			if found := err == nil; found != test.kept || (err != nil && fleet.KindOf(err) != fleet.NotFound) {
				t.Errorf("after a restart the task is found: %v (%v), want %v", found, err, test.kept)
			}
			after, err := c.client.Cluster(t.Context())
			if err != nil || (after.ID == before.ID) != test.kept {
				t.Errorf("cluster %s became %s (%v)", before.ID, after.ID, err)
			}

			collector.kill(syscall.SIGTERM)
			left, err := os.ReadDir("/dev/shm")
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range left {
				if strings.Contains(entry.Name(), id) {
					t.Errorf("%s is left in memory", entry.Name())
				}
			}
		})
	}
}

// leads waits until the one collector leads and its cluster has a name.
func (c *cluster) leads() {
	c.t.Helper()
	c.eventually("a leader", func(ctx context.Context) error {
		view, err := c.client.Cluster(ctx)
		if err == nil && (view.Leader == "" || view.ID == "") {
			return errors.New("none yet")
		}
		return err
	})
}
