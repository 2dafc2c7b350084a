package main

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// TestMain lets the scripts run this very binary as fleetctl.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fleetctl": main})
}

// TestScripts runs testdata/*.txt: what a person could type, each script
// against a fake collector of its own. The command "fleet" changes what
// happens there: fleet exits N, fleet leaderless, fleet deaf, fleet silent.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			fake := newFake()
			access, stop := serve(t, fake, t.TempDir())
			env.Defer(stop)
			env.Values[fakeKey{}] = fake
			for name, value := range access {
				env.Setenv(name, value)
			}
			env.Setenv("COLLECTOR", access["FLEETCRON_ADDRESS"]) // to go back to
			env.Setenv("TZ", "Europe/Berlin")
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else every fleetctl ends a second late
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"fleet": changeFleet},
	})
}

type fakeKey struct{}

func changeFleet(ts *testscript.TestScript, _ bool, args []string) {
	fake, ok := ts.Value(fakeKey{}).(*collectorFake)
	if !ok || len(args) == 0 {
		ts.Fatalf("usage: fleet exits N | leaderless | deaf | silent")
	}
	fake.mu.Lock()
	defer fake.mu.Unlock()
	switch args[0] {
	case "exits":
		code, err := strconv.Atoi(args[1])
		ts.Check(err)
		started, ended := noon, noon.Add(time.Second)
		fake.ends = fleet.Run{State: fleet.RunRan, Exit: &code, Started: &started, Ended: &ended, Tail: "no space left\n"}
	case "leaderless":
		fake.noLeader = true
	case "obstinate": // hosts refuse what they are asked
		fake.mind = "obstinate"
	case "deaf": // the agents do not take over what they are given
		fake.applied = false
	case "cautious": // tasks wait for another person
		fake.cautious = true
	case "edited": // somebody edited the audit chain
		fake.edited = true
	case "knows": // a key that hosts trust
		key, err := seal.ParsePublic(strings.TrimSpace(ts.ReadFile(args[1])))
		ts.Check(err)
		fake.keys = append(fake.keys, key)
	case "silent":
		fake.hosts[0].Presence = fleet.Silent
	default:
		ts.Fatalf("fleet does not know %q", args[0])
	}
}
