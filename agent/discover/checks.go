package discover

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// seen is what a daemon sees of a table before it reads it.
type seen struct {
	tree   *tree
	system bool
	stat   unix.Stat_t // of the file itself, where the name is a link
	path   string      // of the file in the tree; empty where the name is a link
	owner  uint32      // the user of a user's table
	named  bool        // the user has a number
}

func (s *seen) mode() uint32 { return s.stat.Mode & 0o7777 }

// mine reports whether root or, of a user's table, the user owns the file.
func (s *seen) mine() bool {
	return s.tree.root(s.stat.Uid) || !s.system && (!s.named || s.stat.Uid == s.owner)
}

// check is a reason for a daemon to pass over a whole file: its code, the term
// the daemon logs, what is wrong, and the command that puts it right.
type check struct {
	fails func(*seen) bool
	code  fleet.VerdictCode
	term  string
	why   string
	fix   string
}

// remedy is what to do about a table.
func (c *check) remedy(t table) string {
	owner := "root"
	if !t.system {
		owner = printable(t.owner)
	}
	return strings.NewReplacer("OWNER", owner, "FILE", t.source).Replace(c.fix)
}

const ownCopy = "give it a copy of its own: cp -p FILE FILE.new; mv FILE.new FILE"

// checks are those of each daemon, in its order. Those about links come before
// a file is read: see [scan.open].
var checks = map[Cron][]check{
	Debian: {
		{func(s *seen) bool { return !s.mine() }, fleet.BadOwner, "WRONG FILE OWNER", "the file belongs to neither root nor its user", "chown OWNER FILE"},
		{func(s *seen) bool { return !s.system && s.mode() != 0o600 }, fleet.BadMode, "INSECURE MODE (mode 0600 expected)", "a user's table must have mode 0600", "chmod 600 FILE"},
		{func(s *seen) bool { return s.system && s.mode()&0o022 != 0 }, fleet.BadMode, "INSECURE MODE (group/other writable)", "others than its owner may write the file", "chmod go-w FILE"},
		{func(s *seen) bool { return s.stat.Nlink != 1 }, fleet.BadLinks, "NUMBER OF HARD LINKS > 1", "the file has another hard link", ownCopy},
	},
	Cronie: {
		{func(s *seen) bool { return s.mode()&0o7533 != 0o400 }, fleet.BadMode, "BAD FILE MODE", "a table must be readable by its owner, executable by nobody and writable by nobody else", "chmod 600 FILE"},
		{func(s *seen) bool { return !s.mine() }, fleet.BadOwner, "WRONG FILE OWNER", "the file belongs to neither root nor its user", "chown OWNER FILE"},
		{func(s *seen) bool { return !s.system && s.stat.Nlink != 1 }, fleet.BadLinks, "BAD LINK COUNT", "the file has another hard link", ownCopy},
	},
	Busybox: {
		{func(s *seen) bool { return !s.tree.root(s.stat.Uid) }, fleet.BadOwner, "", "busybox crond reads only tables that belong to root", "chown root FILE"},
	},
}

// refuses returns the first check that fails, or nil.
func (h *host) refuses(s *seen) *check {
	if h.anyFile && h.cron == Cronie {
		return nil
	}
	for i, c := range checks[h.cron] {
		if c.fails(s) {
			return &checks[h.cron][i]
		}
	}
	return nil
}
