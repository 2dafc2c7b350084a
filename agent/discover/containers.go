package discover

import (
	"context"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// maxContainers bounds the containers that are looked into.
const maxContainers = 100

// container is a running cron that sees another root than the host's.
type container struct {
	process
	label string // its name where the host knows one, which outlives it, or its id
	alien bool   // started by a user, without the host's root
}

// containerSources are what a cron inside a container reads.
var containerSources = []source{
	{name: "/etc/crontab", find: systemTable},
	{name: "/etc/cron.d", find: dropIns},
	{name: "/var/spool/cron", find: userTables},
	{name: "/etc/anacrontab", find: anacronJobs},
	{name: "/etc/cron.*", find: runParts},
}

// containerTables finds the crons that run in containers of the running system.
// What such a cron reads is looked at through its own root, each within a time
// limit of its own.
func containerTables(ctx context.Context, s *scan, out *found) {
	if !s.live {
		return
	}
	out.fleeting = true
	list := runningContainers(ctx, s.tree, procDir)
	if len(list) > maxContainers {
		out.problem(procDir, 0, "", fmt.Sprintf("cron runs in more than %d containers; %d were not looked into", maxContainers, len(list)-maxContainers))
		list = list[:maxContainers]
	}
	for _, c := range list {
		out.parts = append(out.parts, part{name: "container:" + c.label, first: !c.alien, find: func(ctx context.Context, out *found) { s.container(ctx, out, c) }})
	}
}

// runningContainers lists them, those of the host's root first: no user's
// processes crowd them out.
func runningContainers(ctx context.Context, host *tree, proc string) []container {
	self := os.Getpid()
	ours := []string{namespace(proc, self), namespace(proc, 1)}
	var home unix.Stat_t
	if unix.Fstat(host.fd, &home) != nil {
		return nil
	}
	var list []container
	aliens := 0
	for _, pid := range processes(ctx, proc) {
		if ctx.Err() != nil {
			return nil // it is a hang of the source's
		}
		p, ok := cronProcess(proc, pid)
		if !ok || slices.Contains(ours, p.mount) || p.root.dev == uint64(home.Dev) && p.root.ino == home.Ino {
			continue
		}
		same := slices.IndexFunc(list, func(c container) bool { return c.root == p.root })
		if same >= 0 && p.user.uid >= list[same].user.uid || same < 0 && p.user.uid != 0 && aliens > maxContainers {
			continue // one with fewer rights in the same container, or one of a crowd
		}
		label, alien := p.label(ctx, host)
		if alien {
			aliens++
		}
		if one := (container{p, label, alien}); same >= 0 {
			list[same] = one
		} else {
			list = append(list, one)
		}
	}
	slices.SortStableFunc(list, func(a, b container) int {
		switch {
		case a.alien == b.alien:
			return strings.Compare(a.label, b.label)
		case a.alien:
			return 1
		}
		return -1
	})
	return list
}

// container finds the jobs of one container.
func (s *scan) container(ctx context.Context, out *found, c container) {
	root, err := c.openRoot()
	if err != nil {
		return // it has ended
	}
	defer root.release()
	if int(c.user.uid) != os.Geteuid() { // its cron may not read more than its process
		if err := s.tree.become(&c.user); err != nil {
			out.problem("container:"+c.label, 0, "", fmt.Sprintf("its cron runs as user %d, whose rights cannot be taken on: %v", c.user.uid, err))
			return
		}
	}
	inside := &scan{tree: root, host: readHost(ctx, root), now: s.now, next: s.next}
	inside.host.within(&c.process)
	var all found
	if c.program == supercronic {
		inside.supercronic(ctx, &all, &c.process)
	} else {
		for _, src := range containerSources {
			var one found
			src.find(ctx, inside, &one)
			inside.calls = append(inside.calls, one.calls...)
			all.add(&one)
		}
	}
	prefix := "container:" + c.label + ":"
	for i := range all.jobs {
		all.jobs[i].Source, all.jobs[i].Container = prefix+all.jobs[i].Source, c.label
		all.jobs[i].Unseen = true // what logs there is not looked for
	}
	for i := range all.problems {
		all.problems[i].Source = prefix + all.problems[i].Source
	}
	out.add(&all)
}

// within tells a host what only its running cron shows: which it is, with what
// options, and which numbers its users have outside.
func (h *host) within(p *process) {
	h.stripped = false
	switch base := path.Base(p.exe); {
	case h.cron != None:
	case strings.HasPrefix(base, "busybox") || strings.HasPrefix(base, "bbsuid"):
		h.use(Busybox)
	case base == "cron":
		h.use(Debian)
	default:
		h.use(Cronie)
	}
	h.spoolOption(p.args)
	h.users.outside(p.uids)
}

// outside gives users the numbers that files of theirs have outside.
func (u *users) outside(ids idMap) {
	if len(ids) == 0 {
		return
	}
	u.names = make(map[uint32]string, len(u.names))
	for i := range u.accounts {
		a := &u.accounts[i]
		a.uid, a.numbered = ids.outside(a.uid)
		u.uids[a.name] = a.uid
		if _, taken := u.names[a.uid]; !taken {
			u.names[a.uid] = a.name
		}
	}
}

// supercronic is a cron for containers that reads one table, named by its last
// argument.
const supercronic = "supercronic"

func (s *scan) supercronic(ctx context.Context, out *found, p *process) {
	file := ""
	for _, arg := range p.args[min(1, len(p.args)):] {
		if !strings.HasPrefix(arg, "-") {
			file = arg
		}
	}
	if file == "" {
		return
	}
	if !path.IsAbs(file) {
		file = path.Join("/", p.dir, file)
	}
	s.host.cron, s.host.reads, s.host.anyFile, s.host.users.open = Cronie, cron.Cronie, true, true
	dir := s.dir(out, path.Dir(path.Clean(file)))
	if dir == nil {
		return
	}
	defer dir.Close()
	owner, known := s.host.users.name(p.user.uid)
	if !known {
		owner = strconv.FormatUint(uint64(p.user.uid), 10)
	}
	s.table(ctx, out, dir, path.Base(file), table{source: printable(path.Clean(file)), owner: owner})
	whole := false
	for i := range out.problems {
		switch p := &out.problems[i]; {
		case strings.HasPrefix(p.Reason, "a sixth field"):
			p.Reason = "supercronic takes a sixth and seventh field, for seconds and years; when such a job comes is not known here (write five fields)"
		case p.Line > 0:
			whole = true
		}
	}
	for i := range out.jobs {
		switch job := &out.jobs[i]; {
		case whole:
			job.Verdict = no(fleet.FileRefused, "supercronic refuses the whole file because of another line (correct that line)")
			job.Next = nil
		case moreFields.MatchString(job.Command):
			job.Verdict = no(fleet.OtherwiseWrong, "supercronic takes what the command begins with for a year; when that comes is not known here (write five fields)")
			job.Next = nil
		}
	}
}

// moreFields begins what is a sixth or seventh field to supercronic.
var moreFields = regexp.MustCompile(`^[*0-9][-0-9*/,]*[ \t]`)
