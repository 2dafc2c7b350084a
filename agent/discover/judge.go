package discover

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// subject is what of a found job is judged once all jobs are known.
type subject struct {
	index     int // of the job
	runs      bool
	kind      fleet.JobKind
	source    string
	user      string
	command   string
	env       map[string]string
	elsewhere bool // it runs in another root
	secret    bool // its command holds one
	table     *standing
}

// sought is a command, and the first of the directories it is searched in:
// equal lists of directories are the same list.
type sought struct {
	dirs *string
	name string
}

// located is what was found.
type located struct {
	file *target
	name string
}

// opinion is what comes of it.
type opinion struct {
	verdict fleet.Verdict // where it does not run after all
	aside   string        // what is to be said though it runs
	risks   []fleet.Risk
	manager string // of a unit, by the comments its file begins with
}

// judge looks at what jobs start: whether it is there, and who could change
// it. It only looks: no name leads out of the tree, nothing is executed, and
// what may hang is left alone.
type judge struct {
	*scan
	ways     *ways
	accounts map[string]*account
	access   *access
	members  *groups
	exposed  map[string]bool // sources whose secrets were told of
	paths    string          // the PATH seen last, and its directories
	dirs     []string
	found    map[sought]located // commands that were searched for
	last     *target            // what the source of a job was taken for last
	lastOf   string
	now      starting          // what is looked at
	outer    shellReader       // of its command
	harmless map[string]string // the environment last seen to hold no secret
	applets  bool              // its shell may know commands of which there is no file
	complete bool              // the tree has a shell, so that it can be said what is missing
}

// subjects lists the jobs that run as far as is known, and all timers.
func (f *found) subjects() []subject {
	list := make([]subject, 0, len(f.jobs))
	for i := range f.jobs {
		job := &f.jobs[i]
		if (job.Verdict.Runs || job.Kind == fleet.KindTimer) && job.Container == "" {
			list = append(list, subject{
				index: i, runs: job.Verdict.Runs, kind: job.Kind, source: job.Source, user: job.User, command: job.Command, env: job.Env,
				elsewhere: slices.Contains(f.elsewhere, job.Source), secret: f.asides[i].secret,
				table: f.asides[i].table,
			})
		}
	}
	return list
}

// judge returns an opinion of each subject.
func (s *scan) judge(ctx context.Context, list []subject) []opinion {
	accounts := make(map[string]*account, len(s.host.users.accounts))
	for i := range s.host.users.accounts {
		a := &s.host.users.accounts[i]
		accounts[a.name] = a
	}
	access := readAccess(ctx, s)
	opinions := make([]opinion, len(list))
	parts := ofTables(stretches(len(list)), list)
	judged := make([]int, len(parts))
	spread(parts, func(i int, of stretch) {
		j := &judge{scan: s, accounts: accounts, access: access, exposed: make(map[string]bool), found: make(map[sought]located)}
		judged[i] = j.all(ctx, list[of.from:of.to], opinions[of.from:of.to])
	})
	for i, of := range parts {
		if judged[i] < of.to-of.from {
			return opinions[:of.from+judged[i]]
		}
	}
	return opinions
}

// ofTables moves where stretches meet to where another crontab begins: what is
// said once for each file is said once. Where none does there is one stretch.
func ofTables(parts []stretch, list []subject) []stretch {
	for i := 1; i < len(parts); i++ {
		at := parts[i].from
		for at < len(list) && (list[at-1].kind != fleet.KindCron || list[at].kind != fleet.KindCron || list[at-1].source == list[at].source) {
			at++
		}
		if at >= parts[i].to {
			return []stretch{{0, len(list)}}
		}
		parts[i-1].to, parts[i].from = at, at
	}
	return parts
}

// all judges jobs one after the other, and returns how many it came to.
func (j *judge) all(ctx context.Context, list []subject, opinions []opinion) int {
	j.ways = newWays(ctx, j.tree, j.live, len(list))
	defer j.ways.Close()
	for _, name := range []string{"/bin/sh", "/usr/bin/sh"} {
		file := j.ways.file(name)
		if file.err == nil && file.mode&0o111 != 0 {
			j.complete, j.applets = true, j.applets || strings.HasPrefix(file.name, "busybox")
		}
	}
	for i := range list {
		if ctx.Err() != nil {
			return i
		}
		j.one(&list[i], &opinions[i])
	}
	return len(list)
}

