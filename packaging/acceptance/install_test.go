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

// How long the whole of README's "Install on a fleet" may take, of which a person
// who copies line by line needs so much for each.
const (
	installLimit = 5 * time.Minute
	typingALine  = 10 * time.Second
)

var typedBlock = regexp.MustCompile("(?s)```sh\n# ([^\n]*)\n(.*?)```")

// TestInstallOnAFleet types what README says on machines where nothing of
// fleetcron is, and has an encrypted, authenticated, signed fleet. Then somebody
// gets the collector, its disk and its keys, and changes nothing that runs.
func TestInstallOnAFleet(t *testing.T) {
	n := newDebians(t, builtPackages(t))
	n.subnet, n.count = "192.0.2", 6 // the addresses of README
	i := &installed{t: t, collector: n.boot("c1"), host: n.boot("web-1"), desk: n.boot("desk")}
	if err := os.WriteFile(i.host.path("/etc/cron.d/backup"), []byte("30 2 * * * root /opt/backup --all\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	i.types(readme(t, "## Install on a fleet"))

	t.Run("apart", i.apart)
	t.Run("encrypted", i.encrypted)
	t.Run("authenticated", i.authenticated)
	t.Run("signed", i.signed)
	t.Run("stolen", i.stolen)
	t.Run("desk", func(t *testing.T) {
		i.collector.types("systemctl start fleetcron-collector")
		i.until("leader", "fleetctl collectors")
		blocks := readme(t, "### A help desk")
		last := len(blocks) - 1
		i.typesAll(blocks[:last])
		i.until(`"hosts": 1`, "FLEETCRON_CONFIG=~/desk/config.yaml fleetctl key list --hosts -o json")
		i.until(`"applied": 1`, "fleetctl tasks web/clear-site -o json")
		i.typesAll(blocks[last:])
		const as = "FLEETCRON_CONFIG=~/desk/config.yaml fleetctl "
		for line, want := range map[string]string{
			as + "run web/clear-site --set site=../etc": "want what matches",
			as + "unassign web/space --all":             "tasks:write",
		} {
			if out, _ := i.desk.sh(line); !strings.Contains(out, want) {
				t.Errorf("%s: %s", line, out)
			}
		}
	})
	t.Run("more", func(t *testing.T) {
		i.collector.types("systemctl start fleetcron-collector")
		i.until("leader", "fleetctl collectors")
		i.second = n.boot("c2")
		i.typesAll(readme(t, "### More collectors"))
		i.until("https://192.0.2.10:7770", "fleetctl collectors -o json")
		i.until("exit 0", "fleetctl run web/space --wait")
	})
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

// readme reads the commands that a section of README has, without those below
// other headings.
func readme(t *testing.T, heading string) (blocks []block) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n"+heading+"\n")
	section, _, ends := strings.Cut(section, "\n##")
	if !found || !ends {
		t.Fatalf("README has no section %s", heading)
	}
	for _, found := range typedBlock.FindAllStringSubmatch(section, -1) {
		blocks = append(blocks, block{found[1], found[2]})
	}
	return blocks
}

// installed is a fleet that somebody typed.
type installed struct {
	t                     *testing.T
	collector, host, desk *debian
	second                *debian // collector
}

// at returns the machine of a place in README.
func (i *installed) at(place string) *debian {
	i.t.Helper()
	for name, machine := range map[string]*debian{"on the collector": i.collector, "on the second collector": i.second, "on your own machine": i.desk, "on each host": i.host} {
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
	began := time.Now()
	typed := i.typesAll(blocks)
	machine, person := time.Since(began), time.Duration(typed)*typingALine
	i.t.Logf("%d commands took %s, and %s with %s for typing each", typed, machine.Round(time.Second), (machine + person).Round(time.Second), typingALine)
	if machine+person > installLimit {
		i.t.Errorf("that is more than %s", installLimit)
	}
}

// typesAll types the blocks and returns how many commands they were.
func (i *installed) typesAll(blocks []block) (typed int) {
	i.t.Helper()
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
	return typed
}

// until runs a command on the desk until it says what is wanted.
func (i *installed) until(want, line string) {
	i.t.Helper()
	began := time.Now()
	defer func() { i.t.Logf("%s says %s after %s", line, want, time.Since(began).Round(time.Millisecond)) }()
	(&cluster{t: i.t}).eventually(line+" to say "+want, func(context.Context) error {
		if out, _ := i.desk.sh(line); !strings.Contains(out, want) {
			return fmt.Errorf("it says %s", out)
		}
		return nil
	})
}

// apart: each part of the agent is a process of a user of its own, and together
// they tell what the host has scheduled.
func (i *installed) apart(t *testing.T) {
	i.until("/opt/backup --all", "fleetctl find backup --host web-1")
	out, _ := i.host.sh("ps -eo user:20,args")
	for part, user := range map[string]string{"net": "fleetcron-agent", "read": "fleetcron-read", "work": "root"} {
		if !regexp.MustCompile(`(?m)^` + user + ` +/usr/bin/fleetcron-agent ` + part + ` `).MatchString(out) {
			t.Errorf("%s is not played by %s:\n%s", part, user, out)
		}
	}
}

// encrypted: nothing answers who does not speak TLS 1.3, and the pages answer
// on the collector's machine alone.
func (i *installed) encrypted(t *testing.T) {
	if out, _ := i.collector.sh("curl -sS -o /dev/null -w '%{http_code} %{redirect_url}' http://127.0.0.1:7780/jobs"); !strings.HasPrefix(out, "303 ") {
		t.Errorf("the pages, to one who is not logged in: %s", out)
	}
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
// Whatever he says, what people signed goes on as it was.
func (i *installed) stolen(t *testing.T) {
	i.host.types(`sed -i 's|^commands:|commands:\n  - path: /usr/bin/sleep\n    args: ["[0-9]+"]|' /etc/fleetcron/policy.yaml && fleetcron-agent policy check`)
	i.desk.types("fleetctl assign web/stays --daemon --user www-data --to host=web-1 --wait -- /usr/bin/sleep 86399")
	i.desk.types(strings.Replace(beat, "--replace ", "", 1) + "/")
	older := i.envelope("web/beat")
	i.desk.types(beat + "/tmp")
	newer := i.envelope("web/beat")
	edited, own := forged(t, newer)
	stays := i.daemon()
	h := i.collector.play(t, i.collector.steal())

	given := func(name string, envelope []byte, command ...string) fleet.Assignment {
		return fleet.Assignment{
			Task: fleet.Task{Namespace: "web", Name: name, On: fleet.Trigger{Every: fleet.Duration(time.Second)}, Run: fleet.Execute{Command: fleet.Command{Argv: command}, User: "root"}}, State: fleet.TaskEnabled,
			Generation: 9, Envelope: envelope, Since: time.Now().UTC(),
		}
	}
	right := given("beat", newer)
	later := right
	later.State, later.Generation, later.Since = fleet.TaskPaused, 99, time.Now().AddDate(70, 0, 0)
	for _, try := range []struct {
		what    string
		told    []fleet.Assignment
		refused string
	}{
		{"what people signed, with another command beside it", []fleet.Assignment{given("beat", newer, "/usr/bin/df", "-Z")}, ""},
		{"nothing at all", nil, ""},
		{"what people signed, paused and in seventy years", []fleet.Assignment{later}, ""},
		{"a task that nobody signed", []fleet.Assignment{right, given("evil", nil, "/usr/bin/df")}, "task web/evil: nobody signed it (signature)"},
		{"what people signed, edited", []fleet.Assignment{given("beat", edited)}, "(signature"},
		{"what the collector's new owner signed", []fleet.Assignment{given("beat", own)}, "(signature"},
		{"what people signed before", []fleet.Assignment{given("beat", older)}, "(replay)"},
		{"no statement in the place of one", []fleet.Assignment{given("beat", nil), given("stays", nil)}, "(signature"},
		{"what people signed", []fleet.Assignment{right}, ""},
	} {
		h.tells(try.told...)
		(&cluster{t: t}).eventually("the host to answer to "+try.what, func(context.Context) error {
			refused, ends := h.refused(), h.since("web/beat")
			if len(ends) == 0 || h.told() < 3*time.Second || !strings.Contains(refused, try.refused) {
				return fmt.Errorf("refused is %q, and ended has %q", refused, ends)
			}
			return nil
		})
		t.Logf("%s: %q", try.what, h.since("web/beat"))
		for _, end := range h.since("web/beat") {
			if end != "well" {
				t.Errorf("%s: what was signed ended %q", try.what, end)
			}
		}
		if ends := h.since("web/evil"); slices.Contains(ends, "well") {
			t.Errorf("%s: it ran: %q", try.what, ends)
		}
		if is := i.daemon(); is != stays {
			t.Errorf("%s: the daemon is process %q, and was %q", try.what, is, stays)
		}
	}
}

// daemon is the process of the task that is kept up, with when it began.
func (i *installed) daemon() string {
	out, _ := i.host.sh("ps -o pid=,lstart= -C sleep -u www-data | head -1")
	return strings.TrimSpace(out)
}
