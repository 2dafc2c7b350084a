package discover

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Options of a scan; the zero value works.
type Options struct {
	Now     time.Time     // the instant the coming instants follow; zero: the present
	Host    string        // the host's name in the report; empty: as the tree says
	Next    int           // how many coming instants a job has; zero: 5
	Timeout time.Duration // what one source may take; zero: 10 s
}

// maxReportBytes bounds the commands and environments of one report.
const maxReportBytes = 16 << 20

// source is one place where jobs are found.
type source struct {
	name string // as the source of a problem that concerns all of it
	find func(context.Context, *scan, *found)
	// watch lists the directories whose changes call for another scan.
	watch []string
	calls bool // it uses the calls that rows above found
}

// part is a part of a source that may hang for itself: a home, a container.
type part struct {
	name  string // of what is hung on
	first bool   // it goes before all that are not
	find  func(context.Context, *found)
}

// maxHanging bounds the parts of a source that are left hanging: each holds a
// thread, and users can make ever more of them.
const maxHanging = 64

// partTime is what one part may take of the time that all parts of a source
// have: a fifth of it, and 2 s in any case.
func partTime(all time.Duration) time.Duration { return max(2*time.Second, all/5) }

// sources is every place there is. Rows below may use what rows above found.
var sources = []source{
	{"/etc/crontab", systemTable, []string{"/etc"}, false},
	{"/etc/cron.d", dropIns, []string{"/etc/cron.d"}, false},
	{"/var/spool/cron", userTables, spools, false},
	{"/etc/anacrontab", anacronJobs, []string{stampDir}, true},
	{"/etc/cron.*", runParts, partsDirs, true},
	{"/var/spool/at", atJobs, atSpools, false},
	{"/etc/systemd/system", systemTimers, timerDirs, false},
	{"/etc/systemd/user", userTimers, userTimerDirs, false},
	{procDir, containerTables, nil, false},
}

// scan is one scan under way: what all sources may look at, and not change.
type scan struct {
	tree   *tree
	host   *host
	now    time.Time
	next   int
	name   string    // the host's, as the tree says; empty: unknown
	live   bool      // the tree is the running system's
	booted time.Time // of the running system; zero: unknown
	bus    *bus      // to the running systemd
	calls  []call    // of run-parts, found by earlier sources

	atdDown bool // known while at's queues are looked at
}

// Scan finds the jobs in the tree at root, as if root were "/". The error is
// about the root itself or the context; whatever else goes wrong is a problem
// in the report. Scanning again and again is better done by a [Scanner].
func Scan(ctx context.Context, root string, opt Options) (fleet.Report, error) {
	return NewScanner(root, opt).Scan(ctx)
}

// Scanner scans one tree again and again. It remembers which source hangs, so
// that a dead mount holds one goroutine and not one more with every scan;
// which package each file came with; and what it found: jobs of what cannot be
// read now are told as they were, marked stale, and a job that is gone or runs
// no more is told of after a second look. It is for one goroutine.
type Scanner struct {
	root     string
	opt      Options
	sources  []source
	hangs    map[string]<-chan struct{} // closed when the reader at last comes back
	parts    map[string]string          // the sources of the parts among them
	packages *packages                  // nil before the first scan
	bus      *bus
	last     lastGood
	memos    map[string]*memo // by source
	hosts    *memo            // of what decides how everything else is read
	opinions *memo
	glance   *glance                 // of the scan under way
	settled  time.Duration           // settledAfter
	trouble  func(path string) error // as of a tree
}

// NewScanner returns a scanner of the tree at root.
func NewScanner(root string, opt Options) *Scanner {
	opt.Next = cmp.Or(opt.Next, 5)
	opt.Timeout = cmp.Or(opt.Timeout, 10*time.Second)
	return &Scanner{root: root, opt: opt, sources: sources, hangs: make(map[string]<-chan struct{}), parts: make(map[string]string), bus: systemBus(), memos: make(map[string]*memo), settled: settledAfter}
}

// Rename gives the host another name in the reports to come.
func (c *Scanner) Rename(host string) { c.opt.Host = host }

// Again says how soon another scan is worth it whatever changes, to confirm
// what the last one saw; zero: nothing waits for that.
func (c *Scanner) Again() time.Duration {
	if c.last.held.IsZero() {
		return 0
	}
	return confirmAfter
}

// Scan scans the tree once, as of Options.Now or the present.
func (c *Scanner) Scan(ctx context.Context) (fleet.Report, error) {
	now := c.opt.Now
	if now.IsZero() {
		now = time.Now()
	}
	report := fleet.Report{Host: c.opt.Host, Scanned: now.UTC().Truncate(time.Second), Jobs: []fleet.Job{}, Problems: []fleet.Problem{}}
	var all found
	s := &scan{now: now, next: c.opt.Next, live: filepath.Clean(c.root) == "/", bus: c.bus}
	if err := c.begin(ctx, s, &report, &all); err != nil {
		return report, err
	}
	if s.tree == nil {
		all.hung = append(all.hung, everything)
		c.finish(&report, &all, now)
		return report, nil
	}
	defer s.tree.release()
	defer func() { c.glance.Close() }()
	all.jobs = make([]fleet.Job, 0, len(c.last.jobs)+16)
	recalled := false
	for _, src := range c.sources {
		out, kept := c.look(ctx, s, src, recalled)
		recalled = recalled || !kept
		if err := ctx.Err(); err != nil {
			return report, fmt.Errorf("scan %s: %w", c.root, err)
		}
		out.from(src.name)
		all.add(out)
		s.calls = append(s.calls, out.calls...)
		c.findParts(ctx, s.tree, src.name, out.parts, &all)
	}
	c.readPackages(ctx, s.tree, &all)
	all.identify()
	c.judge(ctx, s, &all)
	if err := ctx.Err(); err != nil {
		return report, fmt.Errorf("scan %s: %w", c.root, err)
	}
	c.finish(&report, &all, now)
	return report, nil
}

