package agent

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestATaskDoesNotRunWhereItsNetworksAreNot(t *testing.T) {
	book, err := journal.Open(t.TempDir(), journal.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	var ended []fleet.RunID
	const host = fleet.HostID("00000000000000000000000000000001")
	s := starter{
		host: host, recorder: recorder{book},
		ended:     func(run *fleet.Run) { ended = append(ended, run.ID) },
		addresses: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("192.168.7.1")}, nil },
	}
	task := fleet.Task{Name: "x", Where: fleet.Where{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	due := scheduler.Due{Run: "01890000-0000-7000-8000-000000000001", Assignment: &fleet.Assignment{Task: task, Generation: 1}, Nominal: time.Now().UTC()}
	if err := s.Begin(t.Context(), due); err != nil {
		t.Fatal(err)
	}
	records, err := book.Outbox(0, 10)
	if err != nil || len(records) != 1 || records[0].Run.State != fleet.RunSkipped || records[0].Run.Reason != fleet.SkippedAway {
		t.Errorf("recorded %+v", records)
	}
	if len(ended) != 1 || ended[0] != due.Run {
		t.Errorf("ended %v", ended)
	}
}

func TestAway(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, test := range []struct {
		address  string
		networks []netip.Prefix
		err      error
		away     bool
	}{
		{"192.168.7.1", networks, nil, true},
		{"10.2.3.4", networks, nil, false},
		{"fd12::1", networks, nil, false},
		{"192.168.7.1", nil, nil, false},
		{"192.168.7.1", networks, errors.New("no interfaces to be read"), false},
	} {
		s := starter{addresses: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr(test.address)}, test.err }}
		if got := s.away(test.networks); got != test.away {
			t.Errorf("%+v: away %v", test, got)
		}
	}
	if addresses, err := hostAddresses(); err != nil || len(addresses) == 0 {
		t.Errorf("addresses of this host: %v, %v", addresses, err)
	}
}
