package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

// runDensity draws how many starts each hour of a week has: a line for each
// day, a cell for each hour of it.
func runDensity(ctx context.Context, p *program, client *api.Client, options whenOptions) error {
	name := options.zone
	if name == "" {
		name = p.zoneName()
	}
	zone, err := cron.Load(name)
	if err != nil {
		return fleet.Errorf(fleet.Usage, "--tz %q: %s", name, err).WithHint("name a zone as in Europe/Berlin or UTC")
	}
	from := p.now()
	if options.from != "" {
		if from, err = p.parseInstant("from", options.from); err != nil {
			return err
		}
	}
	day := from.In(zone)
	query := api.DensityQuery{Host: options.host, Label: options.label, Zone: name, From: time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, zone)}
	density, err := client.Density(ctx, query)
	if err != nil {
		return err
	}
	return p.show(density, func() error {
		if density.Max == 0 {
			p.say("nothing starts in the week from %s", query.From.Format("Mon 2 Jan 2006"))
			return nil
		}
		if p.settings.Output == asWide {
			return drawDensityNumbers(p, density, query.From)
		}
		return drawDensity(p, density, query.From)
	})
}

// shades are what a cell looks like, the emptiest first. The first one is for
// hours without a start.
var shades = []rune("·░▒▓█")

// shade returns which shade n starts have, where most is what the fullest hour
// has. The steps grow, because a few hours of a night have nearly everything.
func shade(n, most int) int {
	if n == 0 {
		return 0
	}
	last := len(shades) - 1
	if most == 1 {
		return last
	}
	return min(last, 1+int(math.Log(float64(n))/math.Log(float64(most))*float64(last)))
}

func drawDensity(p *program, density api.Density, first time.Time) error {
	var b strings.Builder
	margin := max(12, len(density.Zone)+2)
	fmt.Fprintf(&b, "%-*s", margin, visible.Line(density.Zone))
	for hour := 0; hour < 24; hour += 3 {
		fmt.Fprintf(&b, "%-6s", fmt.Sprintf("%02d", hour))
	}
	b.WriteString(" STARTS\n")
	for day := range 7 {
		total := 0
		fmt.Fprintf(&b, "%-*s", margin, first.AddDate(0, 0, day).Format("Mon 02 Jan"))
		for _, n := range hoursOf(density, day) {
			b.WriteString(strings.Repeat(string(shades[shade(n, density.Max)]), 2))
			total += n
		}
		fmt.Fprintf(&b, " %d\n", total)
	}
	b.WriteString(legend(density.Max))
	_, err := p.stdout.Write([]byte(b.String()))
	return err
}

// legend says from how many starts an hour on each shade is.
func legend(most int) string {
	text := string(shades[0]) + " none"
	for level := 1; level < len(shades); level++ {
		for n := 1; n <= most; n++ {
			if shade(n, most) == level {
				text += fmt.Sprintf("  %c from %d", shades[level], n)
				break
			}
		}
	}
	return "\n" + text + fmt.Sprintf(", at most %d an hour\n", most)
}

func drawDensityNumbers(p *program, density api.Density, first time.Time) error {
	columns := []column{{title: "DAY"}}
	for hour := range 24 {
		columns = append(columns, column{title: fmt.Sprintf("%02d", hour), right: true})
	}
	t := p.table(columns...)
	for day := range 7 {
		row := []string{first.AddDate(0, 0, day).Format("Mon 02 Jan")}
		for _, n := range hoursOf(density, day) {
			row = append(row, strconv.Itoa(n))
		}
		t.row(append(row, make([]string, len(columns)-len(row))...)...)
	}
	return t.write(p.stdout)
}

// hoursOf returns the hours of one of the days.
func hoursOf(density api.Density, day int) []int {
	from := min(day*24, len(density.Hours))
	return density.Hours[from:min(from+24, len(density.Hours))]
}

// zoneName returns the IANA name of the zone that people read times in; UTC
// where this machine does not say.
func (p *program) zoneName() string {
	names := []string{p.zone.String(), strings.TrimPrefix(p.getenv("TZ"), ":")}
	if link, err := os.Readlink("/etc/localtime"); err == nil {
		if _, name, found := strings.Cut(link, "zoneinfo/"); found {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if _, err := cron.Load(name); err == nil && name != "Local" && name != "" {
			return name
		}
	}
	return "UTC"
}
