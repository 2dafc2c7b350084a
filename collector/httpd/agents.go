package httpd

import (
	"context"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// parseAgent reads a request of an agent: the host in its path, and a JSON body.
func parseAgent[T any](r *request, decoder decoder[T]) (host fleet.HostID, body T, err error) {
	if host, err = r.agent(); err != nil {
		return host, body, err
	}
	if err = r.query(&struct{}{}); err != nil {
		return host, body, err
	}
	body, err = decoder.decode(r.body)
	return host, body, err
}

// mustBe refuses a body that speaks for another host than its path.
func mustBe(host, said fleet.HostID) error {
	if host == said {
		return nil
	}
	return fleet.Errorf(fleet.Refused, "the path is that of host %s, the body speaks for %q", host, clip(string(said))).WithCode("agent_id_mismatch")
}

// registered answers an agent's registration.
type registered struct {
	Host  fleet.HostID `json:"host"`
	Index uint64       `json:"index"`
}

func parseRegister() func(*request) (fleet.Host, error) {
	decoder := newDecoder[fleet.Host]()
	return func(r *request) (fleet.Host, error) {
		id, host, err := parseAgent(r, decoder)
		if err != nil {
			return host, err
		}
		return host, mustBe(id, host.ID)
	}
}

func (s *Server) register(ctx context.Context, host fleet.Host) (registered, error) {
	if err := host.Validate(); err != nil {
		return registered{}, err
	}
	if _, err := s.Replica.Propose(ctx, &ledger.RegisterHost{Host: host, At: time.Now().UTC()}); err != nil {
		return registered{}, err
	}
	index, _ := s.Ledger.Applied()
	return registered{host.ID, index}, nil
}

// reportIn is what a scan of a host found.
type reportIn struct {
	host   fleet.HostID
	report fleet.Report
}

func parseReport() func(*request) (reportIn, error) {
	decoder := newDecoder[fleet.Report]()
	return func(r *request) (in reportIn, err error) {
		in.host, in.report, err = parseAgent(r, decoder)
		return in, err
	}
}

// report records what changed; a report that says what the last one said goes
// no further than here.
func (s *Server) report(ctx context.Context, in reportIn) (api.ReportReceipt, error) {
	if err := in.report.Validate(); err != nil {
		return api.ReportReceipt{}, err
	}
	host, known := s.Ledger.Host(everywhere, in.host)
	if !known {
		return api.ReportReceipt{}, unknownHost(in.host)
	}
	for i := range in.report.Jobs {
		in.report.Jobs[i].Evidence = nil // rides in sightings
	}
	receipt := api.ReportReceipt{Hash: in.report.ContentHash()}
	if host.Hash == receipt.Hash {
		return receipt, nil
	}
	result, err := s.Replica.Propose(ctx, &ledger.RecordReport{Host: in.host, Report: in.report, Hash: receipt.Hash, At: time.Now().UTC()})
	if err != nil {
		return receipt, err
	}
	if recorded, ok := result.(ledger.Recorded); ok {
		receipt.Changed = recorded.Changed
	}
	return receipt, nil
}

func unknownHost(host fleet.HostID) error {
	return fleet.Errorf(fleet.NotFound, "no host %s", host).WithCode("unknown_host").
		WithHint("the agent registers the host before it reports")
}

// planIn asks for the plan of a host.
type planIn struct {
	host fleet.HostID
	waiting
}

func parsePlan(r *request) (in planIn, err error) {
	if in.host, err = r.agent(); err != nil {
		return in, err
	}
	return in, r.query(&in.waiting)
}

// plan returns all that a host has to do, and says when it last changed: its
// Index is that of the plan, not of the ledger.
func (s *Server) plan(ctx context.Context, in planIn) (fleet.Plan, error) {
	if err := s.notBehind(ctx, in.Index); err != nil {
		return fleet.Plan{}, err
	}
	if _, known := s.Ledger.Host(everywhere, in.host); !known {
		return fleet.Plan{}, unknownHost(in.host)
	}
	if in.Index > s.ledgerIndex() { // the leader was restored: what it knows is news
		in.Index = 0
	}
	index, err := s.newer(ctx, in.waiting, ledger.PlanOf(in.host))
	if err != nil {
		return fleet.Plan{}, err
	}
	plan, err := s.Ledger.Plan(everywhere, in.host)
	plan.Index = index
	return plan, err
}

// notBehind refuses to answer a host that was told more elsewhere than this
// collector knows: an older plan would begin again what was taken back. What
// the leader does not know was lost, and its word counts.
func (s *Server) notBehind(ctx context.Context, index uint64) error {
	if s.ledgerIndex() >= index || s.Replica.Verify(ctx) == nil {
		return nil
	}
	if s.reach(ctx, index); s.ledgerIndex() >= index {
		return nil
	}
	return fleet.Errorf(fleet.Unavailable, "this collector is at entry %d, the host knows entry %d", s.ledgerIndex(), index).
		WithCode("stale_reads").WithHint("ask another collector; if it stays so: fleetctl collectors")
}

func parseRuns() func(*request) (ledger.HostBatch, error) {
	decoder := newDecoder[api.RunBatch]()
	return func(r *request) (ledger.HostBatch, error) {
		host, batch, err := parseAgent(r, decoder)
		return ledger.HostBatch{Host: host, Journal: batch.Journal, Records: batch.Records}, err
	}
}

// maxDetail is how many bytes of a run's detail are kept.
const maxDetail = 1024

// runs records what became of runs. A record that cannot be true is refused
// for ever by the ledger and acknowledged all the same: an agent that sent it
// again and again would deliver nothing else.
func (s *Server) runs(ctx context.Context, batch ledger.HostBatch) (api.RunReceipt, error) {
	if len(batch.Records) > api.MaxBatch {
		return api.RunReceipt{}, fleet.Errorf(fleet.TooLarge, "%d records in one batch, at most %d are taken", len(batch.Records), api.MaxBatch)
	}
	for i := range batch.Records {
		run := &batch.Records[i].Run
		run.Tail, run.Detail = cutText(run.Tail, fleet.MaxTail), cutText(run.Detail, maxDetail)
	}
	receipt, err := s.packer.deliver(ctx, batch)
	if err != nil {
		return api.RunReceipt{}, err
	}
	if receipt.Refused > 0 {
		s.Logger.WarnContext(ctx, "run records refused", "host", batch.Host, "refused", receipt.Refused, "why", receipt.Why)
	}
	s.metrics.countRuns(batch.Records, receipt)
	return api.RunReceipt{Acknowledged: receipt.Acknowledged}, nil
}

// cutText keeps the last bytes of a text, whole characters only.
func cutText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[len(s)-most:], "")
}

