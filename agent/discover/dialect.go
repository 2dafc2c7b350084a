package discover

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetcron/fleetcron/agent/crontab"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// grammars are the dialects of the crons.
var grammars = map[Cron]cron.Dialect{Debian: cron.Debian, Cronie: cron.Cronie, Busybox: cron.Busybox}

// detect finds whose cron is installed. Where several are, the distribution's
// own counts until it is seen that another runs: busybox often lies beside.
// The distribution decides, too, where none is and the tree is only a copy of
// some files.
func (h *host) detect(t *tree) {
	h.installed = installedCrons(t, h.family.name)
	switch {
	case slices.Contains(h.installed, h.family.cron):
		h.use(h.family.cron)
	case len(h.installed) > 0:
		h.use(h.installed[0])
	case h.stripped:
		h.use(h.family.cron)
	case slices.ContainsFunc(crontabGenerators, func(name string) bool { return exists(t, name) }):
		h.use(h.family.cron)
		h.bySystemd = true
	default:
		h.cron = None
	}
}

// crontabGenerators are systemd-cron's: they make timers of crontabs, so that
// systemd does what a cron would.
var crontabGenerators = []string{"/usr/lib/systemd/system-generators/systemd-crontab-generator", "/lib/systemd/system-generators/systemd-crontab-generator"}

// installedCrons lists the crons whose programs are there, the likeliest to be
// used first.
func installedCrons(t *tree, distribution string) []Cron {
	var list []Cron
	for _, name := range []string{"/usr/sbin/crond", "/usr/bin/crond", "/sbin/crond", "/bin/crond"} {
		p, err := t.lookup(name, true)
		if err != nil {
			continue
		}
		p.Close()
		one := Cronie
		if base := path.Base(p.path); strings.HasPrefix(base, "busybox") || strings.HasPrefix(base, "bbsuid") {
			one = Busybox
		}
		list = append(list, one)
	}
	if exists(t, "/usr/sbin/cron") { // SUSE's cronie has that name, too
		one := Debian
		if distribution == "suse" {
			one = Cronie
		}
		list = append(list, one)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	slices.Reverse(list) // busybox last
	return list
}

// use takes a cron for the host's. One that is not its distribution's has
// another spool there.
func (h *host) use(c Cron) {
	h.cron, h.reads = c, grammars[c]
	if c != h.family.cron {
		h.spool = "/var/spool/cron/crontabs" // Debian's cronie, and busybox's default
	}
}

// look finds, on the running system, which of the crons runs, if any.
func (h *host) look(ctx context.Context, t *tree) {
	if h.bySystemd {
		return
	}
	h.cronDown = daemons[h.cron].down(ctx, t)
	for _, other := range h.installed {
		if h.cronDown && other != h.cron && !daemons[other].down(ctx, t) {
			h.use(other)
			h.cronDown = false
		}
	}
}

// readOptions reads the options the daemons are started with, each from where
// its distribution keeps them.
func (h *host) readOptions(ctx context.Context, t *tree) {
	read := func(file, name string) []string {
		return strings.Fields(variables(text(ctx, t, file))[name])
	}
	h.lsbNames = slices.Contains(read("/etc/default/cron", "EXTRA_OPTS"), "-l")
	cronie := read("/etc/sysconfig/crond", "CRONDARGS")
	h.anyFile = slices.Contains(cronie, "-p")
	h.cluster = h.cron == Cronie && slices.Contains(cronie, "-c")
	h.spoolOption(read("/etc/conf.d/crond", "CRON_OPTS"))
}

// spoolOption heeds busybox crond's -c, which names its spool.
func (h *host) spoolOption(options []string) {
	if i := slices.Index(options, "-c"); i >= 0 && h.cron == Busybox && i+1 < len(options) && path.IsAbs(options[i+1]) {
		h.spool = path.Clean(options[i+1])
	}
}

// clustered says why a spool that many hosts share is not this one's, or
// nothing: with -c, cronie reads it only where it names the host.
func (s *scan) clustered(ctx context.Context, dir *directory) fleet.Verdict {
	if !s.host.cluster {
		return fleet.Verdict{}
	}
	const file = ".cron.hostname"
	named := ""
	if p, err := dir.lookup(file, false); err == nil {
		content, _ := p.read(ctx, nil)
		p.Close()
		named, _, _ = strings.Cut(string(content), "\n")
	}
	if s.name == "" || strings.TrimSpace(named) == s.name {
		return fleet.Verdict{}
	}
	return no(fleet.OtherwiseWrong, "crond -c runs users' tables only on the host that %s/%s names, which is %q (crontab -n %s moves them here)", dir.path, file, printable(named), s.name)
}

// maxRandomDelay is what cronie takes, in minutes.
const maxRandomDelay = 1440

// late says how much later than foretold cronie may start a job.
func (s *scan) late(j *crontab.Job) string {
	if s.host.reads != cron.Cronie {
		return ""
	}
	value, _ := j.Setting("RANDOM_DELAY")
	minutes, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || minutes < 1 || minutes > maxRandomDelay {
		return ""
	}
	return fmt.Sprintf("up to %d minutes late, by RANDOM_DELAY", minutes)
}
