package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/gossip"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

// members is how many others the measured agent knows: as many as two cores
// can gossip with beside it.
const members = 100

// BenchmarkAgentIdleMemory starts the real agent among 100 real members and
// reads its resident memory when it knows them all. It reports MiB_rss (the
// target is 20), what of it is its own (MiB_anon), and floor_MiB_rss, that of a
// process that only sleeps. The rest, 15 MiB, are pages of the program's file that
// it has touched since its start, its neighbours with them: the kernel has them
// once for all processes of the program, and takes them back when it needs the
// memory.
func BenchmarkAgentIdleMemory(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	dir := b.TempDir()
	known := pkitest.New(b)
	key := filepath.Join(dir, "gossip.key")
	ring, err := gossip.MakeRing(key)
	if err != nil {
		b.Fatal(err)
	}
	state := enrolled(b, known, ring, filepath.Join(dir, "state"))
	var first *gossip.Mesh
	for n := range members {
		id := fmt.Sprintf("%032x", n+1)
		cfg := gossip.Config{
			Name: id, Role: string(pki.RoleAgent), Ticket: known.Ticket(pki.RoleAgent, id), Bind: fmt.Sprintf("127.88.%d.%d:0", n/200, n%200+1),
			Label: "fc-" + known.Cluster, Keyring: key, Admit: func(string, string, string) error { return nil }, Logger: slog.New(slog.DiscardHandler),
		}
		if first != nil {
			cfg.Seeds = []string{first.Addr().String()}
		}
		mesh, err := gossip.Join(cfg)
		if err != nil {
			b.Fatal(err)
		}
		defer mesh.Close()
		if first == nil {
			first = mesh
		}
		go mesh.Run(ctx)
	}
	config := filepath.Join(dir, "agent.yaml")
	text := fmt.Sprintf("collectors: ['https://127.88.9.9:7770']\nstate_dir: %s\nname: measured\nlog: {level: error}\ngossip: {bind: '127.88.9.1:7772', seeds: ['%s']}\n", state, first.Addr())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	agent := exec.CommandContext(ctx, "../../bin/fleetcron-agent", "run", "--config", config)
	if err := agent.Start(); err != nil {
		b.Fatalf("%v (make build first)", err)
	}
	defer agent.Wait()
	defer cancel()
	for range b.N {
		waitForAll(b, first)
	}
	settle := time.NewTimer(15 * time.Second) // the agent scans and learns of everyone, the runtime gives memory back
	<-settle.C
	b.ReportMetric(resident(b, agent.Process.Pid), "MiB_rss")
	b.ReportMetric(memoryOf(b, agent.Process.Pid, "RssAnon:"), "MiB_anon")
	sleeper := exec.CommandContext(ctx, "sleep", "60")
	if err := sleeper.Start(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(resident(b, sleeper.Process.Pid), "floor_MiB_rss")
	b.ReportMetric(members, "members")
}

// enrolled makes a state directory that of a host of the fleet.
func enrolled(b *testing.B, known *pkitest.Fleet, ring *gossip.Ring, dir string) string {
	b.Helper()
	id := pkitest.HostID()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "net"), 0o700), known.Agent(id).Save(filepath.Join(dir, "identity"))); err != nil {
		b.Fatal(err)
	}
	_, err := gossip.MakeRing(filepath.Join(dir, "net", "ring"), ring.Texts()...)
	for name, text := range map[string]string{"host-id": id, "cluster": known.Cluster, "net/ticket": known.Ticket(pki.RoleAgent, id)} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600))
	}
	if err != nil {
		b.Fatal(err)
	}
	return dir
}

func waitForAll(b *testing.B, mesh *gossip.Mesh) {
	b.Helper()
	deadline := time.After(time.Minute)
	for {
		alive := 0
		for _, member := range mesh.Members() {
			if member.Status == gossip.StatusAlive {
				alive++
			}
		}
		if alive > members {
			return
		}
		select {
		case <-deadline:
			b.Fatalf("only %d members met", alive)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// resident returns the resident memory of a process in MiB.
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	return memoryOf(b, pid, "VmRSS:")
}

// memoryOf returns what the kernel says in one line about the memory of a process,
// in MiB.
func memoryOf(b *testing.B, pid int, name string) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name); found {
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				b.Fatal(err)
			}
			return float64(kib) / 1024
		}
	}
	b.Fatalf("no %s", name)
	return 0
}
