package adopt

import (
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

// way is how a job is silenced.
type way string

const (
	byComment way = "comment" // its line becomes a comment
	byMove    way = "move"    // its script goes where run-parts does not look
	byMask    way = "mask"    // its timer is masked
	byDropIn  way = "drop-in" // its timer is held off by a drop-in, because its own file stands where the mask would
)

// change is what is done to silence one job, and all that is needed to undo it.
type change struct {
	Way    way    `json:"way"`
	Dir    string `json:"dir"`
	Name   string `json:"name"`
	Beside string `json:"beside,omitempty"` // the name that the new version is written under
	Before *file  `json:"before,omitempty"` // of byComment: the file as it was
	After  []byte `json:"after,omitempty"`  // … as it is while silent
	Line   []byte `json:"line,omitempty"`   // … the line alone
	Mark   []byte `json:"mark,omitempty"`   // … what goes before it, or of byDropIn the drop-in
	Now    []byte `json:"now,omitempty"`    // … the file before the line was put back
	Unit   string `json:"unit,omitempty"`   // of timers
}

// state is what a job is found to be, by looking.
type state uint8

const (
	other state = iota // neither: somebody else was at it
	loud               // its own scheduler runs it
	quiet              // it does not
)

// Systemd is what is asked of a systemd that runs.
type Systemd interface {
	Reload(ctx context.Context) error
	Stop(ctx context.Context, unit string) error
	Start(ctx context.Context, unit string) error
	// Active reports whether the unit waits for its instants.
	Active(ctx context.Context, unit string) (bool, error)
}

// hands carry changes out.
type hands struct {
	disk    disk
	systemd Systemd // nil: none runs here
}

// still returns an error when it is too late for the step that is next.
type still func() error

// look says what the job is now, and since when by the kernel's word.
func (h hands) look(c *change) (state, time.Time, error) {
	switch c.Way {
	case byComment:
		return h.lookLine(c)
	case byMove:
		return h.lookScript(c)
	}
	return h.lookTimer(c)
}

// silence carries the change out. When it returns an error, all is as it was,
// but for errHalf.
func (h hands) silence(ctx context.Context, c *change, still still) error {
	switch c.Way {
	case byComment:
		return h.silenceLine(c, still)
	case byMove:
		return h.moveScript(c, still, true)
	}
	return h.silenceTimer(ctx, c, still)
}

// restore takes the change back. When it returns an error, all is as it was.
func (h hands) restore(ctx context.Context, c *change, still still) error {
	switch c.Way {
	case byComment:
		return h.restoreLine(c, still)
	case byMove:
		return h.moveScript(c, still, false)
	}
	return h.restoreTimer(ctx, c, still)
}

// tidy clears up what a crash left of a change, before its outcome is looked
// at. silencing says which way it went.
func (h hands) tidy(ctx context.Context, c *change, silencing bool) error {
	switch c.Way {
	case byComment:
		return h.tidyLine(c, silencing)
	case byMove:
		return h.tidyScript(c)
	}
	return h.tidyTimer(ctx, c, silencing)
}

// lookScript: the script is in one of two places.
func (h hands) lookScript(c *change) (state, time.Time, error) {
	here, err := h.disk.look(c.Dir, c.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return other, time.Time{}, err
	}
	away, err := h.disk.look(c.Dir+"/"+takeover.SilentDir, c.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return other, time.Time{}, err
	}
	switch {
	case here != nil && away == nil:
		return loud, here.Changed, nil
	case here == nil && away != nil:
		return quiet, away.Changed, nil
	}
	return other, time.Time{}, nil
}

// moveScript moves a script out of run-parts' sight or back into it. The file
// itself stays what it is, with all that belongs to it.
func (h hands) moveScript(c *change, still still, away bool) error {
	hidden := c.Dir + "/" + takeover.SilentDir
	from, to := c.Dir, hidden
	if !away {
		from, to = hidden, c.Dir
	} else if err := h.disk.mkdir(c.Dir, takeover.SilentDir); err != nil {
		return err
	}
	err := still()
	if err == nil {
		err = h.disk.move(from, c.Name, to, c.Name)
	}
	if away == (err != nil) { // the directory is not needed
		_ = h.disk.rmdir(c.Dir, takeover.SilentDir) // that it stays does no harm
	}
	return err
}

// tidyScript removes the directory that no script needs any more.
func (h hands) tidyScript(c *change) error {
	now, _, err := h.lookScript(c)
	if err != nil || now != loud {
		return err
	}
	return h.disk.rmdir(c.Dir, takeover.SilentDir)
}

const systemUnits = "/etc/systemd/system"

// nobody is a condition that never holds, so that the timer is not started.
const dropIn = "[Unit]\n# fleetcron adopted %s: it starts %s instead of this timer.\n# To undo that by hand: remove this file, then systemctl daemon-reload and systemctl start %s.\nConditionPathExists=!/\n"

const dropInName = "zz-fleetcron-adopted.conf"

// maskOf returns the change that silences a timer.
func maskOf(job *fleet.Job, task fleet.TaskID) change {
	unit := path.Base(job.Source)
	if path.Dir(job.Source) != systemUnits {
		return change{Way: byMask, Dir: systemUnits, Name: unit, Unit: unit}
	}
	text := fmt.Sprintf(dropIn, task, strings.TrimSuffix(unit, ".timer"), unit)
	return change{Way: byDropIn, Dir: systemUnits + "/" + unit + ".d", Name: dropInName, Beside: beside(task), Mark: []byte(text), Unit: unit}
}

func (h hands) lookTimer(c *change) (state, time.Time, error) {
	f, err := h.disk.look(c.Dir, c.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return loud, time.Time{}, nil
	case err != nil:
		return other, time.Time{}, err
	case c.Way == byMask && f.Link == "/dev/null", c.Way == byDropIn && string(f.Content) == string(c.Mark):
		return quiet, f.Changed, nil
	}
	return other, time.Time{}, nil
}

func (h hands) silenceTimer(ctx context.Context, c *change, still still) error {
	if err := still(); err != nil {
		return err
	}
	var err error
	if c.Way == byMask {
		err = h.disk.symlink(c.Dir, c.Name, "/dev/null")
	} else {
		if err = h.disk.mkdir(systemUnits, path.Base(c.Dir)); err == nil {
			err = h.dropIn(c)
		}
	}
	var half error // unless it was told to stop, the timer goes on
	if err == nil && h.systemd != nil {
		if err = h.systemd.Reload(ctx); err == nil {
			err, half = h.systemd.Stop(ctx, c.Unit), errHalf
		}
	}
	if err == nil {
		return nil
	}
	if undone := h.unmask(ctx, c); undone != nil {
		return errors.Join(half, err, undone)
	}
	return err
}

// errHalf is of a timer that is neither off nor surely on.
var errHalf = errors.New("systemd was told of one half")

// dropIn writes the drop-in in one step: systemd might read half of it.
func (h hands) dropIn(c *change) error {
	if err := h.disk.create(c.Dir, c.Beside, &file{Content: c.Mark, Mode: 0o644}); err != nil {
		return err
	}
	return h.disk.move(c.Dir, c.Beside, c.Dir, c.Name)
}

func (h hands) restoreTimer(ctx context.Context, c *change, still still) error {
	if err := still(); err != nil {
		return err
	}
	return h.unmask(ctx, c)
}

// unmask takes away what holds a timer off and starts it. It may be done again.
func (h hands) unmask(ctx context.Context, c *change) error {
	err := h.disk.remove(c.Dir, c.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if c.Way == byDropIn {
		if err := h.disk.remove(c.Dir, c.Beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		_ = h.disk.rmdir(systemUnits, path.Base(c.Dir)) // others may have a drop-in there
	}
	if h.systemd == nil {
		return nil
	}
	// A persistent timer makes up for what it missed since its stamp: the task
	// ran that.
	return errors.Join(h.disk.touch(stamps, "stamp-"+c.Unit), h.systemd.Reload(ctx), h.systemd.Start(ctx, c.Unit))
}

// stamps is where systemd keeps when persistent timers last came.
const stamps = "/var/lib/systemd/timers"

// stopped reports whether systemd does not start what the timer starts, whatever
// its files say.
func (h hands) stopped(ctx context.Context, c *change) (bool, error) {
	if c.Unit == "" || h.systemd == nil {
		return false, nil
	}
	active, err := h.systemd.Active(ctx, c.Unit)
	return err == nil && !active, err
}

// tidyTimer goes back to the beginning of what was broken off: whether systemd
// had been told cannot be read off any file.
func (h hands) tidyTimer(ctx context.Context, c *change, silencing bool) error {
	if now, _, err := h.lookTimer(c); err != nil || now == other || !silencing && now == quiet {
		return err
	}
	return h.unmask(ctx, c)
}
