package ledger

import (
	"bytes"
	"encoding/hex"
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// Proofs returns a page of what hosts signed, host by host in the order in which
// it was received. Lines of tasks that the scope does not hold are shown as their
// hashes. A page may have fewer blocks than asked for and still a Next.
func (l *Ledger) Proofs(scope fleet.Scope, q api.ProofQuery) (api.List[api.ProofBlock], error) {
	list := api.List[api.ProofBlock]{Items: []api.ProofBlock{}, Total: -1}
	after, err := hex.DecodeString(q.After)
	if err != nil {
		return list, fleet.Invalidf("after", "", "want the next of the page before")
	}
	names := map[string]string{}
	for _, host := range l.AllHosts(scope) {
		names[string(host.ID)] = host.Name
	}
	var within []byte
	if q.Host != "" {
		within = prefix(string(q.Host))
	}
	if q.After == "" {
		after = nil
	}
	err = l.view(func(r *reader) error {
		list.Index = r.index()
		limit, visits, size := pageSize(q.Page), 0, 0
		var wrong error
		each(r.bucket(inProofs), within, after, func(k, v []byte) bool {
			if len(list.Items) == limit || visits == maxVisits || size >= proofPageBytes {
				list.Next = hex.EncodeToString(after)
				return false
			}
			visits++
			after = bytes.Clone(k)
			host, _, _ := strings.Cut(string(k), "\x00")
			name, visible := names[host]
			if !visible {
				return true
			}
			var block *api.ProofBlock
			if block, wrong = shownBlock(scope, &q, v); block != nil {
				block.HostName = name
				list.Items = append(list.Items, *block)
				size += len(v)
			}
			return wrong == nil
		})
		return wrong
	})
	return list, err
}

// proofPageBytes bounds a page: in JSON blocks are about three times as long.
const proofPageBytes = 1 << 20

// shownBlock reads a row as the scope sees it; nil: the query does not ask for it.
func shownBlock(scope fleet.Scope, q *api.ProofQuery, v []byte) (*api.ProofBlock, error) {
	row, err := decode[blockRow](v)
	if err != nil {
		return nil, err
	}
	if !q.Since.IsZero() && row.At.Before(q.Since) || !q.Until.IsZero() && !row.At.Before(q.Until) {
		return nil, nil
	}
	b, err := proof.Decode(row.Body)
	if err != nil {
		return nil, err
	}
	if !scope.All() {
		b = b.Within(func(id fleet.TaskID) bool { return scope.Holds(id.Namespace()) })
	}
	if q.Task != "" && !speaksOf(b, q.Task) {
		return nil, nil
	}
	return &api.ProofBlock{Kept: proof.Kept{Block: *b, Received: row.At, Marks: row.Marks}}, nil
}

func speaksOf(b *proof.Block, task fleet.TaskID) bool {
	for i := range b.Lines {
		if line := b.Lines[i].Line; line != nil && line.Task == task {
			return true
		}
	}
	return false
}

// ProofHosts returns how far the proofs of the hosts are that the scope sees, by
// host name.
func (l *Ledger) ProofHosts(scope fleet.Scope) ([]api.ProofHost, error) {
	all := []api.ProofHost{}
	err := l.view(func(r *reader) error {
		for _, host := range l.AllHosts(scope) {
			state, found, err := row[proofRow](r, inProofHosts, key(string(host.ID)))
			if err != nil {
				return err
			}
			if found {
				all = append(all, state.shown(host))
			}
		}
		return nil
	})
	return all, err
}

func (state *proofRow) shown(host *Host) api.ProofHost {
	shown := api.ProofHost{
		Host: host.ID, Name: host.Name, Signed: state.Signed, Received: state.Received, Blocks: state.Blocks, Bytes: state.Bytes, Dropped: state.Dropped,
	}
	for _, k := range state.Keys {
		public := proof.PublicKey(k.Key)
		shown.Keys = append(shown.Keys, proof.HostKey{Host: host.ID, Name: host.Name, Key: public, Fingerprint: public.Fingerprint(), Since: k.Since, How: k.How})
	}
	if n := len(state.Chains); n > 0 {
		shown.Chain, shown.Lines, shown.Head = state.Chains[n-1].Chain, state.Chains[n-1].Last, state.Chains[n-1].Head
	}
	return shown
}
