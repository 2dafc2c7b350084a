package main

import (
	"runtime"

	"github.com/spf13/cobra"
)

// versionAnswer is the answer to version.
type versionAnswer struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "version", Args: arguments(0, 0),
		Short: "Print the version of fleetctl",
		RunE: func(*cobra.Command, []string) error {
			v := versionAnswer{version, commit, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return p.show(v, func() error {
				p.say("fleetctl %s (commit %s, %s, %s)", v.Version, v.Commit, v.Go, v.Platform)
				return nil
			})
		},
	}
}
