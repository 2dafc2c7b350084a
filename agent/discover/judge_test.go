package discover

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// system is a tree that is a system: its cron and its shell are there.
const system = `-- bin/sh 0755 --
-- bin/bash 0755 --
-- usr/sbin/cron 0755 --
-- usr/bin/env 0755 --
-- usr/bin/there 0755 --
-- usr/bin/flock 0755 --
-- usr/bin/timeout 0755 --
-- usr/bin/python3 0755 --
-- usr/bin/sudo 0755 --
-- usr/sbin/service 0755 --
-- usr/local/bin/deploy 0755 --
-- opt/app/run 0755 --
#!/bin/sh
-- opt/app/script.py --
-- opt/app/plain --
-- opt/app/old 0755 --
#!/usr/bin/python2 -u
-- opt/app/byenv 0755 --
#!/usr/bin/env python9
-- opt/app/crlf 0755 --
` + "#!/bin/sh\r\n" + `-- opt/data/x --
-- home/ann/bin/mine 0755 --
-- sbin/nologin 0755 --
-- etc/os-release --
ID=debian
-- etc/passwd --
root:x:0:0::/root:/bin/sh
ann:x:1000:1000::/home/ann:/bin/sh
bob:x:1001:1001::/home/bob:/bin/sh
-- etc/group --
root:x:0:
staff:x:50:bob
`

// onlyJob returns the one job of a line in /etc/crontab of a system.
func onlyJob(t *testing.T, more, lines string) fleet.Job {
	t.Helper()
	report := scanned(t, plant(t, system+more+"-- etc/crontab --\n"+lines+"\n"))
	for _, job := range report.Jobs {
		if job.Source == "/etc/crontab" {
			return job
		}
	}
	t.Fatalf("no job of %q: %+v", lines, report.Problems)
	return fleet.Job{}
}

// TestCommands: what a command starts is looked for as its shell would, and
// where that cannot be said nothing is.
func TestCommands(t *testing.T) {
	for command, want := range map[string]string{ // code and a part of the sentence
		// there, or not to be judged
		"/opt/app/run --all > /tmp/log 2>&1":                "",
		"there -x":                                          "",
		"$CMD --x":                                          "",
		"/opt/*/run":                                        "",
		"for i in 1 2; do /opt/none; done":                  "",
		"if [ -x /opt/none ]; then /opt/none; fi":           "",
		"[ -x /opt/none ] && /opt/none":                     "",
		"test -x /opt/none && /opt/none":                    "",
		"test -x /opt/none || there":                        "",
		"test -e /run/systemd/system || test -x /x && none": "",
		"cd /opt/app && ./run":                              "",
		"cd /opt/app; ./run":                                "",
		"cd $DIR && ./run":                                  "",
		"A=b C='d e' there":                                 "",
		"PATH=/usr/local/bin:/bin deploy":                   "",
		"export PATH=/usr/local/bin:/bin; deploy":           "",
		"echo hello":                                        "",
		"flock -n /run/x -c 'there | there'":                "",
		"flock -n /run/x there":                             "",
		"timeout -k 5 1h there":                             "",
		"env -u X Y=z there":                                "",
		"python3 -m none":                                   "",
		"python3 -u /opt/app/script.py":                     "",
		"sh -c 'there && there'":                            "",
		"sh /opt/app/plain":                                 "",
		"bash -lc none":                                     "",
		"sudo -u bob none":                                  "",
		"(none)":                                            "",
		"`none` x":                                          "",
		"there || none":                                     "",
		". /etc/profile; none-perhaps":                      "",
		"there <<X":                                         "",
		"'unterminated":                                     "",
		// not there
		"/opt/none --all":                  "missing_command /opt/none does not exist",
		"none":                             "missing_command there is no command none: PATH is /usr/bin:/bin",
		"none | there":                     "missing_command there is no command none",
		"deploy":                           "missing_command deploy is /usr/local/bin/deploy, but PATH is /usr/bin:/bin (cron's own), so it is not found",
		"A=b none":                         "missing_command there is no command none",
		"sleep 5; /opt/none":               "missing_command there is no command sleep",
		"echo x && /opt/none":              "missing_command /opt/none does not exist",
		"cd /opt/none && ./run":            "missing_command it changes into /opt/none first",
		"cd /opt/app && ./none":            "missing_command /opt/app/none does not exist",
		"[ -x /opt/app/run ] && /opt/none": "missing_command /opt/none does not exist",
		"[ \"$(id)\" = x ] && /opt/none":   "missing_command /opt/none does not exist",
		"flock -n /run/x /opt/none":        "missing_command /opt/none does not exist",
		"flock -n /run/x -c '/opt/none x'": "missing_command /opt/none does not exist",
		"timeout 5 env A=b nice /opt/none": "missing_command there is no command nice",
		"timeout 5 env A=b /opt/none":      "missing_command /opt/none does not exist",
		"env PATH=/x there":                "missing_command there is",
		"chronic there":                    "missing_command there is no command chronic",
		"sh -c '/opt/none'":                "missing_command /opt/none does not exist",
		"sh /opt/none":                     "missing_command the shell is to read /opt/none",
		"python3 /opt/none.py":             "missing_command python3 is to read /opt/none.py",
		"/opt/app/plain":                   "not_executable /opt/app/plain may not be executed (chmod +x /opt/app/plain)",
		"/opt/app":                         "not_executable /opt/app is a directory",
		"/opt/app/old":                     "missing_command /opt/app/old is to be read by /usr/bin/python2",
		"/opt/app/byenv":                   "missing_command /opt/app/byenv is to be read by python9",
		"/opt/app/crlf":                    "missing_command the first line of /opt/app/crlf ends with a carriage return",
	} {
		if command == "env PATH=/x there" {
			want = "missing_command there is /usr/bin/there, but PATH is /x"
		}
		job := onlyJob(t, "", "5 5 * * * root "+command)
		got := strings.TrimSpace(string(job.Verdict.Code) + " " + job.Verdict.Why)
		if job.Verdict.Runs != (want == "") || !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %+v, want %q", command, job.Verdict, want)
		}
		if !job.Verdict.Runs && job.Next != nil {
			t.Errorf("%s: coming instants of a job that does not run", command)
		}
	}
}

