package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

type accountOptions struct {
	paging
	namespace, host, label, since, until string
	hosts, prove                         bool
}

func (o *accountOptions) addFlags(p *program, c *cobra.Command) {
	o.paging.addFlags(c)
	c.Flags().StringVar(&o.namespace, "namespace", "", "only of tasks of this `namespace`")
	c.Flags().StringVar(&o.host, "host", "", "only on this `host`")
	c.Flags().StringVar(&o.label, "label", "", "only on hosts that this label `selector` matches")
	c.Flags().StringVar(&o.since, "since", "", "only due since this `instant`, or this long ago, such as 24h or 7d")
	c.Flags().StringVar(&o.until, "until", "", "only due before this `instant`, or this long ago")
	c.Flags().BoolVar(&o.hosts, "hosts", false, "a line for each host of a task; with a TASK that is so anyway")
	c.Flags().BoolVar(&o.prove, "prove", false, "derive it anew, instant by instant, and name what is missing or doubled")
	p.completeHosts(c, "host")
}

func newAccountCommand(p *program) *cobra.Command {
	var options accountOptions
	c := &cobra.Command{
		Use: "account [TASK]", GroupID: groupRuns, Args: arguments(0, 1),
		Short: "Say what became of everything that was due",
		Long: "Say what became of everything that was due. At all times\n\n  due = ran + skipped + missed + unknown + pending\n\n" +
			"and the difference is zero. What was due follows from the schedules and orders alone. What is pending\nhas not ended, or its host has not told of it yet. What is attempted again is due once, and its outcome\nis that of the last attempt; RETRIED counts the others.\n\n" +
			"With --prove each instant of the schedules is held against the records.\n\nExit status: 0 nothing differs, 1 something does, 2 and above as everywhere.",
		Example:           "  fleetctl account\n  fleetctl account data/nightly-backup --since 24h\n  fleetctl account --prove",
		ValidArgsFunction: p.taskArgument,
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			query, err := options.query(p, args)
			if err != nil {
				return err
			}
			if options.prove {
				return runProof(ctx, p, client, query)
			}
			return runAccount(ctx, p, client, options, query)
		}),
	}
	options.addFlags(p, c)
	return c
}

func (o *accountOptions) query(p *program, args []string) (query api.AccountQuery, err error) {
	query = api.AccountQuery{Namespace: o.namespace, Host: o.host, Label: o.label, Hosts: o.hosts}
	if len(args) == 1 {
		query.Hosts = true
		if query.Task, err = fleet.ParseTaskID(args[0]); err != nil {
			return query, err
		}
	}
	if o.prove && (o.since != "" || o.until != "") {
		return query, fleet.Errorf(fleet.Usage, "--prove looks at everything that is on record: it takes no --since and no --until")
	}
	if query.Since, err = p.parseSince("since", o.since); err != nil {
		return query, err
	}
	query.Until, err = p.parseSince("until", o.until)
	return query, err
}

func runAccount(ctx context.Context, p *program, client *api.Client, options accountOptions, query api.AccountQuery) error {
	differs := false
	_, err := showList(p, options.paging, func(page api.Page) (api.List[api.AccountLine], error) {
		query.Page = page
		list, err := client.Account(ctx, query)
		for i := range list.Items {
			differs = differs || list.Items[i].Difference != 0
		}
		return list, err
	}, nil, func(lines []api.AccountLine) error { return drawAccount(p, lines, query.Hosts) })
	if err != nil {
		return err
	}
	if differs {
		return exitStatus(1)
	}
	return nil
}

func drawAccount(p *program, lines []api.AccountLine, hosts bool) error {
	columns := []column{{title: "TASK"}}
	if hosts {
		columns = append(columns, column{title: "HOST"})
	}
	for _, title := range []string{"DUE", "RAN", "OK", "FAILED", "SKIPPED", "MISSED", "UNKNOWN", "PENDING"} {
		columns = append(columns, column{title: title, right: true})
	}
	columns = append(columns, column{title: "DIFFERENCE", right: true, paint: redUnless("0")}, column{title: "RETRIED", right: true}, column{title: "SINCE", wide: true})
	t := p.table(columns...)
	for i := range lines {
		line := &lines[i]
		cells := []string{string(line.Task)}
		if hosts {
			name := line.HostName
			if name == "" {
				name = string(line.Host)
			}
			cells = append(cells, name)
		}
		for _, n := range []int{line.Due, line.Ran, line.OK, line.Failed, line.Skipped, line.Missed, line.Unknown, line.Pending, line.Difference, line.Retried} {
			cells = append(cells, strconv.Itoa(n))
		}
		t.row(append(cells, p.exact(line.Since))...)
	}
	return t.write(p.stdout)
}

func runProof(ctx context.Context, p *program, client *api.Client, query api.AccountQuery) error {
	proof, err := client.Proof(ctx, query)
	if err != nil {
		return err
	}
	if err := p.show(proof, func() error { return drawProof(p, &proof) }); err != nil {
		return err
	}
	if proof.Difference != 0 || len(proof.Faults) > 0 {
		return exitStatus(1)
	}
	return nil
}

func drawProof(p *program, proof *api.Proof) error {
	p.say("%s, %s of schedules, %s, %d pending", count(proof.Accounts, "account"), count(proof.Due, "instant"), count(proof.Records, "record"), proof.Pending)
	if len(proof.Faults) == 0 && proof.Difference == 0 {
		p.say("nothing is missing, nothing is doubled: difference 0")
		return nil
	}
	p.say("difference %d, %s:", proof.Difference, count(len(proof.Faults)+proof.More, "fault"))
	t := p.table(column{title: "FAULT", paint: redUnless("")}, column{title: "TASK"}, column{title: "HOST"}, column{title: "INSTANT"}, column{title: "WHAT", shrinks: true}, column{title: "RUN", wide: true})
	for i := range proof.Faults {
		f := &proof.Faults[i]
		host := f.HostName
		if host == "" {
			host = string(f.Host)
		}
		t.row(string(f.Kind), string(f.Task), host, p.exact(f.Instant), f.Text, string(f.Run))
	}
	if err := t.write(p.stdout); err != nil {
		return err
	}
	if proof.More > 0 {
		p.say("… and %d more", proof.More)
	}
	return nil
}
