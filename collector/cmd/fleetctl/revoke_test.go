package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/seal"
)

// TestHostsAreToldOfARevokedCollector, by a statement of the person's; of a host
// nobody needs to know.
func TestHostsAreToldOfARevokedCollector(t *testing.T) {
	s := newSession(t)
	if _, stderr, code := s.run("node", "revoke", "c1", "--reason", "stolen"); code != 0 || !strings.Contains(stderr, "speak with it no longer") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	s.must("node", "revoke", "db-1")
	s.fake.mu.Lock()
	defer s.fake.mu.Unlock()
	if !slices.Equal(s.fake.revoked, []string{"c1"}) {
		t.Errorf("%v were signed, of the kind %s", s.fake.revoked, seal.KindNode)
	}
}
