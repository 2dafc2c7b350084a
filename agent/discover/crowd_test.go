package discover

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// fakeProcess adds a process to a made up /proc.
func fakeProcess(t *testing.T, proc string, pid, uid int, root, group string) {
	dir := filepath.Join(proc, fmt.Sprint(pid))
	must(t, os.MkdirAll(dir+"/ns", 0o755))
	for name, text := range map[string]string{
		"comm": "cron\n", "cmdline": "cron\x00-f\x00", "uid_map": "0 0 4294967295\n", "cgroup": "0::" + group + "\n",
		"status": fmt.Sprintf("Uid:\t%d\t%[1]d\t%[1]d\t%[1]d\nGid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", uid),
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	must(t, os.Symlink(fmt.Sprintf("mnt:[%d]", pid), dir+"/ns/mnt"))
	must(t, os.MkdirAll(root, 0o755))
	must(t, os.Symlink(root, dir+"/root"))
}

// TestCrowdOfContainers: users' containers, however many, hide none of the
// host's, and no process of a container's user speaks for its cron.
func TestCrowdOfContainers(t *testing.T) {
	proc, roots := t.TempDir(), t.TempDir()
	for i := range 300 {
		fakeProcess(t, proc, 100+i, 1000, fmt.Sprintf("%s/user-%d", roots, i), "/user.slice/user-1000.slice/app")
	}
	fakeProcess(t, proc, 500, 33, roots+"/web", "/system.slice/docker-"+strings.Repeat("ab", 32)+".scope")
	fakeProcess(t, proc, 501, 0, roots+"/web", "/system.slice/docker-"+strings.Repeat("ab", 32)+".scope")
	host, err := openTree(t.TempDir())
	must(t, err)
	defer host.release()
	list := runningContainers(t.Context(), host, proc)
	if len(list) > maxContainers+5 || list[0].label != "abababababab" || list[0].user.uid != 0 || list[0].alien {
		t.Errorf("%d containers, the first is %+v", len(list), list[0])
	}
}

// TestCrowdThatHangs: parts that hang do not become ever more, and those that
// no user can make are still looked at.
func TestCrowdThatHangs(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		mount := make(chan struct{})
		c := NewScanner(root, Options{Now: noon})
		var started, good atomic.Int32
		round := 0
		c.sources = []source{{name: "/mnt", find: func(_ context.Context, _ *scan, out *found) {
			out.parts = append(out.parts, part{name: "good", first: true, find: func(context.Context, *found) { good.Add(1) }})
			for i := range 10 {
				out.parts = append(out.parts, part{name: fmt.Sprintf("%d-%d", round, i), find: func(context.Context, *found) {
					started.Add(1)
					<-mount
				}})
			}
		}}}
		for round = range 50 {
			_, err := c.Scan(t.Context())
			must(t, err)
		}
		if n := started.Load(); n < maxHanging || n > maxHanging+10 || good.Load() != 50 {
			t.Errorf("%d parts hang, %d others were looked at", n, good.Load())
		}
		close(mount)
		synctest.Wait()
		if c.hanging("/mnt") != 0 || len(c.hangs) != 0 {
			t.Errorf("%d are still thought to hang", len(c.hangs))
		}
	})
}

// TestManagerOfALink: no user leads a scan to the comments of a file of root's.
func TestManagerOfALink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a link away")
	}
	root := plant(t, "-- root/secret 0600 --\n# Ansible managed\n-- home/eve/a.timer -> /root/secret --\n-- etc/a.timer -> /root/secret --\n")
	must(t, os.Lchown(root+"/home/eve/a.timer", 1234, 1234))
	tree, err := openTree(root)
	must(t, err)
	defer tree.release()
	s := &scan{tree: tree, host: readHost(t.Context(), tree)}
	opinions := s.judge(t.Context(), []subject{{kind: fleet.KindTimer, source: "/home/eve/a.timer"}, {kind: fleet.KindTimer, source: "/etc/a.timer"}})
	if opinions[0].manager != "" || opinions[1].manager == "" {
		t.Errorf("managers %q and %q", opinions[0].manager, opinions[1].manager)
	}
}
