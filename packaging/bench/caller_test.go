package bench

import (
	"net/http"
	"strings"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// insider stands for the certificates and tokens of a benchmark that is not
// about them: what goes to a host's own path comes from that host, everything
// else from a person who sees all.
type insider struct{}

// Authenticate says so.
func (insider) Authenticate(r *http.Request, plane pki.Plane) (fleet.Principal, error) {
	if plane == pki.PlaneAgent {
		path, _ := strings.CutPrefix(r.URL.Path, "/v1/agents/")
		host, _, _ := strings.Cut(path, "/")
		return fleet.Principal{Kind: fleet.AgentKind, Name: host}, nil
	}
	return fleet.Principal{Kind: fleet.PersonKind, Name: "bench", Roles: []fleet.Role{fleet.Admin}, Scope: []string{fleet.Everywhere}}, nil
}

// handlerOf is the API with the planes told apart by path.
func handlerOf(server *httpd.Server) http.Handler {
	people, agents := server.Handler(pki.PlaneOperator), server.Handler(pki.PlaneAgent)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/agents/") {
			agents.ServeHTTP(w, r)
			return
		}
		people.ServeHTTP(w, r)
	})
}
