package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

func newProofsVerify(p *program) *cobra.Command {
	var keys, heads []string
	c := &cobra.Command{
		Use: "verify FILE", Args: arguments(1, 1),
		Short:   "Compute every hash and signature of an export anew, and say what holds",
		Long:    "Compute every hash and signature of an export anew, here on this machine, and say of each host what\nholds from when to when. It asks nobody. Which key is whose, an export cannot prove: name the keys\nwith --key as fleetcron-agent proofs prints them on the hosts. That its end was cut off it cannot\ntell either: name a head with --head that the host has shown.\n\nExit status: 0 everything holds, 1 something does not.",
		Example: "  fleetctl proofs verify proofs.jsonl --key db-1=5f0c…\n  fleetcron-agent proofs export | fleetctl proofs verify -",
		RunE: func(_ *cobra.Command, args []string) error {
			known, err := parseKnown(keys, heads)
			if err != nil {
				return err
			}
			return p.verifyProofs(args[0], known)
		},
	}
	c.Flags().StringArrayVar(&keys, "key", nil, "`HOST=FINGERPRINT` of a key that the host signs with; may be repeated")
	c.Flags().StringArrayVar(&heads, "head", nil, "`HOST=HASH` that the host has shown as its head; may be repeated")
	return c
}

// parseKnown reads what whoever verifies knows of hosts.
func parseKnown(keys, heads []string) (known proof.Known, err error) {
	pair := func(flag, text string) (host, value string, hash proof.Hash, err error) {
		host, value, is := strings.Cut(text, "=")
		if !is || host == "" || hash.UnmarshalText([]byte(value)) != nil {
			err = fleet.Errorf(fleet.Usage, "--%s %q: want HOST=%d hex digits", flag, text, 2*len(hash)).WithHint("fleetcron-agent proofs prints them on the host")
		}
		return host, value, hash, err
	}
	known = proof.Known{Keys: map[string][]string{}, Heads: map[string][]proof.Hash{}}
	for _, text := range keys {
		host, value, _, err := pair("key", text)
		if err != nil {
			return known, err
		}
		known.Keys[host] = append(known.Keys[host], value)
	}
	for _, text := range heads {
		host, _, hash, err := pair("head", text)
		if err != nil {
			return known, err
		}
		known.Heads[host] = append(known.Heads[host], hash)
	}
	return known, nil
}

func (p *program) verifyProofs(name string, known proof.Known) error {
	var source io.Reader = p.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return fleet.Errorf(fleet.Usage, "%v", err)
		}
		defer file.Close()
		source = file
	}
	report, err := proof.Verify(source, known)
	if err != nil {
		report.Whole, report.Broken = false, append(report.Broken, err.Error())
	}
	if err := p.show(report, func() error { p.sayProofs(&report); return nil }); err != nil {
		return err
	}
	if !report.Whole {
		return exitStatus(1)
	}
	return nil
}

// sayProofs says in a sentence a host what holds.
func (p *program) sayProofs(report *proof.Report) {
	for i := range report.Hosts {
		h := &report.Hosts[i]
		name := h.Name
		if name == "" {
			name = string(h.Host)
		}
		var parts []string
		for _, span := range h.Spans {
			parts = append(parts, spanText(&span))
		}
		text := strings.Join(parts, "; ")
		switch {
		case len(h.Broken) > 0:
			text = "BROKEN: " + strings.Join(h.Broken, "; ")
		case h.Compared:
			text += "; by the key that you named"
		default:
			text += "; by a key that nothing was compared with"
		}
		p.say("%s: %s", name, text)
		for _, marked := range h.Marked {
			p.say("%s: marked: %s", name, marked)
		}
	}
	for _, wrong := range report.Broken {
		p.say("BROKEN: %s", wrong)
	}
	if report.Whole {
		p.say("%d lines in %d blocks of %d hosts hold", report.Lines, report.Blocks, len(report.Hosts))
	}
}

