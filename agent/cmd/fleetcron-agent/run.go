package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/agent"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/logging"
	"github.com/fleetcron/fleetcron/shared/program"
)

func newRun() *cobra.Command {
	command := &cobra.Command{
		Use:   "run",
		Short: "run the agent until it is told to stop",
		Long: `Runs the agent until SIGTERM or SIGINT. Then nothing begins any more, runs
that end within the setting drain are waited for, and all others go on running:
the next agent takes them up again. A second such signal ends the agent at once.

The configuration is read anew when its file changes, and at SIGHUP or SIGUSR2:
collectors, name, labels, slots and start_rate change at once, everything else
needs a restart. A file with an error is logged, and the old configuration stays.
To replace the program, stop the old agent and start the new one: no command
ends with its agent.

It stays in the foreground, as systemd wants it. Where nothing watches over it,
--daemon lets it go on in the background in a session of its own; it returns as
soon as the agent has started, or says why it has not.`,
		Example: `  fleetcron-agent run
  fleetcron-agent run --daemon --log-file /var/log/fleetcron-agent.log`,
		Args: cobra.NoArgs,
	}
	daemon := command.Flags().Bool("daemon", false, "go on in the background; for hosts without systemd")
	logFile := command.Flags().String("log-file", "", "where a daemon writes its log; empty: nowhere")
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		cfg, err := load()
		switch {
		case err != nil:
			return told(err)
		case *daemon:
			return daemonize(command, *logFile)
		case *logFile != "":
			return fleet.Errorf(fleet.Usage, "--log-file is for --daemon: otherwise the log goes to standard error").WithHint("fleetcron-agent run 2>>%s", *logFile)
		}
		log, err := logging.New(os.Stderr, cfg.Log, "fleetcron-agent")
		if err != nil {
			return told(err)
		}
		defer hear(command.Context(), log)()
		cfg.Reloads = program.Reloads(command, load, log)
		cfg.Ready = func() { _ = told(nil) }
		return told(agent.Run(command.Context(), cfg, log))
	}
	return command
}

// actions is what the agent does at a signal.
var actions = map[os.Signal]string{
	syscall.SIGTERM: "stop", os.Interrupt: "stop", syscall.SIGHUP: "reload", syscall.SIGUSR2: "reload",
}

// hear logs the signals that the agent gets, and ends it at once when it is told
// to stop a second time. What is known is on disk at every moment, and commands
// go on. It returns what ends it.
func hear(ctx context.Context, log *slog.Logger) (stop func()) {
	signals := make(chan os.Signal, 16)
	for s := range actions {
		signal.Notify(signals, s)
	}
	done := make(chan struct{})
	go func() {
		told := 0
		for {
			select {
			case <-done:
				return
			case s := <-signals:
				if actions[s] == "stop" {
					told++
				}
				log.Info("signal received", "component", "agent", "action", actions[s], "pid", os.Getpid(), "signal", name(s))
				if told > 1 && ctx.Err() != nil {
					log.Warn("told to stop a second time, ending at once", "component", "agent", "action", "stop", "pid", os.Getpid(), "signal", name(s))
					os.Exit(exitSignal + int(s.(syscall.Signal)))
				}
			}
		}
	}()
	return func() { signal.Stop(signals); close(done) }
}

// exitSignal is added to the number of a signal that ended a program.
const exitSignal = 128

func name(s os.Signal) string { return unix.SignalName(s.(syscall.Signal)) }
