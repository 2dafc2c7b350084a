package work

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/link"
	"github.com/fleetcron/fleetcron/agent/policy/policytest"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// hijacked is a network part that says what it likes, with the work part that it
// says it to.
type hijacked struct {
	t    *testing.T
	work *link.Client
	dir  string
	task func(name string) fleet.Assignment // makes a file of its name
}

func newHijacked(t *testing.T) *hijacked {
	t.Helper()
	dir, out := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "host-id"), []byte(thisHost), 0o644); err != nil {
		t.Fatal(err)
	}
	door := link.NewInside()
	cfg := Config{
		StateDir: dir, Root: t.TempDir(), Name: "web-1", Policy: policytest.Trust(t, dir), Slots: 10, StartRate: 10,
		Output: Output{Runs: 1, Size: 1 << 20}, Net: link.Peers{uint32(os.Geteuid())},
		Read: func(context.Context) (net.Conn, error) { return nil, errors.New("nobody reads here") },
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- Run(ctx, cfg, door, slog.New(slog.DiscardHandler)) }()
	h := &hijacked{t: t, dir: out, work: link.NewClient(link.Net, link.Work, "", door.Dial)}
	h.task = func(name string) fleet.Assignment {
		return fleet.Assignment{
			Task: fleet.Task{
				Name: name, On: fleet.Trigger{Every: fleet.Duration(time.Second)}, Where: fleet.Where{Labels: "*"},
				Run: fleet.Execute{Command: fleet.Command{Shell: "> " + filepath.Join(out, name)}},
			},
			State: fleet.TaskEnabled, Generation: 1, Since: time.Now().Add(-time.Second).UTC(),
		}
	}
	t.Cleanup(func() {
		h.work.Close()
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *hijacked) offer(plan fleet.Plan) error {
	h.t.Helper()
	_, err := link.Offer.Call(h.t.Context(), h.work, plan)
	return err
}

// made waits until a command has made its file.
func (h *hijacked) made(name string) {
	h.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; {
		if _, err := os.Stat(filepath.Join(h.dir, name)); err == nil {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("%s was never made", name)
		}
	}
}

// TestAttack90_AHijackedNetworkPart offers what nobody sealed, what was changed
// after it was sealed, and what is another host's; nothing of it runs.
func TestAttack90_AHijackedNetworkPart(t *testing.T) {
	h := newHijacked(t)
	plan := policytest.Sealed(fleet.Plan{Host: thisHost, Index: 1, Assignments: []fleet.Assignment{h.task("honest")}})
	if err := h.offer(plan); err != nil {
		t.Fatal(err)
	}
	h.made("honest")

	unsigned := h.task("unsigned")
	changed := plan.Assignments[0]
	changed.Task.Run.Command.Shell = "> " + filepath.Join(h.dir, "changed")
	renamed := policytest.Sealed(fleet.Plan{Host: thisHost, Assignments: []fleet.Assignment{h.task("sealed")}}).Assignments[0]
	renamed.Envelope = append([]byte(nil), renamed.Envelope...)
	renamed.Envelope[len(renamed.Envelope)/2] ^= 1
	if err := h.offer(fleet.Plan{Host: thisHost, Index: 2, Assignments: []fleet.Assignment{changed, unsigned, renamed}}); err != nil {
		t.Fatal(err)
	}
	report, err := link.Policy.Call(t.Context(), h.work, 0)
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]string{}
	for _, r := range report.Value.Refused {
		refused[r.Object] = r.Code
	}
	if refused["task default/unsigned"] == "" || refused["task default/sealed"] == "" || refused["task default/honest"] != "" {
		t.Errorf("refused %v", refused)
	}
	applied, err := link.Applied.Call(t.Context(), h.work, 0)
	if err != nil || len(applied.Value.Generations) != 1 || applied.Value.Generations["default/honest"] == 0 {
		t.Errorf("applied %v, %v", applied.Value.Generations, err)
	}

	// The sealed words run on, and not what was put beside them.
	if err := os.Remove(filepath.Join(h.dir, "honest")); err != nil {
		t.Fatal(err)
	}
	h.made("honest")
	h.made("honest")
	if files, _ := os.ReadDir(h.dir); len(files) != 1 {
		t.Errorf("made: %v", files)
	}

	other := fleet.HostID(strings.Repeat("e", 32))
	if err := h.offer(policytest.Sealed(fleet.Plan{Host: other, Index: 3, Assignments: []fleet.Assignment{h.task("others")}})); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("the plan of another host: %v", err)
	}
	state, err := link.GetState.Call(t.Context(), h.work, link.Nothing{})
	if err != nil || state.Host != thisHost || state.Cluster != policytest.Cluster || state.Index != 2 {
		t.Errorf("%+v, %v", state, err)
	}
}

// TestAttack90_VerbsThatThereAreNot: nothing runs, writes or reads by name.
func TestAttack90_VerbsThatThereAreNot(t *testing.T) {
	h := newHijacked(t)
	for _, name := range []string{"run", "exec", "execute", "start", "cancel", "stop", "look", "lease", "policy-set", "write", ""} {
		verb := link.Verb[fleet.Plan, link.Nothing]{Name: name, Answer: 1 << 10}
		if _, err := verb.Call(t.Context(), h.work, fleet.Plan{}); fleet.KindOf(err) != fleet.Refused {
			t.Errorf("%q: %v", name, err)
		}
	}
	_, output, err := link.ReadOutput.Stream(t.Context(), h.work, fleet.Ask{Run: "../../../../etc/passwd", Stream: "stdout"})
	if err == nil {
		text, _ := io.ReadAll(output)
		output.Close()
		t.Errorf("a run of that name has output: %q", text)
	}
}
