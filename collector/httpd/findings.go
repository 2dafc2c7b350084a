package httpd

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/collector/findings"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Follow keeps what takes long to work out, the findings, fresh until ctx ends,
// and tells the audit chain whom this collector refused. Without it findings are
// worked out when somebody asks.
func (s *Server) Follow(ctx context.Context) error {
	if err := s.Search.CatchUp(ctx); err != nil && ctx.Err() == nil { // first what everyone asks for
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.findings.Run(ctx) })
	g.Go(func() error { return s.tellRemarked(ctx) })
	g.Go(func() error {
		for {
			_, pins := s.Ledger.Watch(ledger.Pins)
			_, annotations := s.Ledger.Watch(ledger.Annotations)
			_, adoptions := s.Ledger.Watch(ledger.Adoptions)
			_, policies := s.Ledger.Watch(ledger.Policies)
			select {
			case <-ctx.Done():
				return nil
			case <-pins:
			case <-annotations:
			case <-adoptions:
			case <-policies:
			}
			s.findings.Stir()
		}
	})
	return g.Wait()
}

// lookout is the fleet as findings are looked for in it: what the ledger has,
// and what the collectors observe.
type lookout struct{ *Server }

// Hosts returns every host.
func (l lookout) Hosts() ([]findings.Host, error) {
	all := l.Ledger.AllHosts(everywhere)
	signed, err := l.Ledger.ProofHosts(everywhere)
	if err != nil {
		return nil, err
	}
	proofs := make(map[fleet.HostID]*api.ProofHost, len(signed))
	for i := range signed {
		proofs[signed[i].Host] = &signed[i]
	}
	hosts := make([]findings.Host, len(all))
	for i, host := range all {
		hosts[i] = findings.Host{HostView: l.hostView(everywhere, host), Since: host.Since, Proofs: proofs[host.ID]}
	}
	return hosts, nil
}

// Found returns what was found on one host.
func (l lookout) Found(host fleet.HostID) (found findings.Inventory, err error) {
	if found.Jobs, err = l.Ledger.Jobs(everywhere, host); err == nil {
		found.Problems, err = l.Ledger.Problems(everywhere, host)
	}
	return found, err
}

// Pins returns the pins.
func (l lookout) Pins() ([]fleet.Pin, error) { return l.Ledger.Pins(everywhere) }

// Adoptions returns the adoptions there are.
func (l lookout) Adoptions() ([]fleet.Adoption, error) { return l.Ledger.Adoptions(everywhere) }

// Policies returns what the hosts say of their own policies.
func (l lookout) Policies(scope fleet.Scope) ([]api.HostChain, error) {
	return l.Ledger.Policies(scope)
}

// Acks returns every acknowledgement, by finding.
func (l lookout) Acks() (map[string]fleet.Ack, error) { return l.Ledger.Acks(everywhere) }

// Owners returns who answers for commands, by fingerprint.
func (l lookout) Owners() map[string]string {
	owners := map[string]string{}
	for _, said := range l.Ledger.AllAnnotations(everywhere) {
		if said.Owner != "" {
			owners[said.Fingerprint] = said.Owner
		}
	}
	return owners
}

// Findings lists what a person should look at, the most severe first.
func (s *Server) Findings(ctx context.Context, q api.FindingQuery) (api.FindingList, error) {
	index, err := s.newer(ctx, wait(q.Page), ledger.Jobs, ledger.Hosts, ledger.Acks, ledger.Pins)
	if err != nil {
		return api.FindingList{}, err
	}
	if q.Page, err = openPage(q.Page); err != nil {
		return api.FindingList{}, err
	}
	list, err := s.findings.List(ctx, scopeOf(ctx), q)
	list.Next, list.Index = sealCursor(list.Next), index
	return list, err
}

// Finding returns one finding.
func (s *Server) Finding(ctx context.Context, id string) (fleet.Finding, error) {
	return s.findings.Finding(ctx, scopeOf(ctx), id)
}

func (s *Server) hasFinding(ctx context.Context, id string) (bool, error) {
	_, err := s.findings.Finding(ctx, scopeOf(ctx), id)
	if fleet.KindOf(err) == fleet.NotFound {
		return false, nil
	}
	return err == nil, err
}

func parseFinding(r *request) (string, error) {
	id, err := r.path("finding", shortHexParameter)
	if err != nil {
		return "", err
	}
	return id, r.query(&struct{}{})
}

// IsOverdue reports whether a found job should have started and did not.
func (s *Server) IsOverdue(host fleet.HostID, job fleet.JobID) bool {
	_, late := s.findings.Overdue(host, job)
	return late
}

// late says of each job whether it is overdue.
func (s *Server) late(jobs []api.JobView) {
	for i := range jobs {
		if at, is := s.findings.Overdue(jobs[i].Host, jobs[i].ID); is {
			jobs[i].Overdue = &at
		}
	}
}
