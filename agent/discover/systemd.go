package discover

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// systemd is one systemd that reads units: the system's own, or a user's.
type systemd struct {
	dirs    []string // of its units, the first that has a name before all others
	account *account // whose it is; nil: the system's
	every   bool     // it stands for that of every user
	stamps  string   // the directory of its persistent timers' stamps; empty: unknown
	idle    string   // why it starts nothing; empty: it runs
	aside   string   // what is to be said of all that it starts
	own     []string // only what stands in these directories is told of; nil: all
	asUser  bool     // its user's files are read with the user's rights
	strict  bool     // … with more rights than the user has
	bus     *busTimers
}

// systemDirs are the directories the system's systemd reads its units from.
var systemDirs = []string{
	"/etc/systemd/system.control", "/run/systemd/system.control", transientDir, "/run/systemd/generator.early",
	"/etc/systemd/system", "/etc/systemd/system.attached", "/run/systemd/system", "/run/systemd/system.attached", "/run/systemd/generator",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/generator.late",
}

// transientDir holds the units that systemd-run made, which are active at once.
const transientDir = "/run/systemd/transient"

const stampsDir = "/var/lib/systemd/timers"

func hostSystemd() *systemd { return &systemd{dirs: systemDirs, stamps: stampsDir} }

// userDirs are the directories a user's systemd reads units from. "~" stands
// for the home, "^" for what is the user's while logged in: /run/user/1000.
var userDirs = []string{
	"~/.config/systemd/user.control", "^/systemd/user.control", "^/systemd/transient", "^/systemd/generator.early",
	"~/.config/systemd/user", "/etc/xdg/systemd/user", "/etc/systemd/user", "^/systemd/user", "/run/systemd/user", "^/systemd/generator",
	"~/.local/share/systemd/user", "/usr/local/share/systemd/user", "/usr/share/systemd/user",
	"/usr/local/lib/systemd/user", "/usr/lib/systemd/user", "/lib/systemd/user", "^/systemd/generator.late",
}

// userSystemd is the systemd of a user; of every user where account is nil,
// which knows only the directories all share.
func userSystemd(a *account) *systemd {
	m := &systemd{account: a, every: a == nil}
	for _, dir := range userDirs {
		switch {
		case dir[0] == '/':
			m.dirs = append(m.dirs, dir)
		case a == nil || dir[0] == '~' && a.home == "" || dir[0] == '^' && !a.numbered:
		case dir[0] == '~':
			m.dirs = append(m.dirs, path.Join(a.home, dir[1:]))
		default:
			m.dirs = append(m.dirs, a.runtime()+dir[1:])
		}
	}
	if a != nil && a.home != "" {
		m.stamps = path.Join(a.home, ".local/share/systemd/timers")
	}
	return m
}

// account is a user of the tree.
type account struct {
	name     string
	uid, gid uint32
	numbered bool   // uid and gid are known
	home     string // absolute and clean; empty: unknown
}

// runtime is the directory that is there while the user is logged in or lingers.
func (a *account) runtime() string { return fmt.Sprintf("/run/user/%d", a.uid) }

// private are the directories of the user's systemd that are not everybody's.
func (m *systemd) private() []string {
	if m.account == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(m.dirs), func(dir string) bool { return slices.Contains(userDirs, dir) })
}

// transient reports whether a unit file was made by a program, for a unit that
// is active at once.
func (m *systemd) transient(file string) bool {
	dir := path.Dir(file)
	return dir == transientDir || m.account != nil && dir == m.account.runtime()+"/systemd/transient"
}

// user is whom a manager's services run as by themselves.
func (m *systemd) user() string {
	switch {
	case m.every:
		return "*"
	case m.account != nil:
		return m.account.name
	}
	return "root"
}

// place is where a person puts the manager's units.
func (m *systemd) place() string {
	switch {
	case m.every:
		return "/etc/systemd/user"
	case m.account != nil && m.account.home != "":
		return path.Join(m.account.home, ".config/systemd/user")
	case m.account != nil:
		return m.account.runtime() + "/systemd/user"
	}
	return "/etc/systemd/system"
}

// control is the command that a person steers the manager with.
func (m *systemd) control() string {
	switch {
	case m.every:
		return "systemctl --global"
	case m.account != nil:
		return "systemctl --user -M " + m.account.name + "@"
	}
	return "systemctl"
}

// systemSpecifiers are those that the system's systemd gives a meaning.
var systemSpecifiers = map[byte]string{
	't': "/run", 'S': "/var/lib", 'C': "/var/cache", 'L': "/var/log", 'E': "/etc",
	'u': "root", 'U': "0", 'g': "root", 'G': "0", 'h': "/root", 's': "/bin/sh",
}

// homeSpecifiers are directories in the home of a systemd's user.
var homeSpecifiers = map[byte]string{'h': "", 'E': "/.config", 'C': "/.cache", 'S': "/.local/state", 'L': "/.local/state/log"}

// specifier is what a letter stands for that the manager, not the unit, gives a
// meaning.
func (m *systemd) specifier(letter byte) (string, bool) {
	a := m.account
	switch dir, inHome := homeSpecifiers[letter]; {
	case letter == 'T':
		return "/tmp", true
	case letter == 'V':
		return "/var/tmp", true
	case m.every:
		return "", false
	case a == nil:
		text, known := systemSpecifiers[letter]
		return text, known
	case letter == 'u':
		return a.name, true
	case letter == 't':
		return a.runtime(), a.numbered
	case letter == 'U':
		return strconv.FormatUint(uint64(a.uid), 10), a.numbered
	case letter == 'G':
		return strconv.FormatUint(uint64(a.gid), 10), a.numbered
	default:
		return a.home + dir, inHome && a.home != ""
	}
}