// TestEnvironmentsOfCommands: PATH, SHELL and HOME as the table sets them.
func TestEnvironmentsOfCommands(t *testing.T) {
	for _, c := range []struct{ lines, want string }{
		{"PATH=/usr/local/bin:/bin\n5 5 * * * root deploy", ""},
		{"PATH=$HOME/bin:$PATH\n5 5 * * * root there", "missing_command there is /usr/bin/there, but PATH is $HOME/bin:$PATH, in which cron expands neither $ nor ~ (set in /etc/crontab)"},
		{"SHELL=/bin/zsh\n5 5 * * * root there", "missing_command SHELL is /bin/zsh, which does not exist"},
		{"SHELL=/sbin/nologin\n5 5 * * * root there", "not_executable SHELL is /sbin/nologin, which runs no command"},
		{"SHELL=/usr/bin/python3\n5 5 * * * root none", ""},
		{"BASH_ENV=/etc/x\n5 5 * * * root none", ""},
		{"5 5 * * * ann bin/mine", ""},
		{"5 5 * * * ann ~/bin/mine", ""},
		{"5 5 * * * ann $HOME/bin/none", "missing_command /home/ann/bin/none does not exist"},
		{"HOME=/opt\n5 5 * * * ann app/run", ""},
		{"5 5 * * * root /opt/none \\%x", "missing_command /opt/none does not exist"},
	} {
		job := onlyJob(t, "", c.lines)
		got := strings.TrimSpace(string(job.Verdict.Code) + " " + job.Verdict.Why)
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%q: %+v, want %q", c.lines, job.Verdict, c.want)
		}
	}
	job := scanned(t, plant(t, strings.Replace(system, "-- bin/sh 0755 --\n", "", 1)+"-- etc/crontab --\n5 5 * * * root none\n")).Jobs[0]
	if !job.Verdict.Runs {
		t.Errorf("a tree without a shell: %+v", job.Verdict)
	}
}

