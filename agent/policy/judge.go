package policy

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Codes of what the policy itself refuses: this and the name of the rule.
const policyCode = "policy:"

// masked is how a secret that was masked begins. What stands there in the
// command of a run is known only when that begins, and is judged then.
const masked = "<redacted:"

// bench is one judgement of one task.
type bench struct {
	policy   *Policy
	etc      accounts
	task     *fleet.Task
	now      time.Time
	filled   bool        // the command is the one that is executed, with its secrets and values
	open     []bool      // arguments of the command in which a value stands that nobody has said yet
	template *fleet.Task // the task as it was signed
	user     account
	dangers  []fleet.Danger
	found    map[string]found // programs that were looked for
}

// found is the file that a program's path leads to.
type found struct {
	path string
	err  error
}

// resolve looks for each program once.
func (b *bench) resolve(program string) (string, error) {
	f, known := b.found[program]
	if !known {
		f.path, f.err = resolve(program, b.user.uid)
		if b.found == nil {
			b.found = map[string]found{}
		}
		b.found[program] = f
	}
	return f.path, f.err
}

// objection is why a task is refused; nil: it is not.
type objection struct {
	code, why string
	line      int
}

// object refuses by a rule; keys are where the policy may say so, of which the
// first counts that it has.
func (b *bench) object(rule string, key string, format string, args ...any) *objection {
	return &objection{policyCode + rule, fmt.Sprintf(format, args...), b.policy.line(key)}
}

// judgements is every rule of the policy about a task, in their order: all that
// makes something run, or read, is in it.
var judgements = []struct {
	name  string
	judge func(*bench) *objection
}{
	{"user", (*bench).judgeUser},
	{"account", (*bench).judgeAccount},
	{"groups", (*bench).judgeGroups},
	{"shell", (*bench).judgeShell},
	{"command", (*bench).judgeCommand},
	{"params", (*bench).judgeParams},
	{"login", (*bench).judgeLogin},
	{"env", (*bench).judgeEnv},
	{"dir", (*bench).judgeDir},
	{"limits", (*bench).judgeLimits},
	{"probe", (*bench).judgeProbes},
}

// judge returns what is dangerous about a task, and why it may not run here;
// nil: it may.
func (p *Policy) judge(etc accounts, task *fleet.Task, now time.Time, filled bool) ([]fleet.Danger, *objection) {
	b := p.bench(etc, task, now, filled)
	for _, j := range judgements {
		if no := j.judge(b); no != nil {
			return b.dangers, no
		}
	}
	if everywhere(&task.Where) {
		b.dangers = append(b.dangers, fleet.DangerEverywhere)
	}
	return b.dangers, nil
}

// bench is where a task is judged by the policy.
func (p *Policy) bench(etc accounts, task *fleet.Task, now time.Time, filled bool) *bench {
	b := &bench{policy: p, etc: etc, task: task, template: task, now: now, filled: filled}
	if !filled {
		b.task, b.open = openWords(task)
	}
	return b
}

// everywhere reports whether a host that has no label and an unlikely name is
// meant as well, however that is spelled.
func everywhere(where *fleet.Where) bool {
	open := fleet.Where{Labels: where.Labels, Hosts: where.Hosts}
	wide := len(where.Networks) == 0
	for _, network := range where.Networks {
		wide = wide || network.Bits() == 0
	}
	if open.Labels == "" && len(open.Hosts) == 0 {
		open.Labels = "*"
	}
	return wide && open.Matches(&fleet.Host{ID: "00000000000000000000000000000000", Name: "\x00"})
}

