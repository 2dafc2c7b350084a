package api

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// Limits of one delivery of proofs.
const (
	MaxBlocks    = 64
	MaxBlockSize = proof.MaxBytes // bytes of a block as it is kept
)

// ProofBatch is what an agent brings of its proofs, in the order of its chain.
type ProofBatch struct {
	Blocks []proof.Block `json:"blocks"`
}

// ProofReceipt answers it: the collectors keep all of it for good, but for blocks
// that they could never take.
type ProofReceipt struct {
	Refused int    `json:"refused,omitempty"` // how many are not as the host has signed them
	Why     string `json:"why,omitempty"`     // the first of them was refused
}

// ProofQuery says which proofs are listed.
type ProofQuery struct {
	Page
	Host  fleet.HostID `query:"host"`
	Task  fleet.TaskID `query:"task"`  // blocks that hold a line of it
	Since time.Time    `query:"since"` // blocks that were received since
	Until time.Time    `query:"until"`
}

// ProofBlock is a block as the collectors keep it. Lines of namespaces that the
// caller may not see are shown as their hashes.
type ProofBlock struct {
	HostName string `json:"host_name"`
	proof.Kept
}

// ProofHost is how far the collectors have a host's proofs.
type ProofHost struct {
	Host     fleet.HostID    `json:"host"`
	Name     string          `json:"name"`
	Keys     []proof.HostKey `json:"keys"` // the first is the one that was known first
	Chain    string          `json:"chain,omitempty"`
	Lines    uint64          `json:"lines"` // number of the last line of that chain
	Head     proof.Hash      `json:"head"`
	Signed   time.Time       `json:"signed,omitzero"` // when the last block was
	Received time.Time       `json:"received,omitzero"`
	Blocks   uint64          `json:"blocks"`
	Bytes    int64           `json:"bytes"`
	Dropped  uint64          `json:"dropped,omitempty"` // blocks that were too old, or too many
}

// DeliverProofs brings what the host signed of its runs.
func (c *Client) DeliverProofs(ctx context.Context, host fleet.HostID, batch ProofBatch) (ProofReceipt, error) {
	return change[ProofReceipt](ctx, c, call{method: http.MethodPost, path: AgentPath(host) + "/proofs"}, batch)
}

// Proofs lists blocks, host by host as they were received.
func (c *Client) Proofs(ctx context.Context, q ProofQuery) (List[ProofBlock], error) {
	return list[ProofBlock](ctx, c, PathProofs, q, q.Page)
}

// EveryProof lists all blocks of a query, page by page.
func (c *Client) EveryProof(ctx context.Context, q ProofQuery) iter.Seq2[ProofBlock, error] {
	return func(yield func(ProofBlock, error) bool) {
		for {
			page, err := c.Proofs(ctx, q)
			if err != nil {
				yield(ProofBlock{}, err)
				return
			}
			for _, block := range page.Items {
				if !yield(block, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			q.After = page.Next
		}
	}
}

// ProofHosts lists how far the collectors have the proofs of each host.
func (c *Client) ProofHosts(ctx context.Context) (List[ProofHost], error) {
	return get[List[ProofHost]](ctx, c, PathProofHosts, nil)
}
