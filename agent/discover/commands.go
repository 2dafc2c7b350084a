package discover

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// starting is what a command starts, looked at without starting it.
type starting struct {
	*judge
	job     *subject
	user    account
	known   bool     // the user's numbers are known
	aliased bool     // names may mean what the environment says
	home    string   // empty: unknown
	dir     string   // changed into; empty: unknown
	path    []string // searched for commands; nil: unknown
	from    string   // who says so, for people

	files []*target // that it runs, in the order found
	risk  string    // a later command that the path does not hold
}

// shells read the commands of crontabs as this package does.
var shells = set("sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash")

// refusers are set as shells to run nothing.
var refusers = set("false", "nologin")

func set(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, word := range words {
		m[word] = true
	}
	return m
}

// builtins are commands that shells do themselves.
var builtins = set(".", ":", "[", "[[", "alias", "bg", "bind", "break", "builtin", "caller", "cd", "command", "compgen", "complete", "continue",
	"declare", "dirs", "disown", "echo", "enable", "eval", "exec", "exit", "export", "false", "fc", "fg", "getopts", "hash", "help", "history",
	"jobs", "kill", "let", "local", "logout", "mapfile", "popd", "print", "printf", "pushd", "pwd", "read", "readarray", "readonly", "return",
	"set", "shift", "shopt", "source", "suspend", "test", "times", "trap", "true", "type", "typeset", "ulimit", "umask", "unalias", "unset",
	"wait", "whence", "setopt", "unsetopt", "autoload")

// keywords begin what is more than a simple command.
var keywords = set("if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "select", "function", "{", "}", "!", "coproc", "((")

// trifles come before what a job is about.
var trifles = set("sleep", "echo", "printf", "date", "logger", "mkdir", "touch", "rm", "true", ":", "umask", "ulimit", "set", "export", "unset",
	"trap", "shopt", "alias", "pwd", "wait", "readonly", "source", ".", "find", "test", "[", "[[", "cd")

// shell judges a command that a shell reads.
func (p *starting) shell(text string, depth int) fleet.Verdict {
	var list []simple
	if depth == 0 {
		list = p.outer.again(text)
	} else {
		list, _ = readShell(text) // while the outer one is gone through
	}
	first := true
	for i := range list {
		c := &list[i]
		words := p.settings(c.words)
		if len(words) == 0 {
			continue
		}
		name := words[0]
		if !name.plain && p.expand(&name) {
			words = append([]shellWord{name}, words[1:]...)
		}
		switch {
		case !name.plain || keywords[name.text] || p.path == nil && !strings.Contains(name.text, "/") && !builtins[name.text]:
			return runs
		case name.text == "cd":
			if verdict, stop := p.enter(words[1:], c.op); stop {
				return verdict
			}
		case name.text == "[" || name.text == "test" || name.text == "[[":
			if c.op == "||" || c.op == "&&" && p.guardFails(words[1:]) {
				return runs
			}
		default:
			verdict := p.words(words, depth)
			if !verdict.Runs && first {
				return verdict
			}
			if name.text == "." || name.text == "source" || name.text == "eval" {
				p.path = nil // it may set anything
			}
			first = first && trifles[name.text] && c.op != "|"
		}
		if c.op == "||" {
			return runs // what follows is for another case
		}
	}
	return runs
}

// settings takes NAME=value off the front, and heeds PATH.
func (p *starting) settings(words []shellWord) []shellWord {
	for len(words) > 0 {
		name, value, ok := strings.Cut(words[0].text, "=")
		if !ok || name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			break
		}
		if name == "PATH" || name == "HOME" {
			p.path = nil
			if words[0].plain && name == "PATH" {
				p.path, p.from = p.searched(value), "the command sets"
			}
		}
		words = words[1:]
	}
	if len(words) > 1 && words[0].text == "export" && strings.HasPrefix(words[1].text, "PATH=") {
		p.settings(words[1:2])
	}
	return words
}

// expand makes $HOME/… plain.
func (p *starting) expand(word *shellWord) bool {
	for _, begin := range [...]string{"$HOME/", "${HOME}/"} {
		if rest, ok := strings.CutPrefix(word.text, begin); ok && p.home != "" && !strings.ContainsAny(rest, "$`*?[{~") {
			word.text, word.plain = p.home+"/"+rest, true
			return true
		}
	}
	return false
}

// searched are the directories of a PATH. Most jobs of a host have the same.
func (j *judge) searched(value string) []string {
	if j.paths != value {
		j.paths, j.dirs = value, searched(value)
	}
	return j.dirs
}

func searched(value string) []string {
	dirs := strings.Split(value, ":")
	for _, dir := range dirs {
		if dir == "" || !path.IsAbs(dir) && !strings.HasPrefix(dir, "$") && !strings.HasPrefix(dir, "~") && dir != "." {
			return nil // relative to wherever it is
		}
	}
	return dirs
}

// enter changes into a directory.
func (p *starting) enter(words []shellWord, op string) (verdict fleet.Verdict, stop bool) {
	if len(words) > 0 && words[0].text == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		p.dir = p.home
		return runs, false
	}
	to := words[0]
	if p.expand(&to); !to.plain || strings.HasPrefix(to.text, "-") {
		p.dir = ""
		return runs, false
	}
	name := p.absolute(to.text)
	if p.dir = name; name == "" {
		return runs, false
	}
	switch way := p.ways.dir(path.Clean(name), 0); {
	case way.err == nil:
	case (&target{err: way.err}).missing() && op == "&&":
		return no(fleet.NoCommand, "it changes into %s first, which does not exist, so the rest is not run (make the directory, or correct the line)", name), true
	default:
		return runs, true
	}
	return runs, false
}

// absolute is a name from the directory the command is in, or empty.
func (p *starting) absolute(name string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if p.home == "" {
			return ""
		}
		return p.home + "/" + rest
	}
	if path.IsAbs(name) {
		return name
	}
	if p.dir == "" {
		return ""
	}
	return path.Join(p.dir, name)
}

