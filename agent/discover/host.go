package discover

import (
	"bufio"
	"bytes"
	"context"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/cron"
)

// Cron is whose cron reads a host's tables.
type Cron string

// The crons there are. None: the host has a shell but no cron daemon.
const (
	Debian  Cron = "debian"
	Cronie  Cron = "cronie"
	Busybox Cron = "busybox"
	None    Cron = "none"
)

// family is what a distribution decides about cron.
type family struct {
	name  string
	ids   []string     // of os-release ID and ID_LIKE
	cron  Cron         // by default
	reads cron.Dialect // the same, as a grammar
	spool string       // where user tables are
	parts naming       // run-parts' names
}

// families is every distribution we tell apart. The first that os-release's ID
// names wins, then the first that ID_LIKE names; the last stands for all others.
var families = []family{
	{name: "alpine", ids: []string{"alpine", "postmarketos"}, cron: Busybox, reads: cron.Busybox, spool: "/etc/crontabs", parts: busyboxParts},
	{name: "suse", ids: []string{"suse", "opensuse", "opensuse-leap", "opensuse-tumbleweed", "sles", "sled"}, cron: Cronie, reads: cron.Cronie, spool: "/var/spool/cron/tabs", parts: suseParts},
	{name: "rhel", ids: []string{"rhel", "fedora", "centos", "rocky", "almalinux", "ol", "amzn", "mageia", "openEuler"}, cron: Cronie, reads: cron.Cronie, spool: "/var/spool/cron", parts: rhelParts},
	{name: "arch", ids: []string{"arch", "archlinux", "manjaro"}, cron: Cronie, reads: cron.Cronie, spool: "/var/spool/cron", parts: debianParts},
	{name: "gentoo", ids: []string{"gentoo"}, cron: Cronie, reads: cron.Cronie, spool: "/var/spool/cron/crontabs", parts: debianParts},
	{name: "debian", ids: []string{"debian", "ubuntu", "raspbian", "linuxmint", "devuan"}, cron: Debian, reads: cron.Debian, spool: "/var/spool/cron/crontabs", parts: debianParts},
}

// host is what a tree says about the host it is of.
type host struct {
	family
	cron      Cron
	pretty    string // PRETTY_NAME
	users     *users
	zone      string // IANA name; empty where only the rules are known
	location  *time.Location
	stripped  bool // no shell in it: a copy of some files, not a system
	anacron   bool
	atd       bool
	installed []Cron
	bySystemd bool // systemd-cron does what a cron would
	cronDown  bool // cron is installed, but does not run now
	// the daemon's options
	lsbNames bool // Debian's -l
	anyFile  bool // cronie's -p: no checks of owner and mode
	cluster  bool // cronie's -c: many hosts share the spool
}

// readHost looks at what decides how everything else is read.
func readHost(ctx context.Context, t *tree) *host {
	release := variables(text(ctx, t, "/etc/os-release", "/usr/lib/os-release"))
	h := &host{family: familyOf(release), pretty: release["PRETTY_NAME"]}
	h.stripped = !exists(t, "/bin/sh") && !exists(t, "/usr/bin/sh")
	h.detect(t)
	h.users = readUsers(ctx, t)
	h.zone, h.location = readZone(ctx, t)
	h.anacron = exists(t, "/usr/sbin/anacron") || exists(t, "/usr/bin/anacron") || h.stripped && exists(t, "/etc/anacrontab")
	h.atd = exists(t, "/usr/sbin/atd") || exists(t, "/usr/bin/atd") || h.stripped
	h.readOptions(ctx, t)
	return h
}

func familyOf(release map[string]string) family {
	for _, id := range append([]string{release["ID"]}, strings.Fields(release["ID_LIKE"])...) {
		for _, f := range families {
			if slices.Contains(f.ids, id) {
				return f
			}
		}
	}
	return families[len(families)-1]
}

