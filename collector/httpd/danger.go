package httpd

import (
	"net/netip"
	"path"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// dangersOf returns what about a statement may need a second person. The hosts
// look again, by what they know of their users and programs.
func dangersOf(said *seal.Statement) []fleet.Danger {
	var found []fleet.Danger
	if said.Kind == seal.KindOrder && said.Order.Kind == fleet.OrderRun {
		found = append(found, fleet.DangerOneShot)
	}
	if said.Kind == seal.KindAdopt || said.Kind == seal.KindRelease {
		found = append(found, fleet.DangerAdoption)
	}
	if said.Task == nil || said.Task.Definition == nil {
		return found
	}
	task := said.Task.Definition
	switch task.Run.User {
	case "", "root", "0": // an agent without a name to change to is root's
		found = append(found, fleet.DangerRoot)
	}
	if task.Run.Command.Shell != "" || slices.ContainsFunc([][]string{task.Run.Command.Argv, task.WaitFor.Command, task.Health.Exec}, callsShell) {
		found = append(found, fleet.DangerShell)
	}
	if meansAll(&task.Where) {
		found = append(found, fleet.DangerEverywhere)
	}
	return found
}

// shells read commands from their arguments or their input.
var shells = []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "csh", "tcsh", "fish", "busybox", "env", "xargs", "su", "sudo", "doas", "setsid", "nsenter", "chroot"}

func callsShell(argv []string) bool {
	return len(argv) > 0 && slices.Contains(shells, path.Base(argv[0]))
}

// meansAll reports whether a host is meant of which nothing is known.
func meansAll(where *fleet.Where) bool {
	open := *where
	if slices.ContainsFunc(open.Networks, func(network netip.Prefix) bool { return network.Bits() == 0 }) {
		open.Networks = nil
	}
	if open.Labels == "" && len(open.Hosts) == 0 && len(open.Networks) == 0 && len(where.Networks) > 0 {
		return true
	}
	return open.Matches(&fleet.Host{ID: "00000000000000000000000000000000", Name: "\x00"})
}

// withheld returns the dangers for which the rules want a second person.
func withheld(rules *fleet.Rules, said *seal.Statement) []fleet.Danger {
	return slices.DeleteFunc(dangersOf(said), func(danger fleet.Danger) bool { return !slices.Contains(rules.TwoPerson, danger) })
}

// requestLife is how long a change waits for approval where the rules do not
// say.
const requestLife = 24 * time.Hour

// requested returns the command that has a change wait for other people.
func (s *Server) requested(in *sealedIn, todo submission, rules *fleet.Rules, dangers []fleet.Danger) *ledger.PutRequest {
	now := time.Now().UTC()
	life := time.Duration(rules.Within)
	if life == 0 {
		life = requestLife
	}
	expires := now.Add(life)
	if end := in.said.Expires; !end.IsZero() && end.Before(expires) {
		expires = end.UTC()
	}
	return &ledger.PutRequest{
		Request: fleet.Request{
			ID: in.digest[:16], Namespace: in.said.Namespace, Object: in.said.Object(), Dangers: dangers, Envelope: in.envelope,
			By: in.By, Reason: in.Reason, At: now, Expires: expires, Needs: max(1, rules.Approvals),
		},
		Signers: in.signers, Action: todo.action, Command: todo.command,
	}
}
