package turn

import (
	"context"
	"errors"
	"fmt"
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
		items []string
		look  func(ctx context.Context, item string) error
	}{ // in the order of what they cost
		{want.File, l.file}, {want.TCP, l.service("tcp")}, {want.HTTP, l.service("http")}, {want.Unit, l.unit},
	} {
		for _, item := range kind.items {
			if err := l.one(ctx, kind.look, item); err != nil {
				return err
			}
		}
	}
	if len(want.Command) > 0 {
		if err := l.one(ctx, l.command, "command "+strings.Join(want.Command, " ")); err != nil {
			return err
		}
	}
	return nil
}

func (l *looker) one(ctx context.Context, look func(context.Context, string) error, item string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lookTime, fmt.Errorf("no answer within %s", lookTime))
	defer cancel()
	err := look(ctx, item)
	if err != nil && ctx.Err() != nil {
		return said(item, context.Cause(ctx))
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
			err = e.Err
		}
		return said("file "+path, err)
	case <-ctx.Done():
		l.hung[path] = answer
		return ctx.Err()
	}
}

// said tells what is missing, if anything is.
func said(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// service asks services of a kind.
func (l *looker) service(kind string) func(ctx context.Context, address string) error {
	return func(ctx context.Context, address string) error { return l.turn.config.Ask(ctx, l.task, kind, address) }
}

func (l *looker) unit(ctx context.Context, name string) error {
	if l.turn.config.Unit == nil {
		return said("unit "+name, errors.New("no systemd runs on this host"))
	}
	active, err := l.turn.config.Unit(ctx, name)
	if err == nil && !active {
		err = errors.New("is not active")
	}
	return said("unit "+name, err)
}

func (l *looker) command(ctx context.Context, _ string) error {
	argv := l.task.WaitFor.Command
	output, err := l.turn.config.Check(ctx, l.task, argv)
	if text := strings.TrimSpace(output); err != nil && text != "" {
		err = fmt.Errorf("%w: %s", err, lastLine(text))
	}
	return said("command "+strings.Join(argv, " "), err)
}

func lastLine(text string) string {
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	return strings.ToValidUTF8(text, "�")
}
