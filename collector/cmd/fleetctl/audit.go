package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/chain"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

type auditOptions struct {
	paging
	actor, action, object, since string
}

func newAuditCommand(p *program) *cobra.Command {
	var o auditOptions
	c := &cobra.Command{
		Use: "audit", Args: arguments(0, 0),
		Short:   "List, verify and export who changed what, and who was refused",
		Long:    "List who changed what, and who was refused what, the newest first. Each entry holds the hash\nof the one before, so that none can be edited or taken out unseen.",
		Example: "  fleetctl audit --actor anna --since 7d\n  fleetctl audit verify\n  fleetctl audit export > audit.jsonl && fleetctl audit verify -f audit.jsonl",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			return runAudit(ctx, p, client, &o)
		}),
	}
	o.paging.addFlags(c)
	c.Flags().StringVar(&o.actor, "actor", "", "only what this `person` or machine did")
	c.Flags().StringVar(&o.action, "action", "", "only this `action`, such as task.put")
	c.Flags().StringVar(&o.object, "object", "", "only what was done to this `object`, such as data/backup")
	c.Flags().StringVar(&o.since, "since", "", "only since this `time`: how long ago, or an instant")
	c.AddCommand(newAuditVerify(p), newAuditExport(p), newAuditHosts(p))
	return c
}

func runAudit(ctx context.Context, p *program, client *api.Client, o *auditOptions) error {
	q := api.AuditQuery{Actor: o.actor, Action: o.action, Object: o.object, Newest: true}
	if o.since != "" {
		since, err := p.parseSince("since", o.since)
		if err != nil {
			return err
		}
		q.Since = since
	}
	_, err := showList(p, o.paging, func(page api.Page) (api.List[fleet.AuditEntry], error) {
		q.Page = page
		return client.Audit(ctx, q)
	}, nil, func(entries []fleet.AuditEntry) error {
		t := p.table(
			column{title: "SEQ", right: true}, column{title: "AT"}, column{title: "BY"}, column{title: "ACTION"}, column{title: "OBJECT", shrinks: true}, column{title: "DECISION", paint: paintDecision},
			column{title: "WHY", shrinks: true}, column{title: "FROM", wide: true}, column{title: "DIGEST", wide: true},
		)
		for i := range entries {
			e := &entries[i]
			from := "-"
			if e.By.Address.IsValid() {
				from = e.By.Address.String()
			}
			t.row(strconv.FormatUint(e.Seq, 10), p.exact(e.At), e.By.String(), e.Action, orDash(e.Object), decisionText(e), orDash(e.Why), from, orDash(e.Digest))
		}
		return t.write(p.stdout)
	})
	return err
}

func decisionText(e *fleet.AuditEntry) string {
	text := e.Decision
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Count > 1 {
		text += fmt.Sprintf(" (%d times)", e.Count)
	}
	return text
}

func paintDecision(text string) color {
	if text == "done" {
		return noColor
	}
	return red
}

// verdict is what audit verify answers.
type verdict struct {
	Whole   bool   `json:"whole"`
	Broken  uint64 `json:"broken,omitempty"` // the first entry that is not what it was
	Entries uint64 `json:"entries"`          // that were read
	First   uint64 `json:"first,omitempty"`
	Last    uint64 `json:"last,omitempty"`
	Head    string `json:"head,omitempty"` // hash of the last entry, hex
}

func newAuditVerify(p *program) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "verify", Args: arguments(0, 0),
		Short: "Compute the chain anew from what was exported, and tell where it is broken",
		Long:  "Compute the chain anew from its entries, here on this machine: from the collectors, or from a\nfile that audit export wrote. A list that begins later than with the first entry is held to\nitself. That its end was cut off no chain can tell: compare the head with one that was told\nearlier.\n\nExit status: 0 the chain is whole, 1 it is broken.",
		RunE: func(c *cobra.Command, args []string) error {
			if file != "" {
				return p.verifyFile(file)
			}
			return p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
				return p.verify(client.Chain(ctx))
			})(c, args)
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "read this `file` that audit export wrote; - is standard input")
	return c
}

func (p *program) verifyFile(name string) error {
	source := p.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return fleet.Errorf(fleet.Usage, "%v", err)
		}
		defer file.Close()
		source = file
	}
	return p.verify(exported(source))
}

// exported reads what audit export wrote: one entry a line.
func exported(source io.Reader) iter.Seq2[fleet.AuditEntry, error] {
	return func(yield func(fleet.AuditEntry, error) bool) {
		decoder := json.NewDecoder(bufio.NewReader(source))
		for n := 1; ; n++ {
			var entry fleet.AuditEntry
			err := decoder.Decode(&entry)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				err = fleet.Errorf(fleet.Invalid, "entry %d is not as audit export writes it: %v", n, err)
			}
			if !yield(entry, err) || err != nil {
				return
			}
		}
	}
}

func (p *program) verify(entries iter.Seq2[fleet.AuditEntry, error]) error {
	var v verdict
	var failed error
	v.Broken = chain.Verify(func(yield func(fleet.AuditEntry) bool) {
		for entry, err := range entries {
			if failed = err; err != nil {
				return
			}
			if v.Entries++; v.Entries == 1 {
				v.First = entry.Seq
			}
			v.Last, v.Head = entry.Seq, hex.EncodeToString(entry.Hash)
			if !yield(entry) {
				return
			}
		}
	})
	if failed != nil {
		return failed
	}
	v.Whole = v.Broken == 0
	err := p.show(v, func() error {
		switch {
		case !v.Whole:
			p.say("chain broken at seq %d", v.Broken)
		case v.Entries == 0:
			p.say("there is no entry")
		default:
			p.say("the chain is whole from seq %d to %d; its head is %s", v.First, v.Last, v.Head)
		}
		return nil
	})
	if err == nil && !v.Whole {
		return exitStatus(1)
	}
	return err
}

func newAuditExport(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "export", Args: arguments(0, 0),
		Short: "Write the whole chain, one JSON entry a line",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			for entry, err := range client.Chain(ctx) {
				if err != nil {
					return err
				}
				text, err := json.Marshal(entry)
				if err != nil {
					return fmt.Errorf("encode the answer: %w", err)
				}
				if _, err := p.stdout.Write(append(escapeHostile(text), '\n')); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

func newAuditHosts(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "hosts", Args: arguments(0, 0),
		Short: "List the heads of the chains that hosts keep of themselves",
		Long:  "List the heads of the chains that hosts keep of themselves. Keep such a list:\nfleetcron-agent policy audit on the host verifies its chain and prints the head that it has now.",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			list, err := client.HostChains(ctx)
			if err != nil {
				return err
			}
			return p.show(list, func() error {
				t := p.table(column{title: "HOST"}, column{title: "ENTRIES", right: true}, column{title: "HEAD"}, column{title: "TOLD"})
				for i := range list.Items {
					h := &list.Items[i]
					t.row(h.Name, strconv.FormatUint(h.AuditSeq, 10), orDash(hex.EncodeToString(h.AuditHead)), p.instant(h.At))
				}
				return t.write(p.stdout)
			})
		}),
	}
}
