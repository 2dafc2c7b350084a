package work

import (
	"context"
	"io"

	"github.com/fleetcron/fleetcron/agent/mask"
	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// logs is the output of runs as it may leave the host. The runner masks each
// stream for itself before two become one, see veil.
type logs struct{ runner *runner.Runner }

// Output reads what an ask wants.
func (l logs) Output(ctx context.Context, ask fleet.Ask) (io.ReadCloser, int64, error) {
	return l.runner.Output(ctx, ask.Run, runner.View{Stream: ask.Stream, Follow: ask.Follow, Times: ask.Times, Tail: int64(ask.Tail)})
}

// veil masks what is read of a run's output; the files keep it as it was.
func veil(masker *mask.Masker) func(io.Writer) runner.Veil {
	return func(to io.Writer) runner.Veil { return masker.Stream(to) }
}
