package adopt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/takeover"
)

// goBack puts a job back, if now is the time for it.
func (a *Adopter) goBack(ctx context.Context, now time.Time, k knowledge) time.Time {
	r := *k.record
	if r.Why = ""; k.wish != nil && k.wish.State == fleet.AdoptionReleasing {
		r.Asked = k.wish.Asked
	}
	clocks, err := a.clocks(r.Task, &r.Found, &r.Host)
	if err != nil {
		return a.getStuck(ctx, now, r, err)
	}
	until, open := guards[r.Found.Kind].window(now, clocks...)
	if !open {
		return until
	}
	if r.Found.Kind == fleet.KindRunParts && a.cfg.Busy(r.Change.Dir) {
		return now.Add(busyWait)
	}
	seen, _, err := a.hands.look(&r.Change)
	switch {
	case err != nil:
		return a.getStuck(ctx, now, r, err)
	case seen == loud && r.Change.Unit == "": // somebody was faster
		return a.back(ctx, r, now)
	case seen == other:
		return a.getStuck(ctx, now, r, r.Change.gone())
	}
	if r.Change.Way == byComment {
		f, err := a.hands.disk.look(r.Change.Dir, r.Change.Name)
		if err != nil {
			return a.getStuck(ctx, now, r, err)
		}
		r.Change.Now = f.Content
	}
	r.Phase, r.Began = restoring, now.UTC()
	if err := a.shelf.save(&r); err != nil {
		return a.getStuck(ctx, now, r, fmt.Errorf("its record cannot be written: %w", err))
	}
	return a.bringBack(ctx, now, r, deadline(now, until))
}

// bringBack undoes the change of a record that is on disk as an intent. The
// task is taken from the scheduler as late as can be, when all that takes time
// is done, and given back if the rest fails.
func (a *Adopter) bringBack(ctx context.Context, now time.Time, r record, still still) time.Time {
	whole := context.WithoutCancel(ctx)
	disarmed := func() error {
		if err := still(); err != nil {
			return err
		}
		a.mu.Lock()
		a.records[r.Task] = &r
		a.mu.Unlock()
		if err := a.cfg.Arm(whole); err != nil { // it may still run the task: not now
			a.log.Warn("scheduler not reached, release waits", "task", r.Task, "error", err)
			return errLate
		}
		return still()
	}
	err := a.hands.restore(whole, &r.Change, disarmed)
	seen, since, lost := a.hands.look(&r.Change)
	if again(err) && lost == nil && seen != loud { // all is as it was
		back := r
		back.Phase = silent
		_ = a.put(&back) // logged there; the intent on disk is looked at after a crash
		a.rearm(ctx)
		return now.Add(busyWait)
	}
	if err == nil && lost == nil && seen != loud {
		err = r.Change.gone()
	}
	if lost != nil || seen != loud || err != nil && r.Change.Unit != "" { // systemd may not run it
		return a.getStuck(ctx, now, r, errors.Join(err, lost))
	}
	if err != nil {
		a.log.Warn("job released, though not all went well", "task", r.Task, "error", err)
	}
	if since.IsZero() {
		since = now
	}
	return a.back(ctx, r, since)
}

// watchEvery is how often a job that is in a task's hands is looked at.
const watchEvery = 10 * time.Second

// putBackByHand says why an adoption is over that nobody released.
const putBackByHand = "it was put back on the host, not by a release"

// watch looks whether a silent job is still silent: an editor may have had the
// table open all the time, or somebody takes the mark away. Then both would run
// it, and the task is the one that can be stopped.
func (a *Adopter) watch(ctx context.Context, now time.Time, k knowledge) time.Time {
	if k.record == nil || !k.record.armed() {
		return time.Time{}
	}
	seen, _, err := a.hands.look(&k.record.Change)
	switch {
	case err != nil || seen != loud:
		return now.Add(watchEvery)
	case k.record.Change.Unit != "": // systemd has to be told, too
		return a.goBack(ctx, now, k)
	}
	r := *k.record
	r.Why = putBackByHand
	return a.back(ctx, r, now)
}