// HostCron says whose cron reads the tables of the tree at root.
func HostCron(ctx context.Context, root string) (Cron, error) {
	t, err := openTree(root)
	if err != nil {
		return "", err
	}
	defer t.release()
	return readHost(ctx, t).cron, nil
}

// exists reports whether there is a file of that name, links followed.
func exists(t *tree, name string) bool {
	p, err := t.lookup(name, true)
	if err != nil {
		return false
	}
	p.Close()
	return p.kind() == unix.S_IFREG
}

// text returns the first of the files that can be read, or nothing.
func text(ctx context.Context, t *tree, names ...string) []byte {
	for _, name := range names {
		p, err := t.lookup(name, true)
		if err != nil {
			continue
		}
		content, err := p.read(ctx, nil)
		p.Close()
		if err == nil {
			return content
		}
	}
	return nil
}

// variables reads NAME=value lines as a shell would, without expansions.
func variables(content []byte) map[string]string {
	set := make(map[string]string)
	for line := range strings.Lines(string(content)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		set[strings.TrimPrefix(name, "export ")] = value
	}
	return set
}

// users are those of the tree's own passwd.
type users struct {
	uids     map[string]uint32
	names    map[uint32]string // the first of each number
	accounts []account         // the first of each name, in order
	// open: who is no user cannot be said. There is no passwd, or other
	// services know users, too.
	open bool
}

func readUsers(ctx context.Context, t *tree) *users {
	passwd := text(ctx, t, "/etc/passwd")
	u := &users{uids: make(map[string]uint32), names: make(map[uint32]string), open: passwd == nil}
	lines := bufio.NewScanner(bytes.NewReader(passwd))
	lines.Buffer(nil, maxFileBytes+1)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 4 || fields[0] == "" {
			continue
		}
		if uid, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
			if _, known := u.uids[fields[0]]; !known {
				u.uids[fields[0]] = uint32(uid)
				u.accounts = append(u.accounts, accountOf(fields, uint32(uid)))
			}
			if _, known := u.names[uint32(uid)]; !known {
				u.names[uint32(uid)] = fields[0]
			}
		}
	}
	for line := range strings.Lines(string(text(ctx, t, "/etc/nsswitch.conf"))) {
		services, ok := strings.CutPrefix(strings.TrimSpace(line), "passwd:")
		if !ok {
			continue
		}
		for _, service := range strings.Fields(services) {
			local := []string{"files", "compat", "systemd", "altfiles"}
			if !strings.HasPrefix(service, "[") && !slices.Contains(local, service) {
				u.open = true
			}
		}
	}
	return u
}

// accountOf reads a line of passwd that has the fields at least.
func accountOf(fields []string, uid uint32) account {
	a := account{name: fields[0], uid: uid}
	gid, err := strconv.ParseUint(fields[3], 10, 32)
	a.gid, a.numbered = uint32(gid), err == nil
	if len(fields) > 5 && path.IsAbs(fields[5]) && path.Clean(fields[5]) != "/" {
		a.home = path.Clean(fields[5])
	}
	return a
}

// userNames are what other services may call a user. What stands where a user
// was forgotten, as PGPASSWORD=secret, is none. The length is bounded apart: a
// class of Unicode times 255 takes 10 MiB and 20 ms of every start.
var userNames = regexp.MustCompile(`^[\pL\pN_][\pL\pN_.@\\+-]*\$?$`)

const maxUserName = 256 // runes

// known reports whether the host knows a user, as far as can be said.
func (u *users) known(name string) bool {
	_, ok := u.uids[name]
	return ok || u.open && utf8.RuneCountInString(strings.TrimSuffix(name, "$")) <= maxUserName && userNames.MatchString(name)
}

// uid returns a user's number.
func (u *users) uid(name string) (uint32, bool) {
	uid, ok := u.uids[name]
	return uid, ok
}

// name returns the user of a number.
func (u *users) name(uid uint32) (string, bool) {
	name, ok := u.names[uid]
	return name, ok
}
