package outside

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/agent/enroll"
	"github.com/fleetcron/fleetcron/agent/link"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

// TestSameHost: the certificate and the part that runs things must speak of one host.
func TestSameHost(t *testing.T) {
	known := pkitest.New(t)
	id := pkitest.HostID()
	me := known.Agent(id)
	for _, c := range []struct {
		state link.State
		same  bool
	}{
		{link.State{Host: fleet.HostID(id), Cluster: known.Cluster}, true},
		{link.State{Host: fleet.HostID(id)}, false},
		{link.State{Host: fleet.HostID(pkitest.HostID()), Cluster: known.Cluster}, false},
		{link.State{Host: fleet.HostID(id), Cluster: pkitest.HostID()}, false},
	} {
		if err := sameHost(me, c.state); (err == nil) != c.same {
			t.Errorf("%+v: %v", c.state, err)
		}
	}
}

// TestAnUnenrolledHostSaysSo at once and every ten minutes, with the next command,
// and begins as soon as it is enrolled.
func TestAnUnenrolledHostSaysSo(t *testing.T) {
	known := pkitest.New(t) // made outside of the bubble's time
	me := known.Agent(pkitest.HostID())
	synctest.Test(t, func(t *testing.T) {
		home := enroll.Home{StateDir: t.TempDir()}
		log := new(strings.Builder)
		go func() {
			time.Sleep(25 * time.Minute)
			if err := me.Save(home.Identity()); err != nil {
				t.Error(err)
			}
		}()
		began := time.Now()
		got, err := awaitIdentity(t.Context(), home, slog.New(slog.NewTextHandler(log, nil)))
		if err != nil || got.ID() != me.ID() || time.Since(began) > 25*time.Minute+identityEvery {
			t.Errorf("%v after %s, %v", got, time.Since(began), err)
		}
		if n := strings.Count(log.String(), "fleetcron-agent enroll --token-file"); n != 3 {
			t.Errorf("it was said %d times:\n%s", n, log)
		}
	})
}

// TestAHostThatIsMadeAnother ends this part; a plan before the last one does not.
func TestAHostThatIsMadeAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var state atomic.Pointer[link.State]
		state.Store(&link.State{Host: "a", Index: 7})
		door := link.NewInside()
		server := link.NewServer(link.Work, "", map[link.Part]link.Peers{link.Net: {0, 65534}}, slog.New(slog.DiscardHandler))
		link.Handle(server, link.GetState, func(context.Context, *link.Nothing) (link.State, error) { return *state.Load(), nil })
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- server.Serve(ctx, door) }()
		work := link.NewClient(link.Net, link.Work, "", door.Dial)
		ended := make(chan error, 1)
		go func() { ended <- same(ctx, work, *state.Load()) }()
		state.Store(&link.State{Host: "a", Index: 3})
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case err := <-ended:
			t.Fatalf("ended: %v", err)
		default:
		}
		state.Store(&link.State{Host: "b"})
		if err := <-ended; fleet.KindOf(err) != fleet.Conflict {
			t.Error(err)
		}
		work.Close()
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

// told remembers who the collectors were told that this host is.
type told []fleet.Host

func (t *told) SetHost(h fleet.Host) { *t = append(*t, h) }

// TestWhoThisHostIs is told when all of it is known, and when it is another.
func TestWhoThisHostIs(t *testing.T) {
	var up told
	h := newHost(Config{Version: "1"}, "id", &up)
	here := []netip.Addr{netip.MustParseAddr("192.0.2.9")}
	h.address = func() ([]netip.Addr, error) { return here, nil }
	h.setFacts(fleet.Host{Name: "web-1", OS: "Debian", ID: "liar", Labels: map[string]string{"role": "liar"}})
	if len(up) != 0 {
		t.Fatalf("told before its labels are known: %+v", up)
	}
	h.setLabels(map[string]string{"role": "web"})
	h.setLabels(map[string]string{"role": "web"}) // the same
	h.setName("renamed")
	here = append(here, netip.MustParseAddr("192.0.2.10"))
	h.change(func() {})
	want := told{
		{ID: "id", Name: "web-1", OS: "Debian", Labels: map[string]string{"role": "web"}, AgentVersion: "1", Addresses: here[:1]},
		{ID: "id", Name: "renamed", OS: "Debian", Labels: map[string]string{"role": "web"}, AgentVersion: "1", Addresses: here[:1]},
		{ID: "id", Name: "renamed", OS: "Debian", Labels: map[string]string{"role": "web"}, AgentVersion: "1", Addresses: here},
	}
	if diff := cmp.Diff(want, up, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}
