package uplink

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// Collectors is the contract as far as it is an agent's; *api.Client speaks it.
type Collectors interface {
	Register(ctx context.Context, host fleet.Host) error
	Report(ctx context.Context, host fleet.HostID, report *fleet.Report) (api.ReportReceipt, error)
	Plan(ctx context.Context, host fleet.HostID, index uint64, wait time.Duration) (fleet.Plan, error)
	Deliver(ctx context.Context, host fleet.HostID, batch api.RunBatch) (api.RunReceipt, error)
	Apply(ctx context.Context, applied fleet.Applied) error
	Sight(ctx context.Context, host fleet.HostID, sightings *fleet.Sightings) error
	Settle(ctx context.Context, host fleet.HostID, adoptions []fleet.Adoption) error
	Stand(ctx context.Context, host fleet.HostID, stands api.Stands) error
	Policy(ctx context.Context, host fleet.HostID, report *fleet.PolicyReport) error
	DeliverProofs(ctx context.Context, host fleet.HostID, batch api.ProofBatch) (api.ProofReceipt, error)
}

// Desk is where one collector keeps questions for this host. Questions and
// answers must go to the same one.
type Desk interface {
	Asks(ctx context.Context, host fleet.HostID, wait time.Duration) ([]api.Ask, error)
	Answer(ctx context.Context, host fleet.HostID, ask string, dropped int64, output io.Reader) error
}

// Outbox holds the records that no collector has acknowledged.
type Outbox interface {
	// Outbox waits for records after a sequence, and returns at most limit.
	Outbox(ctx context.Context, after uint64, limit int) (api.RunBatch, error)
	Acknowledge(ctx context.Context, sequence uint64) error
}

// Proofs holds what this host signed of its runs and no collector has.
type Proofs interface {
	// Proofs waits for blocks after one with a number, and returns about so many
	// bytes of them, with the number of the last.
	Proofs(ctx context.Context, after uint64, bytes int) (blocks []proof.Block, last uint64, err error)
	Proven(ctx context.Context, last uint64) error
}

// Config is what an Uplink connects; all but Knocks, Proofs and Logger are required.
type Config struct {
	Collectors Collectors
	Desk       Desk
	Outbox     Outbox
	Proofs     Proofs // nil: this host signs nothing
	// Take makes a plan the one in force, as far as this host takes it, and says
	// so by SetPlan. When it returns an error the plan is asked for again.
	Take func(plan *fleet.Plan) error
	// Index is that of the plan that is in force at the start; zero: none. Only
	// what is newer is taken then, so that a collector that lags does not bring
	// back what was taken away.
	Index uint64
	// Output reads what the run of an ask has written, as it may leave the host,
	// and says how many bytes of it were dropped.
	Output func(ctx context.Context, ask api.Ask) (io.ReadCloser, int64, error)
	// Live says what goes on at this moment; nil: nothing does.
	Live func(ctx context.Context) (api.Live, error)
	// Diff says what an adoption would change on this host; nil: nobody knows.
	Diff func(ctx context.Context, wish *fleet.Adoption) (string, error)
	// Host is who this host is. Without a name it is made known by SetHost.
	Host   fleet.Host
	Knocks <-chan struct{} // somebody says that there is news; nil: nobody does
	Logger *slog.Logger    // nil: slog.Default
}

// Uplink is the way to the collectors; its methods may be called from any
// goroutine.
type Uplink struct {
	config Config
	id     fleet.HostID
	log    *slog.Logger
	patience
	link link

	inventory inventory
	sightings sightings
	applied   applied
	settled   settled
	stands    latest[api.Stands]
	policy    latest[fleet.PolicyReport]
}

// New returns an uplink for the host.
func New(config Config) *Uplink {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	u := &Uplink{config: config, id: config.Host.ID, log: config.Logger, patience: newPatience()}
	u.link.log = config.Logger
	u.inventory.news, u.applied.news = make(chan struct{}, 1), make(chan struct{}, 1)
	u.inventory.registered = make(chan struct{})
	u.sightings.news, u.sightings.anew = make(chan struct{}, 1), make(chan struct{}, 1)
	u.settled.news, u.stands.news, u.policy.news = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	if config.Host.Name != "" {
		u.SetHost(config.Host)
	}
	return u
}

// Run carries until ctx ends.
func (u *Uplink) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, loop := range []func(context.Context){
		u.hearKnocks, u.sendInventory, u.sendSightings, u.fetchPlans, u.sendApplied, u.sendSettled, u.sendStands, u.sendPolicy, u.sendRuns, u.sendProofs, u.answerAsks,
	} {
		group.Go(func() error {
			loop(ctx)
			return nil
		})
	}
	return group.Wait()
}

func (u *Uplink) hearKnocks(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-u.config.Knocks:
			if !open {
				return
			}
			u.knock()
		}
	}
}

// link remembers whether the collectors were reached last, so that an outage
// is two lines in the log and not thousands.
type link struct {
	log  *slog.Logger
	mu   sync.Mutex
	down time.Time // since when; zero: reachable
}

// note takes in how an attempt ended.
func (l *link) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost := err != nil && fleet.KindOf(err) == fleet.Unavailable
	switch {
	case lost && l.down.IsZero():
		l.down = time.Now()
		l.log.Warn("collectors out of reach, running on alone", "error", err)
	case !lost && !l.down.IsZero():
		l.log.Info("collectors reached again", "after", time.Since(l.down).Round(time.Second).String())
		l.down = time.Time{}
	}
	if err != nil && !lost && fleet.KindOf(err) != fleet.NotFound { // which is just a host not yet registered
		l.log.Warn("collector refused", "error", err)
	}
}

// poke puts a token into a channel that holds one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
