package discover

import (
	"context"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// timerEvidence is what is known of a timer's last run: what systemd itself
// saw, or else the stamp that it leaves for a persistent timer.
func (s *scan) timerEvidence(u *units, t *timer) *fleet.Evidence {
	if b := t.bus; b != nil && !b.last.IsZero() && !b.last.After(s.now) {
		seen := &fleet.Evidence{Last: b.last, Grade: fleet.GradeStarted, From: printable("systemd: " + t.name)}
		switch ran := b.service; {
		case ran.began.Before(b.last.Add(-time.Second)):
			if t.persistent() {
				break // since the boot it did not run: all systemd knows is the stamp
			}
			return seen
		case ran.ended.Before(ran.began):
			return seen
		default:
			seen.Grade, seen.Ended, seen.Result = fleet.GradeEnded, &ran.ended, ran.outcome()
			return seen
		}
	}
	if !t.persistent() || u.stamps == "" {
		return nil
	}
	return s.stampEvidence(u.stamps + "/stamp-" + t.name)
}

// stampEvidence reads a stamp: its file was written at the timer's last start.
// The first one is made when the timer is first activated and says nothing.
func (s *scan) stampEvidence(name string) *fleet.Evidence {
	p, err := s.tree.lookup(name, false)
	if err != nil {
		return nil
	}
	defer p.Close()
	sec, nsec := p.stat.Mtim.Unix()
	written := time.Unix(sec, nsec).UTC()
	if p.kind() != unix.S_IFREG || written.After(s.now) {
		return nil
	}
	var more unix.Statx_t
	if unix.Statx(p.dir, p.name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &more) == nil && more.Mask&unix.STATX_BTIME != 0 {
		if made := time.Unix(more.Btime.Sec, int64(more.Btime.Nsec)); written.Sub(made).Abs() < time.Second {
			return nil
		}
	}
	return &fleet.Evidence{Last: written, Grade: fleet.GradeStamp, From: printable(name)}
}

// bootTime is when the running system was booted; zero where that is unknown.
func bootTime(ctx context.Context, t *tree) time.Time {
	for line := range strings.Lines(string(text(ctx, t, "/proc/stat"))) {
		if rest, ok := strings.CutPrefix(line, "btime "); ok {
			if seconds, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64); err == nil {
				return time.Unix(seconds, 0).UTC()
			}
		}
	}
	return time.Time{}
}