// TestOtherKinds: run-parts' scripts and units start programs, too.
func TestOtherKinds(t *testing.T) {
	root := plant(t, system+"-- etc/cron.daily/a 0755 --\n#!/usr/bin/python2\n-- etc/crontab --\n5 5 * * * root there; run-parts /etc/cron.daily\n-- usr/bin/run-parts 0755 --\n-- usr/lib/systemd/systemd 0755 --\n"+
		"-- etc/systemd/system/x.timer --\n[Timer]\nOnCalendar=daily\n-- etc/systemd/system/x.service --\n[Service]\nExecStart=-/opt/none --x\n"+
		"-- etc/systemd/system/timers.target.wants/x.timer -> ../x.timer --\n"+
		"-- etc/systemd/system/r.timer --\n[Timer]\nOnCalendar=daily\n-- etc/systemd/system/r.service --\n[Service]\nRootDirectory=/srv/r\nExecStart=/opt/none --x\n"+
		"-- etc/systemd/system/timers.target.wants/r.timer -> ../r.timer --\n")
	want := map[string]string{
		"/etc/cron.daily/a": "missing_command", "/etc/systemd/system/x.timer": "missing_command", "/etc/systemd/system/r.timer": "", "/etc/crontab": "",
	}
	for _, job := range scanned(t, root).Jobs {
		if code, told := want[job.Source]; !told || code != string(job.Verdict.Code) {
			t.Errorf("%s: %+v, want %q", job.Source, job.Verdict, code)
		}
		delete(want, job.Source)
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}

// TestManagersOfUnits: a unit file, too, says who writes it, whether its timer
// runs or not.
func TestManagersOfUnits(t *testing.T) {
	const unit = "[Timer]\nOnCalendar=daily\n[Service]\nExecStart=/bin/true\n"
	for comment, want := range map[string]string{"# Ansible managed\n": "Ansible", "": "", "# This file is managed by Puppet. DO NOT EDIT.\n": "Puppet"} {
		root := plant(t, "-- etc/systemd/system/x.timer --\n"+comment+unit+"-- etc/systemd/system/x.service --\n"+unit)
		jobs := scanned(t, root).Jobs
		if len(jobs) != 1 || jobs[0].ManagedBy != want || jobs[0].Verdict.Runs {
			t.Errorf("%q: %+v, want it managed by %q", comment, jobs, want)
		}
	}
}

// TestAccounts: what PAM refuses and what cron.allow does not.
func TestAccounts(t *testing.T) {
	const today = 20518 // the day of noon
	for _, c := range []struct{ name, files, user, want string }{
		{"expired", fmt.Sprintf("-- etc/shadow --\nann:*:20000:0:99999:7::%d:\n", today), "ann", "locked_user the account of ann has expired on 2026-03-06"},
		{"expires tomorrow", fmt.Sprintf("-- etc/shadow --\nann:*:20000:0:99999:7::%d:\n", today+1), "ann", ""},
		{"disabled", "-- etc/shadow --\nann:!:20000:0:99999:7::1:\n", "ann", "locked_user the account of ann has expired on 1970-01-02"},
		{"old password", "-- etc/shadow --\nann:$6$x:20000:0:90:7:::\n", "ann", "locked_user the password of ann has expired on 2025-01-02"},
		{"must choose", "-- etc/shadow --\nann:$6$x:0:0:99999:7:::\n", "ann", "locked_user ann must choose a new password"},
		{"never had one", "-- etc/shadow --\nann:*:20000:0:99999:7:::\n", "ann", ""},
		{"locked", "-- etc/shadow --\nann:!$6$x:20000:0:99999:7:::\n", "ann", " the password of ann is locked, but cron runs the table all the same"},
		{"denied", "-- etc/cron.deny --\nann\n", "ann", " cron.deny names ann, who may thus not change the table, but cron runs it all the same"},
		{"not allowed", "-- etc/cron.allow --\nbob\n-- etc/cron.deny --\nbob\n", "ann", " cron.allow does not name ann"},
		{"allowed", "-- etc/cron.allow --\nann\n", "ann", ""},
		{"root", "-- etc/cron.allow --\n", "root", ""},
		{"busybox asks nobody", "-- etc/os-release --\nID=alpine\n-- etc/shadow --\nann:*:20000:0:99999:7::1:\n", "ann", ""},
	} {
		tree := c.files + "-- etc/passwd --\nroot:x:0:0::/:/bin/sh\nann:x:1:1::/:/bin/sh\n-- var/spool/cron/crontabs/" + c.user + " 0600 --\n5 5 * * * x\n"
		jobs := scanned(t, plant(t, tree)).Jobs
		if len(jobs) != 1 {
			t.Fatalf("%s: %+v", c.name, jobs)
		}
		v := jobs[0].Verdict
		if got := string(v.Code) + " " + v.Why; v.Runs != (v.Code == "") || !strings.HasPrefix(got, c.want) || c.want == "" && v.Why != "" {
			t.Errorf("%s: %+v, want %q", c.name, v, c.want)
		}
	}
}

// TestRisks: what others can write or read, and what does not mean what it
// seems to.
func TestRisks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to others")
	}
	for _, c := range []struct {
		name, lines, own string // own: path, owner, group and mode, each
		want             []string
	}{
		{"none", "5 5 * * * root /opt/app/run", "", nil},
		{"everybody", "5 5 * * * root /opt/app/run", "/opt/app/run 0 0 0777", []string{"writable root runs /opt/app/run, but everybody may write /opt/app/run and so decides what is run as root (chmod go-w /opt/app/run)"}},
		{"another's", "5 5 * * * root /opt/app/run", "/opt/app/run 1001 0 0755", []string{"writable root runs /opt/app/run, but user bob, who owns it, may write"}},
		{"its own user's", "5 5 * * * ann /opt/app/run", "/opt/app/run 1000 0 0755", nil},
		{"a directory above", "5 5 * * * root /opt/app/run", "/opt 0 0 0777", []string{"writable root runs /opt/app/run, but everybody may write the directory /opt and so put another file in its place (chmod go-w /opt)"}},
		{"a sticky directory above", "5 5 * * * root /opt/app/run", "/opt 0 0 01777", nil},
		{"a group with a member", "5 5 * * * root /opt/app/run", "/opt/app 0 50 0775", []string{"writable root runs /opt/app/run, but group staff (bob) may write the directory /opt/app"}},
		{"a group of root alone", "5 5 * * * root /opt/app/run", "/opt/app 0 0 0775", nil},
		{"a script", "5 5 * * * root python3 /opt/app/script.py", "/opt/app/script.py 0 0 0666", []string{"writable root runs /opt/app/script.py, but everybody may write"}},
		{"within a wrapper", "5 5 * * * root cd / && flock -n /run/x sh /opt/app/plain", "/opt/app/plain 0 0 0666", []string{"writable root runs /opt/app/plain"}},
		{"the table's directory", "5 5 * * * root there", "/etc 0 50 0775", []string{"writable what root runs stands in /etc/crontab, but group staff (bob) may write the directory /etc"}},
		{"a secret", "5 5 * * * root there --password hunter2", "/etc/crontab 0 0 0600", []string{"secret a secret stands in the command"}},
		{"a secret for all to read", "5 5 * * * root there --password hunter2", "", []string{"secret a secret", "exposed everybody may read /etc/crontab, and there is a secret in it (chmod 600 /etc/crontab)"}},
		{"a setting", "TOKEN=hunter2\n5 5 * * * root there", "/etc/crontab 0 50 0640", []string{"secret a secret stands in the setting TOKEN", "exposed group staff (bob) may read /etc/crontab"}},
		{"a closed directory", "TOKEN=hunter2\n5 5 * * * root there", "/etc 0 0 0700", []string{"secret a secret stands in the setting TOKEN"}},
		{"percent", "5 5 * * * root there $(date +%F)", "", []string{`percent an unescaped % ends the command: the shell gets only "there $(date +", and the rest becomes its input (write \%)`}},
		{"percent that is meant", "5 5 * * * root cat%hello", "", nil},
		{"percent of a program", "5 5 * * * root there%hello there", "", nil},
		{"percent in a name", "5 5 * * * root there > /x-%Y.log", "", []string{`percent an unescaped % ends the command: the shell gets only "there > /x-", and`}},
		{"escaped percent", "5 5 * * * root there $(date +\\%F)", "", nil},
		{"path of a later command", "5 5 * * * root there | deploy", "", []string{"path deploy is /usr/local/bin/deploy, but PATH is /usr/bin:/bin"}},
	} {
		root := plant(t, system+"-- usr/bin/cat 0755 --\n-- etc/crontab --\n"+c.lines+"\n")
		if c.own != "" {
			var file string
			var uid, gid int
			var mode uint32
			_, err := fmt.Sscanf(c.own, "%s %d %d %o", &file, &uid, &gid, &mode)
			must(t, err)
			must(t, os.Chown(root+file, uid, gid))
			bits := os.FileMode(mode & 0o777)
			if mode&0o1000 != 0 {
				bits |= os.ModeSticky
			}
			must(t, os.Chmod(root+file, bits))
		}
		job := scanned(t, root).Jobs[0]
		var got []string
		for _, risk := range job.Risks {
			got = append(got, string(risk.Kind)+" "+risk.Why)
		}
		if !job.Verdict.Runs || !slices.EqualFunc(got, c.want, strings.HasPrefix) {
			t.Errorf("%s: %+v, risks %q, want %q", c.name, job.Verdict, got, c.want)
		}
		if strings.Contains(strings.Join(got, ""), "hunter2") {
			t.Errorf("%s: the secret itself is told", c.name)
		}
	}
}

