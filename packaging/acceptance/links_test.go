package acceptance

import (
	"slices"
	"strings"
	"testing"
)

// workLinks is every package beyond Go's own that is linked into what runs things
// as root. Each of them is read by whoever answers for that: a new line here is a
// decision.
var workLinks = []string{
	"github.com/emersion/go-ical",    // calendars, which are sealed
	"github.com/fsnotify/fsnotify",   // files that tasks wait for
	"github.com/fxamacker/cbor/v2",   // the journal
	"github.com/google/uuid",         // ids
	"github.com/klauspost/compress",  // output on disk
	"github.com/teambition/rrule-go", // calendars
	"github.com/x448/float16",        // of cbor
	"go.yaml.in/yaml/v3",             // the policy file
	"golang.org/x/sync/errgroup",     // who starts a goroutine waits for it
	"golang.org/x/sys/unix",          // processes, cgroups, sockets
	"github.com/fleetcron/fleetcron/agent/adopt", "github.com/fleetcron/fleetcron/agent/crontab", "github.com/fleetcron/fleetcron/agent/durable",
	"github.com/fleetcron/fleetcron/agent/filewatch", "github.com/fleetcron/fleetcron/agent/journal", "github.com/fleetcron/fleetcron/agent/link",
	"github.com/fleetcron/fleetcron/agent/mask", "github.com/fleetcron/fleetcron/agent/policy", "github.com/fleetcron/fleetcron/agent/prove", "github.com/fleetcron/fleetcron/agent/runner",
	"github.com/fleetcron/fleetcron/agent/scheduler", "github.com/fleetcron/fleetcron/agent/turn", "github.com/fleetcron/fleetcron/agent/vitals",
	"github.com/fleetcron/fleetcron/shared/blackout", "github.com/fleetcron/fleetcron/shared/calendar", "github.com/fleetcron/fleetcron/shared/compact",
	"github.com/fleetcron/fleetcron/shared/cron", "github.com/fleetcron/fleetcron/shared/fleet", "github.com/fleetcron/fleetcron/shared/proof", "github.com/fleetcron/fleetcron/shared/seal",
	"github.com/fleetcron/fleetcron/shared/takeover",
}

// TestWhatRunsThingsLinksLittle: nothing that speaks to a network is in the part
// that is root, and nothing that nobody has decided on.
func TestWhatRunsThingsLinksLittle(t *testing.T) {
	const room = module + "agent/work"
	all := packages(t)
	n := slices.IndexFunc(all, func(p listed) bool { return p.ImportPath == room })
	if n < 0 {
		t.Fatalf("there is no %s", room)
	}
	for _, linked := range all[n].Deps {
		switch {
		case slices.Contains([]string{"net/http", "net/rpc", "net/smtp", "net/mail", "net/textproto", "crypto/tls", "crypto/x509", "plugin", "html/template", "text/template"}, linked):
			t.Errorf("the part that runs things links %s", linked)
		case !strings.Contains(strings.SplitN(linked, "/", 2)[0], ".") || strings.HasPrefix(linked, "vendor/"): // Go's own
		case !slices.ContainsFunc(workLinks, func(known string) bool {
			return linked == known || !strings.HasPrefix(known, module) && within(linked, known)
		}):
			t.Errorf("the part that runs things links %s, which is not on the list", linked)
		}
	}
}

// TestEachPartKeepsToItself: what talks to the network has nothing that runs, and
// what reads the host has nothing that talks.
func TestEachPartKeepsToItself(t *testing.T) {
	never := map[string][]string{
		"agent/outside": {module + "agent/adopt", module + "agent/discover", module + "agent/journal", module + "agent/policy", module + "agent/runner", module + "agent/scheduler", module + "agent/turn", module + "agent/vitals", module + "agent/work"},
		"agent/read":    {"net/http", "crypto/tls", module + "agent/adopt", module + "agent/journal", module + "agent/runner", module + "agent/uplink", module + "shared/api", module + "shared/gossip"},
		"agent/link":    {"net/http", "crypto/tls"},
	}
	for _, p := range packages(t) {
		for _, linked := range p.Deps {
			for _, forbidden := range never[strings.TrimPrefix(p.ImportPath, module)] {
				if within(linked, forbidden) {
					t.Errorf("%s links %s", p.ImportPath, linked)
				}
			}
		}
	}
}
