package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

type proofsOptions struct {
	paging
	host, task, since, until string
}

func (o *proofsOptions) addFlags(p *program, c *cobra.Command) {
	c.Flags().StringVar(&o.host, "host", "", "only of this `host`")
	c.Flags().StringVar(&o.since, "since", "", "only what was received since this `instant`, or this long ago, such as 24h or 7d")
	c.Flags().StringVar(&o.until, "until", "", "only what was received before this `instant`, or this long ago")
	p.completeHosts(c, "host")
}

func (o *proofsOptions) addTask(p *program, c *cobra.Command) {
	c.Flags().StringVar(&o.task, "task", "", "only of this `task`")
	p.completeTasks(c, "task")
}

// query names the host by its id.
func (o *proofsOptions) query(ctx context.Context, p *program, client *api.Client) (query api.ProofQuery, err error) {
	query.Page.Limit = api.MaxPage
	if o.host != "" {
		host, err := client.Host(ctx, o.host)
		if err != nil {
			return query, err
		}
		query.Host = host.ID
	}
	if o.task != "" {
		if query.Task, err = fleet.ParseTaskID(o.task); err != nil {
			return query, err
		}
	}
	if query.Since, err = p.parseSince("since", o.since); err != nil {
		return query, err
	}
	query.Until, err = p.parseSince("until", o.until)
	return query, err
}

func newProofsCommand(p *program) *cobra.Command {
	var o proofsOptions
	c := &cobra.Command{
		Use: "proofs", Args: arguments(0, 0),
		Short:   "List, export, verify and check what hosts signed of their runs",
		Long:    "List what hosts signed of their runs: what became of each, as the host itself says. Each line is\nbound to the one before, so that none can be edited, dropped or put in unseen, by the collectors\nneither. Lines of namespaces that you may not see are shown as their hashes.",
		Example: "  fleetctl proofs --task data/nightly-backup --since 7d\n  fleetctl proofs export > proofs.jsonl && fleetctl proofs verify proofs.jsonl\n  fleetctl proofs check --since 24h",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			return runProofs(ctx, p, client, &o)
		}),
	}
	o.paging.addFlags(c)
	o.addFlags(p, c)
	o.addTask(p, c)
	c.AddCommand(newProofsHosts(p), newProofsExport(p), newProofsVerify(p), newProofsCheck(p))
	return c
}

// provenLine is a line with what its block says.
type provenLine struct {
	Host     fleet.HostID `json:"host"`
	HostName string       `json:"host_name"`
	Number   uint64       `json:"number"`
	Signed   time.Time    `json:"signed"`
	Received time.Time    `json:"received"`
	Marks    []proof.Mark `json:"marks,omitempty"`
	proof.Entry
}

func runProofs(ctx context.Context, p *program, client *api.Client, o *proofsOptions) error {
	if o.limit < 1 {
		return fleet.Errorf(fleet.Usage, "--limit %d: want at least 1", o.limit).WithHint("--all lists everything")
	}
	query, err := o.query(ctx, p, client)
	if err != nil {
		return err
	}
	list := api.List[provenLine]{Items: []provenLine{}, Total: -1}
	for block, err := range client.EveryProof(ctx, query) {
		if err != nil {
			return err
		}
		list.Items = append(list.Items, linesOf(&block, query.Task)...)
		if !o.all && len(list.Items) > o.limit {
			list.Items, list.Next = list.Items[:o.limit], "more"
			break
		}
	}
	more := list.Next != ""
	list.Next = ""
	return p.show(list, func() error {
		if more {
			p.note("the first %d shown; --all shows the rest", o.limit)
		}
		return drawProofs(p, list.Items)
	})
}

// linesOf returns the lines of a block; with a task those about it.
func linesOf(block *api.ProofBlock, task fleet.TaskID) (lines []provenLine) {
	for i, entry := range block.Lines {
		if task != "" && (entry.Line == nil || entry.Line.Task != task) {
			continue
		}
		lines = append(lines, provenLine{block.Host, block.HostName, block.First + uint64(i), block.At, block.Received, block.Marks, entry})
	}
	return lines
}

