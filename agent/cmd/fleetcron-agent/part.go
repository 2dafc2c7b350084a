package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/agent"
	"github.com/fleetcron/fleetcron/shared/logging"
	"github.com/fleetcron/fleetcron/shared/program"
)

// part is a part of the agent that is a process of its own.
type part struct {
	name, short, long string
	play              func(ctx context.Context, cfg agent.Config, log *slog.Logger) error
}

const otherwise = `

Where each part is a process of its own they meet in runtime_dir: that is how the
packages run them, see systemctl cat 'fleetcron-agent*'. fleetcron-agent run plays
all three in one process.`

var (
	netPart = part{"net", "play the part that talks to the collectors, and can run nothing",
		`Plays the part that talks to the collectors: it brings plans in and outcomes
out, keeps this host's certificate fresh, and listens to gossip. It runs as an
unprivileged user and can make nothing run that people did not seal.` + otherwise, agent.RunNet}
	workPart = part{"work", "play the part that runs things, and that the network cannot reach",
		`Plays the part that runs what this host was given. It opens no socket of the
internet, judges everything by seal and policy itself, and goes on alone when no
other part is there.` + otherwise, agent.RunWork}
	readPart = part{"read", "play the part that reads what is scheduled on this host",
		`Plays the part that reads what is scheduled on this host: crontabs, timers, logs.
It needs the right to read every file (CAP_DAC_READ_SEARCH) and no other.` + otherwise, agent.RunRead}
)

func newPart(p part) *cobra.Command {
	command := &cobra.Command{Use: p.name, Short: p.short, Long: p.long, Args: cobra.NoArgs}
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		log, err := logging.New(os.Stderr, cfg.Log, "fleetcron-agent-"+p.name)
		if err != nil {
			return err
		}
		defer hear(command.Context(), log)()
		cfg.Reloads = program.Reloads(command, load, log)
		return p.play(command.Context(), cfg, log)
	}
	return command
}