func (b *bench) judgeUser() *objection {
	found, ok, err := b.account()
	switch {
	case err != nil:
		return b.object("user", "users", "the users of this host cannot be read: %v", err)
	case !ok:
		return b.object("user", "users.allow", "user %q does not exist on this host", b.task.Run.User)
	}
	b.user = found
	if found.uid == 0 {
		b.dangers = append(b.dangers, fleet.DangerRoot)
	}
	for i, denied := range b.policy.Users.Deny {
		key := fmt.Sprintf("users.deny[%d]", i)
		other, ok, err := b.etc.byName(denied)
		switch {
		case err != nil:
			return b.object("user", key, "the users of this host cannot be read: %v", err)
		case denied == found.name || denied == "*" || ok && other.uid == found.uid || denied == "root" && found.uid == 0:
			return b.object("user", key, "user %s (%d) is denied as %s", found.name, found.uid, denied)
		}
	}
	switch allow := b.policy.Users.Allow; {
	case slices.Contains(allow, found.name):
	case !slices.Contains(allow, "*"):
		return b.object("user", "users.allow", "user %s is not among those that the policy allows (%s)", found.name, orNone(allow))
	case found.uid < b.policy.Users.MinUID:
		return b.object("user", "users.min_uid", "user %s has the number %d, and * means those from %d on: name it in users.allow", found.name, found.uid, b.policy.Users.MinUID)
	}
	return nil
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// account is the user that the command runs as; without a name the agent's own.
func (b *bench) account() (account, bool, error) {
	if b.task.Run.User != "" {
		return b.etc.byName(b.task.Run.User)
	}
	uid := os.Geteuid()
	found, ok, err := b.etc.byID(uid)
	if !ok {
		found = account{name: strconv.Itoa(uid), uid: uid, gid: os.Getegid()}
	}
	return found, true, err
}

func (b *bench) judgeAccount() *objection {
	why, err := b.etc.closed(b.user.name, b.now)
	switch {
	case err != nil:
		return b.object("account", "users", "whether user %s may be used cannot be read: %v", b.user.name, err)
	case why != "":
		return b.object("account", "users", "user %s may not be used: %s", b.user.name, why)
	}
	return nil
}

func (b *bench) judgeGroups() *objection {
	wanted := b.task.Run.Groups
	if b.task.Run.Group != "" {
		wanted = append([]string{b.task.Run.Group}, wanted...)
	}
	if len(wanted) == 0 || b.user.uid == 0 {
		return nil
	}
	own, err := b.etc.groupsOf(b.user)
	if err != nil {
		return b.object("groups", "groups", "the groups of this host cannot be read: %v", err)
	}
	for _, group := range wanted {
		if !slices.Contains(own, group) && !slices.Contains(b.policy.Groups, group) {
			return b.object("groups", "groups", "user %s is not in group %s, and the policy does not give it", b.user.name, group)
		}
	}
	return nil
}

func (b *bench) judgeShell() *objection {
	run := &b.task.Run
	shell := run.Command.Shell != ""
	for _, argv := range b.commands() {
		resolved, _ := b.resolve(argv[0]) // what is wrong with it says judgeCommand
		shell = shell || isShell(argv[0], resolved)
	}
	if !shell {
		return nil
	}
	b.dangers = append(b.dangers, fleet.DangerShell)
	if !b.policy.Shell {
		return b.object("shell", "shell", "the task needs a shell, and the policy does not allow shells")
	}
	return nil
}

// commands lists every program that the task starts, with its arguments.
func (b *bench) commands() [][]string {
	var list [][]string
	for _, argv := range [][]string{b.task.Run.Command.Argv, b.task.WaitFor.Command, b.task.Health.Exec} {
		if len(argv) > 0 {
			list = append(list, argv)
		}
	}
	return list
}

func (b *bench) judgeCommand() *objection {
	for _, argv := range b.commands() {
		runs := len(b.task.Run.Command.Argv) > 0 && &argv[0] == &b.task.Run.Command.Argv[0]
		if no := b.judgeProgram(argv, runs); no != nil {
			return no
		}
	}
	return nil
}

// judgeProgram judges one program with its arguments, and where it is the one that
// the task runs with what it reads. While secrets are masked in them or values are
// missing it is later: they are judged again when those are there.
func (b *bench) judgeProgram(argv []string, runs bool) *objection {
	later := runs && !b.filled
	program := argv[0]
	if !path.IsAbs(program) || path.Clean(program) != program {
		return b.object("command", "commands", "%q is no absolute path without . and ..", program)
	}
	resolved, err := b.resolve(program)
	if err != nil && !errors.Is(err, errMissing) { // what is not there, nobody runs
		return b.object("command", "commands", "%s is not safe to run: %v", program, err)
	}
	if b.policy.Shell && isShell(program, resolved) {
		return nil // it may say anything already
	}
	var listed *Command
	var other *objection
	var open []bool
	if later {
		open = b.open
	}
	for i := range b.policy.Commands {
		c := &b.policy.Commands[i]
		if !c.matchesProgram(program) {
			continue
		}
		if no := b.judgeContents(c, program); no != nil {
			other = no
			continue
		}
		if !(later && slices.ContainsFunc(argv[1:], func(arg string) bool { return strings.Contains(arg, masked) }) || c.matchesArgs(argv[1:], open)) {
			listed = c
			continue
		}
		stdin := b.task.Run.Stdin
		if !runs || c.matchesStdin(stdin, later && (strings.Contains(stdin, masked) || len(b.template.Params) > 0)) {
			return nil
		}
		other = &objection{policyCode + "stdin", fmt.Sprintf("%s may not be given that to read: the policy's stdin says what it may", program), c.line}
	}
	switch {
	case other != nil && other.code == policyCode+"stdin":
		return other
	case listed == nil && other != nil:
		return other
	case listed == nil:
		return b.object("command", "commands", "%s is not among the commands that the policy allows", program)
	}
	return &objection{policyCode + "args", fmt.Sprintf("the arguments of %s are not as the policy wants them: %s", program, describe(argv[1:])), listed.line}
}

func describe(args []string) string {
	text := fmt.Sprintf("%q", args)
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}

func (b *bench) judgeLogin() *objection {
	if b.task.Run.Login && !b.policy.Login {
		return b.object("login", "login", "the task wants a login shell, and the policy does not allow them")
	}
	return nil
}

func (b *bench) judgeEnv() *objection {
	names := make([]string, 0, len(b.task.Run.Env))
	for name := range b.task.Run.Env {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if reason := neverEnv(name); reason != "" {
			return b.object("env", "env", "%s %s", name, reason)
		}
		if !b.policy.allowsEnv(name) {
			return b.object("env", "env", "the policy does not allow to set %s", name)
		}
	}
	return nil
}

func (b *bench) judgeDir() *objection {
	dir := b.task.Run.Dir
	switch {
	case dir == "":
	case path.Clean(dir) != dir:
		return b.object("dir", "dirs", "%q is no path without . and ..", dir)
	case b.policy.Dirs != nil && !below(b.policy.Dirs, dir):
		return b.object("dir", "dirs", "%s is not below the directories that the policy allows (%s)", dir, orNone(b.policy.Dirs))
	}
	return nil
}

func (b *bench) judgeLimits() *objection {
	limits, p := &b.task.Limits, b.policy
	switch timeout := time.Duration(limits.Timeout); {
	case p.MaxTimeout > 0 && !b.task.Supervised() && (timeout == 0 || timeout > p.MaxTimeout):
		return b.object("limits", "max_timeout", "limits.timeout is %s, and the policy wants at most %s", orUnbounded(limits.Timeout), fleet.Duration(p.MaxTimeout))
	case p.MaxParallel > 0 && limits.PerHost > p.MaxParallel:
		return b.object("limits", "max_parallel", "limits.per_host is %d, and the policy wants at most %d", limits.PerHost, p.MaxParallel)
	case limits.Nice < p.MinNice:
		return b.object("limits", "min_nice", "limits.nice is %d, and the policy wants at least %d", limits.Nice, p.MinNice)
	}
	return nil
}

func orUnbounded(d fleet.Duration) string {
	if d == 0 {
		return "not set"
	}
	return d.String()
}

func (b *bench) judgeProbes() *objection {
	t, p := b.task, &b.policy.Probes
	files := slices.Clone(t.WaitFor.File)
	if t.On.File != "" {
		files = append(files, path.Dir(t.On.File))
	}
	for _, name := range files {
		if path.Clean(name) != name || !below(p.Files, name) {
			return b.object("probe", "probes.files", "the policy does not allow to watch %s", name)
		}
	}
	for _, address := range slices.Concat(t.WaitFor.TCP, some(t.Health.TCP)) {
		if !matchesAny(p.TCP, address) {
			return b.object("probe", "probes.tcp", "the policy does not allow to connect to %s", address)
		}
	}
	for _, text := range slices.Concat(t.WaitFor.HTTP, some(t.Health.HTTP)) {
		if address, ok := addressOf(text); !ok || !matchesAny(p.TCP, address) {
			return b.object("probe", "probes.tcp", "the policy does not allow to ask %s", text)
		}
	}
	for _, unit := range t.WaitFor.Unit {
		if !matchesAny(p.Units, unit) {
			return b.object("probe", "probes.units", "the policy does not allow to look at the unit %s", unit)
		}
	}
	return nil
}

func some(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// addressOf returns host:port of a URL.
func addressOf(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", false
	}
	if u.Port() != "" {
		return u.Host, true
	}
	return u.Host + map[string]string{"http": ":80", "https": ":443"}[u.Scheme], true
}