// guardFails reports whether the words test for a file that is not there, so
// that what follows is not meant to run.
func (p *starting) guardFails(words []shellWord) bool {
	if len(words) > 0 && (words[len(words)-1].text == "]" || words[len(words)-1].text == "]]") {
		words = words[:len(words)-1]
	}
	if len(words) != 2 || !words[1].plain || len(words[0].text) != 2 || !strings.Contains("-x-e-f-r-s-d", words[0].text) {
		return false
	}
	name := p.absolute(words[1].text)
	if name == "" {
		return true // it may be
	}
	t := p.ways.file(name)
	return t.err != nil || words[0].text == "-x" && t.mode&0o111 == 0
}

// words judges a simple command, and what it starts in turn.
func (p *starting) words(words []shellWord, depth int) fleet.Verdict {
	for range 8 { // wrappers within wrappers
		if len(words) == 0 || !words[0].plain {
			return runs
		}
		file, verdict := p.command(words[0].text)
		if !verdict.Runs {
			return verdict
		}
		if file != nil {
			p.files = append(p.files, file)
		}
		name := path.Base(words[0].text)
		if shells[name] {
			return p.shellArguments(words[1:], depth)
		}
		if takes, ok := interpreters[name]; ok || strings.HasPrefix(name, "python") {
			return p.script(name, words[1:], takes)
		}
		wrapper, ok := wrappers[name]
		if !ok {
			return runs
		}
		rest, command := wrapper.strip(words[1:])
		if command != "" && depth < 3 {
			return p.shell(command, depth+1)
		}
		if name == "env" {
			rest = p.settings(rest)
		}
		if wrapper.path {
			p.path = nil
		}
		words = rest
	}
	return runs
}

