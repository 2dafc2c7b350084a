package runner

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// prepare says what is to be started for a run, and makes what it needs of its
// own.
func (r *Runner) prepare(spec *Spec, c *companion) (*launch, *failure) {
	user, credential, err := r.accounts.become(&spec.Execute, os.Geteuid())
	if err != nil {
		return nil, &failure{fleet.MissedNoUser, err.Error()}
	}
	order := &launch{
		Run: spec.Run.ID, Mark: c.handle.Mark, Dir: workingDir(spec.Execute.Dir, user.home), Credential: credential,
		Settings: settingsOf(spec), Timeout: c.handle.Timeout, Grace: c.handle.Grace,
		Birth: r.birth, Begin: spec.Begin, Whole: spec.Whole, Exposed: r.protected,
		user: user.name, Step: r.config.Step, Rlimits: rlimitsOf(spec.Limits.Rlimits),
		Quota: c.handle.Quota,
	}
	for _, stream := range streams {
		order.Streams = append(order.Streams, streamPath(taskDir(r.config.Dir, spec.Run.Task), spec.Run.ID, stream))
	}
	if len(order.Rlimits) > 0 && len(order.Step) == 0 {
		return nil, &failure{fleet.MissedLimits, "limits.rlimits: this agent has no program that sets them"}
	}
	if failed := r.prepareWords(spec, &user, c, order); failed != nil {
		return nil, failed
	}
	state, err := r.states.prepare(spec.Run.Task, r.ownerOf(credential))
	if err != nil {
		return nil, notMade("a directory for the task's state", err)
	}
	facts := append(spec.Facts[:len(spec.Facts):len(spec.Facts)], factsOf(&spec.Run)...)
	order.Env = append(environment(&spec.Execute, &user, append(facts, r.states.factsOf(spec.Run.Task, state)...)), append(order.Env, markVariable+order.Mark)...)
	limits := kernelLimits(&spec.Limits)
	if err := r.cgroups.make(c.handle.Group, limits); err == nil {
		order.Group = c.handle.Group
	} else if len(limits) > 0 {
		return nil, &failure{fleet.MissedLimits, err.Error()}
	} else {
		r.log.Warn("run begins without a cgroup of its own", "run", spec.Run.ID, "task", spec.Run.Task, "error", err)
	}
	if spec.Execute.PrivateTmp {
		if c.tmp, err = makeTmp(c.handle.Tmp); err != nil {
			return nil, &failure{fleet.MissedLimits, "run.private_tmp: " + err.Error()}
		}
		c.tmp.settle(&order.Settings)
	}
	return order, nil
}

// ownerOf is whom the files belong to of a run with the credential.
func (r *Runner) ownerOf(credential *syscall.Credential) owner {
	if credential == nil {
		return r.spares.agent
	}
	return owner{int(credential.Uid), int(credential.Gid)}
}

// prepareWords says what is executed.
func (r *Runner) prepareWords(spec *Spec, user *account, c *companion, order *launch) *failure {
	order.Argv, c.direct = words(&spec.Execute)
	if c.direct && spec.Execute.Env["PWD"] == "" {
		order.Env = []string{"PWD=" + filepath.Clean(order.Dir)} // as a shell would
	}
	if !spec.Execute.Login {
		return nil
	}
	var err error
	order.Program, order.Argv, err = loginWords(user, order.Argv)
	if err != nil {
		return &failure{fleet.MissedNoUser, err.Error()}
	}
	c.direct = false // the login shell executes it
	order.Env = nil
	return nil
}
