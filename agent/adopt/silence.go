package adopt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/takeover"
)

// begin silences a job, if now is the time for it.
func (a *Adopter) begin(ctx context.Context, now time.Time, wish *fleet.Adoption) time.Time {
	began := time.Now()
	sight, err := a.cfg.Look(ctx)
	if err != nil {
		a.log.Warn("host not looked at, adoption waits", "task", wish.Task, "error", err)
		return now.Add(patience)
	}
	now = now.Add(passed(began))
	r := record{Task: wish.Task, Asked: wish.Asked, Host: sight.Host, Job: wish.Job, Generation: a.generation(wish.Task)}
	found, err := a.examine(&sight, wish, a.cfg.Allow)
	if err != nil && a.silentAlready(&sight, wish) {
		return a.rebuild(ctx, now, wish)
	}
	if err != nil {
		a.refuse(r, err)
		return time.Time{}
	}
	r.Found = *found
	clocks, err := a.clocks(wish.Task, found, &sight.Host)
	if err != nil {
		a.refuse(r, err)
		return time.Time{}
	}
	until, open := guards[found.Kind].window(now, clocks...)
	if !open && !guards[found.Kind].opens(now, clocks...) {
		a.refuse(r, fleet.Errorf(fleet.Refused, "its instants are so close to each other that there is no safe moment between them"))
		return time.Time{}
	}
	if !open {
		return until
	}
	if found.Kind == fleet.KindRunParts && a.cfg.Busy(path.Dir(found.Source)) {
		return now.Add(busyWait)
	}
	if r.Change, err = a.prepare(found, &sight.Host, wish.Task); err != nil {
		a.refuse(r, err)
		return time.Time{}
	}
	r.Phase, r.Began = silencing, now.UTC()
	if err := a.put(&r); err != nil {
		a.refuse(r, fmt.Errorf("its record cannot be written: %w", err))
		return time.Time{}
	}
	return a.hush(ctx, now, r, deadline(now, until))
}

// generation is the one that the plan has of the task.
func (a *Adopter) generation(id fleet.TaskID) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if assignment := a.assigned[id]; assignment != nil {
		return assignment.Generation
	}
	return 0
}

// hush makes the change of a record that is on disk as an intent.
func (a *Adopter) hush(ctx context.Context, now time.Time, r record, still still) time.Time {
	began := time.Now()
	err := a.hands.silence(context.WithoutCancel(ctx), &r.Change, still)
	seen, since, lost := a.hands.look(&r.Change)
	switch {
	case again(err) && lost == nil && seen != quiet: // all is as it was: another try
		a.forget(r.Task)
		return now.Add(busyWait)
	case lost != nil || err == nil && seen != quiet || errors.Is(err, errHalf):
		a.log.Error("adoption not found as it was left", "task", r.Task, "error", errors.Join(err, lost))
		return now.Add(patience) // the intent stands; it will be looked at again
	case seen != quiet:
		a.refuse(r, err)
		return time.Time{}
	case err != nil:
		a.log.Warn("job adopted, though not all went well", "task", r.Task, "error", err)
	}
	if r.Handed = since.UTC(); r.Change.Unit != "" && a.hands.systemd != nil { // the file was first, systemd followed
		r.Handed = now.Add(time.Since(began)).UTC()
	}
	r.Phase = silent
	_ = a.put(&r) // logged there; on the host it can be seen
	a.log.Info("job adopted", "task", r.Task, "job", r.Job.ID, "source", r.Job.Source, "line", r.Found.Line, "handed", r.Handed)
	a.rearm(ctx)
	return time.Time{}
}

// again reports whether to try once more is the answer to an error.
func again(err error) bool { return errors.Is(err, errLate) || errors.Is(err, errFileChanged) }

// refuse ends an adoption before it began: nothing on the host is changed.
func (a *Adopter) refuse(r record, why error) {
	r.Phase, r.Why, r.Change = refused, sentence(why), change{}
	_ = a.put(&r) // logged there; without it the same is found once more
	a.log.Warn("adoption refused", "task", r.Task, "job", r.Job.ID, "why", r.Why)
	a.cfg.Tell()
}

