package work

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/fleetcron/fleetcron/agent/prove"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// ProofStatus is how far this host has signed its runs. It is what the collectors
// must have come by.
type ProofStatus struct {
	Host   fleet.HostID `json:"host"`
	Name   string       `json:"name"`
	Key    string       `json:"key"`             // fingerprint
	Chain  string       `json:"chain,omitempty"` // the last one; empty: nothing was signed yet
	Lines  uint64       `json:"lines"`           // number of its last line
	Head   *proof.Hash  `json:"head,omitempty"`
	Signed time.Time    `json:"signed,omitzero"`
	Blocks uint64       `json:"blocks"` // that are on this host's disk
}

// ReadProofs looks at what was signed. It takes no lock and changes nothing.
func ReadProofs(cfg Config) (ProofStatus, error) {
	status, _, err := proofsOf(cfg)
	if err != nil {
		return status, err
	}
	err = prove.Each(cfg.proofDir(), func(b *proof.Block) error {
		head := b.After
		status.Chain, status.Lines, status.Head, status.Signed = b.Chain, b.Last(), &head, b.At
		status.Blocks++
		return nil
	})
	return status, err
}

// proofsOf returns who signs here.
func proofsOf(cfg Config) (status ProofStatus, key proof.PublicKey, err error) {
	me, err := readIdentity(cfg.StateDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return status, nil, err
	}
	var private ed25519.PrivateKey
	if err == nil {
		private, err = prove.OpenKey(filepath.Join(cfg.StateDir, prove.KeyFile))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return status, nil, fleet.Errorf(fleet.NotFound, "no agent has run with state_dir %s", cfg.StateDir).
			WithHint("start it with fleetcron-agent run, or name its configuration with --config")
	}
	if err != nil {
		return status, nil, err
	}
	host, err := describe(cfg, me.host)
	if err != nil {
		return status, nil, err
	}
	key = proof.PublicKey(private.Public().(ed25519.PublicKey))
	return ProofStatus{Host: me.host, Name: host.Name, Key: key.Fingerprint()}, key, nil
}

// ExportProofs writes what this host still has of what it signed, for fleetctl
// proofs verify.
func ExportProofs(cfg Config, w io.Writer) error {
	status, key, err := proofsOf(cfg)
	if err != nil {
		return err
	}
	out := proof.NewWriter(w, nil)
	if err := out.Key(proof.HostKey{Host: status.Host, Name: status.Name, Key: key, Fingerprint: status.Key}); err != nil {
		return err
	}
	if err := prove.Each(cfg.proofDir(), func(b *proof.Block) error { return out.Block(proof.Kept{Block: *b}) }); err != nil {
		return err
	}
	return out.End()
}

// Write writes the status for people.
func (s *ProofStatus) Write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	lines, head := "none is signed yet", "-"
	if s.Head != nil {
		lines, head = fmt.Sprintf("%d, the last signed %s", s.Lines, s.Signed.UTC().Format(time.RFC3339)), s.Head.String()
	}
	for _, row := range [][2]string{{"host", fmt.Sprintf("%s, %s", s.Name, s.Host)}, {"key", s.Key}, {"chain", s.Chain}, {"lines", lines}, {"head", head}} {
		fmt.Fprintf(table, "%s\t%s\n", row[0], row[1])
	}
	return table.Flush()
}
