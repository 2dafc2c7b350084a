package uplink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	askWait = time.Minute // how long a collector holds the question for asks
	answers = 16          // asks answered at once, without those that follow a run
	follows = 12          // runs followed at once, by whomever
)

// answerAsks waits for asks and answers each on its own: one that follows a
// run for hours must not hold up the others.
func (u *Uplink) answerAsks(ctx context.Context) {
	var answering sync.WaitGroup
	defer answering.Wait()
	slots, seats := make(chan struct{}, answers), make(chan struct{}, follows)
	for ctx.Err() == nil {
		var asks []api.Ask
		asked := time.Now()
		u.persist(ctx, nil, func(ctx context.Context) (err error) {
			registered := u.inventory.nextRegistration()
			asks, err = u.config.Desk.Asks(ctx, u.id, askWait)
			if err != nil && fleet.KindOf(err) == fleet.NotFound { // not registered yet
				u.wait(ctx, longestWait, nil, registered)
			}
			return err
		})
		if len(asks) == 0 && time.Since(asked) < firstWait { // it should have waited
			u.wait(ctx, firstWait, nil, nil)
		}
		for _, ask := range asks {
			place, crowded := slots, false
			if ask.Follow { // only this goroutine takes seats
				if crowded = len(seats) == cap(seats); !crowded {
					place = seats
				}
			}
			select {
			case place <- struct{}{}:
			case <-ctx.Done():
				return
			}
			answering.Go(func() {
				defer func() { <-place }()
				u.answer(ctx, ask, crowded)
			})
		}
	}
}

// answer sends what an ask wants: output, a difference, or what goes on. Where
// there is none the answer says so, because somebody is waiting for it. Where it
// is crowded a run is not followed: what it has written so far is the answer.
func (u *Uplink) answer(ctx context.Context, ask api.Ask, crowded bool) {
	ask.Follow = ask.Follow && !crowded
	var output io.ReadCloser
	var dropped int64
	var err error
	if ask.Adopt != nil {
		output = u.rehearse(ctx, ask.Adopt)
	} else if ask.Live {
		output = u.live(ctx)
	} else if output, dropped, err = u.config.Output(ctx, ask); err != nil {
		output = io.NopCloser(strings.NewReader("[fleetcron: " + err.Error() + "]\n"))
	}
	if crowded {
		output = ended{io.MultiReader(output, strings.NewReader(notFollowed)), output}
	}
	while, output := patiently(ctx, output)
	defer output.Close()
	err = u.config.Desk.Answer(while, u.id, ask.ID, dropped, output)
	if context.Cause(while) == errReader {
		err = errReader
	}
	if err != nil && ctx.Err() == nil && fleet.KindOf(err) != fleet.NotFound { // the asker went away
		u.log.Warn("answer not delivered", "ask", ask.ID, "run", ask.Run, "error", err)
	}
}

// notFollowed ends an answer that would be longer if there were a place.
var notFollowed = fmt.Sprintf("\n[fleetcron: this is not followed: %d readers follow runs of this host already]\n", follows)

// ended is output with a last word.
type ended struct {
	io.Reader
	io.Closer
}

// live answers what goes on at this moment.
func (u *Uplink) live(ctx context.Context) io.ReadCloser {
	answer := api.Live{At: time.Now().UTC(), Runs: []api.LiveRun{}, Waiting: []api.LiveWaiting{}}
	if u.config.Live != nil {
		now, err := u.config.Live(ctx)
		if err == nil {
			answer = now
		} else if ctx.Err() == nil {
			u.log.Warn("what goes on is not known", "error", err)
		}
	}
	text, err := json.Marshal(answer)
	if err != nil { // a number that JSON does not have
		text = []byte("{}")
		u.log.Error("what goes on cannot be told", "error", err)
	}
	return io.NopCloser(bytes.NewReader(text))
}
