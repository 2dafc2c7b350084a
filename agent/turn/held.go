package turn

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// held is what is kept on disk with a run that waits.
type held struct {
	Came time.Time `json:"came"`
	Keep []byte    `json:"keep,omitempty"`
}

// Reopen reads a handle that a run was held with: when the run came, and what
// Ask.Keep was. Of any other handle both are empty.
func Reopen(handle []byte) (came time.Time, keep []byte) {
	var h held
	if json.Unmarshal(handle, &h) != nil {
		return time.Time{}, nil
	}
	return h.Came, h.Keep
}

// hold makes durable that a run waits, and for what.
func (t *Turn) hold(ctx context.Context, w *waiter, why string) error {
	handle, err := json.Marshal(held{w.came.Round(0).UTC(), w.ask.Keep})
	if err != nil {
		return err
	}
	pending := w.ask.Run
	pending.State, pending.Detail = fleet.RunPending, clip(why)
	t.say(w, why)
	return t.config.Recorder.Hold(ctx, pending, handle)
}

// note makes durable what a run waits for next. That it waits is on disk already,
// so it may fail.
func (t *Turn) note(w *waiter, why string) {
	if err := t.hold(w.ctx, w, why); err != nil && w.ctx.Err() == nil {
		t.log.Warn("not on disk what the run waits for", "run", w.ask.Run.ID, "task", w.ask.Run.Task, "why", why, "error", err)
	}
}

// say is what a person hears who asks now.
func (t *Turn) say(w *waiter, why string) {
	t.mu.Lock()
	changed := w.why != why
	w.why = why
	t.mu.Unlock()
	if changed {
		t.config.Waits(&w.ask.Run, why)
	}
}

// clip bounds what is said about a run.
func clip(text string) string {
	const most = 1000
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
