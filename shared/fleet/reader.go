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
	"su", "sg", "runuser", "ssh", "xargs", "find", "watch", "parallel", "script", "flock", "chroot", "at", "batch", "expect", "eval",
	"awk", "gawk", "mawk", "nawk", "original-awk", "sed", "ed", "ex", "vi", "vim", "vim.basic", "vim.tiny", "nvim", "view", "emacs", "gdb", "make", "gmake", "bmake", "bc", "dc", "m4", "sqlite3", "jq",
}

// reading is what an interpreter does with its options, by their letters.
type reading struct {
	texts string // these have it read a text
	takes string // behind these stands a word that is theirs, and no script
}

// interpreters are programs that run a script, or with an option a text, and
// without either their input. Versions stand behind the name.
var interpreters = map[string]reading{
	"python": {"cm", "WX"}, "pypy": {"cm", "WX"}, "perl": {"eEMm", "I"}, "ruby": {"er", "ICEFT"}, "node": {"epr", "C"}, "nodejs": {"epr", "C"}, "deno": {}, "bun": {"ep", ""},
	"php": {"rBRE", "dczt"}, "lua": {"el", ""}, "luajit": {"el", ""}, "rscript": {"e", ""}, "r": {"ef", ""}, "ghci": {"e", ""}, "groovy": {"e", ""}, "scala": {"e", ""}, "osascript": {"e", "l"}, "guile": {"ceL", "x"}, "racket": {"e", ""},
	"tclsh": {}, "wish": {}, "psql": {"cv", "hdUpLoPRFT"}, "mysql": {"e", "hSuPD"}, "mariadb": {"e", "hSuPD"}, "mongo": {}, "mongosh": {}, "redis-cli": {"", "hpsan"},
}

// wrappers are programs that run another one, with the letters of their options
// that have them read a text.
var wrappers = map[string]string{
	"env": "S", "sudo": "si", "doas": "s", "nice": "", "ionice": "", "timeout": "", "nohup": "", "setsid": "", "stdbuf": "", "taskset": "", "chrt": "", "time": "",
	"unshare": "", "nsenter": "", "setpriv": "", "systemd-run": "S", "systemd-cat": "", "systemd-inhibit": "", "chpst": "", "strace": "", "ltrace": "", "prlimit": "", "numactl": "",
	"setarch": "", "linux32": "", "linux64": "", "choom": "", "runcon": "", "cgexec": "", "fakeroot": "", "eatmydata": "", "pkexec": "", "gosu": "", "su-exec": "", "setuidgid": "", "softlimit": "", "sshpass": "", "unbuffer": "", "dbus-run-session": "", "bwrap": "", "firejail": "",
}

// interpreter returns how a program reads that is one, whatever its version.
func interpreter(program string) (reads reading, is bool) {
	name := strings.ToLower(path.Base(program))
	if reads, is = interpreters[name]; !is {
		reads, is = interpreters[strings.TrimRight(name, "0123456789.-")]
	}
	return reads, is
}

// readsWords says why the words of a command may be read as a program, so that no
// value may stand in them; empty: they are handed on as they are.
func readsWords(argv []string) string {
	for i, word := range argv {
		if IsShell(word) {
			return "no value becomes part of what a shell reads (" + path.Base(word) + ")"
		}
		if reads, is := interpreter(word); is && i+1 < len(argv) && isOption(argv[i+1], reads.texts) {
			return withOption(argv[i+1], word)
		}
	}
	program := 0
	for letters, is := wrappers[path.Base(argv[program])]; is; letters, is = wrappers[path.Base(argv[program])] {
		next := slices.IndexFunc(argv[program+1:], path.IsAbs)
		if next < 0 || slices.ContainsFunc(argv[program+1:program+1+next], holdsPlaceholder) {
			return "behind " + path.Base(argv[program]) + " the absolute path of a program must stand before the first value"
		}
		for i, word := range argv[program+1 : program+1+next] {
			if isOption(word, letters) {
				return withOption(word, argv[program])
			}
			if why := readsAs(argv[program+1+i:]); why != "" { // it is looked for in PATH
				return why
			}
		}
		program += 1 + next
	}
	return readsAs(argv[program:])
}

func withOption(option, program string) string {
	return "with " + option + " " + path.Base(program) + " reads its words as a program, and no value becomes part of that"
}

// readsAs is readsWords of a program that runs no other.
func readsAs(argv []string) string {
	name := path.Base(argv[0])
	if slices.Contains(textReaders, name) {
		return name + " reads its words as a program, and no value becomes part of that"
	}
	reads, is := interpreter(argv[0])
	if !is {
		return ""
	}
	for i, word := range argv[1:] {
		switch before := argv[i]; {
		case isOption(word, reads.texts):
			return withOption(word, name)
		case strings.HasPrefix(word, "-"):
		case i > 0 && isOption(before, reads.takes) && strings.IndexByte(reads.takes, before[len(before)-1]) >= 0: // that option's
			if holdsPlaceholder(word) {
				return "behind " + before + " " + name + " takes no value before the path of its script"
			}
		case holdsPlaceholder(word):
			return "no parameter chooses what " + name + " runs: write the path of the script before the first value"
		case path.IsAbs(word):
			if i == 0 || !strings.HasPrefix(before, "-") {
				return "" // the script, and behind it its own words
			}
			return afterOption(argv[i+2:], name, reads)
		}
	}
	return "what " + name + " runs must stand as an absolute path before the first value"
}

// afterOption is readsAs behind a path that may be the script, or belong to the
// option before it.
func afterOption(words []string, name string, reads reading) string {
	for _, word := range words {
		if isOption(word, reads.texts) {
			return withOption(word, name)
		}
	}
	return ""
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

// ReadsValues says why values in the words or the input of the task's command
// would be read as a program, if its program were the one at that path; empty:
// they would not, or there are none.
func (t *Task) ReadsValues(program string) string {
	argv := slices.Clone(t.Run.Command.Argv)
	if len(t.Params) == 0 || len(argv) == 0 {
		return ""
	}
	argv[0] = program
	if slices.ContainsFunc(argv, holdsPlaceholder) {
		if why := readsWords(argv); why != "" {
			return why
		}
	}
	if holdsPlaceholder(t.Run.Stdin) && readsInput(argv) {
		return path.Base(program) + " may take what it is given to read for a program, and no value becomes part of that"
	}
	return ""
}

func holdsPlaceholder(word string) bool { return strings.Contains(word, opening) }

// readsInput reports whether the command may read its input as a program.
func readsInput(argv []string) bool {
	return slices.ContainsFunc(argv, func(word string) bool {
		_, is := interpreter(word)
		return is || IsShell(word) || slices.Contains(textReaders, path.Base(word))
	})
}
