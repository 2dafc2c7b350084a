package acceptance

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fleetcron/fleetcron/"

// arrows is the house: every package and the packages of ours that it may
// import. A new package or a new arrow is a new line here, on purpose.
// Arrows point down only: cmd → wiring → rooms → shared.
var arrows = map[string][]string{
	// the language both halves speak
	"shared/cron":          {},
	"shared/calendar":      {},
	"shared/chain":         {"shared/fleet"},
	"shared/blackout":      {"shared/cron", "shared/fleet"},
	"shared/visible":       {},
	"shared/backup":        {"shared/fleet"},
	"shared/fleet":         {"shared/cron"},
	"shared/taskfile":      {"shared/fleet"},
	"shared/seal":          {"shared/fleet"},
	"shared/seal/sshagent": {"shared/fleet", "shared/seal"},
	"shared/author":        {"shared/api", "shared/fleet", "shared/pki", "shared/seal", "shared/seal/sshagent", "shared/settings", "shared/takeover", "shared/taskfile"},
	"shared/pki":           {"shared/fleet"},
	"shared/proof":         {"shared/fleet", "shared/seal"},
	"shared/pki/pkitest":   {"shared/pki"},
	"shared/api":           {"shared/fleet", "shared/pki", "shared/proof", "shared/seal"},
	"shared/compact":       {"shared/fleet"},
	"shared/takeover":      {"shared/calendar", "shared/cron", "shared/fleet"},
	"shared/gossip":        {"shared/fleet", "shared/pki"},
	"shared/settings":      {"shared/fleet"},
	"shared/logging":       {"shared/fleet"},
	"shared/program":       {"shared/fleet", "shared/settings"},

	// the agent's rooms
	"agent/adopt":             {"agent/crontab", "agent/durable", "shared/cron", "shared/fleet", "shared/takeover"},
	"agent/crontab":           {"shared/cron"},
	"agent/discover":          {"agent/crontab", "agent/mask", "agent/rpmdb", "shared/calendar", "shared/cron", "shared/fleet", "shared/takeover", "shared/visible"},
	"agent/rpmdb":             {},
	"agent/enroll":            {"agent/durable", "agent/prove", "shared/api", "shared/fleet", "shared/gossip", "shared/pki"},
	"agent/evidence":          {"shared/cron", "shared/fleet"},
	"agent/filewatch":         {"agent/durable", "shared/fleet"},
	"agent/journal":           {"agent/durable", "shared/compact", "shared/fleet"},
	"agent/link":              {"shared/fleet", "shared/proof"},
	"agent/durable":           {},
	"agent/mask":              {"agent/durable", "shared/fleet"},
	"agent/policy":            {"shared/fleet", "shared/seal"},
	"agent/policy/policytest": {"agent/policy", "shared/fleet", "shared/seal"},
	"agent/probe":             {"shared/fleet"},
	"agent/prove":             {"agent/durable", "shared/fleet", "shared/proof"},
	"agent/runner":            {"shared/fleet"},
	"agent/scheduler":         {"shared/blackout", "shared/cron", "shared/fleet"},
	"agent/turn":              {"shared/fleet"},
	"agent/uplink":            {"shared/api", "shared/fleet", "shared/proof"},
	"agent/vitals":            {"shared/fleet"},
	// its parts, and what each is made of
	"agent/outside": {"agent/enroll", "agent/link", "agent/uplink", "shared/api", "shared/fleet", "shared/gossip", "shared/pki", "shared/proof", "shared/takeover"},
	"agent/work": {
		"agent/adopt", "agent/durable", "agent/filewatch", "agent/journal", "agent/link", "agent/mask", "agent/policy", "agent/prove", "agent/runner", "agent/scheduler", "agent/turn", "agent/vitals",
		"shared/fleet", "shared/proof", "shared/seal",
	},
	"agent/read": {"agent/discover", "agent/evidence", "agent/link", "agent/mask", "shared/fleet"},
	// its wiring and its program
	"agent":                     {"agent/link", "agent/outside", "agent/policy", "agent/probe", "agent/read", "agent/runner", "agent/turn", "agent/work", "shared/fleet", "shared/logging"},
	"agent/cmd/fleetcron-agent": {"agent", "agent/discover", "agent/enroll", "agent/outside", "agent/policy", "agent/prove", "agent/read", "agent/vitals", "shared/fleet", "shared/logging", "shared/pki", "shared/program", "shared/proof"},

	// the collector's rooms
	"collector/identity": {"shared/fleet", "shared/pki"},
	"collector/ledger":   {"shared/api", "shared/chain", "shared/compact", "shared/fleet", "shared/proof"},
	"collector/account":  {"collector/ledger", "shared/api", "shared/fleet"},
	"collector/search":   {"collector/ledger", "shared/api", "shared/fleet"},
	"collector/replica":  {"collector/ledger", "shared/fleet", "shared/pki"},
	"collector/findings": {"shared/api", "shared/calendar", "shared/cron", "shared/fleet", "shared/proof"},
	"collector/httpd":    {"collector/account", "collector/findings", "collector/identity", "collector/ledger", "shared/api", "shared/backup", "shared/blackout", "shared/calendar", "shared/compact", "shared/cron", "shared/fleet", "shared/logging", "shared/pki", "shared/proof", "shared/seal", "shared/takeover"},
	// its wiring and its programs
	"collector": {
		"collector/httpd", "collector/identity", "collector/ledger", "collector/replica", "collector/search",
		"shared/api", "shared/backup", "shared/fleet", "shared/gossip", "shared/logging", "shared/pki", "shared/seal", "shared/taskfile", "web",
	},
	"collector/cmd/fleetcron-collector": {"collector", "shared/fleet", "shared/logging", "shared/pki", "shared/program"},
	"collector/cmd/fleetctl":            {"shared/api", "shared/author", "shared/backup", "shared/blackout", "shared/chain", "shared/cron", "shared/fleet", "shared/pki", "shared/proof", "shared/seal", "shared/seal/sshagent", "shared/settings", "shared/takeover", "shared/taskfile", "shared/visible"},

	"web": {"shared/api", "shared/calendar", "shared/cron", "shared/fleet", "shared/visible"},

	// what only tests and builds use
	"packaging/acceptance":            {},
	"packaging/bench":                 {},
	"packaging/acceptance/checker":    {"shared/fleet"},
	"packaging/acceptance/simulation": {"agent/scheduler", "packaging/acceptance/checker", "shared/fleet"},
	"packaging/acceptance/webtest":    {"web", "shared/api", "shared/fleet", "shared/cron"},
}

