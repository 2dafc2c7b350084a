package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// passOn gives a request that only the leader may answer to the leader, the
// body as it comes. It reports whether the request was answered that way.
func (s *Server) passOn(w http.ResponseWriter, r *request, route *Route) (passed bool, err error) {
	consistent := r.URL.Query().Has("consistent")
	if !route.Leader && !consistent {
		return false, nil
	}
	if s.Replica.Status().Leading {
		if consistent {
			return false, s.Replica.Verify(r.Context())
		}
		return false, nil
	}
	if from := r.Header.Get(api.HeaderForwarded); from != "" {
		return false, fleet.Errorf(fleet.Unavailable, "collector %s passed this on, but %s does not lead", clip(from), s.Replica.Status().ID).
			WithCode(api.CodeNotLeader).WithHint("try again; if it stays so: fleetctl collectors")
	}
	leader, err := s.leaderURL()
	if err != nil {
		return false, err
	}
	proxy := s.proxy(leader, r.exchange)
	if route.Permission != BeAgent {
		strip := proxy.ModifyResponse
		proxy.ModifyResponse = func(reply *http.Response) error {
			s.catchUp(r.Context(), reply.Header.Get(api.HeaderIndex))
			return strip(reply)
		}
	}
	proxy.ServeHTTP(w, r.Request)
	return true, nil
}

// catchUpIn is how long an answer waits for this collector to know of it.
const catchUpIn = 2 * time.Second

// catchUp waits until this collector has applied the index that the leader
// answered with, so that whoever changed something here finds it here. A
// collector that lags longer answers all the same: the change was made.
func (s *Server) catchUp(ctx context.Context, index string) {
	if target, err := strconv.ParseUint(index, 10, 64); err == nil {
		s.reach(ctx, target)
	}
}

// reach waits for a moment until this collector has applied the index.
func (s *Server) reach(ctx context.Context, index uint64) {
	ctx, cancel := context.WithTimeout(ctx, catchUpIn)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.ledgerIndex() < index {
		select {
		case <-ctx.Done():
			return
		case <-s.life.Done():
			return
		case <-tick.C:
		}
	}
}

// ledgerIndex returns the index that a read has now.
func (s *Server) ledgerIndex() uint64 {
	index, _ := s.Ledger.Applied()
	return index
}

// leaderURL returns where the leader's API is.
func (s *Server) leaderURL() (*url.URL, error) {
	id := s.Replica.Leader()
	if id == "" {
		return nil, fleet.Errorf(fleet.Unavailable, "no leader").WithCode(api.CodeNoLeader).WithHint("fleetctl collectors")
	}
	peers, err := s.peerURLs()
	if err != nil {
		return nil, err
	}
	target := peers[id]
	if target == nil {
		return nil, fleet.Errorf(fleet.Unavailable, "collector %s leads, but where its API is has not been heard yet", id).
			WithCode(api.CodeNoLeader).WithHint("try again; if it stays so: fleetctl collectors")
	}
	return target, nil
}

// peerURLs returns where the API of every other collector is.
func (s *Server) peerURLs() (map[fleet.CollectorID]*url.URL, error) {
	collectors, err := s.Ledger.Collectors()
	if err != nil {
		return nil, err
	}
	self := s.Replica.Status().ID
	urls := map[fleet.CollectorID]*url.URL{}
	for _, collector := range collectors {
		if target, err := url.Parse(collector.API); err == nil && target.Host != "" && collector.ID != self {
			urls[collector.ID] = target
		}
	}
	return urls, nil
}

// proxy passes a request on to another collector and its answer back.
func (s *Server) proxy(target *url.URL, ex *exchange) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:     s.Peers,
		FlushInterval: -1, // output is followed live
		ErrorLog:      slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.Out.Host = target.Host
			p.Out.Header.Del("Authorization") // the secret stays here; who it stands for is said
			p.Out.Header.Del("Cookie")
			s.markForwarded(p.In.Context(), p.Out.Header)
		},
		ModifyResponse: func(reply *http.Response) error {
			// The first collector named the request and says how it may be used.
			for _, name := range []string{api.HeaderRequestID, "X-Content-Type-Options", "Cache-Control", "Content-Security-Policy"} {
				reply.Header.Del(name)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			ex.problem = passError(target, err)
			writeProblem(w, r, ex.problem)
		},
	}
}

// markForwarded names this collector, so that a request is passed on once and
// found in both logs, and who asked it.
func (s *Server) markForwarded(ctx context.Context, header http.Header) {
	header.Set(api.HeaderForwarded, string(s.Replica.Status().ID))
	said, _ := json.Marshal(callerOf(ctx)) // strings and an address cannot fail
	header.Set(api.HeaderPrincipal, string(said))
	if ex := exchangeOf(ctx); ex != nil {
		header.Set(api.HeaderRequestID, ex.id)
		header.Set("Traceparent", "00-"+ex.trace+"-0000000000000001-01")
	}
}

// passError says what is known when the other collector did not answer: if no
// connection came about, nothing happened.
func passError(target *url.URL, err error) error {
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(e.Limit)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return &fleet.Error{Kind: fleet.Unavailable, Code: api.CodeNoLeader, Err: err,
			Message: "the collector at " + target.Host + " leads, but does not answer", Hint: "fleetctl collectors"}
	}
	if errors.Is(err, context.Canceled) {
		return fleet.Errorf(fleet.Unavailable, "the caller went away").WithCode(api.CodeUnknown)
	}
	return &fleet.Error{Kind: fleet.Unavailable, Code: api.CodeUnknown, Err: err,
		Message: "the change may or may not have been made", Hint: "read it back, or repeat the request with the same " + api.HeaderIdempotency}
}
