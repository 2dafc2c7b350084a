package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// maxLinks is how many symbolic links a path may go through.
const maxLinks = 40

// errMissing says that there is no such program, and that only those who may
// decide what runs can put one there.
var errMissing = errors.New("no such file or directory")

// resolve follows a program's path to the file that would be executed, and
// refuses every part that somebody else could put something else in the place
// of: somebody other than root, the agent's user and the user it runs as.
func resolve(program string, uid int) (string, error) {
	at, rest, links := "/", strings.Split(program, "/"), 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		name := path.Join(at, part)
		next, err := os.Lstat(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err := safeDir(at, next, uid); err != nil {
			return "", err
		}
		switch {
		case next == nil:
			return "", fmt.Errorf("%s: %w", name, errMissing)
		case next.Mode()&fs.ModeSymlink == 0:
			at = name
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s goes through too many symbolic links", program)
		}
		target, err := os.Readlink(name)
		if err != nil {
			return "", err
		}
		if path.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, safeFile(at, uid)
}

// safeDir refuses a directory in which others can put something in the place of
// what is there. A sticky one keeps the directories of those who may. next is
// what is looked for in it; nil: nothing is there.
func safeDir(name string, next fs.FileInfo, uid int) error {
	info, err := os.Lstat(name)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !mayOwn(stat.Uid, uid) {
		return fmt.Errorf("the directory %s belongs to somebody else than root and the user", name)
	}
	if !othersWrite(stat) {
		return nil
	}
	if next != nil && next.IsDir() && info.Mode()&fs.ModeSticky != 0 {
		if below, ok := next.Sys().(*syscall.Stat_t); ok && mayOwn(below.Uid, uid) {
			return nil
		}
	}
	return fmt.Errorf("the directory %s is writable by others: chmod go-w %s, or keep the program elsewhere", name, name)
}

func safeFile(name string, uid int) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", name)
	case !ok || !mayOwn(stat.Uid, uid):
		return fmt.Errorf("%s belongs to somebody else than root and the user", name)
	case othersWrite(stat):
		return fmt.Errorf("%s is writable by others: chmod go-w %s", name, name)
	}
	return nil
}

func mayOwn(owner uint32, uid int) bool { return trustedOwner(owner) || int(owner) == uid }

func othersWrite(stat *syscall.Stat_t) bool {
	return stat.Mode&0o002 != 0 || stat.Mode&0o020 != 0 && stat.Gid != 0
}

// isShell reports whether a program is a shell, by its name as it is written or
// by that of the file that it is.
func isShell(program, resolved string) bool {
	return fleet.IsShell(program) || fleet.IsShell(resolved)
}

// neverEnv says why a task may never set a name of the environment: it makes
// programs run or load something else than they are. Empty: it may.
func neverEnv(name string) string {
	if slices.Contains(neverNames, name) || slices.ContainsFunc(neverPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
		return "is never set for a command: it makes programs load or run something else"
	}
	return ""
}

var neverPrefixes = []string{"LD_", "BASH_FUNC_", "MALLOC_", "FLEETCRON_"}

var neverNames = []string{
	"BASH_ENV", "ENV", "IFS", "PS4", "SHELLOPTS", "BASHOPTS", "PROMPT_COMMAND", "CDPATH", "GLOBIGNORE",
	"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PERL5LIB", "PERL5OPT", "PERLLIB", "PERL5DB",
	"RUBYLIB", "RUBYOPT", "NODE_OPTIONS", "NODE_PATH", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS",
	"GCONV_PATH", "GETCONF_DIR", "HOSTALIASES", "LOCALDOMAIN", "LOCPATH", "NLSPATH", "NIS_PATH", "RESOLV_HOST_CONF", "RES_OPTIONS",
	"GLIBC_TUNABLES", "TZDIR", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_EXEC_PATH", "LESSOPEN", "LESSCLOSE",
}

// byNameOnly are names that only a policy allows that spells them: a pattern
// does not mean them.
var byNameOnly = []string{"PATH", "SHELL", "HOME", "USER", "LOGNAME", "PWD", "TMPDIR", "EDITOR", "VISUAL", "PAGER", "BROWSER"}

// allowsEnv reports whether a task may set the name.
func (p *Policy) allowsEnv(name string) bool {
	return slices.ContainsFunc(p.Env, func(allowed string) bool {
		prefix, wild := strings.CutSuffix(allowed, "*")
		if !wild {
			return allowed == name
		}
		return strings.HasPrefix(name, prefix) && !slices.Contains(byNameOnly, name)
	})
}
