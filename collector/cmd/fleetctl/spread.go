package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// wholeDay is window with 24 hours where neither --to nor a time of day ends it.
func (p *program) wholeDay(options whenOptions) (from, to time.Time, err error) {
	from, to, err = p.window(options.from, options.to)
	if options.to == "" {
		to = from.Add(maxWindow)
	}
	if err == nil {
		err = narrowEnough(from, to)
	}
	return from, to, err
}

func runCollisions(ctx context.Context, p *program, client *api.Client, options whenOptions) error {
	if options.least < 2 {
		return fleet.Errorf(fleet.Usage, "--least %d: one start collides with nothing; want at least 2", options.least)
	}
	from, to, err := p.wholeDay(options)
	if err != nil {
		return err
	}
	query := api.CollisionQuery{Host: options.host, Label: options.label, From: from, Until: to, Least: options.least}
	list, err := showList(p, options.paging, func(page api.Page) (api.List[api.Collision], error) {
		query.Page = page
		return client.Collisions(ctx, query)
	}, nil, func(collisions []api.Collision) error { return drawCollisions(p, collisions) })
	if err == nil && p.settings.Output.people() {
		if len(list.Items) == 0 {
			p.note("no minute between %s and %s has %d starts or more", p.instant(from), p.instant(to), options.least)
		} else {
			p.note("fleetctl when --spread advises how to shift them")
		}
	}
	return err
}

func drawCollisions(p *program, collisions []api.Collision) error {
	t := p.table(column{title: "AT"}, column{title: "STARTS", right: true}, column{title: "HOSTS", right: true}, column{title: "SUCH AS", shrinks: true})
	for _, collision := range collisions {
		t.row(p.instant(collision.At), strconv.Itoa(collision.Starts), strconv.Itoa(collision.Hosts), sampleText(collision.Sample))
	}
	return t.write(p.stdout)
}

// sampleText names the commands of a sample, each once.
func sampleText(sample []api.Upcoming) string {
	var parts []string
	seen := map[string]bool{}
	for _, item := range sample {
		text := item.Command
		if item.Task != "" {
			text = string(item.Task)
		}
		if !seen[text] {
			seen[text] = true
			parts = append(parts, text)
		}
	}
	const few = 3
	if len(parts) > few {
		parts = append(parts[:few], "…")
	}
	return strings.Join(parts, "; ")
}

func runSpread(ctx context.Context, p *program, client *api.Client, options whenOptions) error {
	from, to, err := p.wholeDay(options)
	if err != nil {
		return err
	}
	spread, err := client.Spread(ctx, api.SpreadQuery{Host: options.host, Label: options.label, From: from, Until: to, Most: fleet.Duration(options.most)})
	if err != nil {
		return err
	}
	return p.show(spread, func() error {
		if len(spread.Shifts) == 0 {
			p.say("no shift helps: the fullest minute has %s", count(spread.Before, "start"))
			return nil
		}
		p.say("the fullest minute has %s; with %s it would have %d", count(spread.Before, "start"), count(len(spread.Shifts), "shift"), spread.After)
		t := p.table(column{title: "JOB"}, column{title: "USER"}, column{title: "SCHEDULE"}, column{title: "BETTER"}, column{title: "BY", right: true}, column{title: "COMMAND", shrinks: true}, column{title: "HOW", wide: true})
		for i := range spread.Shifts {
			shift := &spread.Shifts[i]
			t.row(jobRef(shift.Job.HostName, shift.Job.ID), shift.Job.User, shift.Job.Job.Schedule, shift.Schedule, signed(time.Duration(shift.By)), shift.Job.Command, shift.Fix)
		}
		if err := t.write(p.stdout); err != nil {
			return err
		}
		p.note("nothing was changed; -o wide shows the command that makes each shift")
		return nil
	})
}

// signed writes a duration with its sign: "+5m", "-90s".
func signed(d time.Duration) string {
	if d < 0 {
		return "-" + short(-d)
	}
	return "+" + short(d)
}
