package httpd_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// latecomer is a collector that follows and catches up by one entry whenever
// somebody looks; the others have had seven.
type latecomer struct {
	httpd.Replica
	applied atomic.Uint64
	alone   bool
}

func (l *latecomer) Status() httpd.Status {
	return httpd.Status{ID: "c2", Applied: min(7, l.applied.Add(1))}
}

func (l *latecomer) Peers(context.Context) []httpd.Peer {
	return []httpd.Peer{{ID: "c2", Reachable: true}, {ID: "c1", Reachable: !l.alone, Applied: 7}}
}

// Authenticate knows a token from the seventh entry on.
func (l *latecomer) Authenticate(*http.Request, pki.Plane) (fleet.Principal, error) {
	if l.applied.Load() < 7 {
		return fleet.Principal{}, fleet.Errorf(fleet.Unauthenticated, "this is no token of this cluster").WithCode(api.CodeToken)
	}
	return fleet.Principal{Kind: fleet.PersonKind, Name: "anna", Roles: []fleet.Role{fleet.Viewer}, Scope: []string{fleet.Everywhere}}, nil
}

// TestALatecomerTurnsNobodyAwayWhomOthersKnow asks a collector that has just
// joined with a token that the group made before it came.
func TestALatecomerTurnsNobodyAwayWhomOthersKnow(t *testing.T) {
	_, token, _ := identity.NewToken()
	for _, test := range []struct {
		alone bool
		code  int
		says  string
	}{{false, http.StatusOK, ""}, {true, http.StatusServiceUnavailable, `"behind"`}} {
		late := &latecomer{alone: test.alone}
		h := newHouse(t, func(d *httpd.Deps) { late.Replica = d.Replica; d.Replica = late; d.Authenticator = late })
		r := httptest.NewRequest(http.MethodGet, "https://127.0.0.1"+api.PathTasks, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.Handler(pki.PlaneOperator).ServeHTTP(w, r)
		if w.Code != test.code || !strings.Contains(w.Body.String(), test.says) {
			t.Errorf("alone %v: %d %s", test.alone, w.Code, w.Body)
		}
	}
}
