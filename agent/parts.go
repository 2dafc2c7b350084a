package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/agent/link"
	"github.com/fleetcron/fleetcron/agent/outside"
	"github.com/fleetcron/fleetcron/agent/read"
	"github.com/fleetcron/fleetcron/agent/work"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The sockets in the runtime directory.
const (
	workSocket = "work.sock"
	readSocket = "read.sock"
)

func (c *Config) socket(name string) string { return filepath.Join(c.RuntimeDir, name) }

// RunNet plays the part that talks to the network until ctx ends.
func RunNet(ctx context.Context, cfg Config, log *slog.Logger) error {
	news := news{outside: make(chan outside.Config)}
	return alone(ctx, cfg, news, log, func(ctx context.Context) error {
		return outside.Run(ctx, cfg.outside(link.Socket(cfg.socket(workSocket)), link.Socket(cfg.socket(readSocket)), news.outside), log)
	})
}

// RunWork plays the part that runs things until ctx ends.
func RunWork(ctx context.Context, cfg Config, log *slog.Logger) error {
	net, err := netUser()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.RuntimeDir, 0o755); err != nil {
		return fmt.Errorf("runtime_dir: %w", err)
	}
	listener, err := listen(cfg.socket(workSocket), net.gid)
	if err != nil {
		return err
	}
	news := news{work: make(chan work.Config)}
	return alone(ctx, cfg, news, log, func(ctx context.Context) error {
		return work.Run(ctx, cfg.work(link.Socket(cfg.socket(readSocket)), net.peers(), news.work), listener, log)
	})
}

// RunRead plays the part that reads the host until ctx ends.
func RunRead(ctx context.Context, cfg Config, log *slog.Logger) error {
	net, err := netUser()
	if err != nil {
		return err
	}
	listener, err := listen(cfg.socket(readSocket), net.gid)
	if err != nil {
		return err
	}
	news := news{names: make(chan string)}
	root := account{}
	return alone(ctx, cfg, news, log, func(ctx context.Context) error {
		return read.Run(ctx, cfg.read(net.peers(), root.peers(), news.names), listener, log)
	})
}

// alone plays one part, which takes in new configurations.
func alone(ctx context.Context, cfg Config, news news, log *slog.Logger, play func(ctx context.Context) error) error {
	whole, end := context.WithCancel(ctx)
	defer end()
	g, whole := errgroup.WithContext(whole)
	g.Go(func() error { return reload(whole, cfg, news, log) })
	g.Go(func() error {
		defer end()
		return play(whole)
	})
	return g.Wait()
}

// listen takes the socket that systemd listens on, or makes one that the group
// may connect to.
func listen(path string, group int) (net.Listener, error) {
	listener, err := link.Inherited()
	if listener != nil || err != nil {
		return listener, err
	}
	return link.Listen(path, group)
}

// account is a user of this host.
type account struct{ uid, gid int }

// netUser is who plays the part that talks to the network: a user of its own
// where there is one, and otherwise whoever plays this part too.
func netUser() (account, error) {
	found, err := user.Lookup(outside.User)
	if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
		if os.Geteuid() == 0 {
			return account{}, fleet.Errorf(fleet.NotFound, "there is no user %s, who would talk to the network", outside.User).
				WithHint("useradd --system %s, as the package does; or fleetcron-agent run, which plays all parts in one process", outside.User)
		}
		return account{os.Geteuid(), -1}, nil
	}
	if err != nil {
		return account{}, fmt.Errorf("user %s: %w", outside.User, err)
	}
	uid, err := strconv.Atoi(found.Uid)
	gid, err2 := strconv.Atoi(found.Gid)
	if err = errors.Join(err, err2); err != nil {
		return account{}, fmt.Errorf("user %s: %w", outside.User, err)
	}
	if os.Geteuid() != 0 && !member(gid) { // the socket cannot be given to a group that is not ours
		gid = -1
	}
	return account{uid, gid}, nil
}

func member(gid int) bool {
	groups, err := os.Getgroups()
	return err == nil && (gid == os.Getegid() || slices.Contains(groups, gid))
}

// peers are those who may play the part of this user: he, and who plays this one.
func (a account) peers() link.Peers { return link.Peers{uint32(a.uid), uint32(os.Geteuid())} }