func parseApplied() func(*request) (fleet.Applied, error) {
	decoder := newDecoder[fleet.Applied]()
	return func(r *request) (fleet.Applied, error) {
		host, applied, err := parseAgent(r, decoder)
		if err != nil {
			return applied, err
		}
		return applied, mustBe(host, applied.Host)
	}
}

// appliedReceipt answers an agent that told what it runs.
type appliedReceipt struct {
	Index uint64 `json:"index"`
}

func (s *Server) applied(ctx context.Context, applied fleet.Applied) (appliedReceipt, error) {
	if n := len(applied.Generations) + len(applied.Held); n > maxGenerations {
		return appliedReceipt{}, fleet.Errorf(fleet.TooLarge, "%d generations, at most %d are taken", n, maxGenerations)
	}
	if applied.At.IsZero() {
		return appliedReceipt{}, fleet.Invalidf("at", "", "the instant is missing")
	}
	before, err := s.Ledger.AppliedBy(everywhere, applied.Host)
	if err != nil {
		return appliedReceipt{}, err
	}
	applied.At = saidAt(applied.At, before.At, time.Now().UTC())
	if _, err := s.Replica.Propose(ctx, &ledger.RecordApplied{Applied: applied}); err != nil {
		return appliedReceipt{}, err
	}
	index, _ := s.Ledger.Applied()
	return appliedReceipt{index}, nil
}

// lateWord is how late what an agent said can arrive, sent again and passed on.
const lateWord = time.Minute

// saidAt returns when an agent said what it runs. Its clock is believed unless
// it is ahead of ours, or was set back since its word before: with such
// instants the ledger would take its next words for older ones.
func saidAt(said, before, now time.Time) time.Time {
	if said.After(now) || said.Before(before) && now.Sub(said) > lateWord {
		return now
	}
	return said
}

// maxGenerations is how many tasks one host may say it runs.
const maxGenerations = 10_000
