//go:build acceptance

package acceptance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// fiveMinutes is how long the whole of README's "Install on a fleet" may take,
// of which a person who copies line by line needs tenSeconds for each.
const (
	fiveMinutes = 5 * time.Minute
	tenSeconds  = 10 * time.Second
)

var typedBlock = regexp.MustCompile("(?s)```sh\n# ([^\n]*)\n(.*?)```")

// TestInstallOnAFleet types what README says on machines where nothing of
// fleetcron is, and has an encrypted, authenticated, signed fleet. Then somebody
// gets the collector, its disk and its keys, and changes nothing that runs.
func TestInstallOnAFleet(t *testing.T) {
	n := newDebians(t, builtPackages(t))
	n.subnet, n.count = "192.0.2", 6 // the addresses of README
	i := &installed{t: t, collector: n.boot("c1"), host: n.boot("web-1"), desk: n.boot("desk")}
	i.types(readInstall(t))

	t.Run("encrypted", i.encrypted)
	t.Run("authenticated", i.authenticated)
	t.Run("signed", i.signed)
	t.Run("stolen", i.stolen)
}

// builtPackages returns the directory with the packages, which it makes where
// they are not of the programs that are tested.
func builtPackages(t *testing.T) string {
	t.Helper()
	dist, err := filepath.Abs("../../dist")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fleetcron-agent", "fleetcron-collector", "fleetctl"} {
		same := fmt.Sprintf("set -o pipefail; dpkg-deb --fsys-tarfile %s/%s_*.deb | tar -xO ./usr/bin/%[2]s | cmp -s - %s", dist, name, binary(t, name))
		if exec.CommandContext(t.Context(), "bash", "-c", same).Run() != nil {
			(&cluster{t: t}).must("make", "-C", "../..", "package")
			break
		}
	}
	return dist
}

// block is a block of commands that are typed at one place.
type block struct{ place, lines string }

// readInstall reads the commands that README's section has.
func readInstall(t *testing.T) (blocks []block) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Install on a fleet\n")
	section, _, ends := strings.Cut(section, "\n## ")
	if !found || !ends {
		t.Fatal("README has no section Install on a fleet")
	}
	section, _, _ = strings.Cut(section, "\n### ")
	for _, found := range typedBlock.FindAllStringSubmatch(section, -1) {
		blocks = append(blocks, block{found[1], found[2]})
	}
	return blocks
}

// installed is a fleet that somebody typed.
type installed struct {
	t                     *testing.T
	collector, host, desk *debian
}

// at returns the machine of a place in README.
func (i *installed) at(place string) *debian {
	i.t.Helper()
	for name, machine := range map[string]*debian{"on the collector": i.collector, "on your own machine": i.desk, "on each host": i.host} {
		if strings.HasPrefix(place, name) {
			return machine
		}
	}
	i.t.Fatalf("README: where is %q?", place)
	return nil
}

// types types the blocks, and says how long a person would have taken.
func (i *installed) types(blocks []block) {
	i.t.Helper()
	began, typed := time.Now(), 0
	for _, block := range blocks {
		machine := i.at(block.place)
		for line := range strings.SplitSeq(strings.TrimSpace(block.lines), "\n") {
			if line == "fleetctl hosts" {
				i.until(`"alive"`, line+" -o json") // as a person looks again
			}
			machine.types(line)
			typed++
		}
	}
	machine, person := time.Since(began), time.Duration(typed)*tenSeconds
	i.t.Logf("%d commands took %s, and %s with %s for typing each", typed, machine.Round(time.Second), (machine + person).Round(time.Second), tenSeconds)
	if machine+person > fiveMinutes {
		i.t.Errorf("that is more than %s", fiveMinutes)
	}
}

// until runs a command on the desk until it says what is wanted.
func (i *installed) until(want, line string) {
	i.t.Helper()
	(&cluster{t: i.t}).eventually(line+" to say "+want, func(context.Context) error {
		if out, _ := i.desk.sh(line); !strings.Contains(out, want) {
			return fmt.Errorf("it says %s", out)
		}
		return nil
	})
}

// encrypted: nothing answers who does not speak TLS 1.3, and the pages answer
// on the collector's machine alone.
func (i *installed) encrypted(t *testing.T) {
	for _, try := range []struct{ line, want string }{
		{"curl -sS -o /dev/null -w '%{http_code}' http://192.0.2.7:7770/v1/hosts", "400"},
		{"curl -sSk --tls-max 1.2 https://192.0.2.7:7770/v1/hosts", "curl: (35)"},
		{"curl -sS http://192.0.2.7:7771/", "curl: ("},
		{"curl -sS http://192.0.2.7:7780/", "curl: (7)"},
	} {
		if out, _ := i.desk.sh(try.line); !strings.Contains(out, try.want) {
			t.Errorf("%s: %q, want %s", try.line, out, try.want)
		}
	}
}

