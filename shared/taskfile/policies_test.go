package taskfile

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestMistakesAboutPolicies shows what fleetctl validate says about the fields
// of retries, daemons, limits and what is waited for.
func TestMistakesAboutPolicies(t *testing.T) {
	daemon := strings.Replace(minimal, "every: 10m", "daemon: true", 1)
	for _, test := range []struct {
		name, doc string
		want      []string
	}{
		{"retry without a count", minimal + "retry: {base: 1s}\n", []string{"line 5, column 8: retry.attempts: is missing: how many attempts together, such as 3"}},
		{"retries of other tools", minimal + "retries: 3\n", []string{"line 5, column 1: retries: is no field here; did you mean attempts under retry?"}},
		{"retry on success", minimal + "retry: {attempts: 3, on: [0, 75, never]}\n", []string{
			`line 5, column 27: retry.on "0": want failure, timeout, unknown, an exit code 1–255 or a signal such as SIGTERM`,
			`line 5, column 34: retry.on "never": want failure, timeout, unknown, an exit code 1–255 or a signal such as SIGTERM`,
		}},
		{"retry on one text", minimal + "retry: {attempts: 3, on: 75}\n", []string{`line 5, column 26: retry.on "75": is a number; want a list such as [75, SIGTERM, timeout]`}},
		{"retry a daemon", daemon + "retry: {attempts: 3}\n", []string{"line 5, column 8: retry: does not go with a command that is kept up: restart says what happens when it ends"}},
		{"factor as a word", minimal + "retry: {attempts: 3, factor: two}\n", []string{`line 5, column 30: retry.factor "two": is read as text; want a number such as 1.5`}},
		{"factor with an exponent", minimal + "retry: {attempts: 3, factor: 1e1}\n", []string{`line 5, column 30: retry.factor "1e1": want a number in plain decimal digits, such as 1.5`}},
		{"restart a schedule", minimal + "restart: {policy: always}\n", []string{`line 5, column 10: restart "always": belongs to daemon and startup only; retry is for what runs to its end`}},
		{"restart policy", daemon + "restart: {policy: maybe}\n", []string{`line 5, column 19: restart.policy "maybe": want always, on-failure or never`}},
		{"give up", daemon + "restart: {give_up: 10}\n", []string{`line 5, column 20: restart.give_up "10": want so many starts within a time, such as 10/1h`}},
		{"give up in an hour", daemon + "restart: {give_up: 10/h}\n", []string{`line 5, column 20: restart.give_up "10/h": want so many starts within a time, such as 10/1h`}},
		{"health of a schedule", minimal + "health: {tcp: 'a:1'}\n", []string{"line 5, column 9: health: belongs to daemon, and to startup with a restart policy"}},
		{"health by a word", daemon + "healthcheck: {tcp: 'a:1'}\n", []string{"line 5, column 1: healthcheck: is no field; did you mean health?"}},
		{"probe as one text", daemon + "health: {exec: /bin/h}\n", []string{`line 5, column 16: health.exec "/bin/h": is text; want a list of texts, such as [/usr/bin/pg_isready]`}},
		{"needs a stranger", daemon + "needs: [The DB]\n", []string{`line 5, column 9: needs "The DB": want the name of a task in the same namespace`}},
		{"wait for a port", minimal + "wait_for: {tcp: [db]}\n", []string{`line 5, column 18: wait_for.tcp "db": want host:port`}},
		{"blackout of nothing", strings.Replace(minimal, "10m", "10m, blackout: []", 1), []string{"line 2, column 28: on.blackout: is an empty list; name something or leave the line out"}},
		{"umask as a number", strings.Replace(minimal, "true]", "true], umask: 0027", 1), []string{`line 3, column 36: run.umask "0027": is read as a number; want text: write it in quotes, "0027"`}},
		{"strict list", strings.Replace(minimal, "true]", "true], shell: strict", 1), []string{`line 3, column 36: run.shell "strict": belongs to a command that is one text; a list is executed as it stands`}},
		{"a limit of nothing", minimal + "limits: {rlimits: {files: 10}}\n", []string{`line 5, column 20: limits.rlimits "files": want one of as, core, cpu, data, fsize, memlock, msgqueue, nofile, nproc, rttime, sigpending, stack`}},
		{"a limit below zero", minimal + "limits: {rlimits: {nofile: -1}}\n", []string{`line 5, column 28: limits.rlimits.nofile "-1": want a whole number in plain decimal digits`}},
		{"memory without a unit", minimal + "limits: {memory: 512}\n", []string{`line 5, column 18: limits.memory "512": has no unit; want a size with its unit, such as 512KiB, 10MB or 2GiB`}},
		{"boot of other tools", strings.Replace(minimal, "every: 10m", "boot: true", 1), []string{
			"line 2, column 6: on.boot: is no field; did you mean startup?",
		}},
		{"startup as truth", strings.Replace(minimal, "every: 10m", "startup: true", 1), []string{
			`line 2, column 15: on.startup "true": want boot or agent`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.doc), "application/yaml")
			e, ok := errors.AsType[*fleet.Error](err)
			if !ok || e.Kind != fleet.Invalid {
				t.Fatalf("got %v, want an Invalid error", err)
			}
			var got []string
			for _, p := range e.Fields {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("problems differ (-want +got):\n%s", diff)
			}
		})
	}
}
