//go:build acceptance

package acceptance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// adoptKills is how often the agent dies while it hands over.
const adoptKills = 24

// facts are what must not change about a file.
type facts struct {
	content  string
	mode     os.FileMode
	uid, gid uint32
	modified time.Time
}

func factsOf(t *testing.T, path string) facts {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return facts{string(text), info.Mode(), stat.Uid, stat.Gid, info.ModTime()}
}

// example is one host whose agent may adopt, with one table of three jobs.
type example struct {
	*cluster
	table, probe string
	before       facts
	silent       string // the table while its second job is adopted
	job          api.JobView
}

func newExample(t *testing.T) *example {
	t.Helper()
	c := newCluster(t, 1, 1)
	e := &example{cluster: c, table: filepath.Join(c.dir, "root1/etc/cron.d/backup"), probe: filepath.Join(c.dir, "probe")}
	line := fmt.Sprintf("30 2 * * * root cat >> %s%%one%%two\n", e.probe)
	table := "# ours \xff\nLEVEL=\"full\"\n0 1 * * * root /opt/a\n" + line + "0 3 * * * root /opt/b\n"
	e.silent = strings.Replace(table, line, "# fleetcron adopted data/nightly: "+line, 1)
	c.write("root1/etc/cron.d/backup", table)
	old := time.Date(2024, 2, 29, 3, 4, 5, 678_000_000, time.UTC)
	for _, err := range []error{os.Chmod(e.table, 0o640), os.Chtimes(e.table, old, old)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	e.before = factsOf(t, e.table)
	c.agents[0].kill(syscall.SIGTERM)
	c.agents[0].start()
	c.eventually("the jobs of the table", func(ctx context.Context) error {
		jobs, err := c.client.Jobs(ctx, api.JobQuery{Host: "host-1", Text: e.probe})
		if err == nil && len(jobs.Items) != 1 {
			err = fmt.Errorf("%d jobs", len(jobs.Items))
		}
		if err == nil {
			e.job = jobs.Items[0]
		}
		return err
	})
	return e
}

// fleetctlMust runs fleetctl and wants it to succeed.
func (e *example) fleetctlMust(args ...string) string {
	e.t.Helper()
	out, code := e.fleetctl(args...)
	if code != 0 {
		e.t.Fatalf("fleetctl %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// TestAdoptAndRelease takes a job of an example host there and back with the
// programs a person uses.
func TestAdoptAndRelease(t *testing.T) {
	e := newExample(t)
	ref := "host-1:" + string(e.job.ID)
	out := e.fleetctlMust("adopt", ref, "--task", "data/nightly", "--dry-run")
	for _, part := range []string{"stdin:", "timezone: UTC", "LEVEL: full", "+# fleetcron adopted data/nightly: 30 2 * * * root cat"} {
		if !strings.Contains(out, part) {
			t.Errorf("the dry run lacks %q:\n%s", part, out)
		}
	}
	if now := factsOf(t, e.table); now != e.before {
		t.Fatalf("a dry run changed the file: %+v", now)
	}
	e.fleetctlMust("adopt", ref, "--task", "data/nightly", "--reason", "central", "--wait")
	during := factsOf(t, e.table)
	if during.content != e.silent || during.mode != e.before.mode || during.uid != e.before.uid || during.gid != e.before.gid {
		t.Errorf("the table is\n%q\nwant\n%q", during.content, e.silent)
	}
	if out, code := e.fleetctl("unassign", "data/nightly", "--all"); code != 5 || !strings.Contains(out, "fleetctl release data/nightly") {
		t.Errorf("taking the task away: exit %d\n%s", code, out)
	}
	e.fleetctlMust("run", "data/nightly", "--wait")
	if text, err := os.ReadFile(e.probe); err != nil || string(text) != "one\ntwo\n" {
		t.Errorf("the task wrote %q, %v", text, err)
	}
	e.fleetctlMust("release", "data/nightly", "--wait")
	if now := factsOf(t, e.table); now != e.before {
		t.Errorf("released, the table is\n%+v\nwas\n%+v", now, e.before)
	}
	if out, code := e.fleetctl("tasks", "data/nightly"); code != 3 {
		t.Errorf("the task is still there: exit %d\n%s", code, out)
	}
	e.proveAccount()
	e.refusals()
}

// refusals asks for what must not be done.
func (e *example) refusals() {
	t := e.t
	t.Helper()
	e.write("root1/etc/cron.d/managed", "# Ansible managed\n0 4 * * * root /opt/managed\n")
	var managed api.JobView
	e.eventually("the managed job", func(ctx context.Context) error {
		jobs, err := e.client.Jobs(ctx, api.JobQuery{Host: "host-1", Text: "/opt/managed"})
		if err == nil && len(jobs.Items) == 1 {
			managed = jobs.Items[0]
			return nil
		}
		return fmt.Errorf("%d jobs, %w", len(jobs.Items), err)
	})
	if out, code := e.fleetctl("adopt", "host-1:"+string(managed.ID)); code != 4 || !strings.Contains(out, "Ansible") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if out, code := e.fleetctl("adopt", "host-1:0123456789abcdef"); code != 3 {
		t.Errorf("exit %d\n%s", code, out)
	}
	// The host's own root decides.
	text, err := os.ReadFile(filepath.Join(e.dir, "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	e.write("policy.yaml", strings.Replace(string(text), "adoption: allowed", "adoption: forbidden", 1))
	e.eventually("the policy to be in force", func(context.Context) error {
		if out, code := e.fleetctl("adopt", "host-1:"+string(e.job.ID), "--task", "data/never", "--dry-run"); code != 4 {
			return fmt.Errorf("exit %d: %s", code, out)
		}
		return nil
	})
	if out, code := e.fleetctl("adopt", "host-1:"+string(e.job.ID), "--task", "data/never", "--wait"); code != 4 || !strings.Contains(out, "policy:adoption") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if out, code := e.fleetctl("tasks", "data/never"); code != 3 {
		t.Errorf("a refused task is given: exit %d\n%s", code, out)
	}
	e.agents[0].kill(syscall.SIGKILL)
	e.eventually("silence", func(ctx context.Context) error {
		host, err := e.client.Host(ctx, "host-1")
		if err == nil && host.Presence == fleet.Alive {
			err = fmt.Errorf("it counts as alive")
		}
		return err
	})
	if out, code := e.fleetctl("adopt", "host-1:"+string(e.job.ID)); code != 6 {
		t.Errorf("a silent host: exit %d\n%s", code, out)
	}
}

// adopt signs that the job is taken over.
func (e *example) adopt(ctx context.Context) error {
	host, err := e.client.Host(ctx, "host-1")
	if err != nil {
		return err
	}
	_, err = e.author.Adopt(ctx, &author.Adoption{Job: e.job.Job, Host: host.Host, Task: "data/nightly"}, author.Options{})
	return err
}

// TestAgentKilledWhileItHandsOver kills the agent at random moments of adopting
// and releasing. Whenever it dies the table is whole, one or the other; the next
// agent goes on, and in the end nothing but the job's hands has changed.
func TestAgentKilledWhileItHandsOver(t *testing.T) {
	e := newExample(t)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	killed := func(states ...fleet.AdoptionState) fleet.AdoptionState {
		t.Helper()
		time.Sleep(time.Duration(random.IntN(60_000)) * time.Microsecond)
		e.agents[0].kill(syscall.SIGKILL)
		if now := factsOf(t, e.table).content; now != e.before.content && now != e.silent {
			t.Fatalf("killed, it left\n%q", now)
		}
		e.agents[0].start()
		var state fleet.AdoptionState
		e.eventually(fmt.Sprint("the adoption to be ", states), func(ctx context.Context) error {
			adoption, err := e.client.Adoption(ctx, "data/nightly")
			if err != nil {
				return err
			}
			for _, want := range states {
				if state = adoption.State; state == want {
					return nil
				}
			}
			return fmt.Errorf("it is %s %s", adoption.State, adoption.Why)
		})
		return state
	}
	for n := range adoptKills / 2 {
		e.eventually("the host, alive", func(ctx context.Context) error {
			return e.adopt(ctx)
		})
		killed(fleet.AdoptionAdopted)
		if now := factsOf(t, e.table); now.content != e.silent {
			t.Fatalf("round %d: adopted, the table is\n%q", n, now.content)
		}
		if _, err := e.author.Release(t.Context(), "data/nightly", author.Options{}); err != nil {
			t.Fatal(err)
		}
		killed(fleet.AdoptionReleased)
		if now := factsOf(t, e.table); now != e.before {
			t.Fatalf("round %d: released, the table is\n%+v\nwas\n%+v", n, now, e.before)
		}
		e.eventually("the job to be found again", func(ctx context.Context) error {
			jobs, err := e.client.Jobs(ctx, api.JobQuery{Host: "host-1", Text: e.probe})
			if err == nil && len(jobs.Items) != 1 {
				err = fmt.Errorf("%d jobs", len(jobs.Items))
			}
			return err
		})
	}
	names, err := os.ReadDir(filepath.Dir(e.table))
	if err != nil || len(names) != 1 {
		t.Errorf("left beside it: %v, %v", names, err)
	}
}

// TestALineThatIsSavedBack had been open in an editor all the time: the host's
// own scheduler runs it again, so the task goes.
func TestALineThatIsSavedBack(t *testing.T) {
	e := newExample(t)
	e.fleetctlMust("adopt", "host-1:"+string(e.job.ID), "--task", "data/nightly", "--wait")
	beside := e.table + ".tmp~"
	if err := os.WriteFile(beside, []byte(e.before.content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(beside, e.table); err != nil {
		t.Fatal(err)
	}
	e.eventually("the adoption to be over", func(ctx context.Context) error {
		adoption, err := e.client.Adoption(ctx, "data/nightly")
		if err == nil && adoption.State != fleet.AdoptionReleased {
			err = fmt.Errorf("it is %s", adoption.State)
		}
		return err
	})
	if out, code := e.fleetctl("tasks", "data/nightly"); code != 3 {
		t.Errorf("the task is still there: exit %d\n%s", code, out)
	}
	if now := factsOf(t, e.table).content; now != e.before.content {
		t.Errorf("the table is\n%s", now)
	}
}
