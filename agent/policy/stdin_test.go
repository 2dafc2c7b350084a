package policy

import (
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestWhatAProgramIsGivenToRead: of what an interpreter reads it does what it is
// told, so a program that may run is given nothing that the policy does not name.
func TestWhatAProgramIsGivenToRead(t *testing.T) {
	rules := "commands:\n  - {path: /usr/bin/env, rest: \"(?s).*\"}\n  - {path: /bin/cat, stdin: 'report [a-z]+\\n'}\n  - {path: /bin/cat, args: [\"-n\"]}\n"
	b := newBed(t, strings.Replace(usual, "commands:\n", rules, 1))
	for _, test := range []struct{ program, stdin, code string }{
		{"/bin/cat", "", ""},
		{"/bin/cat", "report sales\n", ""},
		{"/bin/cat", "report sales\nDROP TABLE sales;\n", "policy:stdin"},
		{"/bin/cat", "\nreport sales\n", "policy:stdin"},
		{"/bin/cat -n", "", ""},
		{"/bin/cat -n", "report sales\n", "policy:stdin"},
		{"/bin/cat -e", "report sales\n", "policy:args"},
		{"/usr/bin/env", "", ""},
		{"/usr/bin/env", "anything", "policy:stdin"},
	} {
		as := task()
		as.Run.Command, as.Run.Stdin = fleet.Command{Argv: strings.Fields(test.program)}, test.stdin
		r := b.take(b.says(as))
		if got := codeOf(r); got != test.code {
			t.Errorf("%s reading %q: %v, want %q", test.program, test.stdin, r, test.code)
		}
	}
	health := task() // what looks after a command reads nothing of it
	health.On, health.Health = fleet.Trigger{Daemon: true}, fleet.Health{Exec: []string{"/usr/bin/env"}}
	health.Run.Command, health.Run.Stdin = fleet.Command{Argv: []string{"/bin/cat"}}, "report sales\n"
	want(t, b.take(b.says(health)), "")
}

func codeOf(r *fleet.Refusal) string {
	if r == nil {
		return ""
	}
	return r.Code
}
