package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

func newPinCommand(p *program) *cobra.Command {
	var labels, reason string
	c := &cobra.Command{
		Use: "pin NAME --labels SELECTOR", GroupID: groupFound, Args: arguments(1, 1), DisableFlagsInUseLine: true,
		Short:             "Let a group of hosts contain only the jobs that are there now",
		Long:              "Let the hosts that a label selector matches contain only the jobs that are there now.\nAnything else that appears on them, or on a host that joins them, is a finding. A pin of\nthat name is replaced, and takes in what is there now.",
		Example:           "  fleetctl pin web --labels role=web,env=prod --reason \"audited\"\n  fleetctl findings --kind unexpected",
		ValidArgsFunction: p.pinArgument,
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			return runPin(ctx, p, client, args[0], labels, reason)
		}),
	}
	c.Flags().StringVar(&labels, "labels", "", "the hosts: a label `selector` such as role=web, or \"*\"; also --label")
	c.Flags().StringVar(&reason, "reason", "", "why, in your words; kept with the pin")
	c.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "label" {
			name = "labels"
		}
		return pflag.NormalizedName(name)
	})
	return c
}

func runPin(ctx context.Context, p *program, client *api.Client, name, labels, reason string) error {
	if !fleet.ValidName(name) {
		return fleet.Errorf(fleet.Usage, "pin %q: want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit", name)
	}
	if labels == "" {
		return fleet.Errorf(fleet.Usage, "--labels is missing: which hosts are pinned?").WithHint("fleetctl pin %s --labels role=web; --labels \"*\" is every host", name)
	}
	if _, err := fleet.ParseSelector(labels); err != nil {
		return fleet.Errorf(fleet.Usage, "--labels %q: want labels such as role=web,env!=dev, or *", labels)
	}
	hosts, err := hostsWith(ctx, client, labels)
	if err != nil {
		return err
	}
	if len(hosts) == 0 {
		return fleet.Errorf(fleet.Invalid, "no host has the labels %s", labels).WithHint("fleetctl hosts shows their labels")
	}
	pin, err := client.PutPin(ctx, name, api.PinRequest{Labels: labels}, reason)
	if err != nil {
		return err
	}
	return p.show(pin, func() error {
		p.say("pin %s allows %s on %s with %s; anything else there is a finding", name, count(len(pin.Allow), "job"), count(len(hosts), "host"), labels)
		return nil
	})
}

func newPinsCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "pins [NAME]", GroupID: groupFound, Args: arguments(0, 1),
		Short:             "List pins, or what one of them allows and what is there against it",
		Example:           "  fleetctl pins\n  fleetctl pins web",
		ValidArgsFunction: p.pinArgument,
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			if len(args) == 1 {
				return runOnePin(ctx, p, client, args[0])
			}
			return runPins(ctx, p, client)
		}),
	}
}

func runPins(ctx context.Context, p *program, client *api.Client) error {
	list, err := client.Pins(ctx)
	if err != nil {
		return err
	}
	return p.show(list, func() error {
		t := p.table(
			column{title: "PIN"}, column{title: "LABELS", shrinks: true}, column{title: "HOSTS", right: true}, column{title: "ALLOWS", right: true}, column{title: "UNEXPECTED", right: true, paint: redUnless("0")},
			column{title: "REASON", shrinks: true}, column{title: "SINCE", wide: true}, column{title: "BY", wide: true},
		)
		for i := range list.Items {
			pin := &list.Items[i]
			t.row(pin.Name, pin.Labels, strconv.Itoa(pin.Hosts), strconv.Itoa(len(pin.Allow)), strconv.Itoa(pin.Unexpected), pin.Reason, p.instant(pin.At), pin.By)
		}
		if err := t.write(p.stdout); err != nil {
			return err
		}
		if len(list.Items) == 0 {
			p.note("nothing is pinned; fleetctl pin NAME --labels role=web")
		}
		return nil
	})
}

func runOnePin(ctx context.Context, p *program, client *api.Client, name string) error {
	pin, err := client.Pin(ctx, name)
	if err != nil {
		return err
	}
	return p.show(pin, func() error {
		p.say("%s allows %s on %s with %s; %d there are unexpected", pin.Name, count(len(pin.Allow), "job"), count(pin.Hosts, "host"), pin.Labels, pin.Unexpected)
		p.facts([]fact{{"by", pin.By, noColor}, {"since", p.instant(pin.At), noColor}, {"reason", pin.Reason, noColor}})
		fmt.Fprintln(p.stdout)
		t := p.table(column{title: "USER"}, column{title: "COMMAND", shrinks: true}, column{title: "FINGERPRINT"})
		for _, allowed := range pin.Allow {
			t.row(orDash(allowed.User), allowed.Command, allowed.Fingerprint)
		}
		if err := t.write(p.stdout); err != nil {
			return err
		}
		if pin.Unexpected > 0 {
			p.note("fleetctl findings --kind unexpected --label %s", shellWord(pin.Labels))
		}
		return nil
	})
}

func newUnpinCommand(p *program) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "unpin NAME", GroupID: groupFound, Args: arguments(1, 1),
		Short:             "Take a pin away",
		ValidArgsFunction: p.pinArgument,
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			pin, err := client.Pin(ctx, args[0])
			if err == nil {
				err = client.DeletePin(ctx, args[0], reason)
			}
			if err != nil {
				return err
			}
			return p.show(pin.Pin, func() error {
				p.say("%s with %s may contain any job again", count(pin.Hosts, "host"), pin.Labels)
				return nil
			})
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, in your words; kept with the change")
	return c
}

func (p *program) pinArgument(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.ask(c, func(ctx context.Context, client *api.Client) []string {
		pins, err := client.Pins(ctx)
		if err != nil {
			return nil
		}
		var names []string
		for _, pin := range pins.Items {
			if strings.HasPrefix(pin.Name, typed) {
				names = append(names, pin.Name+"\t"+visible.Line(pin.Labels))
			}
		}
		return names
	})
}
