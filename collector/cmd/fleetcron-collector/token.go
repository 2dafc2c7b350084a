package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/collector"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

func newToken() *cobra.Command {
	command := &cobra.Command{
		Use:   "token",
		Short: "make an admin token where every other one was lost",
		Long: `Asks the collector that runs on this machine, and leads, for an admin token, and
writes it to a file that only its owner reads. It runs as the collector's user or
as root: who can read the collector's keys could do as much. The audit chain says
that it was done, and no other token is revoked. Everyday tokens are made with
fleetctl token new.`,
		Example: "  fleetcron-collector token --out /root/.config/fleetcron/token",
		Args:    cobra.NoArgs,
	}
	out := command.Flags().String("out", "", "file to write the token to; it must not exist")
	name := command.Flags().String("name", "rescue", "whose token it is, for the list and the audit chain")
	life := command.Flags().Duration("life", 24*time.Hour, "how long it counts, at most 8760h")
	_ = command.MarkFlagRequired("out")
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if _, err := os.Lstat(*out); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, fleet.Errorf(fleet.Conflict, "%s is there already", *out).WithHint("name a file that does not exist"))
		}
		text, err := collector.MakeToken(command.Context(), cfg, *name, *life)
		if err != nil {
			return err
		}
		if err := pki.WritePrivate(*out, []byte(text+"\n")); err != nil {
			return err
		}
		fmt.Fprintf(command.OutOrStdout(), "wrote an admin token for %s to %s\n", *life, *out)
		return nil
	}
	return command
}
