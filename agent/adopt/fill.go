package adopt

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/takeover"
)

// masked is how every secret that was masked begins.
const masked = "<redacted:"

// Fill puts what was masked back into what a task runs, from this host's own
// record of the job. It refuses to let a mask be run as if it were a command.
func (a *Adopter) Fill(task fleet.TaskID, run fleet.Execute) (fleet.Execute, error) {
	if !isMasked(run) {
		return run, nil
	}
	a.mu.Lock()
	r := a.records[task]
	a.mu.Unlock()
	if r == nil {
		return run, fleet.Errorf(fleet.Refused, "the task holds a masked secret (%s…), and this host has no record of what belongs there", masked)
	}
	there, err := takeover.Adopt(&r.Job, &r.Host, task, anySchedule)
	if err != nil {
		return run, err
	}
	here, err := takeover.Adopt(&r.Found, &r.Host, task, anySchedule)
	if err != nil {
		return run, err
	}
	if reflect.DeepEqual(run.Command, there.Run.Command) {
		run.Command = here.Run.Command
	}
	if run.Stdin == there.Run.Stdin {
		run.Stdin = here.Run.Stdin
	}
	env := make(map[string]string, len(run.Env))
	for name, value := range run.Env {
		if env[name] = value; value == there.Run.Env[name] {
			env[name] = here.Run.Env[name]
		}
	}
	if run.Env = env; isMasked(run) {
		return run, fleet.Errorf(fleet.Refused, "the task holds a masked secret (%s…) in words that are not the adopted job's any more: give it the secret in a file that only its user can read", masked)
	}
	return run, nil
}

func isMasked(run fleet.Execute) bool {
	texts := append([]string{run.Command.Shell, run.Stdin}, run.Command.Argv...)
	for _, value := range run.Env {
		texts = append(texts, value)
	}
	for _, text := range texts {
		if strings.Contains(text, masked) {
			return true
		}
	}
	return false
}

// Diff returns what an adoption would change on the host, as a unified diff
// with secrets masked, or why it would be refused. It changes nothing.
func (a *Adopter) Diff(ctx context.Context, wish *fleet.Adoption) (string, error) {
	sight, err := a.cfg.Look(ctx)
	if err != nil {
		return "", err
	}
	found, err := a.examine(&sight, wish, a.cfg.Would)
	if err != nil {
		return "", err
	}
	c, err := a.prepare(found, &sight.Host, wish.Task)
	if err != nil {
		return "", err
	}
	return c.diff(found, &wish.Job), nil
}

// diff writes a change as a unified diff.
func (c *change) diff(found, shown *fleet.Job) string {
	where := c.Dir + "/" + c.Name
	switch c.Way {
	case byComment:
		line := printable(strings.TrimSuffix(string(c.Line), "\n"))
		if found.Command != shown.Command { // it holds secrets
			line = strings.Replace(line, found.Command, shown.Command, 1)
		}
		return fmt.Sprintf("--- %s\n+++ %s\n@@ -%d +%d @@\n-%s\n+%s%s\n", where, where, found.Line, found.Line, line, c.Mark, line)
	case byMove:
		return fmt.Sprintf("rename from %s\nrename to %s\n", where, takeover.SilentPath(where))
	case byMask:
		return fmt.Sprintf("symlink %s -> /dev/null\n", where)
	}
	text := strings.TrimSuffix(string(c.Mark), "\n")
	return fmt.Sprintf("--- /dev/null\n+++ %s\n@@ -0,0 +1,%d @@\n+%s\n", where, strings.Count(text, "\n")+1, strings.ReplaceAll(text, "\n", "\n+"))
}
