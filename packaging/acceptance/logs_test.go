//go:build acceptance

package acceptance

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestLogsAreFollowed lets a command wait until what it wrote last was read by
// those who follow it, in a shell and on the web page: nothing is held back.
// Afterwards both streams are there in their order, with times.
func TestLogsAreFollowed(t *testing.T) {
	c := newCluster(t, 1, 1)
	on := filepath.Join(c.dir, "on")
	if err := syscall.Mkfifo(on, 0o600); err != nil {
		t.Fatal(err)
	}
	run := c.begun("followed", fmt.Sprintf("for n in 1 2 3; do echo out $n; read x < %[1]s; echo err $n >&2; read x < %[1]s; done", on))
	shell, stop := c.follow("logs", string(run), "-f", "-t")
	defer stop()
	page := c.watch(fmt.Sprintf("http://127.%d.0.1:7780/runs/%s/live.txt", c.net, run))
	for n := 1; n <= 3; n++ {
		for _, stream := range []string{"out", "err"} {
			for who, lines := range map[string]*bufio.Scanner{"fleetctl": shell, "the page": page} {
				want := fmt.Sprintf(" std%s %s %d", stream, stream, n)
				if !lines.Scan() || !strings.HasSuffix(lines.Text(), want) {
					t.Fatalf("%s has %q, %v, want %q", who, lines.Text(), lines.Err(), want)
				}
			}
			if err := os.WriteFile(on, []byte("\n"), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for who, lines := range map[string]*bufio.Scanner{"fleetctl": shell, "the page": page} {
		if lines.Scan() || lines.Err() != nil {
			t.Errorf("%s has %q, %v, want the end", who, lines.Text(), lines.Err())
		}
	}
	text, code := c.fleetctl("logs", string(run), "--timestamps")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, text)
	}
	var order []string
	var last time.Time
	for line := range strings.Lines(text) {
		at, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		written, err := time.Parse(time.RFC3339, at)
		if err != nil || written.Before(last) {
			t.Errorf("%q after %v, %v", line, last, err)
		}
		last = written
		order = append(order, rest)
	}
	if want := []string{"stdout out 1", "stderr err 1", "stdout out 2", "stderr err 2", "stdout out 3", "stderr err 3"}; !slices.Equal(order, want) {
		t.Errorf("%q, want %q", order, want)
	}
}

// begun gives the hosts a task, lets it run and returns the run.
func (c *cluster) begun(name, script string) fleet.RunID {
	c.t.Helper()
	c.write(name+".sh", script+"\n")
	id := fleet.TaskID("default/" + name)
	c.put(c.t.Context(), string(id), fmt.Sprintf("task: %s\non: {manual: true}\nrun: {command: 'exec sh %s/%s.sh'}\nwhere: {labels: role=test}\nlimits: {output: 1MiB}\n", name, c.dir, name))
	c.applied(id)
	if _, err := c.author.Run(c.t.Context(), id, nil, author.Options{}); err != nil {
		c.t.Fatal(err)
	}
	var run fleet.RunID
	c.eventually("the run", func(ctx context.Context) error {
		runs, err := c.client.Runs(ctx, api.RunQuery{Task: id})
		if err == nil && (len(runs.Items) == 0 || runs.Items[0].Started == nil) {
			return fmt.Errorf("none yet")
		}
		if err == nil {
			run = runs.Items[0].ID
		}
		return err
	})
	return run
}

// follow starts fleetctl and returns the lines that it prints.
func (c *cluster) follow(args ...string) (*bufio.Scanner, func()) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	cmd := exec.CommandContext(ctx, binary(c.t, "fleetctl"), args...)
	cmd.Env = c.environ()
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	return bufio.NewScanner(out), func() {
		cancel()
		_ = cmd.Wait() // it was killed, or has ended
	}
}

// watch reads the lines of an address.
func (c *cluster) watch(address string) *bufio.Scanner {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	reply, err := c.browser().Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { reply.Body.Close() })
	if reply.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(reply.Body)
		c.t.Fatalf("%s: %s %.300s", address, reply.Status, text)
	}
	return bufio.NewScanner(reply.Body)
}

// BenchmarkLogsFollow measures from a command's write to what fleetctl logs -f
// prints and to what the page gets, with the real programs: the command writes
// what time it is, every 50 ms. The target is 300 ms.
func BenchmarkLogsFollow(b *testing.B) {
	c := newCluster(b, 1, 1)
	run := c.begun("ticking", "while :; do date +%s%N; sleep 0.05; done")
	defer func() {
		if _, err := c.author.Cancel(context.Background(), run, author.Options{Reason: "measured"}); err != nil {
			b.Error(err)
		}
	}()
	shell, stop := c.follow("logs", string(run), "-f", "--tail", "1")
	defer stop()
	page := c.watch(fmt.Sprintf("http://127.%d.0.1:7780/runs/%s/live.txt", c.net, run))
	for name, lines := range map[string]*bufio.Scanner{"fleetctl": shell, "page": page} {
		var took []time.Duration
		count := max(b.N, 100)
		for began := time.Now(); len(took) < count && lines.Scan(); {
			text := lines.Text()
			nanoseconds, err := strconv.ParseInt(text[strings.LastIndexByte(text, ' ')+1:], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			if written := time.Unix(0, nanoseconds); written.After(began) { // else it was there before
				took = append(took, time.Since(written))
			}
		}
		if len(took) < count {
			b.Fatalf("%d lines, %v", len(took), lines.Err())
		}
		slices.Sort(took)
		for part, of := range map[string]int{"p50": 50, "p99": 99} {
			b.ReportMetric(float64(took[(len(took)-1)*of/100].Microseconds())/1000, name+"_ms_"+part)
		}
	}
}
