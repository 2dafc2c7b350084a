package evidence

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const anacrontab = "etc/anacrontab"

// readIdents returns the names of anacron's jobs by the lines on which their
// entries begin. anacron logs the names, and a report does not have them.
func readIdents(tree string, report *fleet.Report) map[int]string {
	isAnacron := func(job fleet.Job) bool { return job.Kind == fleet.KindAnacron && job.Container == "" }
	if !slices.ContainsFunc(report.Jobs, isAnacron) {
		return nil
	}
	root, err := os.OpenRoot(filepath.Clean(tree))
	if err != nil {
		return nil
	}
	defer root.Close()
	if look, err := root.Lstat(anacrontab); err != nil || !look.Mode().IsRegular() {
		return nil
	}
	file, err := root.OpenFile(anacrontab, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	defer file.Close()
	idents := make(map[int]string)
	lines := bufio.NewScanner(io.LimitReader(file, 1<<20))
	for n := 1; lines.Scan(); n++ {
		// period, delay, name, command
		if fields := strings.Fields(lines.Text()); len(fields) >= 3 && fields[0][0] != '#' {
			idents[n] = fields[2]
		}
	}
	return idents
}
