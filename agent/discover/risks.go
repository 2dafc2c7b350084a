package discover

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/agent/mask"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// risks are what is wrong with a job that runs.
func (p *starting) risks() []fleet.Risk {
	var list []fleet.Risk
	add := func(kind fleet.FindingKind, why string) {
		if why != "" {
			list = append(list, fleet.Risk{Kind: kind, Why: why})
		}
	}
	add(fleet.FindPercent, p.percent())
	add(fleet.FindPath, p.risk)
	add(fleet.FindWritable, p.writable())
	secret, exposed := p.secrets()
	add(fleet.FindSecret, secret)
	add(fleet.FindExposed, exposed)
	return list
}

// readers take what follows "%" as it is meant: as their input.
var readers = set("mail", "mailx", "sendmail", "s-nail", "cat", "tee", "sh", "bash", "wall", "write", "logger", "mysql", "mariadb", "psql",
	"sqlite3", "ftp", "lftp", "sftp", "bc", "dc", "wc", "gpg", "at", "batch", "xargs", "sudo", "ssh", "telnet", "nc", "ed", "ex")

// dateFormat is how what follows a "%" begins where a date was meant.
var dateFormat = regexp.MustCompile(`^[-_0^#]?[A-Za-z]($|[^a-z])`)

// percent says whether an unescaped "%" cuts the command where that is surely
// not meant.
func (p *starting) percent() string {
	if p.job.kind != fleet.KindCron || p.host.cron == Busybox || !strings.Contains(p.job.command, "%") {
		return ""
	}
	shell, input, cut := cron.Percent(p.job.command)
	if !cut {
		return ""
	}
	list, whole := readShell(shell)
	if whole && !strings.HasSuffix(shell, "+") {
		if !dateFormat.MatchString(input) {
			return ""
		}
		if n := len(list); n > 0 && len(list[n-1].words) > 0 && readers[path.Base(list[n-1].words[0].text)] {
			return ""
		}
	}
	return fmt.Sprintf("an unescaped %% ends the command: the shell gets only %q, and the rest becomes its input (write \\%%)", clipped(shell, 120))
}

func clipped(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// writable says whether others than root and the job's user could change what
// it runs: the crontab, the program, its script, or a directory above them.
func (p *starting) writable() string {
	for _, file := range p.files {
		if why := p.firstOpen(file); why != "" {
			return fmt.Sprintf("%s runs %s, but %s", p.job.user, file.path, why)
		}
	}
	if p.job.kind == fleet.KindAt || !path.IsAbs(p.job.source) {
		return ""
	}
	if file := p.source(); file.err == nil {
		if why := p.firstOpen(file); why != "" {
			return fmt.Sprintf("what %s runs stands in %s, but %s", p.job.user, p.job.source, why)
		}
	}
	return ""
}

// source is the file that a job stands in: of a table what was seen of it when
// it was read.
func (p *starting) source() *target {
	if p.last == nil || p.lastOf != p.job.source {
		p.last, p.lastOf = p.ways.stood(p.job.source, p.job.table), p.job.source
	}
	return p.last
}

// firstOpen says which of the steps others may write, and who.
func (p *starting) firstOpen(file *target) string {
	for s := range file.steps {
		who := p.who(s)
		if who == "" {
			continue
		}
		if s.kind() == unix.S_IFDIR {
			return fmt.Sprintf("%s may write the directory %s and so put another file in its place (%s)", who, s.path, p.cure(s))
		}
		return fmt.Sprintf("%s may write %s and so decides what is run as %s (%s)", who, s.path, p.job.user, p.cure(s))
	}
	return ""
}

func (p *starting) cure(s *step) string {
	switch {
	case !p.trusted(s.uid):
		return "chown root " + s.path
	case s.mode&0o022 == 0o022:
		return "chmod go-w " + s.path
	case s.mode&0o002 != 0:
		return "chmod o-w " + s.path
	}
	return "chmod g-w " + s.path
}

func (p *starting) trusted(uid uint32) bool {
	return p.tree.root(uid) || p.known && uid == p.user.uid
}

// who may write a file or directory beside root and the job's user. In a
// sticky directory, such as /tmp, everybody may make files, but nobody may
// replace those of another.
func (p *starting) who(s *step) string {
	if !p.trusted(s.uid) {
		return "user " + p.userName(s.uid) + ", who owns it,"
	}
	kind := s.kind()
	if kind == unix.S_IFLNK || kind == unix.S_IFDIR && s.mode&unix.S_ISVTX != 0 {
		return ""
	}
	if s.mode&0o002 != 0 {
		return "everybody"
	}
	if s.mode&0o020 == 0 {
		return ""
	}
	others := p.others(s.gid, p.job.user)
	if len(others) == 0 {
		return ""
	}
	return fmt.Sprintf("group %s (%s)", p.groups().name(s.gid), listed(others))
}

func (p *starting) userName(uid uint32) string {
	if name, ok := p.host.users.name(uid); ok {
		return name
	}
	return strconv.FormatUint(uint64(uid), 10)
}

// listed names at most three.
func listed(names []string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	return strings.Join(names, ", ")
}

// secrets says which secrets stand in the open: in the command, where every
// user of the host sees them while it runs; in its environment; and in a file
// that others may read. Those of the environment are told of once for each
// file.
func (p *starting) secrets() (secret, exposed string) {
	var names []string
	if !maps.Equal(p.job.env, p.harmless) {
		names = mask.SecretSettings(p.job.env)
	}
	once := ""
	if len(names) == 0 {
		p.harmless = p.job.env
	} else {
		slices.Sort(names)
		if once = p.job.source + "\x00" + strings.Join(names, "\x00"); p.exposed[once] {
			names = nil
		}
	}
	switch {
	case p.job.secret:
		secret = "a secret stands in the command, where every user of the host can read it in the list of processes while it runs (read it from a file of mode 0600 instead)"
	case len(names) > 0:
		secret = fmt.Sprintf("a secret stands in the setting %s, which is handed to everything the job starts (read it from a file of mode 0600 instead)", listed(names))
	default:
		return "", ""
	}
	if len(names) > 0 {
		p.exposed[once] = true
	}
	if !path.IsAbs(p.job.source) {
		return secret, ""
	}
	file := p.source()
	if file.err != nil {
		return secret, ""
	}
	if who := p.whoReads(file); who != "" {
		exposed = fmt.Sprintf("%s may read %s, and there is a secret in it (chmod %s %s)", who, p.job.source, closed(p.job.kind, file.mode), p.job.source)
	}
	return secret, exposed
}

// closed is the mode that keeps others from reading.
func closed(kind fleet.JobKind, mode uint32) string {
	if kind == fleet.KindRunParts || mode&0o100 != 0 {
		return "go-rwx"
	}
	return "600"
}

// whoReads says who beside root and the job's user may read a file, by its
// mode and those of the directories above.
func (p *starting) whoReads(file *target) string {
	open := func(bit uint32) bool {
		for s := range file.steps {
			if s.kind() == unix.S_IFDIR && s.mode&bit == 0 {
				return false
			}
		}
		return true
	}
	if file.mode&0o004 != 0 && open(0o001) {
		return "everybody"
	}
	if others := p.others(file.gid, p.job.user); file.mode&0o040 != 0 && len(others) > 0 && open(0o011) {
		return fmt.Sprintf("group %s (%s)", p.groups().name(file.gid), listed(others))
	}
	return ""
}