// authenticated: who says nothing, or the wrong thing, learns nothing.
func (i *installed) authenticated(t *testing.T) {
	for _, header := range []string{"X-Nothing: 1", "Authorization: Bearer fct1_abcdefgh_" + strings.Repeat("A", 43)} {
		if out, _ := i.desk.sh("curl -sSk -w '%{http_code}' -H '" + header + "' https://192.0.2.7:7770/v1/hosts"); !strings.HasSuffix(out, "401") || strings.Contains(out, "web-1") {
			t.Errorf("%s: %s", header, out)
		}
	}
	if out, code := i.desk.sh("FLEETCRON_TOKEN=fct1_abcdefgh_" + strings.Repeat("A", 43) + " fleetctl hosts"); code != 4 {
		t.Errorf("fleetctl with a token of nobody: %d %s", code, out)
	}
}

// signed: the collector takes what anybody with a token signs, and the host runs
// what its own root trusts.
func (i *installed) signed(t *testing.T) {
	i.desk.types("fleetctl key new --out ~/stranger.key")
	i.desk.types("FLEETCRON_KEY_FILE=~/stranger.key fleetctl assign web/strange --every 1s --user www-data --to host=web-1 -- /usr/bin/df")
	i.desk.types("fleetctl assign web/root --every 1s --user root --to host=web-1 -- /usr/bin/df")
	for _, want := range []string{"web/strange", "web/root"} {
		i.until(want, "fleetctl policies web-1 -o json")
		i.until("missed", "fleetctl runs --task "+want)
		if out, _ := i.desk.sh("fleetctl runs --task " + want + " --state ran"); strings.Contains(out, want) {
			t.Errorf("it ran: %s", out)
		}
	}
}

// beat is what runs all the time while the collector is not its owners'.
const beat = "fleetctl assign web/beat --every 1s --user www-data --to host=web-1 --replace --wait -- /usr/bin/df -h "

// envelope returns what people signed of a task, as it stands.
func (i *installed) envelope(task string) []byte {
	i.t.Helper()
	out := i.desk.types(`curl -sS --fail --cacert ~/.config/fleetcron/ca.pem -H "Authorization: Bearer $(cat ~/.config/fleetcron/token)" https://192.0.2.7:7770/v1/tasks/` + task + "/envelope")
	return []byte(out)
}

// stolen: somebody has the collector's disk and its keys, and answers in its place.
func (i *installed) stolen(t *testing.T) {
	i.desk.types(strings.Replace(beat, "--replace ", "", 1) + "/")
	older := i.envelope("web/beat")
	i.desk.types(beat + "/tmp")
	newer := i.envelope("web/beat")
	edited, own := forged(t, newer)
	h := i.collector.play(t, i.collector.steal())

	given := func(name string, envelope []byte, command ...string) fleet.Assignment {
		return fleet.Assignment{
			Task: fleet.Task{Namespace: "web", Name: name, On: fleet.Trigger{Every: fleet.Duration(time.Second)}, Run: fleet.Execute{Command: fleet.Command{Argv: command}, User: "root"}}, State: fleet.TaskEnabled,
			Generation: 9, Envelope: envelope, Since: time.Now().UTC(),
		}
	}
	right := given("beat", newer)
	for _, try := range []struct {
		what    string
		told    []fleet.Assignment
		refused string
		goes    bool // what was signed goes on
	}{
		{"what people signed, with another command beside it", []fleet.Assignment{given("beat", newer, "/usr/bin/df", "-Z")}, "", true},
		{"a task that nobody signed", []fleet.Assignment{right, given("evil", nil, "/usr/bin/df")}, "task web/evil: nobody signed it (signature)", true},
		{"what people signed, edited", []fleet.Assignment{given("beat", edited)}, "(signature", false},
		{"what the collector's new owner signed", []fleet.Assignment{given("beat", own)}, "(signature", false},
		{"what people signed before", []fleet.Assignment{given("beat", older)}, "(replay)", false},
		{"what people signed", []fleet.Assignment{right}, "", true},
	} {
		h.tells(try.told...)
		(&cluster{t: t}).eventually("the host to answer to "+try.what, func(context.Context) error {
			refused, ends := h.refused(), h.since("web/beat")
			if try.goes && len(ends) == 0 || h.told() < 3*time.Second || !strings.Contains(refused, try.refused) {
				return fmt.Errorf("refused is %q, and ended has %q", refused, ends)
			}
			return nil
		})
		t.Logf("%s: %q", try.what, h.since("web/beat"))
		for _, end := range h.since("web/beat") {
			// A statement that does not open leaves the task without one: who
			// holds the collectors can withhold, and no more.
			if end != "well" && (try.goes || !strings.HasPrefix(end, "missed policy")) {
				t.Errorf("%s: what was signed ended %q", try.what, end)
			}
		}
		if ends := h.since("web/evil"); slices.Contains(ends, "well") {
			t.Errorf("%s: it ran: %q", try.what, ends)
		}
	}
}
