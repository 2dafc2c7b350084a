package discover

import (
	"regexp"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// naming is a rule for the names of files that a program takes from a
// directory, with the rule in words.
type naming struct {
	takes func(name string) bool
	says  string
}

// skips is the verdict on what a file holds whose name is not taken.
func (n naming) skips(name string) fleet.Verdict {
	return no(fleet.BadName, "the name %s is skipped: %s (rename it)", printable(name), n.says)
}

var (
	plainName   = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	dottedName  = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]*$`)
	lsbVendor   = regexp.MustCompile(`^_?([a-z0-9_.]+-)+[a-z0-9]+$`)
	lsbPlain    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	cronLeft    = regexp.MustCompile(`^[a-z0-9-].*dpkg-(old|dist)$`)
	runLeft     = regexp.MustCompile(`^[a-z0-9-].*dpkg-(old|dist|new|tmp)$`)
	rhelEndings = []string{"~", ",", ".cfsaved", ".rpmsave", ".rpmorig", ".rpmnew", ".swp", ",v"}
	suseEndings = []string{"~", ".swap", ".bak", ".orig"}
	rpmEndings  = []string{"~", ".rpmsave", ".rpmorig", ".rpmnew"}
)

// The rules, each for one program and one kind of directory.
var (
	// Debian's cron, in /etc/cron.d; with its option -l; and in its spool.
	debianTabs    = naming{plainName.MatchString, "Debian's cron reads only names of letters, digits, _ and -"}
	debianLSBTabs = naming{func(s string) bool { return lsbName(s, cronLeft) }, "Debian's cron with -l reads only LSB names"}
	debianSpool   = naming{notHidden, "Debian's cron skips names that begin with a dot"}
	// cronie, in /etc/cron.d and in its spool.
	cronieTabs = naming{cronieName, "cronie skips names that begin with . or # or end with ~, .rpmsave, .rpmorig or .rpmnew"}
	// busybox crond, in its spool.
	busyboxSpool = naming{func(s string) bool { return !strings.Contains(s, ".") }, "busybox crond skips names with a dot"}

	// run-parts of Debian, with its option --lsbsysinit; of RHEL and Fedora, a
	// script; of busybox; and SUSE's run-crons.
	debianParts    = naming{plainName.MatchString, "run-parts takes only names of letters, digits, _ and -"}
	debianLSBParts = naming{func(s string) bool { return lsbName(s, runLeft) }, "run-parts with --lsbsysinit takes only LSB names"}
	rhelParts      = naming{rhelName, "run-parts skips names with blanks, that begin with a dot, or end with ~ , .cfsaved .rpmsave .rpmorig .rpmnew .swp or ,v"}
	busyboxParts   = naming{dottedName.MatchString, "busybox run-parts takes only names of letters, digits, _, - and inner dots"}
	suseParts      = naming{suseName, "run-crons skips names that begin with . or #, hold .rpm, or end with ~ .swap .bak or .orig"}
)

func notHidden(name string) bool { return !strings.HasPrefix(name, ".") }

func hasSuffix(name string, endings []string) bool {
	for _, ending := range endings {
		if strings.HasSuffix(name, ending) {
			return true
		}
	}
	return false
}

func lsbName(name string, left *regexp.Regexp) bool {
	if lsbVendor.MatchString(name) {
		return !left.MatchString(name)
	}
	return lsbPlain.MatchString(name)
}

func cronieName(name string) bool {
	if name == "" || name[0] == '.' || name[0] == '#' || len(name) >= 255 {
		return false
	}
	for _, ending := range rpmEndings {
		if name != ending && strings.HasSuffix(name, ending) {
			return false
		}
	}
	return name != "~"
}

// rhelName is the script's glob, which blanks break, and its list of endings.
func rhelName(name string) bool {
	return notHidden(name) && !strings.ContainsAny(name, " \t\n") && !hasSuffix(name, rhelEndings)
}

func suseName(name string) bool {
	return notHidden(name) && name[0] != '#' && !strings.Contains(name, ".rpm") && !hasSuffix(name, suseEndings)
}
