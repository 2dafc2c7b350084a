package turn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// How often and how long it is asked for what a task waits for, where the task
// does not say.
const (
	defaultEvery   = 5 * time.Second
	defaultTimeout = 5 * time.Minute
	// lookTime bounds one question.
	lookTime = 10 * time.Second
)

// await asks until everything that the task needs is there at once, and reports
// whether it is. Otherwise the wait is over.
func (t *Turn) await(w *waiter) bool {
	want := &w.ask.Task.WaitFor
	every, patience := time.Duration(want.Every), time.Duration(want.Timeout)
	if every == 0 {
		every = defaultEvery
	}
	if patience == 0 {
		patience = defaultTimeout
	}
	end := time.Now().Add(time.Until(w.came.Add(patience))) // on the clock that is never set
	look := looker{turn: t, task: w.ask.Task, hung: map[string]chan error{}}
	for {
		missing := look.all(w.ctx)
		switch {
		case w.ctx.Err() != nil:
			t.leave(w)
			return false
		case missing == nil:
			return true
		case !time.Now().Before(end):
			t.giveUp(w, fleet.MissedPrecondition, fmt.Sprintf("waited %s: %v", patience, missing))
			return false
		}
		t.say(w, fmt.Sprintf("waits for what the task needs: %v", missing))
		select {
		case <-time.After(min(every, time.Until(end))):
		case <-w.ctx.Done():
		}
	}
}

// needs lists what is waited for.
func needs(want *fleet.WaitFor) string {
	var list []string
	for _, kind := range []struct {
		name  string
		items []string
	}{{"tcp", want.TCP}, {"http", want.HTTP}, {"file", want.File}, {"unit", want.Unit}} {
		for _, item := range kind.items {
			list = append(list, kind.name+" "+item)
		}
	}
	if len(want.Command) > 0 {
		list = append(list, "command "+strings.Join(want.Command, " "))
	}
	return strings.Join(list, ", ")
}

// looker asks for what one run needs.
type looker struct {
	turn *Turn
	task *fleet.Task
	// hung holds questions about files that have no answer yet: a file system
	// that is away answers nobody, so it is not asked twice.
	hung map[string]chan error
}

// all returns what is missing; nil: nothing.
func (l *looker) all(ctx context.Context) error {
	want := &l.task.WaitFor
	for _, kind := range []struct {
		name  string
		items []string
		look  func(ctx context.Context, item string) error
	}{
		{"file", want.File, l.file}, // in the order of what they cost
		{"tcp", want.TCP, lookTCP},
		{"http", want.HTTP, lookHTTP},
		{"unit", want.Unit, l.unit},
	} {
		for _, item := range kind.items {
			if err := l.one(ctx, kind.look, item); err != nil {
				return fmt.Errorf("%s %s: %w", kind.name, item, err)
			}
		}
	}
	if len(want.Command) > 0 {
		if err := l.one(ctx, l.command, ""); err != nil {
			return fmt.Errorf("command %s: %w", strings.Join(want.Command, " "), err)
		}
	}
	return nil
}

func (l *looker) one(ctx context.Context, look func(context.Context, string) error, item string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lookTime, fmt.Errorf("no answer within %s", lookTime))
	defer cancel()
	err := look(ctx, item)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// lookTCP is content with a connection.
func lookTCP(ctx context.Context, address string) error {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return plain(err)
	}
	return connection.Close()
}

// lookHTTP is content with an answer from 200 to 399; a redirection is not
// followed. It asks the host itself and no proxy.
func lookHTTP(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return plain(err)
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, 4096) // so that the other side need not reset
	if answer.StatusCode < 200 || answer.StatusCode > 399 {
		return fmt.Errorf("answers %s", answer.Status)
	}
	return nil
}

// plain takes the address out of an error of the network, which is named before.
func plain(err error) error {
	if o, is := errors.AsType[*net.OpError](err); is {
		return o.Err
	}
	return err
}

// file is content when the path leads to something. Who asks for a file of a
// file system that is away waits in the kernel, where nobody can call him back:
// that goroutine is left behind.
func (l *looker) file(ctx context.Context, path string) error {
	answer := l.hung[path]
	if answer == nil {
		answer = make(chan error, 1)
		go func() {
			_, err := os.Stat(path)
			answer <- err
		}()
	}
	select {
	case err := <-answer:
		delete(l.hung, path)
		if e, is := errors.AsType[*os.PathError](err); is {
			return e.Err
		}
		return err
	case <-ctx.Done():
		l.hung[path] = answer
		return ctx.Err()
	}
}

func (l *looker) unit(ctx context.Context, name string) error {
	if l.turn.config.Unit == nil {
		return errors.New("no systemd runs on this host")
	}
	active, err := l.turn.config.Unit(ctx, name)
	if err == nil && !active {
		err = errors.New("is not active")
	}
	return err
}

func (l *looker) command(ctx context.Context, _ string) error {
	output, err := l.turn.config.Check(ctx, l.task, l.task.WaitFor.Command)
	if text := strings.TrimSpace(output); err != nil && text != "" {
		return fmt.Errorf("%w: %s", err, lastLine(text))
	}
	return err
}

func lastLine(text string) string {
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	return strings.ToValidUTF8(text, "�")
}
