package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newManCommand writes the man pages, for packages. It is hidden because no
// one else needs it. SOURCE_DATE_EPOCH sets their date.
func newManCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Args: arguments(1, 1), Hidden: true,
		Short: "Write the man pages of all commands into a directory",
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("write man pages: %w", err)
			}
			c.Root().DisableAutoGenTag = true
			header := &doc.GenManHeader{Section: "1", Source: "fleetcron " + version, Manual: "fleetcron"}
			if err := doc.GenManTree(c.Root(), header, args[0]); err != nil {
				return fmt.Errorf("write man pages: %w", err)
			}
			return nil
		},
	}
}