// back notes that the host's scheduler runs the job again.
func (a *Adopter) back(ctx context.Context, r record, since time.Time) time.Time {
	r.Phase, r.Back = restored, since.UTC()
	_ = a.put(&r) // logged there; on the host it can be seen
	a.log.Info("job released", "task", r.Task, "job", r.Job.ID, "source", r.Job.Source, "back", r.Back)
	a.rearm(ctx)
	return time.Time{}
}

// getStuck notes that the job could not be put back: the task runs on.
func (a *Adopter) getStuck(ctx context.Context, now time.Time, r record, why error) time.Time {
	r.Phase, r.Why = stuck, sentence(why)
	_ = a.put(&r) // logged there; without it the same is found once more
	a.log.Error("job not released, its task runs on", "task", r.Task, "job", r.Job.ID, "why", r.Why)
	a.rearm(ctx)
	return now.Add(watchEvery)
}

// gone says what a person can do when the place is not as it was left.
func (c *change) gone() error {
	where := c.Dir + "/" + c.Name
	switch c.Way {
	case byComment:
		return fleet.Errorf(fleet.Conflict, "%s has neither the line nor the comment %q that it was made, or has it twice", where, strings.TrimSpace(string(c.Mark))+" …").
			WithHint("put the line or the comment back by hand, then release it again")
	case byMove:
		return fleet.Errorf(fleet.Conflict, "%s is there twice or not at all, beside %s/%s", where, c.Dir, takeover.SilentDir).
			WithHint("leave one of the two there and release it again")
	}
	return fleet.Errorf(fleet.Conflict, "%s is not what held the timer off", where).WithHint("remove it if it shall not stay, and release it again")
}

// settle finds out what became of an intent whose outcome is not on disk.
func (a *Adopter) settle(ctx context.Context, old *record) {
	r := *old
	whole := context.WithoutCancel(ctx)
	if a.settleStopped(whole, r) {
		return
	}
	err := a.hands.tidy(whole, &r.Change, r.Phase == silencing)
	seen, since, lost := a.hands.look(&r.Change)
	if err = errors.Join(err, lost); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Error("adoption cannot be looked at", "task", r.Task, "error", err)
		if lost == nil && r.Phase == restoring && r.Change.Unit != "" { // systemd may not run it
			r.Phase, r.Why = stuck, sentence(err)
			_ = a.put(&r) // logged there; it is found the same once more
		}
		return
	}
	if since.IsZero() || since.Before(r.Began) {
		since = r.Began
	}
	switch {
	case r.Phase == silencing && seen == loud:
		a.forget(r.Task)
		return
	case r.Phase == silencing && seen == other:
		r.Phase, r.Why = refused, sentence(errLineChanged)
	case seen == quiet && r.Phase == silencing:
		r.Phase, r.Handed = silent, since
	case seen == quiet:
		r.Phase = silent
	case seen == loud:
		r.Phase, r.Back = restored, since
	default:
		r.Phase, r.Why = stuck, sentence(r.Change.gone())
	}
	a.log.Info("adoption taken up again", "task", r.Task, "phase", string(r.Phase))
	_ = a.put(&r) // logged there; it is found the same once more
}

// settleStopped settles what became of a timer that systemd had been told to
// stop, or not yet to start: the instants since then are the task's.
func (a *Adopter) settleStopped(ctx context.Context, r record) bool {
	stopped, err := a.hands.stopped(ctx, &r.Change)
	if err != nil || !stopped {
		return false
	}
	seen, since, err := a.hands.look(&r.Change)
	switch {
	case err != nil || seen == other || r.Phase == silencing && seen == loud:
		return false
	case r.Phase == silencing:
		r.Handed = later(since, r.Began)
	}
	r.Phase = silent // one that is to come back does so as from the beginning
	a.log.Info("adoption taken up again", "task", r.Task, "phase", string(r.Phase))
	_ = a.put(&r) // logged there; it is found the same once more
	return true
}

