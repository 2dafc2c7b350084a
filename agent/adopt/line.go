package adopt

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fleetcron/fleetcron/agent/crontab"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/takeover"
)

// mark is what goes before a line to make it a comment that says what happened.
// Whoever takes it away has the line back.
func mark(task fleet.TaskID) []byte { return []byte(takeover.Comment(task)) }

var (
	errLineChanged = fleet.Errorf(fleet.Refused, "the line is not what it was when it was seen").WithHint("fleetctl jobs shows it as it is now; adopt that")
	errFileChanged = fleet.Errorf(fleet.Refused, "somebody changed the file at this very moment").WithHint("try again")
)

// commentOut returns the change that makes the job's line a comment, from the
// file as it is now.
func commentOut(f *file, job *fleet.Job, host *fleet.Host, task fleet.TaskID) (change, error) {
	dir, name := path.Split(job.Source)
	opt := readingOf(job, host)
	before := crontab.Parse(f.Content, opt)
	found := slices.IndexFunc(before.Jobs, func(j crontab.Job) bool {
		return j.Line == job.Line && printable(j.Command) == job.Command && printable(j.Fields) == job.Schedule && printable(j.User) == job.User
	})
	if found < 0 {
		return change{}, errLineChanged
	}
	stretch := before.Lines[before.Jobs[found].Index]
	line := f.Content[stretch.Start:stretch.End]
	if bytes.IndexByte(line, 0) >= 0 || stretch.Start > 0 && f.Content[stretch.Start-1] != '\n' {
		return change{}, fleet.Errorf(fleet.Refused, "a NUL byte splits the line, so that no comment could hold it")
	}
	c := change{
		Way: byComment, Dir: path.Clean(dir), Name: name, Beside: beside(task), Before: f, Line: bytes.Clone(line), Mark: mark(task),
	}
	if _, times := whole(f.Content, c.marked()); times > 0 {
		return change{}, fleet.Errorf(fleet.Refused, "the file holds the comment that the line would become already").WithHint("delete the line that begins with %q", strings.TrimSpace(string(c.Mark)))
	}
	c.After = slices.Concat(f.Content[:stretch.Start], c.Mark, f.Content[stretch.Start:])
	if !onlyWithout(before, crontab.Parse(c.After, opt), found) {
		return change{}, fleet.Errorf(fleet.Refused, "as a comment the line would change what cron makes of the rest of the file")
	}
	return c, nil
}

// beside is a name that no cron and no run-parts takes: it begins with a dot
// and ends with a tilde.
func beside(task fleet.TaskID) string {
	return ".fleetcron-" + strings.ReplaceAll(string(task), "/", "+") + "~"
}

// readingOf says how the host's cron reads the file that the job is in.
func readingOf(job *fleet.Job, host *fleet.Host) crontab.Options {
	opt := crontab.Options{Dialect: cron.Debian}
	for _, d := range []cron.Dialect{cron.Cronie, cron.Busybox} {
		if d.String() == host.Cron {
			opt.Dialect = d
		}
	}
	opt.System = job.Source == "/etc/crontab" || strings.HasPrefix(job.Source, "/etc/cron.d/")
	if !opt.System {
		opt.Owner, opt.Root = path.Base(job.Source), path.Base(job.Source) == "root"
	}
	return opt
}

// onlyWithout reports whether after is before without its n-th job.
func onlyWithout(before, after *crontab.File, n int) bool {
	rest := slices.Delete(slices.Clone(before.Jobs), n, n+1)
	return before.Accepted == after.Accepted && len(before.Problems) == len(after.Problems) &&
		slices.EqualFunc(rest, after.Jobs, func(a, b crontab.Job) bool {
			return a.Line == b.Line && a.Fields == b.Fields && a.User == b.User && a.Command == b.Command && a.Settings() == b.Settings()
		})
}

// printable is text as reports have it: UTF-8, or else read as Latin-1.
func printable(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	runes := make([]rune, len(text))
	for i := range len(text) {
		runes[i] = rune(text[i])
	}
	return string(runes)
}

// at returns where the text begins a line of the content, and how often it does.
func at(content, text []byte) (where, times int) {
	return find(content, text, func([]byte) bool { return true })
}

// whole is at for text that must be all of its line, which may have lost its
// end or been given one.
func whole(content, line []byte) (where, times int) {
	return find(content, bytes.TrimSuffix(line, []byte("\n")), func(rest []byte) bool { return len(rest) == 0 || rest[0] == '\n' })
}

func find(content, text []byte, fits func(rest []byte) bool) (where, times int) {
	for from := 0; from <= len(content); {
		i := bytes.Index(content[from:], text)
		if i < 0 {
			break
		}
		if i += from; (i == 0 || content[i-1] == '\n') && fits(content[i+len(text):]) {
			where, times = i, times+1
		}
		from = i + 1
	}
	return where, times
}

// marked is the line as it is while silent.
func (c *change) marked() []byte { return slices.Concat(c.Mark, c.Line) }

// stateOf says what the line is in a file with that content.
func (c *change) stateOf(content []byte) state {
	_, marked := whole(content, c.marked())
	_, plain := whole(content, c.Line)
	switch {
	case marked == 1:
		return quiet
	case marked == 0 && plain > 0:
		return loud
	}
	return other
}