// homes gives each big dependency the only packages that may import it.
var homes = map[string][]string{
	"github.com/godbus/dbus":          {"agent/discover"},
	"github.com/klauspost/compress":   {"agent/journal", "agent/runner"},
	"github.com/hashicorp/serf":       {"shared/gossip"},
	"github.com/hashicorp/memberlist": {"shared/gossip"},
	"github.com/hashicorp/go-msgpack": {"shared/gossip"},
	"github.com/hashicorp/raft":       {"collector/replica"},
	"go.etcd.io/bbolt":                {"collector/ledger", "collector/replica"},
	"github.com/labstack/echo":        {"collector/httpd"},
	"go.yaml.in/yaml":                 {"agent/policy", "shared/blackout", "shared/settings", "shared/taskfile", "collector/cmd/fleetctl"},
	"github.com/emersion/go-ical":     {"shared/blackout"},
	"golang.org/x/crypto":             {"shared/seal/sshagent"},
	"github.com/teambition/rrule-go":  {},
	"github.com/spf13/cobra":          {"agent/cmd/fleetcron-agent", "collector/cmd/fleetcron-collector", "collector/cmd/fleetctl", "shared/program"},
}

// unlinked lists, per program, what must not even be linked into it.
var unlinked = map[string][]string{
	"agent/cmd/fleetcron-agent": {"github.com/hashicorp/raft", "github.com/labstack/echo", "go.etcd.io/bbolt", "golang.org/x/crypto/ssh"},
	"collector/cmd/fleetctl":    {"github.com/hashicorp/serf", "github.com/hashicorp/raft", "github.com/labstack/echo", "go.etcd.io/bbolt"},
	"web":                       {"github.com/hashicorp/serf", "github.com/hashicorp/raft", "github.com/labstack/echo", "go.etcd.io/bbolt"},
}

type listed struct {
	ImportPath string
	Doc        string
	Imports    []string
	Deps       []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Doc,Imports,Deps", "./...")
	command.Dir = "../.."
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestArrowsPointDownOnly(t *testing.T) {
	var found []string
	for _, p := range packages(t) {
		room := strings.TrimPrefix(p.ImportPath, module)
		found = append(found, room)
		allowed, known := arrows[room]
		if !known {
			t.Errorf("package %s is not in the table of arrows", room)
			continue
		}
		for _, imported := range p.Imports {
			if ours, is := strings.CutPrefix(imported, module); is && !slices.Contains(allowed, ours) {
				t.Errorf("new arrow: %s → %s", room, ours)
			}
		}
		if slices.Contains([]string{"util", "utils", "common", "helpers", "types"}, path.Base(room)) {
			t.Errorf("package %s is named after nothing", room)
		}
	}
	for room := range arrows {
		if !slices.Contains(found, room) {
			t.Errorf("the table of arrows names %s, which does not exist", room)
		}
	}
}

func TestBigDependenciesHaveOneHome(t *testing.T) {
	for _, p := range packages(t) {
		room := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			for dependency, rooms := range homes {
				if within(imported, dependency) && !slices.Contains(rooms, room) {
					t.Errorf("%s imports %s, whose home is %s", room, imported, strings.Join(rooms, ", "))
				}
			}
		}
		for _, linked := range p.Deps {
			for _, dependency := range unlinked[room] {
				if within(linked, dependency) {
					t.Errorf("%s links %s", room, linked)
				}
			}
		}
	}
}

// within reports whether the import path is the module or lies in it; a module
// of another name that begins the same, such as raft-wal, does not.
func within(imported, dependency string) bool {
	return imported == dependency || strings.HasPrefix(imported, dependency+"/")
}

func TestEveryPackageSaysWhatItProvides(t *testing.T) {
	for _, p := range packages(t) {
		room := strings.TrimPrefix(p.ImportPath, module)
		if p.Doc == "" {
			t.Errorf("package %s has no comment", room)
		} else if !strings.HasSuffix(p.Doc, ".") {
			t.Errorf("the first sentence of package %s does not end: %q", room, p.Doc)
		}
	}
}
