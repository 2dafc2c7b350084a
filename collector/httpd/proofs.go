package httpd

import (
	"context"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// proofsIn is what a host signed of its runs.
type proofsIn struct {
	host  fleet.HostID
	batch api.ProofBatch
}

func parseProofs() func(*request) (proofsIn, error) {
	decoder := newDecoder[api.ProofBatch]()
	return func(r *request) (in proofsIn, err error) {
		in.host, in.batch, err = parseAgent(r, decoder)
		return in, err
	}
}

// takeProofs keeps blocks that are as the host has signed them. The others it
// never takes, and says so: a host that brought one again and again would bring
// nothing else.
func (s *Server) takeProofs(ctx context.Context, in proofsIn) (receipt api.ProofReceipt, err error) {
	if len(in.batch.Blocks) > api.MaxBlocks {
		return receipt, fleet.Errorf(fleet.TooLarge, "%d blocks in one batch, at most %d are taken", len(in.batch.Blocks), api.MaxBlocks)
	}
	cluster, _, err := s.Ledger.Cluster()
	if err != nil {
		return receipt, err
	}
	command := &ledger.RecordProofs{Host: in.host, At: time.Now().UTC()}
	for i := range in.batch.Blocks {
		b := &in.batch.Blocks[i]
		wrong := b.Check()
		if wrong == nil && (b.Host != in.host || b.Cluster != cluster.ID) {
			wrong = mustBe(in.host, b.Host)
			if wrong == nil {
				wrong = fleet.Errorf(fleet.Refused, "the block is of another cluster")
			}
		}
		if wrong == nil && !b.Shown() { // the host signs lines; who brings a hash would hide one for ever
			wrong = fleet.Invalidf("blocks", "", "the block holds the hash of a line in the place of the line")
		}
		body := b.Encode()
		if wrong == nil && len(body) > api.MaxBlockSize {
			wrong = fleet.Errorf(fleet.TooLarge, "the block has %d bytes, at most %d are kept", len(body), api.MaxBlockSize)
		}
		if wrong != nil {
			if receipt.Refused++; receipt.Why == "" {
				receipt.Why = wrong.Error()
			}
			continue
		}
		command.Blocks = append(command.Blocks, body)
	}
	if receipt.Refused > 0 {
		s.Logger.WarnContext(ctx, "proofs refused", "host", in.host, "refused", receipt.Refused, "why", receipt.Why)
	}
	if len(command.Blocks) > 0 {
		_, err = s.Replica.Propose(ctx, command)
	}
	return receipt, err
}

// proofsOut is a page of what hosts signed.
type proofsOut = api.List[api.ProofBlock]

func (s *Server) proofs(ctx context.Context, q api.ProofQuery) (list proofsOut, err error) {
	if q.Host != "" && !q.Host.Valid() {
		return list, fleet.Invalidf("host", clip(string(q.Host)), "want the id of a host").WithHint("fleetctl hosts -o wide")
	}
	if q.Task != "" {
		if q.Task, err = fleet.ParseTaskID(string(q.Task)); err != nil {
			return list, err
		}
	}
	index, err := s.newer(ctx, wait(q.Page), ledger.Proofs)
	if err != nil {
		return list, err
	}
	if q.Page, err = openPage(q.Page); err != nil {
		return list, err
	}
	list, err = s.Ledger.Proofs(scopeOf(ctx), q)
	list.Next, list.Index = sealCursor(list.Next), index
	return list, err
}

// proofHosts lists how far each host's proofs are, and its keys.
func (s *Server) proofHosts(ctx context.Context, in waiting) (api.List[api.ProofHost], error) {
	list := api.List[api.ProofHost]{Items: []api.ProofHost{}}
	var err error
	if list.Index, err = s.newer(ctx, in, ledger.Proofs); err != nil {
		return list, err
	}
	all, err := s.Ledger.ProofHosts(scopeOf(ctx))
	list.Items, list.Total = append(list.Items, all...), len(all)
	return list, err
}