// TestBarred: a program that the job's user cannot reach.
func TestBarred(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to others")
	}
	for own, want := range map[string]string{
		"/opt 0700":         "not_executable user ann may not enter /opt, so /opt/app/run cannot be executed",
		"/opt/app/run 0744": "not_executable user ann may not execute /opt/app/run",
		"/opt/app/run 0755": "",
	} {
		file, mode, _ := strings.Cut(own, " ")
		root := plant(t, system+"-- etc/crontab --\n5 5 * * * ann /opt/app/run\n")
		var bits uint32
		_, err := fmt.Sscanf(mode, "%o", &bits)
		must(t, err)
		must(t, os.Chmod(root+file, os.FileMode(bits)))
		v := scanned(t, root).Jobs[0].Verdict
		if got := strings.TrimSpace(string(v.Code) + " " + v.Why); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %+v, want %q", own, v, want)
		}
	}
}

// TestIDsHoldNoSecret: neither id nor fingerprint changes with a password, so
// that nobody can tell from them what it is.
func TestIDsHoldNoSecret(t *testing.T) {
	one, two := onlyJob(t, "", "5 5 * * * root there --password hunter2"), onlyJob(t, "", "5 5 * * * root there --password hunter3")
	other := onlyJob(t, "", "5 5 * * * root there --user hunter3")
	if one.ID != two.ID || one.Fingerprint != two.Fingerprint || one.ID == other.ID || one.Command == two.Command {
		t.Errorf("%+v\n%+v\n%+v", one, two, other)
	}
	if one.Fingerprint != fleet.CommandFingerprint("there --password <redacted>") {
		t.Errorf("fingerprint %s", one.Fingerprint)
	}
}

