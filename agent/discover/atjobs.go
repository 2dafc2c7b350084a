package discover

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// atSpools are the directories at keeps its jobs in, of Debian, RHEL and SUSE.
var atSpools = []string{"/var/spool/cron/atjobs", "/var/spool/at", "/var/spool/atjobs"}

// atJobs finds the jobs that wait in at's queues.
func atJobs(ctx context.Context, s *scan, out *found) {
	type key struct{ dev, ino uint64 }
	seen := make(map[key]bool) // one directory may have several names
	for _, name := range atSpools {
		dir := s.dir(out, name)
		if dir == nil {
			continue
		}
		if k := (key{uint64(dir.stat.Dev), dir.stat.Ino}); !seen[k] {
			seen[k] = true
			s.atSpool(ctx, out, dir)
		}
		dir.Close()
	}
}

func (s *scan) atSpool(ctx context.Context, out *found, dir *directory) {
	names := s.names(out, dir)
	out.fleeting = out.fleeting || len(names) > 0 // their verdicts depend on the time
	s.atdDown = s.live && len(names) > 0 && s.host.atd && atDaemon.down(ctx, s.tree)
	for _, file := range names {
		if ctx.Err() != nil {
			return
		}
		name, ok := parseAtName(file)
		if ok && !name.running() {
			if _, running := slices.BinarySearch(names, "="+file[1:]); running {
				continue // a second name of the job that runs
			}
		}
		s.atJob(ctx, out, dir, file, name, ok)
	}
}

// atJob adds the job of one file, or tells why there is none.
func (s *scan) atJob(ctx context.Context, out *found, dir *directory, file string, name atName, named bool) {
	source := printable(dir.path + "/" + file)
	p, err := dir.lookup(file, false)
	if err != nil {
		out.failed(source, err)
		return
	}
	defer p.Close()
	switch {
	case p.kind() == unix.S_IFDIR && !named:
		return // "spool", where the output of running jobs is kept
	case errKinds[p.kind()] != nil:
		out.problem(source, 0, "", errKinds[p.kind()].Error())
		return
	case !named:
		out.problem(source, 0, "", "its name is not that of an at job: a letter for the queue, then 13 hexadecimal digits")
		return
	}
	written := time.Unix(p.stat.Mtim.Unix())
	done := p.stat.Mode&unix.S_IXUSR != 0
	if age := s.now.Sub(written); !done && age >= 0 && age < time.Minute {
		return // at is writing it; the next scan sees it whole
	}
	content, err := p.read(ctx, out.buffer)
	if err != nil {
		out.failed(source, err)
		return
	}
	out.buffer = content
	at, ok := parseAtFile(content)
	if !ok {
		out.problem(source, 0, "", "it does not begin as at writes it (atd says: wrong format)")
		return
	}
	if !at.found {
		out.problem(source, 0, "", "the command cannot be told from the environment before it, so neither is shown")
	}
	s.addAt(out, source, p, name, at, done)
}

func (s *scan) addAt(out *found, source string, p *place, name atName, at atFile, done bool) {
	user, known := s.host.users.name(at.uid)
	if !known {
		user = strconv.FormatUint(uint64(at.uid), 10)
	}
	job := fleet.Job{
		Kind: fleet.KindAt, Source: source, User: printable(user), Schedule: name.due.Format(time.RFC3339),
		Timezone: s.host.zone, Command: printable(at.command), Latin1: !utf8.ValidString(at.command), Enabled: true,
	}
	switch {
	case !s.host.atd:
		job.Verdict = no(fleet.NoScheduler, "at is not installed on this host, so nothing starts it (install at)")
	case !known && !s.host.users.open:
		job.Verdict = no(fleet.UnknownUser, "no user in /etc/passwd has the number %d, so atd cannot run it as that user (rm %s)", at.uid, source)
	case !done:
		job.Verdict = no(fleet.BadMode, "it is still being written, or was given up: its owner may not execute it (rm %s)", source)
	case !s.tree.root(p.stat.Uid) && p.stat.Uid != at.uid:
		job.Verdict = no(fleet.BadOwner, "the file belongs to user %d, but its head names %d, so atd does not run it (make it again with at)", p.stat.Uid, at.uid)
	case p.stat.Nlink > 2:
		job.Verdict = no(fleet.BadLinks, "the file has other hard links, so atd does not run it (make it again with at)")
	case s.atdDown && !name.running():
		job.Verdict = no(fleet.SchedulerDown, "atd is installed but does not run, so nothing is started (%s)", atDaemon.start)
	case !name.running() && !name.batch() && s.now.Sub(name.due) > late:
		job.Verdict = no(fleet.SchedulerDown, "its time has passed and it still waits; is atd running? (systemctl start atd)")
	default:
		job.Verdict = fleet.Verdict{Runs: true, Why: name.says()}
		if name.due.After(s.now) && !name.running() {
			job.Next = []time.Time{name.due}
		}
	}
	if out.room(len(job.Command)) {
		out.jobs = append(out.jobs, job)
	}
}

// late is how long after its time a job may wait before that is remarkable:
// atd looks once a minute at least.
const late = 2 * time.Minute

// says tells what is special about a job's queue.
func (n atName) says() string {
	switch {
	case n.running():
		return "it is running now"
	case n.batch():
		return fmt.Sprintf("queue %c is a batch queue: it starts at that time or later, when the load is low", n.queue)
	}
	return ""
}