// shellArguments judges what sh is given.
func (p *starting) shellArguments(words []shellWord, depth int) fleet.Verdict {
	for len(words) > 0 && strings.HasPrefix(words[0].text, "-") && words[0].plain {
		option := words[0].text
		words = words[1:]
		switch {
		case strings.Trim(option, "-celxuvif") != "":
			return runs
		case strings.Contains(option, "l") || strings.Contains(option, "i"):
			p.path = nil // the profile sets it
		}
		if strings.Contains(option, "c") {
			if len(words) > 0 && words[0].plain && depth < 3 {
				return p.shell(words[0].text, depth+1)
			}
			return runs
		}
	}
	if len(words) == 0 {
		return runs
	}
	return p.scriptFile("the shell", words[0])
}

// interpreters read a script, and options that need no word of their own.
var interpreters = map[string]string{
	"perl": "-wTtsul", "php": "-qnf", "ruby": "-wW", "node": "", "nodejs": "", "lua": "-i", "Rscript": "", "tclsh": "", "expect": "-f", "pypy3": "-uBEsSIO",
}

// script judges the script that an interpreter is given.
func (p *starting) script(name string, words []shellWord, takes string) fleet.Verdict {
	if strings.HasPrefix(name, "python") {
		takes = "-uBEsSIOqb"
	}
	for len(words) > 0 && strings.HasPrefix(words[0].text, "-") {
		if len(words[0].text) < 2 || strings.Trim(words[0].text, takes) != "" {
			return runs // a module, a program in the line, an option with a word
		}
		words = words[1:]
	}
	if len(words) == 0 {
		return runs
	}
	return p.scriptFile(name, words[0])
}

func (p *starting) scriptFile(reader string, word shellWord) fleet.Verdict {
	if p.expand(&word); !word.plain || word.text == "" {
		return runs
	}
	name := p.absolute(word.text)
	if name == "" {
		return runs
	}
	switch file := p.ways.file(name); {
	case file.missing():
		return no(fleet.NoCommand, "%s is to read %s, which does not exist (put it there, or correct the line)", reader, name)
	case file.err == nil:
		p.files = append(p.files, file)
	}
	return runs
}

// command finds what a word starts. The file is nil for what a shell does
// itself and where it cannot be said.
func (p *starting) command(name string) (*target, fleet.Verdict) {
	if !strings.Contains(name, "/") {
		if builtins[name] || p.path == nil || p.aliased {
			return nil, runs
		}
		return p.search(name)
	}
	full := p.absolute(name)
	if full == "" {
		return nil, runs
	}
	file := p.ways.file(full)
	if file.missing() {
		return nil, no(fleet.NoCommand, "%s does not exist, so the job starts and fails at once (install it, or correct the line)", full)
	}
	return p.usable(file, full)
}

// usualDirs are where commands are that a short PATH does not hold.
var usualDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/snap/bin", "/opt/bin"}

// search looks for a command along the path.
func (p *starting) search(name string) (*target, fleet.Verdict) {
	var bad *target
	badName := ""
	key := sought{name: name}
	if len(p.path) > 0 {
		key.dirs = &p.path[0]
	}
	if known := p.found[key]; known.file != nil {
		return p.usable(known.file, known.name)
	}
	for _, dir := range p.path {
		if !path.IsAbs(dir) {
			continue // "$HOME/bin": cron expands nothing
		}
		file := p.ways.file(path.Join(dir, name))
		switch {
		case file.missing():
		case file.err != nil:
			return nil, runs
		case file.kind() == unix.S_IFREG && file.mode&0o111 != 0:
			p.found[key] = located{file, path.Join(dir, name)}
			return p.usable(file, p.found[key].name)
		default:
			bad, badName = file, path.Join(dir, name)
		}
	}
	if bad != nil {
		return p.usable(bad, badName)
	}
	in := strings.Join(p.path, ":")
	says := fmt.Sprintf("PATH is %s", in)
	if strings.Contains(in, "$") || strings.Contains(in, "~") {
		says += ", in which cron expands neither $ nor ~"
	}
	for _, dir := range usualDirs {
		if file := p.ways.file(path.Join(dir, name)); file.err == nil && file.mode&0o111 != 0 {
			v := no(fleet.NoCommand, "%s is %s, but %s (%s), so it is not found (write the whole path, or set PATH above the line)", name, path.Join(dir, name), says, p.from)
			if p.risk == "" {
				p.risk = v.Why
			}
			return nil, v
		}
	}
	return nil, no(fleet.NoCommand, "there is no command %s: %s (%s) (install it, or write its whole path)", name, says, p.from)
}

