package vitals

import (
	"context"
	"fmt"
	"net/url"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// detailMost is how many bytes a bad answer may have.
const detailMost = 300

// probe asks once whether a supervised command does its work; nil: it does.
func (v *Vitals) probe(ctx context.Context, a ask) error {
	switch {
	case a.health.HTTP != "":
		return v.config.Ask(ctx, a.execute, "http", a.health.HTTP)
	case a.health.TCP != "":
		return v.config.Ask(ctx, a.execute, "tcp", a.health.TCP)
	}
	output, err := v.config.Runs.Check(ctx, a.execute, a.health.Exec)
	if err == nil {
		return nil
	}
	if said := Printable(output, detailMost); said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// problemOf is what is wrong, in one line; empty: nothing.
func problemOf(ctx context.Context, a ask, err error) string {
	switch {
	case err == nil:
		return ""
	case ctx.Err() != nil:
		return noAnswer(&a.health)
	}
	return Printable(err.Error(), detailMost)
}

func noAnswer(health *fleet.Health) string {
	return Printable(fmt.Sprintf("%s: no answer within %s", asked(health), fleet.Duration(timeout(health))), detailMost)
}

// asked is what a probe does.
func asked(health *fleet.Health) string {
	switch {
	case health.HTTP != "":
		if address, err := url.Parse(health.HTTP); err == nil {
			return "GET " + address.Redacted()
		}
	case health.TCP != "":
		return "connect to " + health.TCP
	case len(health.Exec) > 0:
		return health.Exec[0]
	}
	return "probe"
}