func spanText(s *proof.Span) string {
	text := fmt.Sprintf("lines %d to %d hold, signed from %s to %s, head %s", s.First, s.Last, s.From.UTC().Format(time.RFC3339), s.To.UTC().Format(time.RFC3339), s.Head)
	if s.Hidden > 0 {
		text += fmt.Sprintf(" (%d of them are not shown)", s.Hidden)
	}
	return text
}

// checkedProofs is what proofs check answers.
type checkedProofs struct {
	Lines   int             `json:"lines"`   // that were compared
	Gone    int             `json:"gone"`    // whose runs the collectors keep no longer
	Hidden  int             `json:"hidden"`  // that are not shown
	Differs []contradiction `json:"differs"` // what the collectors tell otherwise
	Broken  []string        `json:"broken,omitempty"`
}

// contradiction is a run that the collectors tell otherwise than its host.
type contradiction struct {
	Run        fleet.RunID  `json:"run"`
	Task       fleet.TaskID `json:"task"`
	Host       string       `json:"host"`
	Signed     string       `json:"signed"`
	Collectors string       `json:"collectors"`
}

func newProofsCheck(p *program) *cobra.Command {
	var o proofsOptions
	c := &cobra.Command{
		Use: "check", Args: arguments(0, 0),
		Short: "Compare what the collectors tell of runs with what the hosts signed",
		Long:  "Compare what the collectors tell of each run with what its host signed, and name the runs that they\ntell otherwise.\n\nExit status: 0 they tell the same, 1 they do not.",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			query, err := o.query(ctx, p, client)
			if err != nil {
				return err
			}
			return p.checkProofs(ctx, client, query)
		}),
	}
	o.addFlags(p, c)
	o.addTask(p, c)
	return c
}

func (p *program) checkProofs(ctx context.Context, client *api.Client, query api.ProofQuery) error {
	found := checkedProofs{Differs: []contradiction{}}
	for block, err := range client.EveryProof(ctx, query) {
		if err != nil {
			return err
		}
		if err := block.Check(); err != nil {
			found.Broken = append(found.Broken, fmt.Sprintf("%s: lines %d to %d: %v", block.HostName, block.First, block.Last(), err))
			continue
		}
		for _, line := range linesOf(&block, query.Task) {
			if err := found.compare(ctx, client, &line); err != nil {
				return err
			}
		}
	}
	if err := p.show(found, func() error { return found.draw(p) }); err != nil {
		return err
	}
	if len(found.Differs)+len(found.Broken) > 0 {
		return exitStatus(1)
	}
	return nil
}

func (f *checkedProofs) compare(ctx context.Context, client *api.Client, signed *provenLine) error {
	if signed.Line == nil {
		f.Hidden++
		return nil
	}
	run, err := client.Run(ctx, signed.Line.Run)
	if fleet.KindOf(err) == fleet.NotFound {
		f.Gone++
		return nil
	}
	if err != nil {
		return err
	}
	if f.Lines++; run.Host == signed.Host && signed.Line.Says(&run.Run) {
		return nil
	}
	said := runOf(signed.Host, signed.Line)
	f.Differs = append(f.Differs, contradiction{run.ID, signed.Line.Task, signed.HostName, outcome(&said), outcome(&run.Run)})
	return nil
}

func (f *checkedProofs) draw(p *program) error {
	for _, wrong := range f.Broken {
		p.say("BROKEN: %s", wrong)
	}
	if len(f.Differs) > 0 {
		t := p.table(column{title: "RUN"}, column{title: "TASK"}, column{title: "HOST"}, column{title: "HOST SIGNED", paint: paintState}, column{title: "COLLECTORS TELL", paint: paintState})
		for _, d := range f.Differs {
			t.row(string(d.Run), string(d.Task), d.Host, d.Signed, d.Collectors)
		}
		if err := t.write(p.stdout); err != nil {
			return err
		}
	}
	p.say("%d lines compared, %d told otherwise; of %d the collectors keep no run any more, %d are not shown", f.Lines, len(f.Differs), f.Gone, f.Hidden)
	return nil
}
