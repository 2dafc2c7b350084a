package discover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// systemTable finds the jobs of /etc/crontab.
func systemTable(ctx context.Context, s *scan, out *found) {
	dir := s.dir(out, "/etc")
	if dir == nil {
		return
	}
	defer dir.Close()
	if p, err := dir.lookup("crontab", false); errors.Is(err, fs.ErrNotExist) {
		return
	} else if err == nil {
		p.Close()
	}
	t := table{source: "/etc/crontab", system: true}
	if s.host.cron == Busybox {
		t.unread = no(fleet.OtherwiseWrong, "busybox crond does not read /etc/crontab (move its jobs to /etc/crontabs/root)")
	}
	s.table(ctx, out, dir, "crontab", t)
}

// dropIns finds the jobs of /etc/cron.d.
func dropIns(ctx context.Context, s *scan, out *found) {
	dir := s.dir(out, "/etc/cron.d")
	if dir == nil {
		return
	}
	defer dir.Close()
	rule := s.host.tabNames()
	names := s.names(out, dir)
	list := stretches(len(names))
	parts := make([]*found, len(list))
	for i := range parts {
		parts[i] = new(found)
	}
	parts[0] = out
	out.jobs, out.asides = slices.Grow(out.jobs, 2*len(names)), slices.Grow(out.asides, 2*len(names))
	s.tree.notes.grow(len(names))
	spread(list, func(i int, of stretch) {
		for _, name := range names[of.from:of.to] {
			t := table{source: printable(dir.path + "/" + name), system: true}
			switch {
			case s.host.cron == Busybox:
				t.unread = no(fleet.OtherwiseWrong, "busybox crond does not read /etc/cron.d (move its jobs to /etc/crontabs/root)")
			case !rule.takes(name):
				t.unread = rule.skips(name)
			}
			s.table(ctx, parts[i], dir, name, t)
		}
		parts[i].identify()
	})
	for _, part := range parts[1:] {
		out.add(part)
		out.calls = append(out.calls, part.calls...)
	}
}

// spools are all the directories users' tables are kept in, wherever.
var spools = []string{"/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron", "/etc/crontabs"}

// userTables finds the jobs of the users' own tables.
func userTables(ctx context.Context, s *scan, out *found) {
	type key struct{ dev, ino uint64 }
	seen := make(map[key]bool) // one directory may have several names
	active := s.spool()
	for i, name := range append([]string{active}, spools...) {
		if i > 0 && name == active {
			continue
		}
		dir := s.dir(out, name)
		if dir == nil {
			continue
		}
		k := key{uint64(dir.stat.Dev), dir.stat.Ino}
		if !seen[k] {
			seen[k] = true
			s.spoolDir(ctx, out, dir, name == active)
		}
		dir.Close()
	}
}

// spool is the directory the host's cron reads users' tables from.
func (s *scan) spool() string {
	if s.host.spool == "/etc/crontabs" {
		if dir, err := s.tree.openDir("/etc/crontabs"); err != nil {
			return "/var/spool/cron/crontabs" // busybox's own default
		} else {
			dir.Close()
		}
	}
	return s.host.spool
}

func (s *scan) spoolDir(ctx context.Context, out *found, dir *directory, active bool) {
	rule := spoolNames[s.host.reader()]
	elsewhere := s.clustered(ctx, dir)
	for _, name := range s.names(out, dir) {
		t := table{source: printable(dir.path + "/" + name), owner: name}
		switch {
		case !active:
			t.unread = no(fleet.OtherwiseWrong, "cron on this host reads users' tables from %s, not from %s (install it with crontab -u %s)", s.spool(), dir.path, printable(name))
		case !rule.takes(name):
			t.unread = rule.skips(name)
		case elsewhere.Code != "":
			t.unread = elsewhere
		}
		s.table(ctx, out, dir, name, t)
	}
}

// spoolNames are the rules for the names of users' tables.
var spoolNames = map[Cron]naming{Debian: debianSpool, Cronie: cronieTabs, Busybox: busyboxSpool}

// reader is whose cron reads the tables, or would if it were installed.
func (h *host) reader() Cron {
	if h.cron == None {
		return h.family.cron
	}
	return h.cron
}

// tabNames is the rule for the names in /etc/cron.d, which busybox never reads.
func (h *host) tabNames() naming {
	switch {
	case h.reader() == Cronie:
		return cronieTabs
	case h.lsbNames:
		return debianLSBTabs
	}
	return debianTabs
}

// dir opens a directory of the tree, or reports why it cannot; one that is not
// there is no problem.
func (s *scan) dir(out *found, name string) *directory {
	dir, err := s.tree.openDir(name)
	switch {
	case err == nil:
		return dir
	case errors.Is(err, unix.ENOTDIR):
		out.problem(name, 0, "", "it is no directory")
	case !errors.Is(err, fs.ErrNotExist):
		out.failed(name, err)
	}
	return nil
}

// names lists a directory without its hidden names, which no cron reads.
func (s *scan) names(out *found, dir *directory) []string {
	names, more, err := dir.names()
	if err != nil {
		out.failed(dir.path, err)
	}
	if more {
		out.problem(dir.path, 0, "", fmt.Sprintf("it holds more than %d names; the rest was not looked at", maxNames))
	}
	visible := names[:0]
	for _, name := range names {
		if !strings.HasPrefix(name, ".") {
			visible = append(visible, name)
		}
	}
	return visible
}
