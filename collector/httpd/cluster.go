package httpd

import (
	"context"
	"net/netip"
	"net/url"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// Cluster returns the raft group as this collector sees it.
func (s *Server) Cluster(ctx context.Context) (api.Cluster, error) {
	status := s.Replica.Status()
	cluster := api.Cluster{
		Answered: status.ID, Leader: s.Replica.Leader(), Term: status.Term,
		Applied: status.Applied, Committed: status.Committed, Collectors: []api.Collector{},
	}
	identity, _, err := s.Ledger.Cluster()
	if err != nil {
		return cluster, err
	}
	cluster.ID = identity.ID
	known, err := s.Ledger.Collectors()
	if err != nil {
		return cluster, err
	}
	for _, peer := range s.Replica.Peers(ctx) {
		cluster.Collectors = append(cluster.Collectors, collectorView(peer, cluster, status, known))
	}
	return cluster, nil
}

func collectorView(peer Peer, cluster api.Cluster, status Status, known []ledger.Collector) api.Collector {
	view := api.Collector{
		ID: peer.ID, Raft: peer.Raft, Voter: peer.Voter, Leader: peer.ID == cluster.Leader,
		Reachable: peer.Reachable, Applied: peer.Applied, Term: peer.Term,
	}
	if peer.ID == status.ID && status.LastContact >= 0 {
		contact := fleet.Duration(status.LastContact)
		view.LastContact = &contact
	}
	for _, said := range known {
		if said.ID == peer.ID {
			view.API, view.Version = said.API, said.Version
		}
	}
	return view
}

func (s *Server) cluster(ctx context.Context, _ struct{}) (api.Cluster, error) {
	return s.Cluster(ctx)
}

func parseJoin() func(*request) (api.Join, error) {
	decoder := newDecoder[api.Join]()
	return func(r *request) (api.Join, error) {
		if err := r.query(&struct{}{}); err != nil {
			return api.Join{}, err
		}
		join, err := decoder.decode(r.body)
		if err != nil {
			return join, err
		}
		return join, checkJoin(join)
	}
}

func checkJoin(join api.Join) error {
	if !fleet.ValidName(string(join.ID)) {
		return fleet.Invalidf("id", clip(string(join.ID)), "want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit")
	}
	if _, err := netip.ParseAddrPort(join.Raft); err != nil {
		return fleet.Invalidf("raft", clip(join.Raft), "want IP:port such as 127.0.0.1:7771")
	}
	if target, err := url.Parse(join.API); err != nil || target.Host == "" || target.Scheme != "https" {
		return fleet.Invalidf("api", clip(join.API), "want an address such as https://10.0.0.1:7770")
	}
	return nil
}

// join takes a collector in and records where its API is, so that every
// collector can pass requests on to it.
func (s *Server) join(ctx context.Context, in api.Join) (api.Cluster, error) {
	caller := callerOf(ctx)
	if caller.Name != string(in.ID) {
		return api.Cluster{}, fleet.Errorf(fleet.Refused, "the certificate is that of collector %s, the request that of collector %s", caller.Name, in.ID).WithCode(pki.CodeIdentity)
	}
	identity, _, err := s.Ledger.Cluster()
	if err != nil {
		return api.Cluster{}, err
	}
	if in.Cluster != "" && in.Cluster != identity.ID {
		return api.Cluster{}, fleet.Errorf(fleet.Conflict, "collector %s belongs to cluster %s, this is %s", in.ID, clip(in.Cluster), identity.ID).
			WithCode("other_cluster").WithHint("give it an empty data directory, or ask a collector of its own cluster")
	}
	if err := s.noteByHand(ctx, caller, &in); err != nil {
		return api.Cluster{}, err
	}
	if err := s.Replica.Join(ctx, in); err != nil {
		return api.Cluster{}, err
	}
	about := act{"collector.join", "collector " + string(in.ID), "raft " + in.Raft + ", API " + in.API}
	if _, err := s.record(ctx, *caller, about, &ledger.PutCollector{ID: in.ID, API: in.API, Version: clip(in.Version), At: time.Now().UTC()}); err != nil {
		return api.Cluster{}, err
	}
	return s.Cluster(ctx)
}

// noteByHand keeps what the ledger says of a collector's certificate as it is:
// of one that was signed by hand, and of one that was renewed since.
func (s *Server) noteByHand(ctx context.Context, caller *fleet.Principal, in *api.Join) error {
	node, err := s.Ledger.Node(everywhere, caller.Name)
	now := time.Now().UTC()
	switch {
	case in.Serial == "" || err == nil && node.Serial == in.Serial:
		return nil
	case err == nil:
		_, err = s.record(ctx, *caller, act{"node.renew", "collector " + caller.Name, "made anew by the root"}, &ledger.RenewNode{
			ID: caller.Name, Before: node.Serial, Serial: in.Serial, Fingerprint: in.Fingerprint, Expires: in.Expires.UTC(), At: now,
		})
	case fleet.KindOf(err) == fleet.NotFound:
		_, err = s.record(ctx, *caller, act{"node.put", "collector " + caller.Name, "signed by hand with the root's key"}, &ledger.PutNode{At: now, Actor: caller.Name, Node: fleet.Node{
			ID: caller.Name, Role: fleet.CollectorKind, Serial: in.Serial, Fingerprint: in.Fingerprint, Expires: in.Expires.UTC(),
		}})
	}
	return err
}

func parseLeave(r *request) (fleet.CollectorID, error) {
	id, err := r.path("collector", nameParameter)
	if err != nil {
		return "", err
	}
	return fleet.CollectorID(id), r.query(&struct{}{})
}

// leave takes a collector out. One that takes itself out leads no longer and
// cannot forget itself; the others do not mind.
func (s *Server) leave(ctx context.Context, id fleet.CollectorID) (api.Cluster, error) {
	if err := s.Replica.Leave(ctx, id); err != nil {
		return api.Cluster{}, err
	}
	_, err := s.record(ctx, *callerOf(ctx), act{"collector.leave", "collector " + string(id), ""}, &ledger.DropCollector{ID: id})
	if err != nil && fleet.KindOf(err) != fleet.NotFound && id != s.Replica.Status().ID {
		return api.Cluster{}, err
	}
	return s.Cluster(ctx)
}
