package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/backup"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func newBackupCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", GroupID: groupFound, Args: arguments(1, 1),
		Short: "Write all that the collectors keep into a file",
		Long: `Asks a collector for all that it keeps: hosts, jobs and their history, tasks,
runs, the account. The file is readable by you alone, is checked before it gets
its name, and never replaces another. It holds no key. A new cluster begins with
it by: fleetcron-collector restore FILE`,
		Example: "  fleetctl backup /backup/fleetcron-$(date +%F).backup",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			return runBackup(ctx, p, client, args[0])
		}),
	}
}

// backedUp is the answer of fleetctl backup.
type backedUp struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
	backup.Header
}

func runBackup(ctx context.Context, p *program, client *api.Client, name string) error {
	if _, err := os.Lstat(name); err == nil {
		return fleet.Errorf(fleet.Conflict, "%s is there already", name).WithHint("name another file: a backup never replaces one")
	}
	draft, err := os.CreateTemp(filepath.Dir(name), ".fleetcron-backup-") // 0600
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer os.Remove(draft.Name()) // gone after it got its name
	defer draft.Close()
	if err := client.Backup(ctx, draft); err != nil {
		return err
	}
	header, _, _, err := backup.Open(draft)
	if err != nil {
		return err
	}
	info, err := draft.Stat()
	if err := errors.Join(err, draft.Sync()); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := os.Link(draft.Name(), name); err != nil { // not Rename, which would replace
		return fmt.Errorf("backup: %w", err)
	}
	done := backedUp{File: name, Bytes: info.Size(), Header: header}
	return p.show(done, func() error {
		_, err := fmt.Fprintf(p.stdout, "%s: cluster %s at entry %s, %d bytes\n", name, header.Cluster, strconv.FormatUint(header.Index, 10), done.Bytes)
		return err
	})
}