func (j *judge) one(s *subject, o *opinion) {
	o.verdict = runs
	if s.kind == fleet.KindTimer && path.IsAbs(s.source) {
		if file := j.ways.file(s.source); file.err == nil && file.only(j.tree.root) {
			o.manager = manager(file.head(maxHead))
		}
	}
	if !s.runs {
		return
	}
	if s.kind == fleet.KindCron || s.kind == fleet.KindAt {
		o.verdict, o.aside = j.access.of(s, j.host.cron)
	}
	p := &j.now
	*p = starting{judge: j, job: s, home: s.env["HOME"], files: p.files[:0]}
	if a := j.accounts[s.user]; a != nil {
		p.user, p.known = *a, true
		if !path.IsAbs(p.home) {
			p.home = a.home
		}
	}
	p.dir = p.home
	if o.verdict.Runs && j.complete && !s.elsewhere {
		o.verdict = p.verdict()
	}
	if o.verdict.Runs {
		o.risks = p.risks()
	}
}

// Directories that are searched where PATH is not set.
var (
	debianPath = []string{"/usr/bin", "/bin"}
	croniePath = []string{"/usr/bin", "/bin", "/usr/sbin", "/sbin"}
	fullPath   = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
)

// verdict says whether what the job starts is there.
func (p *starting) verdict() fleet.Verdict {
	_, p.aliased = p.job.env["BASH_ENV"]
	text := p.job.command
	switch p.job.kind {
	case fleet.KindRunParts:
		file := p.ways.file(text)
		if file.err != nil {
			return runs
		}
		p.files = append(p.files, file)
		if why := p.interpreter(file, text); why != "" {
			return no(fleet.NoCommand, "%s", why)
		}
		return runs
	case fleet.KindTimer:
		return p.unit(text)
	case fleet.KindAt:
		p.dir = ""
		return p.shell(text, 0)
	case fleet.KindCron:
		if p.path, p.from = debianPath, "cron's own"; p.host.cron == Cronie {
			p.path = croniePath
		} else if p.host.cron == Busybox {
			p.path = fullPath
		}
		if strings.ContainsAny(text, `%\`) {
			text = p.host.reads.Shell(text)
		}
	default:
		p.path, p.from = fullPath, "the usual one"
	}
	if value, set := p.job.env["PATH"]; set {
		p.path, p.from = p.searched(value), "set in "+p.job.source
	}
	if p.applets {
		p.path = nil
	}
	if verdict, judged := p.ofShell(); judged {
		return verdict
	}
	return p.shell(text, 0)
}

// ofShell looks at the shell that reads the command. Where it is none that
// this package can follow, nothing more is said.
func (p *starting) ofShell() (fleet.Verdict, bool) {
	shell, set := p.job.env["SHELL"]
	if !set {
		return runs, false
	}
	if !path.IsAbs(shell) {
		return runs, true
	}
	file := p.ways.file(shell)
	switch base := path.Base(shell); {
	case file.missing():
		return no(fleet.NoCommand, "SHELL is %s, which does not exist, so nothing reads the command (install it, or correct SHELL in %s)", shell, p.job.source), true
	case refusers[base]:
		return no(fleet.NotExecutable, "SHELL is %s, which runs no command (correct SHELL in %s)", shell, p.job.source), true
	case file.err != nil || !shells[base]:
		return runs, true
	}
	return runs, false
}

// unit judges the ExecStart of a service.
func (p *starting) unit(text string) fleet.Verdict {
	text, _, _ = strings.Cut(text, " ; ")
	text = strings.TrimLeft(text, "@|-:+!")
	if strings.HasPrefix(text, "systemctl start ") {
		return runs
	}
	list, _ := readShell(text)
	if len(list) == 0 {
		return runs
	}
	words := list[0].words
	for i := range words {
		words[i].plain = words[i].plain && !strings.ContainsAny(words[i].text, "%$")
	}
	p.path, p.from, p.dir = fullPath, "systemd's own", ""
	if len(words) > 0 && builtins[words[0].text] && words[0].plain && !strings.Contains(words[0].text, "/") {
		_, verdict := p.search(words[0].text)
		return verdict
	}
	return p.words(words, 0)
}