func (h hands) lookLine(c *change) (state, time.Time, error) {
	f, err := h.disk.look(c.Dir, c.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return other, time.Time{}, nil
	}
	if err != nil {
		return other, time.Time{}, err
	}
	now := c.stateOf(f.Content)
	if now == quiet && !bytes.Equal(f.Content, c.After) {
		return now, time.Time{}, nil // it was edited since: the kernel tells of that only
	}
	return now, f.Changed, nil
}

func (h hands) silenceLine(c *change, still still) error {
	next := *c.Before
	next.Content, next.Accessed = c.After, c.Before.Accessed
	next.Modified = notice(c.Before.Modified)
	return h.replace(c, c.Before, &next, still)
}

// notice returns a time of modification by which every cron notices that the
// file is another: they compare whole seconds, and read it anew when those
// differ, whichever is later.
func notice(before time.Time) time.Time {
	now := time.Now().UTC()
	if now.Unix() == before.Unix() {
		return now.Add(time.Second)
	}
	return now
}

func (h hands) restoreLine(c *change, still still) error {
	now, err := h.disk.look(c.Dir, c.Name)
	if err != nil {
		return err
	}
	next := *c.Before
	if !bytes.Equal(now.Content, c.After) || !now.alike(c.Before) {
		where, times := whole(now.Content, c.marked())
		if times != 1 {
			return errFileChanged
		}
		next = *now
		next.Content = slices.Concat(now.Content[:where], now.Content[where+len(c.Mark):])
		next.Modified = notice(now.Modified)
	} else if now.Modified.Unix() == next.Modified.Unix() {
		next.Modified = notice(now.Modified)
	}
	return h.replace(c, now, &next, still)
}

// replace puts next in the place of before, in one step between two of the
// kernel's, and makes sure afterwards that it stands there and that it was
// before that it replaced. If not, all is put back.
func (h hands) replace(c *change, before, next *file, still still) error {
	if err := h.disk.remove(c.Dir, c.Beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := h.disk.create(c.Dir, c.Beside, next); err != nil {
		return err
	}
	if err := h.ready(c, before, next, still); err != nil {
		return errors.Join(err, h.disk.remove(c.Dir, c.Beside))
	}
	if err := h.disk.swap(c.Dir, c.Name, c.Beside); err != nil {
		return errors.Join(err, h.disk.remove(c.Dir, c.Beside))
	}
	if err := h.stands(c, before, next); err != nil {
		return errors.Join(err, h.undo(c, next))
	}
	_ = h.disk.remove(c.Dir, c.Beside) // the change is made, and cron passes over what is left
	return nil
}

// tries is how many edits of the same moment are looked for.
const tries = 16

// undo swaps back. Whoever else wrote meanwhile wrote last, and theirs stands in
// the end: what comes out of each swap must be what the one before put in.
func (h hands) undo(c *change, ours *file) error {
	last := ours.Content
	for range tries {
		into, err := h.disk.look(c.Dir, c.Beside)
		if errors.Is(err, fs.ErrNotExist) { // a file system that cannot swap: theirs stands
			return nil
		}
		if err != nil {
			return err
		}
		err = h.disk.swap(c.Dir, c.Name, c.Beside)
		if errors.Is(err, fs.ErrNotExist) { // they deleted it
			return h.disk.remove(c.Dir, c.Beside)
		}
		if err != nil {
			return err
		}
		out, err := h.disk.look(c.Dir, c.Beside)
		if err != nil {
			return err
		}
		if bytes.Equal(out.Content, last) {
			return h.disk.remove(c.Dir, c.Beside)
		}
		last = into.Content
	}
	return fleet.Errorf(fleet.Unavailable, "somebody writes %s/%s again and again; the version before lies in %s beside it", c.Dir, c.Name, c.Beside)
}

// ready makes sure, as late as possible, that what was written is whole, that
// the file is still the one that was read, and that there is time.
func (h hands) ready(c *change, before, next *file, still still) error {
	written, err := h.disk.look(c.Dir, c.Beside)
	if err != nil {
		return err
	}
	if !bytes.Equal(written.Content, next.Content) || !written.alike(next) {
		return fleet.Errorf(fleet.Refused, "what was written beside the file does not read back the same")
	}
	now, err := h.disk.look(c.Dir, c.Name)
	if err != nil {
		return err
	}
	if !now.same(before) {
		return errFileChanged
	}
	return still()
}

// stands looks at the outcome.
func (h hands) stands(c *change, before, next *file) error {
	now, err := h.disk.look(c.Dir, c.Name)
	if err != nil {
		return err
	}
	if !bytes.Equal(now.Content, next.Content) || !now.alike(next) {
		return errFileChanged
	}
	old, err := h.disk.look(c.Dir, c.Beside)
	if errors.Is(err, fs.ErrNotExist) { // a file system that cannot swap
		return nil
	}
	if err == nil && !old.same(before) {
		err = errFileChanged
	}
	return err
}

// tidyLine removes what lies beside the file, unless it is somebody's edit that
// was swapped out in the same moment: that goes back in its place.
func (h hands) tidyLine(c *change, silencing bool) error {
	left, err := h.disk.look(c.Dir, c.Beside)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	now, _, err := h.lookLine(c)
	if err != nil {
		return err
	}
	swapped, was := now == quiet, c.Before.Content
	if !silencing {
		swapped, was = now == loud, c.Now
	}
	if swapped && !bytes.Equal(left.Content, was) {
		if err := h.disk.swap(c.Dir, c.Name, c.Beside); err != nil {
			return err
		}
	}
	err = h.disk.remove(c.Dir, c.Beside)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
