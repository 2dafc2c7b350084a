package fleet

import (
	"path"
	"slices"
	"strings"
)

// shells are programs that run what their arguments and their input say.
var shells = []string{
	"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "csh", "tcsh", "fish", "rbash", "busybox", "toybox",
	"bash-static", "busybox.static", "mksh-static", "zsh-static", "static-sh", "sash", "lksh", "oksh", "loksh", "ksh93", "ksh2020", "rksh", "pdksh",
	"posh", "yash", "zsh5", "rzsh", "bsd-csh", "pwsh", "elvish", "nu", "xonsh",
}

// IsShell reports whether a program is a shell, by the last part of its path.
func IsShell(program string) bool { return slices.Contains(shells, path.Base(program)) }

// textReaders are programs that take some argument for a program, a command line
// or a script, wherever it stands.
var textReaders = []string{
	"su", "runuser", "ssh", "xargs", "find", "watch", "parallel", "script", "flock", "chroot", "at", "batch", "expect", "eval",
	"awk", "gawk", "mawk", "nawk", "sed", "ed", "ex", "vi", "vim", "emacs", "gdb", "make", "tclsh", "wish", "bc", "dc", "m4", "sqlite3", "jq",
}

// interpreters are programs that run a script, or with one of these letters as an
// option a text, and without either their input. Versions stand behind the name.
var interpreters = map[string]string{
	"python": "cm", "pypy": "cm", "perl": "eEMm", "ruby": "er", "node": "epr", "nodejs": "epr", "deno": "", "bun": "ep",
	"php": "rBRE", "lua": "el", "luajit": "el", "rscript": "e", "r": "ef", "ghci": "e", "groovy": "e", "scala": "e", "osascript": "e", "guile": "ceL", "racket": "e",
	"psql": "cv", "mysql": "e", "mariadb": "e", "mongo": "", "mongosh": "", "redis-cli": "",
}

// wrappers are programs that run another one, with the letters of their options
// that have them read a text.
var wrappers = map[string]string{
	"env": "S", "sudo": "si", "doas": "s", "nice": "", "ionice": "", "timeout": "", "nohup": "", "setsid": "", "stdbuf": "", "taskset": "", "chrt": "", "time": "",
	"unshare": "", "nsenter": "", "setpriv": "", "systemd-run": "S", "systemd-cat": "", "systemd-inhibit": "", "chpst": "", "strace": "", "ltrace": "", "prlimit": "", "numactl": "",
}

// interpreter returns the letters of a program that is one, whatever its version.
func interpreter(program string) (letters string, is bool) {
	name := strings.ToLower(path.Base(program))
	if letters, is = interpreters[name]; !is {
		letters, is = interpreters[strings.TrimRight(name, "0123456789.-")]
	}
	return letters, is
}

// readsWords says why the words of a command may be read as a program, so that no
// value may stand in them; empty: they are handed on as they are.
func readsWords(argv []string) string {
	for _, word := range argv {
		if IsShell(word) {
			return "no value becomes part of what a shell reads (" + path.Base(word) + ")"
		}
	}
	program := 0
	for letters, is := wrappers[path.Base(argv[program])]; is; letters, is = wrappers[path.Base(argv[program])] {
		next := slices.IndexFunc(argv[program+1:], path.IsAbs)
		if next < 0 || slices.ContainsFunc(argv[program+1:program+1+next], holdsPlaceholder) {
			return "behind " + path.Base(argv[program]) + " the absolute path of a program must stand before the first value"
		}
		for _, option := range argv[program+1 : program+1+next] {
			if isOption(option, letters) {
				return "with " + option + " " + path.Base(argv[program]) + " reads its words as a text, and no value becomes part of that"
			}
		}
		program += 1 + next
	}
	return readsAs(argv[program:])
}

// readsAs is readsWords of a program that runs no other.
func readsAs(argv []string) string {
	name := path.Base(argv[0])
	if slices.Contains(textReaders, name) {
		return name + " reads its words as a program, and no value becomes part of that"
	}
	letters, is := interpreter(argv[0])
	if !is {
		return ""
	}
	for _, word := range argv[1:] {
		switch {
		case isOption(word, letters):
			return "with " + word + " " + name + " reads its words as a program, and no value becomes part of that"
		case strings.HasPrefix(word, "-"):
		case holdsPlaceholder(word):
			return "no parameter chooses what " + name + " runs: write the path of the script before the first value"
		case path.IsAbs(word):
			return "" // the script, and behind it its own words
		}
	}
	return "what " + name + " runs must stand as an absolute path before the first value"
}

// isOption reports whether a word is an option of one of these letters, alone or
// with others, or one that is spelled out and takes a text.
func isOption(word, letters string) bool {
	if long, is := strings.CutPrefix(word, "--"); is {
		name, _, _ := strings.Cut(long, "=")
		return slices.Contains([]string{"eval", "print", "execute", "command", "run", "require", "import", "split-string", "shell", "login"}, name)
	}
	return len(word) > 1 && word[0] == '-' && strings.ContainsAny(word[1:], letters)
}

// ReadsValues says why values in the words of the task's command would be read as
// a program, if its program were the one at that path; empty: they would not, or
// there are none.
func (t *Task) ReadsValues(program string) string {
	argv := slices.Clone(t.Run.Command.Argv)
	if len(t.Params) == 0 || !slices.ContainsFunc(argv, holdsPlaceholder) {
		return ""
	}
	argv[0] = program
	return readsWords(argv)
}

func holdsPlaceholder(word string) bool { return strings.Contains(word, opening) }

// readsInput reports whether the command may read its input as a program.
func readsInput(argv []string) bool {
	return slices.ContainsFunc(argv, func(word string) bool {
		_, is := interpreter(word)
		return is || IsShell(word) || slices.Contains(textReaders, path.Base(word))
	})
}
