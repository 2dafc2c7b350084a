package discover

import "golang.org/x/sys/unix"

// seen is what a daemon sees of a table before it reads it.
type seen struct {
	tree   *tree
	system bool
	stat   unix.Stat_t // of the file itself, where the name is a link
	owner  uint32      // the user of a user's table
	named  bool        // the user has a number
}

func (s *seen) mode() uint32 { return s.stat.Mode & 0o7777 }

// mine reports whether root or, of a user's table, the user owns the file.
func (s *seen) mine() bool {
	return s.tree.root(s.stat.Uid) || !s.system && (!s.named || s.stat.Uid == s.owner)
}

// check is a reason for a daemon to pass over a whole file: the term it logs,
// and a sentence.
type check struct {
	fails func(*seen) bool
	term  string
	why   string
}

// checks are those of each daemon, in its order. Those about links come before
// a file is read: see [scan.open].
var checks = map[Cron][]check{
	Debian: {
		{func(s *seen) bool { return !s.mine() }, "WRONG FILE OWNER", "the file belongs to neither root nor its user"},
		{func(s *seen) bool { return !s.system && s.mode() != 0o600 }, "INSECURE MODE (mode 0600 expected)", "a user's table must have mode 0600"},
		{func(s *seen) bool { return s.system && s.mode()&0o022 != 0 }, "INSECURE MODE (group/other writable)", "others than its owner may write the file"},
		{func(s *seen) bool { return s.stat.Nlink != 1 }, "NUMBER OF HARD LINKS > 1", "the file has another hard link"},
	},
	Cronie: {
		{func(s *seen) bool { return s.mode()&0o7533 != 0o400 }, "BAD FILE MODE", "a table must be readable by its owner, executable by nobody and writable by nobody else"},
		{func(s *seen) bool { return !s.mine() }, "WRONG FILE OWNER", "the file belongs to neither root nor its user"},
		{func(s *seen) bool { return !s.system && s.stat.Nlink != 1 }, "BAD LINK COUNT", "the file has another hard link"},
	},
	Busybox: {
		{func(s *seen) bool { return !s.tree.root(s.stat.Uid) }, "", "busybox crond reads only tables that belong to root"},
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
