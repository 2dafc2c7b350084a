package crontab

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/cron"
)

// story tells a file in one string a line, to be compared at a glance.
func story(f *File) []string {
	var told []string
	for i := range f.Jobs {
		j := &f.Jobs[i]
		s := fmt.Sprintf("%d %s|%s|%s", j.Line, j.Fields, j.User, j.Command)
		if j.Quiet {
			s += " quiet"
		}
		if j.MailOnError {
			s += " mail-on-error"
		}
		if j.Blanks > 0 {
			s += fmt.Sprintf(" blanks=%d", j.Blanks)
		}
		if env := j.Env(); env != nil {
			s += fmt.Sprintf(" %v", env)
		}
		told = append(told, s)
	}
	for _, p := range f.Problems {
		told = append(told, fmt.Sprintf("%d! %s", p.Line, p.Term))
	}
	if !f.Accepted {
		told = append(told, "refused: "+f.Refusal)
	}
	return told
}

func TestDaemonsReadTheirOwnWay(t *testing.T) {
	const debian, cronie, busybox = cron.Debian, cron.Cronie, cron.Busybox
	for _, c := range []struct {
		name string
		opt  Options
		text string
		want []string
	}{
		{"a job", Options{Dialect: debian, Owner: "ann"}, "5 4 * * 1\t run it \n", []string{"1 5 4 * * 1|ann|run it "}},
		{"blanks before the command stay with Debian", Options{Dialect: debian, System: true}, "5 4 * * * root  run\n", []string{"1 5 4 * * *|root|run blanks=1"}},
		{"and go with cronie", Options{Dialect: cronie, System: true}, "5 4 * * * root  run\n", []string{"1 5 4 * * *|root|run"}},
		{"a bad line refuses Debian's file", Options{Dialect: debian}, "1 1 * * * a\n61 * * * * b\n2 2 * * * c\n",
			[]string{"1 1 1 * * *||a", "3 2 2 * * *||c", "2! bad minute", "refused: Debian's cron ignores the whole file because of line 2: bad minute"}},
		{"and only itself with cronie", Options{Dialect: cronie}, "1 1 * * * a\n61 * * * * b\n2 2 * * * c\n",
			[]string{"1 1 1 * * *||a", "3 2 2 * * *||c", "2! bad minute"}},
		{"busybox keeps what it does not understand", Options{Dialect: busybox}, "61 * * * * b\n", []string{"1 61 * * * *||b"}},
		{"no line break at the end", Options{Dialect: cronie}, "1 1 * * * a\n2 2 * * * b", []string{"1 1 1 * * *||a", "2! missing newline before EOF"}},
		{"of a comment is no matter", Options{Dialect: debian}, "1 1 * * * a\n # b", []string{"1 1 1 * * *||a"}},
		{"the environment of each job", Options{Dialect: cronie}, "A=1\n1 1 * * * a\nA = '2 '\n\"B C\"=x # y\n2 2 * * * b\n",
			[]string{"2 1 1 * * *||a map[A:1]", "5 2 2 * * *||b map[A:2  B C:x # y]"}},
		{"Debian strips a quoted value again", Options{Dialect: debian}, "A=\"'x '\"\nB=\" y \"\n1 1 * * * a\n", []string{"3 1 1 * * *||a map[A:x  B: y]"}},
		{"an empty value", Options{Dialect: debian}, "A=\n1 1 * * * a\n", []string{"2 1 1 * * *||a", "1! bad minute", "refused: Debian's cron ignores the whole file because of line 1: bad minute"}},
		{"is one to cronie", Options{Dialect: cronie}, "A=\n1 1 * * * a\n", []string{"2 1 1 * * *||a map[A:]"}},
		{"busybox knows three settings", Options{Dialect: busybox}, "MAILTO=m x\nPATH=\"/b\"\nFOO=1\n1 1 * * * a\nMAILTO=\n2 2 * * * b\n",
			[]string{`4 1 1 * * *||a map[MAILTO:m PATH:"/b"]`, `6 2 2 * * *||b map[PATH:"/b"]`, "3! "}},
		{"busybox joins lines and cuts comments", Options{Dialect: busybox}, "1 1 * * * a \\\n b # c\n@daily d #e \n# x\\\n3 3 * * * y\n",
			[]string{"2 1 1 * * *||a  b", "3 @daily||d #e "}},
		{"cronie's options", Options{Dialect: cronie, System: true}, "-*/5 * * * * root -n run -n\n-@daily root x\n1 1 * * * root -x\n1 1 * * * root -n -n x\n",
			[]string{"1 */5 * * * *|root|run -n quiet mail-on-error", "2 @daily|root|x quiet", "3! bad option", "4! bad option"}},
		{"are for root", Options{Dialect: cronie}, "-1 1 * * * x\n", []string{"1! bad option"}},
		{"root's own table", Options{Dialect: cronie, Root: true}, "-1 1 * * * x\n", []string{"1 1 1 * * *||x quiet"}},
		{"are Debian's commands", Options{Dialect: debian}, "1 1 * * * -n x\n", []string{"1 1 1 * * *||-n x"}},
		{"six fields", Options{Dialect: cronie, System: true}, "* * * * * * root x\n", []string{"1! bad command"}},
		{"a path for a user", Options{Dialect: debian, System: true}, "1 1 * * * /bin/x y\n", []string{"1! bad username", "refused: Debian's cron ignores the whole file because of line 1: bad username"}},
		{"an unknown user", Options{Dialect: debian, System: true, Known: func(s string) bool { return s == "root" }}, "1 1 * * * root x\n1 1 * * * bob y\n",
			[]string{"1 1 1 * * *|root|x", "2! bad username", "refused: Debian's cron ignores the whole file because of line 2: bad username"}},
		{"is cronie's later trouble", Options{Dialect: cronie, System: true, Known: func(string) bool { return false }}, "1 1 * * * bob y\n", []string{"1 1 1 * * *|bob|y"}},
		{"a user and no more", Options{Dialect: debian, System: true}, "1 1 * * * root\n# more\n", []string{"1! bad username", "refused: Debian's cron ignores the whole file because of line 1: bad username"}},
		{"at the very end", Options{Dialect: debian, System: true}, "1 1 * * * root\n", []string{"1! bad command", "refused: Debian's cron ignores the whole file because of line 1: bad command"}},
		{"a NUL ends a command and begins a line", Options{Dialect: cronie}, "1 1 * * * a\x00A=b\n2 2 * * * c\n", []string{"1 1 1 * * *||a", "2 2 2 * * *||c map[A:b]"}},
		{"a word that is none", Options{Dialect: cronie}, "@Daily x\n", []string{"1! bad time specifier"}},
		{"and to busybox", Options{Dialect: busybox}, "@Daily x\n@daily\n1 2 3\n", []string{"1! ", "2! ", "3! "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Parse([]byte(c.text), c.opt)
			checkCover(t, []byte(c.text), f)
			if diff := cmp.Diff(c.want, story(f)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestLimits holds the daemons' own limits, one below and one above.
func TestLimits(t *testing.T) {
	job, env := "1 1 * * * x\n", "A=b\n"
	for _, c := range []struct {
		name string
		opt  Options
		text string
		jobs int
		ok   bool
		term string
	}{
		{"998 bytes", Options{Dialect: cron.Debian}, "1 1 * * * " + strings.Repeat("x", 998) + "\n", 1, true, ""},
		{"999 bytes", Options{Dialect: cron.Debian}, "1 1 * * * " + strings.Repeat("x", 999) + "\n", 0, false, "command too long"},
		{"10003 lines", Options{Dialect: cron.Debian}, strings.Repeat("#\n", 10_002) + job, 1, true, ""},
		{"10004 lines", Options{Dialect: cron.Debian}, strings.Repeat("#\n", 10_003) + job, 1, false, "crontab must not be longer than 10000 lines"},
		{"1000 settings", Options{Dialect: cron.Cronie}, strings.Repeat(env, 1000) + job, 1, true, ""},
		{"1001 settings", Options{Dialect: cron.Cronie}, strings.Repeat(env, 1001) + job, 0, false, "too many environment variables"},
		{"1001 settings of the system", Options{Dialect: cron.Cronie, System: true}, strings.Repeat(env, 1001) + "1 1 * * * u x\n", 1, true, ""},
		{"10000 jobs", Options{Dialect: cron.Cronie}, strings.Repeat(job, 10_000), 10_000, true, ""},
		{"10001 jobs", Options{Dialect: cron.Cronie}, strings.Repeat(job, 10_001), 10_000, false, "too many entries"},
		{"32767 bytes of comment", Options{Dialect: cron.Cronie}, "#" + strings.Repeat("x", 32765) + "\n" + job, 1, true, ""},
		{"32768 bytes of comment", Options{Dialect: cron.Cronie}, "#" + strings.Repeat("x", 32766) + "\n" + job, 0, false, "too many garbage characters"},
		{"a job in a comment too long", Options{Dialect: cron.Cronie, System: true}, "#" + strings.Repeat("x", 32768) + "1 1 * * * u x\n", 1, true, ""},
		{"255 lines of a user", Options{Dialect: cron.Busybox, Owner: "ann"}, strings.Repeat(job, 255) + "# x\n", 255, true, ""},
		{"256 lines of a user", Options{Dialect: cron.Busybox, Owner: "ann"}, strings.Repeat(job, 256), 255, true, "too many lines"},
		{"256 lines of root", Options{Dialect: cron.Busybox, Owner: "root"}, strings.Repeat(job, 256), 256, true, ""},
		{"a command the kernel takes", Options{Dialect: cron.Cronie}, "1 1 * * * " + strings.Repeat("x", 200_000) + "\n", 1, true, ""},
		{"a command it does not", Options{Dialect: cron.Busybox}, "1 1 * * * " + strings.Repeat("x", 200_000) + "\n", 0, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Parse([]byte(c.text), c.opt)
			checkCover(t, []byte(c.text), f)
			term := ""
			if len(f.Problems) > 0 {
				term = f.Problems[0].Term
			}
			if len(f.Jobs) != c.jobs || f.Accepted != c.ok || term != c.term {
				t.Errorf("%d jobs, accepted %v, %q; want %d, %v, %q", len(f.Jobs), f.Accepted, term, c.jobs, c.ok, c.term)
			}
		})
	}
}

// TestHugeInput holds the memory for what no person would write: it is bounded
// by the entries kept, not by the lines there are.
// Debian's reader gets the sizes in full, the others enough to pass each limit:
// the race detector makes every byte cost ten.
func TestHugeInput(t *testing.T) {
	for d := range dialects {
		n := 1 << 17
		if d == cron.Debian {
			n = 1 << 20
		}
		for name, text := range map[string]string{
			"blank lines":     strings.Repeat("\n", 50*n),
			"one line":        "1 1 * * * " + strings.Repeat("x", 10*n) + "\n",
			"one field":       strings.Repeat("1", 10*n),
			"bad lines":       strings.Repeat("x\n", 5*n),
			"NULs":            strings.Repeat("\x00", n),
			"continued lines": strings.Repeat("\\\n", 5*n),
			"settings, jobs":  strings.Repeat("A=b\n1 1 * * * x\n", 3*MaxEntries),
		} {
			f := Parse([]byte(text), Options{Dialect: d})
			checkCover(t, []byte(text), f)
			if len(f.Lines) > 2*MaxEntries+1 || len(f.Problems) > 2*MaxEntries+2 {
				t.Errorf("%s of %s: %d lines, %d problems", name, d, len(f.Lines), len(f.Problems))
			}
		}
	}
}

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		command                         string
		debian, cronie, busybox, stdin_ string
	}{
		{"date", "date", "date", "date", ""},
		{`date +\%F`, "date +%F", "date +%F", `date +\%F`, ""},
		{"mail a%one%two", "mail a", "mail a", "mail a%one%two", "one\ntwo\n"},
		{`cat%a\%b%`, "cat", "cat", `cat%a\%b%`, "a%b\n"},
		{`echo '%F'`, "echo '", "echo '", `echo '%F'`, "F'\n"},
		{`a\\b`, `a\b`, `a\\b`, `a\\b`, ""},
		{`a\\%b`, `a\`, `a\\`, `a\\%b`, "b\n"},
		{`a\nb\`, `a\nb\`, `a\nb\`, `a\nb\`, ""},
		{`x%a\\%b`, `x`, `x`, `x%a\\%b`, "a\\%b\n"},
		{"%", "", "", "%", ""},
	} {
		for d, want := range map[cron.Dialect]string{cron.Debian: c.debian, cron.Cronie: c.cronie, cron.Busybox: c.busybox} {
			job := Job{Command: c.command, dialect: d}
			if got := job.Shell(); got != want {
				t.Errorf("%s: the shell gets %q of %q, want %q", d, got, c.command, want)
			}
			stdin := c.stdin_
			if d == cron.Busybox {
				stdin = ""
			}
			if got := job.Stdin(); got != stdin {
				t.Errorf("%s: %q reads %q, want %q", d, c.command, got, stdin)
			}
		}
	}
}

func TestReasonsAreSentences(t *testing.T) {
	for text, want := range map[string]string{
		"61 * * * * x\n":        `minute "61" is not a list of 0–59 with ranges and steps`,
		"export A=b\n":          "it is no setting of the form NAME=value, and no job either",
		"{% if x %}\n":          `the line begins with "{%", so it is no job, setting or comment`,
		"0 0 * *\n":             "the line ends before its day of week",
		"@fortnightly x\n":      `cronie knows no schedule called "@fortnightly"`,
		"0 0 * * 9 x\n":         `day of week "9" is not a list of 0–7 or sun–sat with ranges and steps`,
		"* * * * * * x\n":       "a sixth field stands where the command is expected; cron has five time fields",
		"1 1 * * * x":           "the last line has no line break, so it is not read",
		"1 1 * * *\n":           "there is no command after the time fields",
		"1 1 * * * -x /bin/x\n": `the command begins with "-", and the only option cronie knows is "-n "`,
	} {
		f := Parse([]byte(text), Options{Dialect: cron.Cronie})
		if len(f.Problems) != 1 || f.Problems[0].Reason != want {
			t.Errorf("%q: %+v, want %q", text, f.Problems, want)
		}
	}
}

// FuzzParse holds what no text may break: every byte in one line, jobs in
// order, and a text put together again from its lines read the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "# c\n\nA=b\n1 2 3 4 5 x\n", "@daily root x", "\x00\x00=\n", "\"A=\n'", "1 1 * * * a\\\n b\n", "1 1 * * * a\\\nb\n", "-@reboot root -n x\r\n",
		"\ufeff* * * * * x\n", "* * * * * x%y\\%z\n", strings.Repeat("#", 40_000) + "\n1 1 * * * x\n",
	} {
		f.Add([]byte(seed), uint8(1), true)
		f.Add([]byte(seed), uint8(2), false)
		f.Add([]byte(seed), uint8(3), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, d uint8, system bool) {
		opt := Options{Dialect: cron.Dialect(d % 4), System: system, Owner: "u"}
		before := bytes.Clone(text)
		file := Parse(text, opt)
		if !bytes.Equal(before, text) {
			t.Fatalf("the text was changed to %q", text)
		}
		checkCover(t, text, file)
		for i := range file.Jobs {
			job := &file.Jobs[i]
			_, _, _, _ = job.Shell(), job.Stdin(), job.Env(), job.EnvSize()
			if strings.ContainsAny(job.Command, "\n\x00") {
				t.Errorf("command %q", job.Command)
			}
		}
		var joined []byte
		for _, l := range file.Lines {
			joined = append(joined, text[l.Start:l.End]...)
		}
		if diff := cmp.Diff(story(file), story(Parse(joined, opt))); diff != "" {
			t.Errorf("read again (-first +second):\n%s", diff)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	text := []byte(strings.Repeat("# comment\nPATH=/usr/bin:/bin\n30 2 * * 1-5 root /usr/local/bin/backup --all >/dev/null\n\n", 25))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Parse(text, Options{Dialect: cron.Debian, System: true})
	}
}
