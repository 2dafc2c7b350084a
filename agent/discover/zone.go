package discover

import (
	"context"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/cron"
)

// readZone finds what the host's local time is: where /etc/localtime points to,
// else what the distributions' own files name, else the rules /etc/localtime
// holds, which have no name, else UTC.
func readZone(ctx context.Context, t *tree) (string, *time.Location) {
	for _, name := range zoneNames(ctx, t) {
		if location, err := cron.Load(name); err == nil {
			return name, location
		}
	}
	if rules := text(ctx, t, "/etc/localtime"); rules != nil {
		if location, err := time.LoadLocationFromTZData("Local", rules); err == nil {
			return "", location
		}
	}
	return "UTC", time.UTC
}

// LocalTime returns what local time is on the host whose tree is at root.
func LocalTime(ctx context.Context, root string) (*time.Location, error) {
	t, err := openTree(root)
	if err != nil {
		return nil, err
	}
	defer t.release()
	_, location := readZone(ctx, t)
	return location, nil
}

func zoneNames(ctx context.Context, t *tree) []string {
	var names []string
	if p, err := t.lookup("/etc/localtime", false); err == nil {
		if p.kind() == unix.S_IFLNK {
			buffer := make([]byte, unix.PathMax)
			if n, err := unix.Readlinkat(p.dir, p.name, buffer); err == nil {
				_, name, _ := strings.Cut(string(buffer[:n]), "/zoneinfo/")
				names = append(names, strings.TrimPrefix(name, "posix/"))
			}
		}
		p.Close()
	}
	names = append(names, strings.TrimSpace(string(text(ctx, t, "/etc/timezone"))))
	clock := variables(text(ctx, t, "/etc/sysconfig/clock"))
	return append(names, clock["ZONE"], clock["TIMEZONE"])
}