// rebuild makes the record of an adoption that the collectors know of and this
// host does not: its state directory was lost.
func (a *Adopter) rebuild(ctx context.Context, now time.Time, wish *fleet.Adoption) time.Time {
	sight, err := a.cfg.Look(ctx)
	if err != nil {
		a.log.Warn("host not looked at, adoption waits", "task", wish.Task, "error", err)
		return now.Add(patience)
	}
	r := record{Task: wish.Task, Asked: wish.Asked, Job: wish.Job, Found: wish.Job, Began: now.UTC(), Handed: wish.Handed, Phase: silent, Host: sight.Host}
	if r.Handed.IsZero() { // it was not told any more
		r.Handed = now.UTC()
	}
	r.Change = a.remembered(wish)
	if wish.State == fleet.AdoptionReleasing { // answered below or by what follows
		r.Asked = time.Time{}
	}
	seen, _, err := a.hands.look(&r.Change)
	switch {
	case err == nil && seen == other && r.Change.untouched() && (wish.Handed.IsZero() || there(&sight, wish) >= 0): // it never began, or is over
		r.Phase, r.Back = restored, now.UTC()
	case err == nil && seen == quiet && r.Change.Way == byMask: // anybody may have masked it
		r.Phase, r.Why = stuck, "the host has lost its record of the adoption: systemctl unmask "+r.Change.Unit+" by hand, then release it again"
	case err != nil || seen == other:
		r.Phase, r.Why = stuck, "the host has lost its record of the adoption: "+sentence(errors.Join(err, r.Change.gone()))
	case seen == loud:
		r.Phase, r.Back = restored, now.UTC()
	}
	a.log.Warn("adoption found again without a record", "task", r.Task, "phase", string(r.Phase))
	_ = a.put(&r) // logged there; without it the same is found once more
	a.rearm(ctx)
	return time.Time{}
}

// remembered is the change of a wish as far as the host itself shows it: the
// comment still holds the line.
func (a *Adopter) remembered(wish *fleet.Adoption) change {
	dir, name := path.Dir(wish.Job.Source), path.Base(wish.Job.Source)
	switch wish.Job.Kind {
	case fleet.KindRunParts:
		return change{Way: byMove, Dir: dir, Name: name}
	case fleet.KindTimer:
		return maskOf(&wish.Job, wish.Task)
	}
	c := change{Way: byComment, Dir: dir, Name: name, Beside: beside(wish.Task), Mark: mark(wish.Task), Line: []byte("\x00"), Before: new(file)}
	f, err := a.hands.disk.look(dir, name)
	if err != nil {
		return c
	}
	c.Before = f
	if where, times := at(f.Content, c.Mark); times == 1 {
		line, _, ended := bytes.Cut(f.Content[where+len(c.Mark):], []byte("\n"))
		if c.Line = bytes.Clone(line); ended {
			c.Line = append(c.Line, '\n')
		}
	} else if job := []byte(wish.Job.Command); times == 0 && len(job) > 0 && bytes.Contains(f.Content, job) {
		c.Line = lineWith(f.Content, job)
	}
	return c
}

// untouched reports whether the file, when it was read, held no comment that
// the task left.
func (c *change) untouched() bool {
	if c.Way != byComment {
		return false
	}
	_, times := at(c.Before.Content, c.Mark)
	return times == 0
}

// silentAlready reports whether the job that a scan does not find any more was
// silenced for this very task: the host lost its record before it was told.
func (a *Adopter) silentAlready(sight *Sight, wish *fleet.Adoption) bool {
	c := a.remembered(wish)
	if seen, _, err := a.hands.look(&c); err != nil || seen != quiet || c.Way == byMask || there(sight, wish) >= 0 {
		return false
	}
	return c.Way != byComment || bytes.Contains(c.Line, []byte(wish.Job.Command)) || strings.Contains(wish.Job.Command, masked)
}

// lineWith returns the first line that holds the text and is no comment.
func lineWith(content, text []byte) []byte {
	for line := range bytes.Lines(content) {
		if bytes.Contains(line, text) && !bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
			return bytes.Clone(line)
		}
	}
	return []byte("\x00")
}
