package main

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

type raiseOptions struct {
	data   string
	wait   bool
	reason string
}

func newRaiseCommand(p *program) *cobra.Command {
	var options raiseOptions
	c := &cobra.Command{
		Use: "raise EVENT", GroupID: groupRuns, Args: arguments(1, 1),
		Short: "Tell that something happened which tasks wait for",
		Long: `Raise an event: every enabled task with on: {event: EVENT} runs once on each of its
hosts. The command sees the event's name in FLEETCRON_CAUSE and what --data says, any
JSON of at most 16 KiB, in FLEETCRON_PAYLOAD. Hosts that are silent have an hour to
come back. A task with on: {webhook: true} has an address of its own instead,
POST /v1/hooks/NAMESPACE/TASK, for systems that call one.`,
		Example: "  fleetctl raise deploy.finished --data '{\"version\": \"1.2\"}' --wait\n  fleetctl raise invoices.ready --data @invoice.json",
		RunE: p.signing(func(ctx context.Context, client *api.Client, by *author.Author, args []string) error {
			return runRaise(ctx, p, client, by, args[0], options)
		}),
	}
	c.Flags().StringVar(&options.data, "data", "{}", "what the event brings along: `JSON`, or @FILE, or @- for standard input")
	c.Flags().BoolVar(&options.wait, "wait", false, "wait for the end, and end with the exit code of the tasks")
	c.Flags().StringVar(&options.reason, "reason", "", "why, in your words; kept with the orders")
	return c
}

func runRaise(ctx context.Context, p *program, client *api.Client, by *author.Author, event string, options raiseOptions) error {
	if !fleet.ValidName(event) {
		return fleet.Errorf(fleet.Usage, "event %q: want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit", event).
			WithHint("fleetctl raise --help")
	}
	payload, err := options.payload(p)
	if err != nil {
		return err
	}
	answer, err := done(by.Event(ctx, event, string(payload), author.Options{Reason: options.reason}))
	if err != nil {
		return err
	}
	ordered := api.Ordered{Orders: answer.Orders, Index: answer.Index}
	if !options.wait {
		return p.show(ordered, func() error { return drawRaised(ctx, p, client, ordered.Orders) })
	}
	return p.showEnds(ctx, client, ordered.Orders)
}

func (o *raiseOptions) payload(p *program) ([]byte, error) {
	text := []byte(o.data)
	if name, file := strings.CutPrefix(o.data, "@"); file {
		var err error
		if text, err = slurp(p, name); err != nil {
			return nil, err
		}
	}
	switch {
	case len(text) > fleet.MaxPayload:
		return nil, fleet.Errorf(fleet.Usage, "--data: %d bytes, at most %d go with an event", len(text), fleet.MaxPayload).
			WithHint("put the data where the hosts can fetch it, and say where in --data")
	case !json.Valid(text):
		return nil, fleet.Errorf(fleet.Usage, "--data %.40q is not JSON", text).WithHint(`a text is JSON in quotes: --data '"done"'`)
	}
	return text, nil
}

// drawRaised lists orders of several tasks by the names of their hosts.
func drawRaised(ctx context.Context, p *program, client *api.Client, orders []fleet.Order) error {
	hosts, err := collect(paging{limit: 1, all: true}, func(page api.Page) (api.List[api.HostView], error) {
		return client.Hosts(ctx, api.HostQuery{Page: page})
	}, nil)
	if err != nil {
		return err
	}
	names := make(map[fleet.HostID]string, len(hosts.Items))
	for i := range hosts.Items {
		names[hosts.Items[i].ID] = hosts.Items[i].Name
	}
	t := p.table(column{title: "TASK"}, column{title: "HOST"}, column{title: "RUN"}, column{title: "EXPIRES"})
	for _, order := range orders {
		t.row(string(order.Task), cmp.Or(names[order.Host], string(order.Host)), string(order.Run), p.instant(order.Expires))
	}
	return t.write(p.stdout)
}
