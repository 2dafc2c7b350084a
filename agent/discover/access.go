package discover

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// access is what accounts are allowed. cron.allow and cron.deny are read by
// crontab(1) alone: whoever is denied may not change a table, but the daemon
// goes on running the one that is there. What does stop a job at its time is
// PAM's account stage, which Debian's cron, cronie and atd ask, and busybox
// does not: an account that has expired, a password that should have been
// changed.
type access struct {
	allow, deny map[string]bool // nil: there is no such file
	shadow      map[string]shadow
	day         int // today, in days since 1970
	pam         bool
}

// shadow is a line of /etc/shadow. Days are -1 where they are not set.
type shadow struct {
	locked                          bool // by a sign before a password that is still there
	changed, most, inactive, expire int
}

func readAccess(ctx context.Context, s *scan) *access {
	a := &access{day: int(s.now.Unix() / (24 * 3600)), shadow: make(map[string]shadow)}
	a.allow = readNames(ctx, s.tree, "/etc/cron.allow")
	a.deny = readNames(ctx, s.tree, "/etc/cron.deny")
	for line := range strings.Lines(string(text(ctx, s.tree, "/etc/shadow"))) {
		fields := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(fields) < 8 {
			continue
		}
		password := fields[1]
		a.shadow[fields[0]] = shadow{
			locked:  strings.HasPrefix(password, "!") && strings.Contains(password, "$"),
			changed: day(fields[2]), most: day(fields[4]), inactive: day(fields[6]), expire: day(fields[7]),
		}
	}
	a.pam = s.host.cron == Debian || s.host.cron == Cronie
	return a
}

func day(field string) int {
	if n, err := strconv.Atoi(field); err == nil && n >= 0 {
		return n
	}
	return -1
}

func readNames(ctx context.Context, t *tree, name string) map[string]bool {
	if !there(t, name) {
		return nil
	}
	names := make(map[string]bool)
	for line := range strings.Lines(string(text(ctx, t, name))) {
		if user := strings.TrimSpace(line); user != "" && user[0] != '#' {
			names[user] = true
		}
	}
	return names
}

// of says whether the account lets a job run, and what else is to be said.
func (a *access) of(s *subject, by Cron) (fleet.Verdict, string) {
	account, known := a.shadow[s.user]
	date := func(day int) string { return time.Unix(int64(day)*24*3600, 0).UTC().Format(time.DateOnly) }
	switch daemon := "cron"; {
	case !known || !a.pam:
	case account.expire >= 0 && a.day >= account.expire:
		return no(fleet.LockedUser, "the account of %s has expired on %s, so PAM refuses what %s starts for it (chage -E -1 %s, or let another user run it)",
			s.user, date(account.expire), daemon, s.user), ""
	case account.changed == 0:
		return no(fleet.LockedUser, "%s must choose a new password first, so PAM refuses what %s starts for it (chage -d today %s)", s.user, daemon, s.user), ""
	case account.changed > 0 && account.most >= 0 && account.most < 99_999 && a.day-account.changed > account.most:
		return no(fleet.LockedUser, "the password of %s has expired on %s, so PAM refuses what %s starts for it (passwd %s, or chage -M -1 %s)",
			s.user, date(account.changed+account.most), daemon, s.user, s.user), ""
	}
	if s.kind != fleet.KindCron || !strings.HasPrefix(s.source, "/var/spool/cron") && !strings.HasPrefix(s.source, "/etc/crontabs") {
		return runs, ""
	}
	switch {
	case s.user == "root":
	case a.allow != nil && !a.allow[s.user]:
		return runs, fmt.Sprintf("cron.allow does not name %s, who may thus not change the table, but cron runs it all the same", s.user)
	case a.allow == nil && a.deny[s.user]:
		return runs, fmt.Sprintf("cron.deny names %s, who may thus not change the table, but cron runs it all the same", s.user)
	}
	if account.locked {
		return runs, fmt.Sprintf("the password of %s is locked, but cron runs the table all the same", s.user)
	}
	return runs, ""
}
