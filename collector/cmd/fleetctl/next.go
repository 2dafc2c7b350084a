package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

type nextOptions struct {
	zone, from string
	count      int
}

// maxNext bounds how many instants are computed.
const maxNext = 10_000

func (o *nextOptions) addFlags(c *cobra.Command) {
	c.Flags().StringVar(&o.zone, "tz", "UTC", "the `zone` that the expression is read in, such as Europe/Berlin")
	c.Flags().StringVar(&o.from, "from", "", "the first instant after this `instant` (default now)")
	c.Flags().IntVarP(&o.count, "count", "n", 5, "how `many` instants")
}

func newNextCommand(p *program) *cobra.Command {
	var options nextOptions
	c := &cobra.Command{
		Use: "next EXPR", GroupID: groupRuns, Args: arguments(1, 6),
		Short:   "Say when a cron expression is due next; asks nobody",
		Long:    "Say when a cron expression is due next: five fields as cron reads them, six with\nthe seconds first, or a word such as @daily. Nothing but this machine is asked.",
		Example: "  fleetctl next \"30 2 * * 1-5\" --tz Europe/Berlin\n  fleetctl next @hourly --from 2026-03-29T00:00:00Z -n 3 -o json",
		RunE: func(_ *cobra.Command, args []string) error {
			return runNext(p, strings.Join(args, " "), options)
		},
	}
	options.addFlags(c)
	return c
}

// nextAnswer is the answer to next.
type nextAnswer struct {
	Expression string      `json:"expression"`
	Timezone   string      `json:"timezone"`
	Next       []time.Time `json:"next"` // UTC
}

func runNext(p *program, expression string, options nextOptions) error {
	schedule, err := cron.Parse(expression)
	if err != nil {
		return fleet.Errorf(fleet.Usage, "%s", err).WithHint("five fields: minute hour day-of-month month day-of-week, such as \"30 2 * * *\"")
	}
	zone, err := cron.Load(options.zone)
	if err != nil {
		return fleet.Errorf(fleet.Usage, "--tz %q: %s", options.zone, err).WithHint("name a zone as in Europe/Berlin or UTC")
	}
	if options.count < 1 || options.count > maxNext {
		return fleet.Errorf(fleet.Usage, "-n %d: want 1 to %d", options.count, maxNext)
	}
	from := p.now()
	if options.from != "" {
		if from, err = p.parseInstant("from", options.from); err != nil {
			return err
		}
	}
	answer := nextAnswer{Expression: expression, Timezone: options.zone, Next: []time.Time{}}
	for at := from.In(zone); len(answer.Next) < options.count; {
		next, comes := schedule.Next(at)
		if !comes {
			break
		}
		answer.Next = append(answer.Next, next.UTC())
		at = next
	}
	return p.show(answer, func() error {
		p.say("%s (%s)", schedule.Describe(), options.zone)
		for _, at := range answer.Next {
			p.say("  %s", at.In(zone).Format("Mon 2006-01-02 15:04:05 MST"))
		}
		switch {
		case schedule.Reboot():
			p.note("it is due when cron starts after a boot, at no instant of the clock")
		case len(answer.Next) < options.count:
			p.note("no further instant comes before the year 10000")
		}
		return nil
	})
}