// lingerDir holds an empty file for each user whose systemd runs without login.
const lingerDir = "/var/lib/systemd/linger"

// userTimerDirs are the directories all users' systemds read, and who lingers.
var userTimerDirs = []string{"/etc/systemd/user", "/etc/xdg/systemd/user", "/run/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user", lingerDir}

// maxManagers bounds the users whose own units are looked for.
const maxManagers = 5000

// userTimers finds the timers of the users' systemds, each within a time limit
// of its own: a home may lie on a mount that does not answer.
func userTimers(ctx context.Context, s *scan, out *found) {
	lingering := s.lingering(out)
	away := s.unmounted(ctx)
	homes := make(map[string]bool) // one home may be that of many
	for i := range s.host.users.accounts {
		a := &s.host.users.accounts[i]
		lingers := lingering[a.name]
		delete(lingering, a.name)
		if away(a.home) {
			a = &account{name: a.name, uid: a.uid, gid: a.gid, numbered: true}
		}
		if !lingers && (a.home == "" || homes[a.home]) {
			continue
		}
		if homes[a.home] = true; len(out.parts) >= maxManagers {
			out.problem("/etc/passwd", 0, "", fmt.Sprintf("it holds more than %d users; units of the others were not looked for", maxManagers))
			break
		}
		out.parts = append(out.parts, s.userPart(a, lingers))
	}
	for name := range lingering { // who is known to other services only
		if s.host.users.open {
			out.parts = append(out.parts, s.userPart(&account{name: name}, true))
		} else {
			out.problem(printable(lingerDir+"/"+name), 0, "", fmt.Sprintf("user %q is not in /etc/passwd, so no systemd runs for it", name))
		}
	}
	if !slices.ContainsFunc(out.parts, func(p part) bool { return p.first }) {
		everyone := userSystemd(nil)
		everyone.idle = "it is for each user who is logged in, and nobody's systemd runs without a login (loginctl enable-linger)"
		s.timers(ctx, out, everyone)
	}
}

// lingering are the users whose systemd runs without a login.
func (s *scan) lingering(out *found) map[string]bool {
	names := make(map[string]bool)
	dir := s.dir(out, lingerDir)
	if dir == nil {
		return names
	}
	defer dir.Close()
	for _, name := range s.names(out, dir) {
		names[name] = true
	}
	return names
}

// userPart is the search for one user's timers.
func (s *scan) userPart(a *account, lingers bool) part {
	name := path.Join("/", a.home, ".config/systemd/user")
	if a.home == "" {
		name = printable(lingerDir + "/" + a.name)
	}
	return part{name: name, first: lingers, find: func(ctx context.Context, out *found) {
		if !lingers && !s.ownUnits(a) {
			return
		}
		m := userSystemd(a)
		if !lingers {
			m.own = m.private()
			m.idle = fmt.Sprintf("it runs only while %s is logged in: %s does not linger (loginctl enable-linger %s)", a.name, a.name, a.name)
			if a.numbered && inTheWay(s.tree, a.runtime()+"/systemd") {
				m.idle, m.aside = "", fmt.Sprintf("only while %s is logged in, for %s does not linger", a.name, a.name)
			}
		}
		if a.numbered && a.uid != 0 {
			m.asUser = s.tree.become(a) == nil
			m.strict = !m.asUser
		}
		s.timers(ctx, out, m)
	}}
}

// ownUnits reports whether a user may have units that are not everybody's.
func (s *scan) ownUnits(a *account) bool {
	return a.home != "" && (inTheWay(s.tree, a.home+"/.config/systemd") || inTheWay(s.tree, a.home+"/.local/share/systemd")) ||
		a.numbered && inTheWay(s.tree, a.runtime()+"/systemd")
}

// inTheWay reports whether a name is there, or may be, for all that the
// scanner itself can see.
func inTheWay(t *tree, name string) bool {
	p, err := t.lookup(name, true)
	if err == nil {
		p.Close()
		return true
	}
	return isDenied(err)
}

// unmounted tells the homes that some automounter has not mounted: looking at
// them would. No timer can run from there now.
func (s *scan) unmounted(ctx context.Context) func(home string) bool {
	mounts := make(map[string]bool) // whether it is an automounter's
	if s.live {
		for line := range strings.Lines(string(text(ctx, s.tree, "/proc/self/mountinfo"))) {
			before, after, _ := strings.Cut(line, " - ")
			if fields := strings.Fields(before); len(fields) >= 5 {
				mounts[unescapeMount(fields[4])] = strings.HasPrefix(after, "autofs ")
			}
		}
	}
	return func(home string) bool {
		for dir := home; dir != "" && dir != "/"; dir = path.Dir(dir) {
			if automount, mounted := mounts[dir]; mounted {
				return automount
			}
		}
		return false
	}
}

// unescapeMount undoes the kernel's octal escapes.
func unescapeMount(name string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(name)
}

// foreign reports whether a user could have brought a file or directory here
// that the user may not read. It matters where the kernel does not judge it.
func (m *systemd) foreign(t *tree, stat *unix.Stat_t) bool {
	return m.strict && stat.Uid != m.account.uid && !t.mine(stat.Uid)
}
