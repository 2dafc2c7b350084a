package discover

import (
	"context"
	"maps"
	"slices"
	"time"
)

const (
	// settledAfter is how long ago a file must have changed for its times to
	// tell of every later change: clocks of file systems are coarse.
	settledAfter = 2 * time.Second
	// maxMemoAge bounds for how long what was read is believed, as there are
	// file systems whose times do not tell the truth.
	maxMemoAge = 10 * time.Minute
)

// memo is what a reader made of what it looked at. It holds as long as all of
// that is as it was.
type memo struct {
	notes []note
	made  time.Time // by the clock of this machine
	now   time.Time // as of which
	host  *host
	out   *found
	// of the host: what its files say, without what runs, and its name
	base *host
	name string
	// of what was thought of jobs, and of what kind of mounts there were
	list     []subject
	remote   map[string]bool
	day      int
	opinions []opinion
}

// settled returns the notes by spot, each once, or nothing where a file was
// changed a moment ago.
func settled(list []note, begin time.Time, least time.Duration) ([]note, bool) {
	limit := begin.Add(-least)
	seen := make(map[note]bool, len(list))
	kept := list[:0]
	for _, one := range list {
		if time.Unix(one.mark.changed[0], one.mark.changed[1]).After(limit) || time.Unix(one.mark.written[0], one.mark.written[1]).After(limit) {
			return nil, false
		}
		if !seen[one] {
			seen[one] = true
			kept = append(kept, one)
		}
	}
	return slices.Clip(kept), true
}

// fits reports whether a memo is of the same host, young enough and not of a
// time to come.
func (m *memo) fits(s *scan, real time.Time) bool {
	return m != nil && m.host == s.host && !s.now.Before(m.now) && m.young(real)
}

func (m *memo) young(real time.Time) bool {
	age := real.Sub(m.made)
	return age >= 0 && age < maxMemoAge
}

// found is what a source found, as of now; nil where time has changed it.
func (m *memo) found(now time.Time, n int) *found {
	out := *m.out
	fresh := false
	for i := range m.out.jobs {
		due := m.out.jobs[i].Next
		if len(due) == 0 || due[0].After(now) {
			continue
		}
		if m.out.asides[i].location == nil {
			return nil
		}
		if !fresh {
			fresh, out.jobs = true, slices.Clone(m.out.jobs)
		}
		out.jobs[i].Next = m.out.asides[i].next(due, now, n)
	}
	out.calls = slices.Clone(m.out.calls)
	for i := range out.calls {
		c := &out.calls[i]
		if due := c.job.Next; c.location != nil && len(due) > 0 && !due[0].After(now) {
			c.job.Next = upcoming(c.schedule, now.In(c.location), n)
		}
	}
	return &out
}

// look looks at one source, or finds that nothing it looked at has changed.
// Recalled: a source before it found other lines that start jobs.
func (c *Scanner) look(ctx context.Context, s *scan, src source, recalled bool) (out *found, kept bool) {
	until, last, glance, begin := *s, c.memos[src.name], c.glance, time.Now()
	usable := last.fits(s, begin) && !(recalled && src.calls)
	out = c.bounded(ctx, s.tree, src.name, func(ctx context.Context, out *found) {
		if usable && glance.same(last.notes) {
			if again := last.found(until.now, until.next); again != nil {
				*out = *again
				out.kept = true
				return
			}
		}
		seen := new(notes)
		until.tree = until.tree.noting(seen)
		src.find(ctx, &until, out)
		out.identify()
		out.notes = seen.close()
	})
	if out.kept {
		return out, true
	}
	delete(c.memos, src.name)
	if len(out.hung) > 0 {
		c.glance = newGlance(s.tree) // the other is in use
	} else if list, ok := settled(out.notes, begin, c.settled); ok && out.whole() && ctx.Err() == nil {
		out.notes, out.buffer, out.env = nil, nil, environment{}
		c.memos[src.name] = &memo{notes: list, made: begin, now: s.now, host: s.host, out: out}
	}
	return out, len(out.calls) == 0 && (last == nil || len(last.out.calls) == 0)
}

// hostNow is what is known of a host when a scan begins.
type hostNow struct {
	host   *host
	base   *host
	name   string
	booted time.Time
	notes  []note
	kept   bool
}

// lookAround looks at the host, or finds that nothing of it has changed.
func lookAround(ctx context.Context, t *tree, root string, live bool, last *memo, g *glance, begin time.Time) hostNow {
	h := hostNow{name: hostName(ctx, t, root)}
	if last != nil && last.young(begin) && g.same(last.notes) {
		h.base, h.kept = last.base, true
	} else {
		seen := new(notes)
		h.base = readHost(ctx, t.noting(seen))
		h.notes = seen.close()
	}
	now := *h.base
	if h.host = &now; live {
		h.booted = bootTime(ctx, t)
		h.host.look(ctx, t)
	}
	return h
}

// remembered makes a memo of a host. A host that is the same stays the very
// same, by which other memos know it.
func (h *hostNow) remembered(last *memo, begin time.Time, least time.Duration) *memo {
	if h.kept {
		same := last.host.cron == h.host.cron && last.host.reads == h.host.reads && last.host.spool == h.host.spool && last.host.cronDown == h.host.cronDown
		if same && last.name == h.name {
			h.host = last.host
		}
		again := *last
		again.host, again.name = h.host, h.name
		return &again
	}
	list, ok := settled(h.notes, begin, least)
	if !ok {
		return nil
	}
	return &memo{notes: list, made: begin, host: h.host, base: h.base, name: h.name}
}

// think judges the jobs, or finds that nothing it looked at has changed.
func (c *Scanner) think(ctx context.Context, s *scan, list []subject) *found {
	until, last, glance, begin := *s, c.opinions, c.glance, time.Now()
	today := int(s.now.Unix() / (24 * 3600))
	usable := last.fits(s, begin) && last.day == today && sameSubjects(last.list, list)
	out := c.bounded(ctx, s.tree, "/", func(ctx context.Context, out *found) {
		now := until.remote(ctx)
		if usable && maps.Equal(now, last.remote) && glance.same(last.notes) {
			out.opinions, out.kept = last.opinions, true
			return
		}
		seen := new(notes)
		until.tree = until.tree.noting(seen)
		out.opinions = until.judge(ctx, list)
		out.notes, out.remote = seen.close(), now
	})
	if out.kept {
		return out
	}
	c.opinions = nil
	if len(out.hung) > 0 {
		c.glance = newGlance(s.tree)
	} else if marked, ok := settled(out.notes, begin, c.settled); ok && len(out.opinions) == len(list) {
		c.opinions = &memo{notes: marked, made: begin, now: s.now, host: s.host, list: list, remote: out.remote, day: today, opinions: out.opinions}
	}
	return out
}

// sameSubjects reports whether two lists are of the same jobs.
func sameSubjects(a, b []subject) bool {
	return slices.EqualFunc(a, b, func(a, b subject) bool {
		return a.kind == b.kind && a.source == b.source && a.user == b.user && a.command == b.command &&
			a.elsewhere == b.elsewhere && a.secret == b.secret && maps.Equal(a.env, b.env)
	})
}

// whole reports whether a source read all there is and asked nobody but files.
func (f *found) whole() bool {
	return !f.fleeting && len(f.unread)+len(f.hung)+len(f.parts) == 0 && f.left == 0
}