// usable judges a file that is there.
func (p *starting) usable(file *target, name string) (*target, fleet.Verdict) {
	switch {
	case file.err != nil:
		return nil, runs
	case file.kind() == unix.S_IFDIR:
		return nil, no(fleet.NotExecutable, "%s is a directory, not a program (correct the line)", name)
	case file.kind() != unix.S_IFREG:
		return nil, runs
	case file.mode&0o111 == 0:
		return nil, no(fleet.NotExecutable, "%s may not be executed (chmod +x %s)", name, name)
	}
	if why := p.barred(file, name); why != "" {
		return nil, no(fleet.NotExecutable, "%s", why)
	}
	if why := p.interpreter(file, name); why != "" {
		return nil, no(fleet.NoCommand, "%s", why)
	}
	return file, runs
}

// barred says why the job's user may not execute a file that others may.
func (p *starting) barred(file *target, name string) string {
	if !p.known || p.user.uid == 0 || p.tree.rootUID != 0 {
		return ""
	}
	for s := range file.steps {
		if s.kind() == unix.S_IFLNK || p.may(s, 0o1) || p.acl(s.path) {
			continue
		}
		if s == &file.step {
			return fmt.Sprintf("user %s may not execute %s (give it the right, or let another user run it)", p.job.user, name)
		}
		return fmt.Sprintf("user %s may not enter %s, so %s cannot be executed (give it the right, or let another user run it)", p.job.user, s.path, name)
	}
	return ""
}

// may reports whether the job's user has a right, by the mode alone.
func (p *starting) may(s *step, bit uint32) bool {
	switch {
	case s.uid == p.user.uid:
		return s.mode>>6&bit != 0
	case s.gid == p.user.gid || p.groups().has(s.gid, p.job.user):
		return s.mode>>3&bit != 0
	}
	return s.mode&bit != 0
}

// acl reports whether a list of rights goes beyond a file's mode, or may.
func (p *starting) acl(name string) bool {
	way := p.ways.dir(path.Dir(name), 0)
	if way.err != nil {
		return true
	}
	p.tree.exactly(way, path.Base(name))
	_, err := unix.Lgetxattr(fmt.Sprintf("/proc/self/fd/%d/%s", way.fd, path.Base(name)), "system.posix_acl_access", nil)
	return err != unix.ENODATA && err != unix.EOPNOTSUPP
}

// interpreter says what is wrong with the program that a script names, or
// nothing. Of a file that the user may not read nothing is told.
func (p *starting) interpreter(file *target, name string) string {
	if p.user.uid != 0 && (!p.known || !p.may(&file.step, 0o4)) {
		return ""
	}
	line, more, _ := strings.Cut(string(file.head(256)), "\n")
	line, script := strings.CutPrefix(line, "#!")
	if !script || more == "" && len(line) > 120 {
		return ""
	}
	if strings.HasSuffix(line, "\r") {
		return fmt.Sprintf("the first line of %s ends with a carriage return, so no program of that name is found to read it (dos2unix %s)", name, name)
	}
	words := strings.Fields(line)
	if len(words) == 0 || !path.IsAbs(words[0]) {
		return ""
	}
	if p.ways.file(words[0]).missing() {
		return fmt.Sprintf("%s is to be read by %s, as its first line says, which does not exist (install it, or correct that line)", name, words[0])
	}
	if path.Base(words[0]) == "env" && len(words) == 2 && p.path != nil && !strings.ContainsAny(words[1], "-=/") {
		if _, verdict := p.search(words[1]); !verdict.Runs {
			return fmt.Sprintf("%s is to be read by %s, as its first line says: %s", name, words[1], verdict.Why)
		}
	}
	return ""
}
