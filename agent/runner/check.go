package runner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// maxAnswer is how much of what a probe writes is kept: its beginning.
const maxAnswer = 4 << 10

// Check runs a probe of a task as the task's user, in its directory and with
// its environment, and returns what it wrote on both streams. The error is nil
// for exit code 0 only. When ctx ends, or the probe does, all that it started
// is killed. It is no run: nothing of it is recorded.
func (r *Runner) Check(ctx context.Context, execute fleet.Execute, argv []string) (string, error) {
	user, credential, err := r.accounts.become(&execute, os.Geteuid())
	if err != nil {
		return "", err
	}
	mark := rand.Text()
	who := probed{execute.User, argv[0], execute.Dir}
	if r.stuck(who, 0) {
		return "", fmt.Errorf("%s: not asked again: the probe before still waits for a device and cannot be killed", argv[0])
	}
	order := &launch{
		Step: r.config.Step, Apart: len(r.config.Step) > 0, Argv: argv, Dir: workingDir(execute.Dir, user.home), Credential: credential, user: user.name,
		Env: append(environment(&execute, &user, nil), markVariable+mark),
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer reader.Close()
	pidfd := -1
	own := fdsOf(r.null, writer, writer, r.null)
	pid, waits, err := order.fork(own, &pidfd)
	if order.Apart && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOENT)) { // the step is not there for this user
		order.Apart = false
		pid, waits, err = order.fork(own, &pidfd)
	}
	writer.Close()
	if err != nil {
		return "", errors.New(explain(err, order).detail)
	}
	if r.protected {
		resetOOM(pid)
	}
	stat, _ := readStat(pid) // it is not reaped yet, so it is there
	probe := accompany(pid, stat.start, pidfd, true)
	answer := make(chan string, 1)
	go func() { answer <- readAnswer(reader) }()
	executed := make(chan error, 1)
	go func() {
		if waits != nil {
			executed <- waits.pass(pid, nil, func(do func()) { do() })
		} else {
			executed <- nil
		}
	}()
	select {
	case <-probe.gone:
	case <-ctx.Done():
	}
	all := family{mark: mark, leader: pid, start: stat.start}
	if left := all.kill(); left > 0 && !probe.exited() {
		r.stuck(who, 1)
		go func() {
			<-probe.gone
			_, _, _ = probe.reap()
			r.stuck(who, -1)
		}()
		return "", fmt.Errorf("%s: stopped: %w; it waits for a device and cannot be killed", argv[0], context.Cause(ctx))
	}
	<-probe.gone
	status, _, err := probe.reap()
	reader.Close() // whatever holds the other end, nobody reads it any more
	said := <-answer
	if failed := <-executed; failed != nil && ctx.Err() == nil {
		return "", errors.New(explain(failed, order).detail)
	}
	switch {
	case ctx.Err() != nil:
		return said, fmt.Errorf("%s: stopped: %w", argv[0], context.Cause(ctx))
	case err != nil:
		return said, fmt.Errorf("%s: %w", argv[0], err)
	}
	return said, badEnd(argv[0], status)
}

// probed is what is asked, by whom.
type probed struct{ user, program, dir string }

// stuck counts probes that cannot be killed, and reports whether there are some:
// each would leave another process for ever.
func (r *Runner) stuck(who probed, more int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stuckProbes[who] += more; r.stuckProbes[who] == 0 {
		delete(r.stuckProbes, who)
		return false
	}
	return true
}

// badEnd is nil for exit code 0.
func badEnd(program string, status syscall.WaitStatus) error {
	switch {
	case status.Signaled():
		return fmt.Errorf("%s ended by %s", program, signalName(status.Signal()))
	case status.ExitStatus() != 0:
		return fmt.Errorf("%s ended with exit code %d", program, status.ExitStatus())
	}
	return nil
}

// readAnswer keeps the beginning of what a probe writes, and lets it write on.
func readAnswer(from io.Reader) string {
	text, _ := io.ReadAll(io.LimitReader(from, maxAnswer)) // what came is what it said
	_, _ = io.Copy(io.Discard, from)
	return strings.ToValidUTF8(string(text), "\uFFFD")
}
