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
	id := "check-" + rand.Text()
	order := &launch{
		Argv: argv, Dir: workingDir(execute.Dir, user.home), Credential: credential, user: user.name,
		Env: append(environment(&execute, &user, nil), runVariable+id),
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer reader.Close()
	pidfd := -1
	pid, _, err := order.fork(fdsOf(r.null, writer, writer), &pidfd)
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
	select {
	case <-probe.gone:
	case <-ctx.Done():
	}
	all := family{run: fleet.RunID(id), leader: pid, start: stat.start}
	all.kill()
	<-probe.gone
	status, _, err := probe.reap()
	reader.Close() // whatever holds the other end, nobody reads it any more
	said := <-answer
	switch {
	case ctx.Err() != nil:
		return said, fmt.Errorf("%s: stopped: %w", argv[0], context.Cause(ctx))
	case err != nil:
		return said, fmt.Errorf("%s: %w", argv[0], err)
	}
	return said, badEnd(argv[0], status)
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
