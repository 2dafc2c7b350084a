package httpd

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// staleContact is how long ago the leader may have been heard.
	staleContact = 10 * time.Second
	// staleEntries is how many committed entries may wait to be applied.
	staleEntries = 1024
	// checkLimit is how long all checks may take.
	checkLimit = 5 * time.Second
)

//go:embed openapi.yaml
var openAPI []byte

// version says what runs here.
type version struct {
	Version   string            `json:"version"`
	Collector fleet.CollectorID `json:"collector"`
}

func (s *Server) version(context.Context, struct{}) (version, error) {
	return version{s.Version, s.Replica.Status().ID}, nil
}

// serveLivez says that the process answers.
func (s *Server) serveLivez(w http.ResponseWriter, _ *request) error {
	return writeText(w, "text/plain; charset=utf-8", "ok\n")
}

// serveReadyz says whether requests should come here: a leader is known, what
// is read is fresh, and questions about the fleet are answered at once.
func (s *Server) serveReadyz(w http.ResponseWriter, _ *request) error {
	if err := cmp.Or(s.ready(), s.loaded()); err != nil {
		return err
	}
	return writeText(w, "text/plain; charset=utf-8", "ok\n")
}

func (s *Server) ready() error {
	status := s.Replica.Status()
	switch {
	case s.closed():
		return fleet.Errorf(fleet.Unavailable, "the collector is stopping").WithCode("stopping")
	case s.Replica.Leader() == "":
		return fleet.Errorf(fleet.Unavailable, "no leader").WithCode(api.CodeNoLeader).WithHint("fleetctl collectors")
	case !status.Leading && (status.LastContact < 0 || status.LastContact > staleContact):
		return fleet.Errorf(fleet.Unavailable, "the leader was last heard %s ago", status.LastContact.Round(time.Second)).WithCode("stale_reads")
	case status.Committed > status.Applied+staleEntries:
		return fleet.Errorf(fleet.Unavailable, "%d committed entries are not applied yet", status.Committed-status.Applied).WithCode("stale_reads")
	}
	return nil
}

// loaded returns an error while the jobs of the fleet are being read.
func (s *Server) loaded() error {
	if s.Search.Loaded() {
		return nil
	}
	return fleet.Errorf(fleet.Unavailable, "the jobs of the fleet are being read").WithCode("loading").WithHint("wait some seconds")
}

// component is one part of /health.
type component struct {
	Status  string         `json:"status"` // UP or DOWN
	Details map[string]any `json:"details,omitempty"`
}

// health is the answer of /health.
type health struct {
	Status     string               `json:"status"`
	Components map[string]component `json:"components"`
}

// serveHealth tells how each part fares; one that is down makes it 503.
func (s *Server) serveHealth(w http.ResponseWriter, r *request) error {
	ctx, cancel := context.WithTimeout(r.Context(), checkLimit)
	defer cancel()
	all := health{Status: "UP", Components: map[string]component{}}
	for _, check := range append([]Check{{"raft", s.checkRaft}, {"ledger", s.checkLedger}, {"index", s.checkIndex}, {"daemons", s.checkDaemons}}, s.Checks...) {
		details, err := check.Check(ctx)
		part := component{Status: "UP", Details: details}
		if err != nil {
			part.Status, all.Status = "DOWN", "DOWN"
			part.Details = map[string]any{"reason": err.Error()}
		}
		all.Components[check.Name] = part
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if all.Status != "UP" {
		status = http.StatusServiceUnavailable
	}
	writeBody(w, status, api.MediaJSON, append(text, '\n'))
	return nil
}

func (s *Server) checkRaft(context.Context) (map[string]any, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	status := s.Replica.Status()
	return map[string]any{
		"leader": s.Replica.Leader(), "leading": status.Leading, "term": status.Term,
		"applied": status.Applied, "committed": status.Committed,
	}, nil
}

// checkLedger reads the file.
func (s *Server) checkLedger(context.Context) (map[string]any, error) {
	cluster, found, err := s.Ledger.Cluster()
	if err != nil {
		return nil, err
	}
	index, _ := s.Ledger.Applied()
	details := map[string]any{"index": index}
	if found {
		details["cluster"] = cluster.ID
	}
	return details, nil
}

// checkIndex asks for the jobs of the fleet, once they are read.
func (s *Server) checkIndex(context.Context) (map[string]any, error) {
	if err := s.loaded(); err != nil {
		return nil, err
	}
	page, err := s.Search.Query(everywhere, api.JobQuery{Page: api.Page{Limit: 1}})
	return map[string]any{"jobs": page.Total}, err
}

func (s *Server) serveOpenAPI(w http.ResponseWriter, _ *request) error {
	return writeText(w, api.MediaYAML, string(openAPI))
}

func writeText(w http.ResponseWriter, media, text string) error {
	w.Header().Set("Content-Type", media)
	_, _ = io.WriteString(w, text)
	return nil
}
