package discover

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// fakeCron, where it is set, makes this program stand still in a root of its
// own under the name of a cron.
const fakeCron = "DISCOVER_TEST_CRON"

func TestMain(m *testing.M) {
	if name, root, ok := strings.Cut(os.Getenv(fakeCron), " "); ok {
		if err := standStill(name, root); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func standStill(name, root string) error {
	if err := os.WriteFile("/proc/self/comm", []byte(name), 0); err != nil {
		return err
	}
	if err := unix.Chroot(root); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// contain runs a cron in a mount namespace and root of its own until the test
// ends, and returns its number.
func contain(t *testing.T, program, root string, args ...string) int {
	command := exec.Command("/proc/self/exe", args...)
	command.Env = []string{fakeCron + "=" + program + " " + root}
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	stdin, err := command.StdinPipe()
	must(t, err)
	stdout, err := command.StdoutPipe()
	must(t, err)
	if err := command.Start(); errors.Is(err, os.ErrPermission) {
		t.Skipf("no mount namespace can be made here: %v", err)
	} else {
		must(t, err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = command.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the cron says %q: %v", line, err)
	}
	return command.Process.Pid
}

// lookInto scans the container of a process as a scan of this machine does.
func lookInto(t *testing.T, pid int) fleet.Report {
	host, err := openTree("/")
	must(t, err)
	defer host.release()
	s := &scan{tree: host, now: noon, next: 1, live: true}
	var all found
	for _, c := range runningContainers(t.Context(), host, procDir) {
		if c.dirOf != fmt.Sprintf("%s/%d", procDir, pid) {
			continue // of this machine, or of another test
		}
		if c.label != "ns-"+strings.Trim(c.mount, "mnt:[]") {
			t.Logf("the container has the label %s", c.label)
		}
		c.label = "web"
		done := make(chan struct{})
		go func() { // rights are given up for as long as a goroutine lives
			defer close(done)
			s.container(t.Context(), &all, c)
		}()
		<-done
	}
	var report fleet.Report
	report.Jobs, report.Problems = all.sorted()
	return report
}

// lines tells jobs in one string each.
func lines(report fleet.Report) []string {
	var list []string
	for _, job := range report.Jobs {
		list = append(list, fmt.Sprintf("%s:%d in %s: %s, %s, %v %s", job.Source, job.Line, job.Container, job.User, job.Command, job.Verdict.Runs, job.Verdict.Why))
	}
	return list
}

// TestContainers looks into roots of other mount namespaces.
func TestContainers(t *testing.T) {
	const alpine = `
-- etc/os-release --
ID=alpine
-- bin/sh 0755 --
-- usr/sbin/crond -> /bin/busybox --
-- bin/busybox 0755 --
-- etc/passwd --
root:x:0:0::/root:/bin/sh
-- etc/crontabs/root 0600 --
0 3 * * * run-parts /etc/periodic/daily
-- etc/periodic/daily/rotate 0755 --
#!/bin/sh
-- etc/crontab --
1 1 * * * root busybox reads no such file
-- etc/crontabs/out -> /../../../../etc/shadow --
`
	const super = `
-- etc/passwd --
app:x:0:0::/:/bin/sh
-- app/jobs --
*/5 * * * * /app/tick
`
	for _, c := range []struct {
		name, program, tree string
		args                []string
		jobs, problems      []string
	}{
		{"busybox", "crond", alpine, nil, []string{
			"container:web:/etc/crontab:1 in web: root, busybox reads no such file, false busybox crond does not read /etc/crontab (move its jobs to /etc/crontabs/root)",
			"container:web:/etc/crontabs/root:1 in web: root, run-parts /etc/periodic/daily, true ",
			"container:web:/etc/periodic/daily/rotate:0 in web: root, /etc/periodic/daily/rotate, true run-parts is called by /etc/crontabs/root line 1",
		}, []string{"container:web:/etc/crontabs/out:0 the symbolic link points to nothing within the scanned root"}},
		{"supercronic", "supercronic", super, []string{"-json", "app/jobs"}, []string{"container:web:/app/jobs:1 in web: app, /app/tick, true "}, nil},
		{"supercronic and a bad line", "supercronic", super + "x\n", []string{"/app/jobs"},
			[]string{"container:web:/app/jobs:1 in web: app, /app/tick, false supercronic refuses the whole file because of another line (correct that line)"},
			[]string{`container:web:/app/jobs:2 the line begins with "x", so it is no job, setting or comment (cron says: bad minute)`}},
		{"supercronic with seconds and years", "supercronic", super + "*/5 * * * * 2027 /app/year\n*/5 * * * * * * /app/second\n", []string{"/app/jobs"}, []string{
			"container:web:/app/jobs:1 in web: app, /app/tick, true ",
			"container:web:/app/jobs:2 in web: app, 2027 /app/year, false supercronic takes what the command begins with for a year; when that comes is not known here (write five fields)",
		}, []string{"container:web:/app/jobs:3 supercronic takes a sixth and seventh field, for seconds and years; when such a job comes is not known here (write five fields)"}},
		{"no cron", "nginx", alpine, nil, nil, nil},
		{"another program of busybox's", "busybox", alpine, nil, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := lookInto(t, contain(t, c.program, plant(t, c.tree), c.args...))
			if diff := cmp.Diff(c.jobs, lines(report)); diff != "" {
				t.Errorf("jobs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.problems, problems(report)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestHostsOwnCron: a process in a mount namespace of its own with the host's
// root is the host's.
func TestHostsOwnCron(t *testing.T) {
	if report := lookInto(t, contain(t, "crond", "/")); len(report.Jobs)+len(report.Problems) > 0 {
		t.Errorf("%+v", report)
	}
}

func TestContainerLabels(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	docker := "-- var/lib/docker/containers/" + id + "/config.v2.json --\n{\"ID\":\"x\",\"Name\":\"/shop-db-1\"}\n"
	for _, c := range []struct {
		name, groups, files string
		uid                 uint32
		label               string
		alien               bool
	}{
		{"docker, with systemd", "0::/system.slice/docker-" + id + ".scope\n", docker, 0, "shop-db-1", false},
		{"docker, its files gone", "0::/system.slice/docker-" + id + ".scope\n", "", 0, id[:12], false},
		{"docker, the old groups", "2:cpu:/docker/" + id + "\n1:name=systemd:/docker/" + id + "\n", docker, 1000, "shop-db-1", false},
		{"a name that is none", "0::/docker/" + id + "\n", strings.Replace(docker, "shop", "\\u001b[2J", 1), 0, id[:12], false},
		{"podman", "0::/machine.slice/libpod-" + id + ".scope/container\n", "-- var/lib/containers/storage/overlay-containers/containers.json --\n[{\"id\":\"" + id + "\",\"names\":[\"cache\"]}]", 0, "cache", false},
		{"Kubernetes", "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-" + id + ".scope\n",
			"-- var/log/containers/web-7d9f-x2x4_shop_cron-" + id + ".log --\n", 0, "shop/cron", false},
		{"LXC", "0::/lxc.payload.mail/system.slice/cron.service\n", "", 100000, "mail", false},
		{"nspawn", "0::/machine.slice/systemd-nspawn@old\\x2dhost.service/payload\n", "", 0, "old-host", false},
		{"a user's, under another's name", "0::/user.slice/user-1000.slice/user@1000.service/docker-" + id + ".scope\n", docker, 1000, id[:12], true},
		{"nothing known", "0::/system.slice/x.service\n", "", 0, "ns-42", false},
		{"nothing known of a user's", "0::/\n", "", 1000, "ns-42", true},
	} {
		host, err := openTree(plant(t, c.files))
		must(t, err)
		p := process{dirOf: plant(t, "-- cgroup --\n"+c.groups), mount: "mnt:[42]", user: account{uid: c.uid}}
		if label, alien := p.label(t.Context(), host); label != c.label || alien != c.alien {
			t.Errorf("%s: %q, %v, want %q, %v", c.name, label, alien, c.label, c.alien)
		}
		host.release()
	}
}

// TestUsersOutside: files of a container's users have other numbers outside.
func TestUsersOutside(t *testing.T) {
	if ids := readIDMap([]byte("         0          0 4294967295\n")); ids != nil {
		t.Errorf("the host's own: %v", ids)
	}
	ids := readIDMap([]byte("0 1000 1\n1 100000 65536\n"))
	for inside, want := range map[uint32]uint32{0: 1000, 1: 100000, 33: 100032, 70000: 65534} {
		if got, _ := ids.outside(inside); got != want {
			t.Errorf("%d is %d outside, want %d", inside, got, want)
		}
	}
	tree, err := openTree(plant(t, "-- etc/passwd --\nroot:x:0:0::/root:\nwww:x:33:33::/:\n"))
	must(t, err)
	defer tree.release()
	u := readUsers(t.Context(), tree)
	u.outside(ids)
	if name, _ := u.name(100032); name != "www" || u.uids["root"] != 1000 {
		t.Errorf("%+v", u)
	}
}

// TestGuardedTree: what the kernel makes up is not read in a container, where a
// link can lead to more than its maker may see.
func TestGuardedTree(t *testing.T) {
	tree, err := openTree("/")
	must(t, err)
	defer tree.release()
	if text(t.Context(), tree, "/proc/stat") == nil {
		t.Error("the host's own is not read")
	}
	tree.guarded = true
	if got := text(t.Context(), tree, "/proc/stat"); got != nil {
		t.Errorf("%q", got)
	}
}