// TestHostileWays: names that go round in circles, out of the tree or on and on.
func TestHostileWays(t *testing.T) {
	for _, c := range []struct{ files, command string }{
		{"-- a/x -> y --\n-- a/y -> x --\n", "/a/x"},
		{"-- a -> b --\n-- b -> a --\n", "/a/x"},
		{"-- a/up -> ../../../../../../etc/passwd --\n", "/a/up"},
		{"-- a/x -> ../b/../c --\n", "/a/x"},
		{"", "/a" + strings.Repeat("/a", 400)},
		{"", "/" + strings.Repeat("../", 200) + "bin/sh"},
		{"", strings.Repeat("sh -c ", 100)},
		{"", strings.Repeat("env ", 200) + "x"},
		{"", strings.Repeat("$(", 300)},
	} {
		onlyJob(t, c.files, "5 5 * * * root "+c.command)
	}
	ways := newWays(t.Context(), nil, false, 0)
	for range maxKnownWays + 5 {
		ways.dirs[fmt.Sprint(len(ways.dirs))] = &way{fd: -1}
	}
	if got := ways.dir("/x", 0); got.err == nil {
		t.Error("more directories are remembered than the bound")
	}
	mounts := remoteMounts("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:40 / /home/a\\040b rw shared:1 - nfs4 h:/x rw\n31 22 0:41 / /sys/fs/fuse/connections rw - fusectl x rw\n")
	if len(mounts) != 1 || !mounts["/home/a b"] {
		t.Errorf("%v", mounts)
	}
}

// FuzzShellWords holds that no text breaks the reader, and that it ends.
func FuzzShellWords(f *testing.F) {
	for _, text := range []string{"a 'b c' \"d $(e)\" | f && g", "A=b c > d 2>&1", "x $(a 'b') `c`", "cd /x && ./y", "a\\ b", "<<X", "${a:-b}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, _ := readShell(text)
		for _, c := range list {
			if len(c.words) == 0 {
				t.Fatal("a command without words")
			}
		}
	})
}

// TestDaemonDown looks for processes in a tree's /proc as in the real one.
func TestDaemonDown(t *testing.T) {
	const proc = "-- proc/1/comm --\ninit\n-- proc/7/comm --\nbash\n"
	for _, c := range []struct {
		name, tree string
		down       bool
	}{
		{"runs", proc + "-- proc/12/comm --\ncron\n", false},
		{"does not", proc + "-- proc/12/comm --\ncrond-like\n", true},
		{"a user's", proc + "-- proc/12/comm --\ncron\n-- proc/12/status --\nName:\tcron\nUid:\t1000\t1000\t1000\t1000\n", true},
		{"root's", proc + "-- proc/12/comm --\ncron\n-- proc/12/status --\nUid:\t0\t0\t0\t0\n", false},
		{"hidden", "-- proc/7/comm --\nbash\n", false},
		{"no /proc", "-- etc/x --\n", false},
	} {
		tree, err := openTree(plant(t, c.tree))
		must(t, err)
		if got := daemons[Debian].down(t.Context(), tree); got != c.down {
			t.Errorf("%s: down %v", c.name, got)
		}
		tree.release()
	}
	if (daemon{}).down(t.Context(), nil) {
		t.Error("no daemon at all is down")
	}
}
