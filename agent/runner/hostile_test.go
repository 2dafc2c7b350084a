package runner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// What a user of the host whose tasks a root agent runs could try.

// connected returns the two ends of a socket.
func connected(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range ends {
		file := os.NewFile(uintptr(fd), "end")
		conn, err := net.FileConn(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns[i] = conn.(*net.UnixConn)
	}
	return conns[0], conns[1]
}

// Orders that wait together are read in pieces that know nothing of where one
// ends; the files of each must stay its own.
func TestFilesStayWithTheirOrders(t *testing.T) {
	for _, length := range []int{100, 3000, 4000, 5000, 6000, 9000, 30000} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			agent, guardian := connected(t)
			to := newOrders(agent)
			const many = 5
			for n := range many {
				var files []*os.File
				for range ownFiles {
					file, err := os.Create(filepath.Join(t.TempDir(), fmt.Sprint(n)))
					if err != nil {
						t.Fatal(err)
					}
					defer file.Close()
					files = append(files, file)
				}
				if n > 0 {
					if err := to.send(order{Forget: "before"}); err != nil {
						t.Fatal(err)
					}
				}
				if err := to.send(order{Launch: &launch{Run: fleet.RunID(fmt.Sprint(n)), Env: []string{strings.Repeat("x", length)}}}, fdsOf(files...)...); err != nil {
					t.Fatal(err)
				}
			}
			from, err := newArrivals(guardian)
			if err != nil {
				t.Fatal(err)
			}
			buffered := bufio.NewReaderSize(from, arrivalBytes)
			for n := 0; n < many; {
				var next order
				if err := decodeWire(buffered, next.fields); err != nil {
					t.Fatal(err)
				}
				if next.Launch == nil {
					continue
				}
				files, err := from.own()
				if err != nil {
					t.Fatalf("order %d: %v", n, err)
				}
				for _, file := range files {
					where, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", file))
					if err != nil || filepath.Base(where) != fmt.Sprint(n) {
						t.Errorf("order %d got %s, %v", n, where, err)
					}
				}
				closeFiles(files)
				n++
			}
		})
	}
}

// A file that was one user's is never another's: he may have left a second name
// of it, rights for everybody, or somebody who watches it.
func TestAFileOfAUserServesNobodyElse(t *testing.T) {
	needRoot(t)
	b := newBench(t)
	dir := filepath.Join(b.dir, "theirs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{b.dir, filepath.Dir(b.dir), filepath.Dir(filepath.Dir(b.dir))} {
		if err := os.Chmod(path, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	links := "chmod 0666 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3; for n in 1 2 3; do ln -L /proc/self/fd/$n " + dir + "/$n; done"
	spec := b.spec(sh(links))
	spec.Execute.User = "nobody"
	if got := b.run(spec); !got.Succeeded() {
		t.Fatalf("%s: %s", got.Detail, got.Tail)
	}
	for range 3 {
		if got := b.run(b.spec(sh("echo secret; echo secret >&2; echo HEARTBEAT >&3; stat -c %a /proc/self/fd/1 -L"))); !got.Succeeded() {
			t.Fatal(got.Detail)
		}
	}
	for n := 1; n <= 3; n++ {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(n)))
		if err != nil || len(text) > 0 {
			t.Errorf("descriptor %d of another user's run holds %q, %v", n, text, err)
		}
	}
}

// A directory tree costs few descriptors to remove, however deep it is: it is
// made by those whose tasks run.
func TestDeepTreesCostFewDescriptors(t *testing.T) {
	b := newBench(t)
	spec := b.spec(sh("cd $FLEETCRON_STATE_DIR; n=0; while [ $n -lt 400 ]; do mkdir d; echo x > f; cd -P ./d; n=$((n+1)); done"))
	if got := b.run(spec); !got.Succeeded() {
		t.Fatalf("%s: %s", got.Detail, got.Tail)
	}
	var err error
	limitOf(t, 0, unix.RLIMIT_NOFILE, uint64(highest(t)+20), func() { err = b.Forget(spec.Run.Task) })
	if err != nil {
		t.Errorf("%.200s", err)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "states", "data")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is left: %v", err)
	}
}