// sentence is an error as a person reads it far away.
func sentence(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*fleet.Error](err); ok && e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// examine finds the job as it is now, and every reason not to touch it.
func (a *Adopter) examine(sight *Sight, wish *fleet.Adoption, allow func(*fleet.Adoption, *fleet.Execute) error) (*fleet.Job, error) {
	if err := allow(wish, nil); err != nil {
		return nil, err
	}
	n := there(sight, wish)
	if n < 0 || n >= len(sight.Found.Jobs) || sight.Found.Jobs[n].ID != wish.Job.ID {
		return nil, fleet.Errorf(fleet.Refused, "the job is no longer there").WithHint("fleetctl history shows what became of it")
	}
	found, masked := &sight.Found.Jobs[n], &sight.Masked.Jobs[n]
	if !sameJob(masked, &wish.Job) || wish.Job.Fingerprint != "" && wish.Job.Fingerprint != masked.Fingerprint {
		return nil, errLineChanged
	}
	task, err := takeover.Adopt(found, &sight.Host, wish.Task, anySchedule)
	if err != nil {
		return nil, err
	}
	if err := allow(wish, &task.Run); err != nil {
		return nil, err
	}
	switch {
	case wish.Force:
	case found.ManagedBy != "":
		return nil, fleet.Errorf(fleet.Refused, "%s would undo it at its next run", found.ManagedBy).WithHint("take the job out there first, or use --force")
	case found.Package != "":
		return nil, fleet.Errorf(fleet.Refused, "the file belongs to package %s, whose next upgrade would ask about the change or undo it", found.Package).WithHint("--force does it all the same")
	}
	return found, nil
}

// there returns which of the jobs that a scan found the wish is about; -1: none.
func there(sight *Sight, wish *fleet.Adoption) int {
	return slices.IndexFunc(sight.Masked.Jobs, func(j fleet.Job) bool { return j.ID == wish.Job.ID })
}

// anySchedule stands in where a task's own schedule does not matter.
const anySchedule = "0 0 * * *"

// sameJob reports whether a job still is what a person saw.
func sameJob(a, b *fleet.Job) bool {
	return a.Kind == b.Kind && a.Source == b.Source && a.User == b.User && a.Schedule == b.Schedule &&
		a.Timezone == b.Timezone && a.Command == b.Command && maps.Equal(a.Env, b.Env)
}

// prepare says how the job is silenced, from the files as they are now.
func (a *Adopter) prepare(job *fleet.Job, host *fleet.Host, task fleet.TaskID) (change, error) {
	switch job.Kind {
	case fleet.KindCron:
		f, err := a.changeable(job.Source)
		if err != nil {
			return change{}, err
		}
		return commentOut(f, job, host, task)
	case fleet.KindRunParts:
		if _, err := a.changeable(job.Source); err != nil {
			return change{}, err
		}
		c := change{Way: byMove, Dir: path.Dir(job.Source), Name: path.Base(job.Source)}
		return c, a.mustBe(&c, loud, "another script of that name lies in "+c.Dir+"/"+takeover.SilentDir)
	case fleet.KindTimer:
		return a.prepareTimer(job, task)
	}
	return change{}, fleet.Errorf(fleet.Refused, "a job of the kind %s cannot be silenced", job.Kind)
}

// changeable reads a file that may be replaced by another one.
func (a *Adopter) changeable(source string) (*file, error) {
	f, err := a.hands.disk.look(path.Dir(source), path.Base(source))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fleet.Errorf(fleet.Refused, "%s is no longer there", source)
	case errors.Is(err, errNotRegular) || err == nil && f.Link != "":
		return nil, fleet.Errorf(fleet.Refused, "%s is no regular file, so that something else would be changed", source)
	case err != nil:
		return nil, err
	case f.Links > 1:
		return nil, fleet.Errorf(fleet.Refused, "%s has %d names (hard links), and only one of them would be changed", source, f.Links)
	case f.Fixed:
		return nil, fleet.Errorf(fleet.Refused, "%s is immutable or append-only", source).WithHint("chattr -i -a %s, if that is meant to be", source)
	case f.Attrs["security.ima"] != nil:
		return nil, fleet.Errorf(fleet.Refused, "%s carries an IMA signature, which would not fit it any more", source)
	}
	return f, nil
}

func (a *Adopter) mustBe(c *change, want state, otherwise string) error {
	now, _, err := a.hands.look(c)
	if err == nil && now != want {
		err = fleet.Errorf(fleet.Refused, "%s", otherwise)
	}
	return err
}

// hidden are settings of a timer that its job does not tell of, and that a task
// would not keep.
var hidden = regexp.MustCompile(`(?m)^\s*(Unit|RandomizedDelaySec|WakeSystem)\s*=\s*([^\s].*)$`)

func (a *Adopter) prepareTimer(job *fleet.Job, task fleet.TaskID) (change, error) {
	f, err := a.hands.disk.look(path.Dir(job.Source), path.Base(job.Source))
	if err != nil {
		return change{}, err
	}
	for _, found := range hidden.FindAllStringSubmatch(string(f.Content), -1) {
		if value := strings.TrimSpace(found[2]); value != "0" && value != "no" {
			return change{}, fleet.Errorf(fleet.Refused, "the timer has %s=%s, which a task does not keep", found[1], value)
		}
	}
	c := maskOf(job, task)
	return c, a.mustBe(&c, loud, c.Dir+"/"+c.Name+" stands where the timer would be held off")
}
