package httpd

import (
	"context"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// packRecords is how many records go into one entry; a batch that begins
	// below it is taken whole.
	packRecords = 1000
	// packsInFlight is how many entries may be under way: while one waits for
	// the disk the next one is encoded.
	packsInFlight = 2
	// packLimit is how long an entry may take.
	packLimit = 10 * time.Second
)

// packer makes one entry of the batches of many agents. Nobody waits for
// company: what arrives while the entries under way are written goes together
// into the next one.
type packer struct {
	propose func(context.Context, ledger.Command) (any, error)

	mu      sync.Mutex
	waiting []*parcel
	flying  int
	flights sync.WaitGroup
	closed  bool
}

// parcel is one agent's batch on its way.
type parcel struct {
	batch   ledger.HostBatch
	receipt ledger.Receipt
	err     error
	done    chan struct{}
}

func newPacker(propose func(context.Context, ledger.Command) (any, error)) *packer {
	return &packer{propose: propose}
}

// deliver returns when the batch is committed or refused. A caller that goes
// away leaves its batch in.
func (p *packer) deliver(ctx context.Context, batch ledger.HostBatch) (ledger.Receipt, error) {
	one := &parcel{batch: batch, done: make(chan struct{})}
	if !p.enter(one) {
		return ledger.Receipt{}, fleet.Errorf(fleet.Unavailable, "the collector is stopping").WithCode("stopping")
	}
	select {
	case <-one.done:
		return one.receipt, one.err
	case <-ctx.Done():
		return ledger.Receipt{}, &fleet.Error{Kind: fleet.Unavailable, Message: "the caller went away", Err: ctx.Err()}
	}
}

// enter puts the parcel to those that wait and has someone take it. It says no
// once the packer is closed.
func (p *packer) enter(one *parcel) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.waiting = append(p.waiting, one)
	if p.flying < packsInFlight {
		p.flying++
		p.flights.Go(p.fly)
	}
	return true
}

// fly sends entries until nothing waits.
func (p *packer) fly() {
	for {
		load := p.load()
		if load == nil {
			return
		}
		p.send(load)
	}
}

// load takes what fits into one entry; nil ends the flight.
func (p *packer) load() []*parcel {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken, records := 0, 0
	for taken < len(p.waiting) && records < packRecords {
		records += len(p.waiting[taken].batch.Records)
		taken++
	}
	if taken == 0 {
		p.flying--
		return nil
	}
	load := p.waiting[:taken:taken]
	p.waiting = p.waiting[taken:]
	return load
}

func (p *packer) send(load []*parcel) {
	ctx, cancel := context.WithTimeout(context.Background(), packLimit)
	defer cancel()
	command := &ledger.RecordRuns{Batches: make([]ledger.HostBatch, len(load)), At: time.Now().UTC()}
	for i, one := range load {
		command.Batches[i] = one.batch
	}
	result, err := p.propose(ctx, command)
	receipts, _ := result.([]ledger.Receipt)
	if err == nil && len(receipts) != len(load) {
		err = fleet.Errorf(fleet.Internal, "the ledger answered %T for %d batches", result, len(load))
	}
	for i, one := range load {
		one.err = err
		if err == nil {
			one.receipt = receipts[i]
			if refusal := one.receipt.Refusal; refusal != nil {
				one.err = refusal
			}
		}
		close(one.done)
	}
}

// close lets nothing more in and waits for what is under way.
func (p *packer) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.flights.Wait()
}
