package runner

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// deafFS mounts a file system whose server takes every question in and answers
// none: who waits for it cannot even be killed. Heard receives for each name that
// is asked for.
func deafFS(t *testing.T) (dir string, heard <-chan struct{}) {
	t.Helper()
	needRoot(t)
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("no file system can be made here:", err)
	}
	dir = t.TempDir()
	questions := make(chan struct{}, 100)
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	if err := unix.Mount("fuse", dir, "fuse", 0, options); err != nil {
		unix.Close(fd)
		t.Skip("no file system can be mounted here:", err)
	}
	device := os.NewFile(uintptr(fd), "/dev/fuse") // only now it can be waited for
	go func() {
		question := make([]byte, 1<<17)
		for {
			n, err := device.Read(question)
			if err != nil {
				return
			}
			const header, unique, lookup, init = 40, 8, 1, 26 // of struct fuse_in_header; FUSE_LOOKUP, FUSE_INIT
			kind := binary.NativeEndian.Uint32(question[4:])
			if kind == lookup {
				questions <- struct{}{}
			}
			if n < header || kind != init {
				continue
			}
			answer := make([]byte, 16+64) // struct fuse_out_header, struct fuse_init_out
			binary.NativeEndian.PutUint32(answer, uint32(len(answer)))
			copy(answer[8:], question[unique:unique+8])
			binary.NativeEndian.PutUint32(answer[16:], 7)
			binary.NativeEndian.PutUint32(answer[20:], 31)
			binary.NativeEndian.PutUint32(answer[36:], 1<<16) // at most so much at once
			if _, err := device.Write(answer); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		device.Close() // whoever waits for it waits no longer
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, questions
}

// hangs are the ways in which a command depends on a file system.
func hangs(dir string) map[string]fleet.Execute {
	program := fleet.Command{Argv: []string{"/bin/true"}}
	return map[string]fleet.Execute{
		"program":   {Command: fleet.Command{Argv: []string{dir + "/program"}}, Dir: "/"},
		"directory": {Command: program, Dir: dir + "/sub"},
	}
}

// TestProbesThatHangHoldUpNobody: not this process, which could not collect its
// garbage, nor any other probe; and one that cannot be killed is not joined by
// more of them.
func TestProbesThatHangHoldUpNobody(t *testing.T) {
	t.Parallel() // each takes as long as a kill is waited for
	silent := func(t *testing.T) (string, <-chan struct{}) { return silentFS(t), nil }
	for name, mount := range map[string]func(*testing.T) (string, <-chan struct{}){"silent": silent, "deaf": deafFS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for what := range hangs("") {
				dir, heard := mount(t) // another one, for in one they wait for each other
				execute := hangs(dir)[what]
				ctx, cancel := context.WithCancel(t.Context())
				asked := make(chan error, 1)
				go func() {
					_, err := b.Check(ctx, execute, execute.Command.Argv)
					asked <- err
				}()
				if _, err := b.Check(t.Context(), fleet.Execute{Dir: "/"}, []string{"/bin/true"}); err != nil {
					t.Errorf("%s: another probe: %v", what, err)
				}
				if heard != nil {
					<-heard
				}
				runtime.GC()
				cancel()
				if err := <-asked; err == nil || !strings.Contains(err.Error(), "stopped") {
					t.Errorf("%s: %v", what, err)
				}
				if name == "deaf" {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					if _, err := b.Check(ctx, execute, execute.Command.Argv); err == nil || !strings.Contains(err.Error(), "not asked again") {
						t.Errorf("%s: asked again: %v", what, err)
					}
				}
			}
		})
	}
}

// TestAnUnguardedStartThatHangsIsGivenUp, and holds up nobody either.
func TestAnUnguardedStartThatHangsIsGivenUp(t *testing.T) {
	b := newBench(t, alone)
	b.birth = 300 * time.Millisecond
	dir, _ := deafFS(t)
	for what, execute := range hangs(dir) {
		spec := b.spec(execute.Command)
		spec.Execute = execute
		b.begin(spec)
		if got := b.wait(); got.Reason != fleet.MissedForkFailed || !strings.Contains(got.Detail, "the file system hangs") {
			t.Errorf("%s: %s %s: %s", what, got.State, got.Reason, got.Detail)
		}
		b.birth = 0 // a busy machine takes its time
		if got := b.run(b.spec(sh("true"))); !got.Succeeded() {
			t.Errorf("%s: the next one: %+v", what, got)
		}
		b.birth = 300 * time.Millisecond
	}
}

// TestAGuardianThatCannotBeFreedIsReplaced: a child of it can neither be executed
// nor killed, so the guardian goes, and another starts what comes.
func TestAGuardianThatCannotBeFreedIsReplaced(t *testing.T) {
	b := newBench(t)
	b.run(b.spec(sh("true"))) // and there is a guardian
	b.birth = 200 * time.Millisecond
	spec := b.spec(fleet.Command{Argv: []string{"/bin/true"}})
	dir, _ := deafFS(t)
	spec.Execute.Dir = dir + "/sub"
	b.begin(spec)
	if got := b.wait(); got.State != fleet.RunUnknown || got.Reason != fleet.UnknownAgentDied {
		t.Errorf("%s %s: %s", got.State, got.Reason, got.Detail)
	}
	b.birth = 0
	if got := b.run(b.spec(sh("true"))); !got.Succeeded() {
		t.Errorf("the next one: %+v", got)
	}
}