func drawProofs(p *program, lines []provenLine) error {
	t := p.table(
		column{title: "HOST"}, column{title: "LINE", right: true}, column{title: "DUE"}, column{title: "TASK"}, column{title: "OUTCOME", paint: paintState}, column{title: "RUN"},
		column{title: "ENDED", wide: true}, column{title: "SIGNED", wide: true}, column{title: "RAN UNDER", wide: true}, column{title: "WITH", wide: true}, column{title: "MARKS"},
	)
	for i := range lines {
		l := &lines[i]
		marks := "-"
		if len(l.Marks) > 0 {
			marks = ""
			for _, mark := range l.Marks {
				marks += string(mark) + " "
			}
			marks = marks[:len(marks)-1]
		}
		if l.Line == nil {
			t.row(l.HostName, strconv.FormatUint(l.Number, 10), "-", "(not shown)", "-", "-", "-", p.exact(l.Signed), l.Hash.String(), "-", marks)
			continue
		}
		ended, statement := "-", "-"
		if l.Line.Ended != nil {
			ended = p.exact(*l.Line.Ended)
		}
		if l.Line.Statement != nil {
			statement = l.Line.Statement.String()
		}
		run := runOf(l.Host, l.Line)
		t.row(l.HostName, strconv.FormatUint(l.Number, 10), p.exact(l.Line.Due), string(l.Line.Task), outcome(&run), string(l.Line.Run),
			ended, p.exact(l.Signed), statement, orDash(fleet.Params(l.Line.Params).String()), marks)
	}
	return t.write(p.stdout)
}

// runOf returns the run that a line speaks of, as far as it does.
func runOf(host fleet.HostID, l *proof.Line) fleet.Run {
	return fleet.Run{
		ID: l.Run, Task: l.Task, Generation: l.Generation, Host: host, Due: l.Due, Until: l.Until, Count: l.Count, Order: l.Order, Parent: l.Parent, Attempt: l.Attempt,
		State: l.State, Reason: l.Reason, Started: l.Started, Ended: l.Ended, Exit: l.Exit, Signal: l.Signal, TimedOut: l.TimedOut, Cancelled: l.Cancelled,
	}
}

func newProofsHosts(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "hosts", Args: arguments(0, 0),
		Short: "List how far each host has signed its runs, and with which keys",
		Long:  "List how far each host has signed its runs, and with which keys. Compare key and head with what\nfleetcron-agent proofs prints on the host itself.",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			list, err := client.ProofHosts(ctx)
			if err != nil {
				return err
			}
			return p.show(list, func() error {
				t := p.table(column{title: "HOST"}, column{title: "LINES", right: true}, column{title: "SIGNED"}, column{title: "KEYS", right: true}, column{title: "KEY"}, column{title: "HEAD", wide: true}, column{title: "CHAIN", wide: true},
					column{title: "KEPT", right: true, wide: true}, column{title: "DROPPED", right: true, wide: true})
				for i := range list.Items {
					h := &list.Items[i]
					key := "-"
					if n := len(h.Keys); n > 0 {
						key = h.Keys[n-1].Fingerprint
					}
					t.row(h.Name, strconv.FormatUint(h.Lines, 10), p.instant(h.Signed), strconv.Itoa(len(h.Keys)), key, h.Head.String(), orDash(h.Chain), size(h.Bytes), strconv.FormatUint(h.Dropped, 10))
				}
				return t.write(p.stdout)
			})
		}),
	}
}

func newProofsExport(p *program) *cobra.Command {
	var o proofsOptions
	c := &cobra.Command{
		Use: "export", Args: arguments(0, 0),
		Short: "Write keys and signed blocks, one JSON object a line",
		Long:  "Write the keys of hosts and the blocks that they signed, one JSON object a line, for fleetctl proofs\nverify on any machine. With --since or --until it is held to itself from there on.",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			query, err := o.query(ctx, p, client)
			if err != nil {
				return err
			}
			return exportProofs(ctx, p, client, query)
		}),
	}
	o.addFlags(p, c)
	return c
}

func exportProofs(ctx context.Context, p *program, client *api.Client, query api.ProofQuery) error {
	hosts, err := client.ProofHosts(ctx)
	if err != nil {
		return err
	}
	out := proof.NewWriter(p.stdout, escapeHostile)
	for _, host := range hosts.Items {
		for _, key := range host.Keys {
			if query.Host != "" && host.Host != query.Host {
				continue
			}
			if err := out.Key(key); err != nil {
				return err
			}
		}
	}
	for block, err := range client.EveryProof(ctx, query) {
		if err != nil {
			return err
		}
		if err := out.Block(block.Kept); err != nil {
			return err
		}
	}
	return out.End()
}
