package work

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/fleetcron/fleetcron/agent/link"
	"github.com/fleetcron/fleetcron/agent/policy"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// counter is where the network part is served: over it, and nowhere past it, go
// plans in and words out.
type counter struct {
	server  *link.Server
	places  places
	gate    *policy.Gate
	signs   *prover
	stands  *link.Told[fleet.Stands]
	applied *link.Told[fleet.Applied]
	policy  *link.Told[fleet.PolicyReport]
	labels  *link.Told[map[string]string]
	revoked *link.Told[[]string]
}

func newCounter(cfg Config, gate *policy.Gate, signs *prover, log *slog.Logger) *counter {
	server := link.NewServer(link.Work, cfg.Version, map[link.Part]link.Peers{link.Net: cfg.Net}, log)
	return &counter{
		server: server, places: places{link.LentTo(server, link.Net)}, gate: gate, signs: signs,
		stands: link.NewTold[fleet.Stands](), applied: link.NewTold[fleet.Applied](),
		policy: link.NewTold[fleet.PolicyReport](), labels: link.NewTold[map[string]string](), revoked: link.NewTold[[]string](),
	}
}

// tell says what of a plan is carried out, and what the policy says of it.
func (c *counter) tell(plan *fleet.Plan, report fleet.PolicyReport) {
	c.applied.Set(appliedOf(plan, c.gate.Held()))
	c.policy.Set(report)
	c.labels.Set(c.gate.Labels())
	c.revoked.Set(c.gate.Revoked())
	c.signs.Plan(plan)
}

// appliedOf says which generation of each task a plan lets run, and which are
// held beside them.
func appliedOf(plan *fleet.Plan, held []fleet.TaskID) fleet.Applied {
	generations := make(map[fleet.TaskID]uint64, len(plan.Assignments))
	for i := range plan.Assignments {
		if a := &plan.Assignments[i]; a.Refused == nil {
			generations[a.Task.ID()] = a.Generation
		}
	}
	return fleet.Applied{Host: plan.Host, Generations: generations, Held: held, At: time.Now().UTC()}
}

// serve says who answers what.
func (c *counter) serve(state link.State, kept *keeper, work *work, box outbox, taken *adoptions) {
	s := c.server
	link.Handle(s, link.GetState, func(context.Context, *link.Nothing) (link.State, error) {
		now := state
		now.Index, now.Revoked = kept.index(), c.gate.Revoked()
		return now, nil
	})
	link.Handle(s, link.Offer, func(ctx context.Context, plan *fleet.Plan) (link.Nothing, error) {
		return link.Nothing{}, kept.Offer(ctx, plan)
	})
	link.Handle(s, link.Outbox, func(ctx context.Context, page *link.Page) (fleet.RunBatch, error) {
		defer c.signs.poke()
		return box.Outbox(ctx, page.After, min(max(page.Limit, 1), maxRecords))
	})
	link.Handle(s, link.Acknowledge, func(_ context.Context, sequence *uint64) (link.Nothing, error) {
		c.signs.Acknowledge(*sequence)
		return link.Nothing{}, nil
	})
	link.Handle(s, link.Proofs, c.signs.Undelivered)
	link.Handle(s, link.Proven, func(_ context.Context, last *uint64) (link.Nothing, error) {
		return link.Nothing{}, c.signs.Delivered(*last)
	})
	link.HandleStream(s, link.ReadOutput, func(ctx context.Context, ask *fleet.Ask) (link.Output, io.ReadCloser, error) {
		output, dropped, err := logs{work.runs}.Output(ctx, *ask)
		return link.Output{Dropped: dropped}, output, err
	})
	link.Handle(s, link.GetLive, func(context.Context, *link.Nothing) (fleet.Live, error) { return work.watch.Live(), nil })
	link.Handle(s, link.Rehearse, func(ctx context.Context, wish *fleet.Adoption) (fleet.JobDiff, error) {
		diff, err := taken.adopter.Diff(ctx, wish)
		if err != nil {
			return fleet.JobDiff{Why: err.Error()}, nil
		}
		return fleet.JobDiff{Diff: diff}, nil
	})
	link.Handle(s, link.Held, func(_ context.Context, tasks *[]fleet.TaskID) ([]fleet.TaskID, error) {
		held := []fleet.TaskID{}
		for _, task := range *tasks {
			if taken.adopter.Holds(task) {
				held = append(held, task)
			}
		}
		return held, nil
	})
	link.HandleTold(s, link.Stands, c.stands)
	link.HandleTold(s, link.Adoptions, taken.told)
	link.HandleTold(s, link.Applied, c.applied)
	link.HandleTold(s, link.Policy, c.policy)
	link.HandleTold(s, link.Labels, c.labels)
	link.HandleTold(s, link.Revoked, c.revoked)
}

// maxRecords is how many records a page has at most.
const maxRecords = 2000

// places are those in the fleet, which the network part asks for.
type places struct{ lent *link.Lent }

// Lease asks for a place.
func (p places) Lease(ctx context.Context, host fleet.HostID, request fleet.LeaseRequest) (fleet.Lease, error) {
	return link.TakeLease.Call(ctx, p.lent, link.Lease{Host: host, Request: request})
}

// ReturnLease gives it back.
func (p places) ReturnLease(ctx context.Context, host fleet.HostID, task fleet.TaskID, run fleet.RunID) error {
	_, err := link.ReturnLease.Call(ctx, p.lent, link.Return{Host: host, Task: task, Run: run})
	return err
}