// finish puts what was found into a report.
func (c *Scanner) finish(report *fleet.Report, all *found, now time.Time) {
	all.sorted()
	c.last.settle(all, now, time.Now(), c.opt.Next)
	report.Jobs, report.Problems = all.jobs, all.problems
}

// judge looks at what the jobs start.
func (c *Scanner) judge(ctx context.Context, s *scan, all *found) {
	list := all.subjects()
	if len(list) == 0 {
		return
	}
	out := c.think(ctx, s, list)
	all.problems, all.unjudged = append(all.problems, out.problems...), len(out.opinions) < len(list)
	for i := range out.opinions {
		job, o := &all.jobs[list[i].index], &out.opinions[i]
		job.ManagedBy = cmp.Or(job.ManagedBy, o.manager)
		job.Risks = o.risks
		switch {
		case !o.verdict.Runs:
			job.Verdict, job.Next = o.verdict, nil
			job.Verdict.Why = printable(job.Verdict.Why)
		case o.aside != "" && job.Verdict.Why == "":
			job.Verdict.Why = o.aside
		}
		for k := range job.Risks {
			job.Risks[k].Why = printable(job.Risks[k].Why)
		}
	}
}

// begin opens the tree and reads what decides how everything else is read.
func (c *Scanner) begin(ctx context.Context, s *scan, report *fleet.Report, all *found) error {
	t, err := openTree(c.root)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	t.trouble = c.trouble
	c.glance = newGlance(t)
	var fresh hostNow
	read := make(chan struct{})
	last, glance, begin := c.hosts, c.glance, time.Now()
	out := c.bounded(ctx, t, "/etc", func(ctx context.Context, _ *found) {
		defer close(read)
		fresh = lookAround(ctx, t, c.root, s.live, last, glance, begin)
	})
	select {
	case <-read:
	default:
		t.release()
		all.add(out)
		return ctx.Err()
	}
	c.hosts = fresh.remembered(last, begin, c.settled)
	s.tree, s.host, s.booted, s.name = t, fresh.host, fresh.booted, fresh.name
	report.Host = cmp.Or(report.Host, fresh.name)
	return nil
}

// findParts looks at the parts of a source, one after the other: together they
// have the time of a source.
func (c *Scanner) findParts(ctx context.Context, t *tree, source string, parts []part, all *found) {
	slices.SortStableFunc(parts, func(a, b part) int {
		switch {
		case a.first == b.first:
			return 0
		case a.first:
			return -1
		}
		return 1
	})
	until := time.Now().Add(c.opt.Timeout)
	for i, p := range parts {
		left, why := time.Until(until), ""
		switch {
		case left <= 0:
			why = fmt.Sprintf("others took all the time there is, %s", c.opt.Timeout)
		case !p.first && c.hanging(source) >= maxHanging:
			why = fmt.Sprintf("reading %d others hangs", maxHanging)
		}
		if why != "" {
			all.problem(source, 0, "", fmt.Sprintf("%d places were not looked at: %s", len(parts)-i, why))
			for _, p := range parts[i:] {
				all.hung = append(all.hung, source+"\x00"+p.name)
			}
			return
		}
		out := c.within(ctx, t, p.name, min(left, partTime(c.opt.Timeout)), p.find)
		if done := c.hangs[p.name]; done != nil {
			c.parts[p.name] = source
		}
		out.share(p.name, amount{})
		out.from(source + "\x00" + p.name)
		all.add(out)
	}
}

// hanging counts the parts of a source that hang, and forgets those that do no
// more.
func (c *Scanner) hanging(source string) int {
	n := 0
	for name, of := range c.parts {
		select {
		case <-c.hangs[name]:
			delete(c.hangs, name)
		default:
		}
		if c.hangs[name] == nil {
			delete(c.parts, name)
		} else if of == source {
			n++
		}
	}
	return n
}

// bounded runs a reader within the time of a source.
func (c *Scanner) bounded(ctx context.Context, t *tree, name string, read func(context.Context, *found)) *found {
	return c.within(ctx, t, name, c.opt.Timeout, read)
}

// within runs a reader until it is done, its time is up or the context ends.
// What cannot be stopped is left alone, and not started again before it ends.
func (c *Scanner) within(ctx context.Context, t *tree, name string, limit time.Duration, read func(context.Context, *found)) *found {
	if done := c.hangs[name]; done != nil {
		select {
		case <-done:
			delete(c.hangs, name)
		default:
			return &found{hung: []string{name}, problems: []fleet.Problem{{Source: name, Reason: "reading it still hangs since an earlier scan; is it on a mount that does not answer?"}}}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan struct{})
	out := new(found)
	t.hold()
	go func() {
		defer close(done)
		defer t.release()
		read(ctx, out)
	}()
	select {
	case <-done:
		return out
	case <-ctx.Done():
	}
	c.hangs[name] = done
	return &found{hung: []string{name}, problems: []fleet.Problem{{Source: name, Reason: fmt.Sprintf("reading it took longer than %s; is it on a mount that does not answer?", limit)}}}
}