// Whoever holds a file can make it as long as he likes without writing it.
func TestALongFileOfNothingIsNotRead(t *testing.T) {
	for name, script := range map[string]string{
		"all of it":          "truncate -s 1T /proc/self/fd/1",
		"behind its head":    "head -c 50000 /dev/zero | tr '\\0' x; truncate -s 1T /proc/self/fd/1",
		"before its end":     "truncate -s 1T /proc/self/fd/1; head -c 50000 /dev/zero | tr '\\0' x",
		"a hole in the head": "printf x; truncate -s 9000 /proc/self/fd/1; printf y; truncate -s 1T /proc/self/fd/1; head -c 50000 /dev/zero | tr '\\0' x",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			spec := b.spec(sh(script))
			spec.Limits.Output = 64 << 10
			got := b.run(spec)
			if !got.Succeeded() || got.Dropped < 1<<39 {
				t.Fatalf("%s: dropped %d: %s", got.State, got.Dropped, got.Detail)
			}
			for _, when := range []string{"as it is", "packed"} {
				reader, dropped, err := b.Output(t.Context(), spec.Run.ID, View{Stream: Stdout})
				if err != nil {
					t.Fatal(err)
				}
				n, err := io.Copy(io.Discard, io.LimitReader(reader, 1<<20))
				reader.Close()
				if n > 200<<10 || err != nil || dropped < 1<<39 {
					t.Fatalf("%s: %d bytes and more, %d dropped, %v", when, n, dropped, err)
				}
				if err := b.packAll(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A step that is gone leaves its number to others, who get no limits by that.
func TestAStepThatIsGoneGetsNoLimits(t *testing.T) {
	waits, step, err := newGate()
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(step...)
	if _, err := step[1].Write([]byte{1}); err != nil { // its last word
		t.Fatal(err)
	}
	step[1].Close()
	var before, after unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_MSGQUEUE, nil, &before); err != nil {
		t.Fatal(err)
	}
	g := &guard{wards: map[int]*ward{}, notices: &notices{deaf: true}, book: newBook(os.NewFile(uintptr(highest(t)), ""))}
	w := &ward{status: status{Run: "a", PID: os.Getpid(), Ended: due}, stopping: true}
	g.pass(w, waits, &launch{Rlimits: []rlimit{{"msgqueue", before.Cur / 2}}})
	if err := unix.Prlimit(0, unix.RLIMIT_MSGQUEUE, nil, &after); err != nil {
		t.Fatal(err)
	}
	if after != before || w.Refused == nil {
		t.Errorf("limits %v, were %v; refused %v", after, before, w.Refused)
	}
}

// silentFS mounts a file system that answers nothing, as any user can.
func silentFS(t *testing.T) string {
	t.Helper()
	needRoot(t)
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("no file system can be made here:", err)
	}
	dir := t.TempDir()
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	if err := unix.Mount("fuse", dir, "fuse", 0, options); err != nil {
		unix.Close(fd)
		t.Skip("no file system can be mounted here:", err)
	}
	t.Cleanup(func() {
		unix.Close(fd) // whoever waits for it waits no longer
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestAFileSystemThatHangsHoldsUpNobodyElse(t *testing.T) {
	b := newBench(t)
	b.run(b.spec(sh("true"))) // and there is a guardian
	dir := silentFS(t)
	b.birth = 300 * time.Millisecond
	for _, hang := range []func(*Spec){
		func(s *Spec) { s.Execute.Command = fleet.Command{Argv: []string{dir + "/program"}} },
		func(s *Spec) { s.Execute.Dir = dir },
		func(s *Spec) { s.Execute.Dir, s.Execute.Umask = dir, "0027" },
	} {
		spec := b.spec(fleet.Command{Argv: []string{"/bin/true"}})
		hang(&spec)
		b.begin(spec)
		b.begin(b.spec(sh("true")))
		var missed, ran int
		for range 2 {
			switch got := b.wait(); {
			case got.Reason == fleet.MissedForkFailed && strings.Contains(got.Detail, "the file system hangs"):
				missed++
			case got.Succeeded():
				ran++
			default:
				t.Errorf("%s %s: %s", got.State, got.Reason, got.Detail)
			}
		}
		if missed != 1 || ran != 1 {
			t.Errorf("%d missed, %d ran", missed, ran)
		}
	}
}

// frozen returns a directory whose processes cannot be killed while they are
// frozen: that is how the freezer of cgroup v1 was.
func frozen(t *testing.T) string {
	t.Helper()
	needRoot(t)
	dir, err := os.MkdirTemp("/sys/fs/cgroup/freezer", "fleetcron-test-")
	if err != nil {
		t.Skip("nothing can be frozen here:", err)
	}
	t.Cleanup(func() {
		write(t, filepath.Join(dir, "freezer.state"), "THAWED", 0o600)
		for try := 0; try < 100 && unix.Rmdir(dir) != nil; try++ {
			time.Sleep(10 * time.Millisecond) // until the kernel has counted out who was in it
		}
	})
	return dir
}

func TestAWholeRunDoesNotEndBeforeWhatCannotBeKilled(t *testing.T) {
	for name, change := range map[string]func(*Config){"guarded": func(*Config) {}, "unguarded": alone} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each takes as long as a kill is waited for
			dir := frozen(t)
			b := newBench(t, change, grouped(NoCgroup))
			warned := make(chan string, 10)
			b.log = slog.New(saying{slog.DiscardHandler, warned})
			path, line := fifo(t)
			spec := b.spec(sh("echo $$ > $F; exec sleep 1000"))
			spec.Execute.Env = map[string]string{"F": path}
			spec.Whole = true
			b.begin(spec)
			write(t, filepath.Join(dir, "cgroup.procs"), strings.TrimSpace(line()), 0o600)
			write(t, filepath.Join(dir, "freezer.state"), "FROZEN", 0o600)
			if !b.Cancel(spec.Run.ID, "enough") {
				t.Fatal("it is gone")
			}
			for said := ""; !strings.Contains(said, "cannot be killed"); {
				select {
				case said = <-warned:
				case run := <-b.ended:
					t.Fatalf("it ended as %s: %s", run.State, run.Detail)
				}
			}
			write(t, filepath.Join(dir, "freezer.state"), "THAWED", 0o600)
			if got := b.wait(); !got.Cancelled || got.Signal == "" {
				t.Errorf("%s %s: %s", got.State, got.Signal, got.Detail)
			}
		})
	}
}

// saying passes on what is logged.
type saying struct {
	slog.Handler
	to chan<- string
}

func (s saying) Enabled(context.Context, slog.Level) bool { return true }

func (s saying) Handle(_ context.Context, r slog.Record) error {
	s.to <- r.Message
	return nil
}
