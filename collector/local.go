package collector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/collector/replica"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// socketFile is where a running collector answers its own user, and root, on its
// own machine: who can read its keys needs no token to make one.
const socketFile = "control.sock"

// wish asks a running collector for an admin token, and grant answers.
type wish struct {
	Name string         `json:"name"`
	Life fleet.Duration `json:"life"`
}

type grant struct {
	Token string `json:"token,omitempty"`
	Error string `json:"error,omitempty"`
	Code  string `json:"code,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// exchangeLimit is how long an exchange on the socket may take.
const exchangeLimit = 15 * time.Second

// local answers on the socket until ctx ends.
type local struct {
	dir  string
	give func(ctx context.Context, who int, w wish) (token string, err error)
	log  *slog.Logger
}

// Run listens. The directory is this process's alone, so what lies there from
// before is nobody's.
func (l *local) Run(ctx context.Context) error {
	dir, err := os.Open(l.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := os.Remove(filepath.Join(l.dir, socketFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("control socket: %w", err)
	}
	listener, err := net.ListenUnix("unix", socketIn(dir))
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	defer os.Remove(filepath.Join(l.dir, socketFile))
	listener.SetUnlinkOnClose(false) // it would by the way through the descriptor
	if err := os.Chmod(filepath.Join(l.dir, socketFile), 0o600); err != nil {
		return errors.Join(err, listener.Close())
	}
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	for {
		conn, err := listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("control socket: %w", err)
		}
		l.answer(ctx, conn)
	}
}

// socketIn names the socket by way of its directory, whose own path may be
// longer than a socket's may be.
func socketIn(dir *os.File) *net.UnixAddr {
	return &net.UnixAddr{Net: "unix", Name: "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + socketFile}
}

func (l *local) answer(ctx context.Context, conn *net.UnixConn) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, exchangeLimit)
	defer cancel()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	var answered grant
	who, err := peerOf(conn)
	var w wish
	if err == nil {
		err = json.NewDecoder(conn).Decode(&w)
	}
	if err == nil {
		answered.Token, err = l.give(ctx, who, w)
	}
	if err != nil {
		answered.Error = err.Error()
		if e, is := errors.AsType[*fleet.Error](err); is {
			answered.Code, answered.Hint = e.Code, e.Hint
		}
	}
	l.log.Info("asked on the control socket for a token", "uid", who, "name", w.Name, "given", err == nil)
	_ = json.NewEncoder(conn).Encode(answered) // who asked may have gone
}

// peerOf returns the uid at the other end, and refuses who is neither this
// process's user nor root.
func peerOf(conn *net.UnixConn) (uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	var cred *unix.Ucred
	controlled := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(controlled, err); err != nil {
		return -1, err
	}
	if uid = int(cred.Uid); uid != os.Geteuid() && uid != 0 {
		return uid, fleet.Errorf(fleet.Refused, "uid %d is neither root nor this collector's user", uid).WithCode("peer_denied")
	}
	return uid, nil
}

// tokenGiver returns what makes an admin token on the leader.
func tokenGiver(self fleet.CollectorID, raft *replica.Replica) func(context.Context, int, wish) (string, error) {
	return func(ctx context.Context, who int, w wish) (string, error) {
		if leader, _ := raft.Leader(); leader != self {
			return "", fleet.Errorf(fleet.Unavailable, "collector %s does not lead", self).WithCode("not_leader").
				WithHint("run this on the machine of collector %s, which leads", leader)
		}
		now := time.Now().UTC()
		id, text, hash := identity.NewToken()
		by := fleet.Principal{Kind: fleet.SystemKind, Name: string(self)}
		_, err := raft.Propose(ctx, &ledger.Audited{
			At: now, By: by, Action: "token.put", Object: "token " + id, Why: fmt.Sprintf("made on the machine of collector %s by uid %d", self, who),
			Command: &ledger.PutToken{Token: fleet.Token{
				ID: id, Name: w.Name, Hash: hash, Roles: []fleet.Role{fleet.Admin}, Namespaces: []string{fleet.Everywhere},
				Created: now, Expires: now.Add(time.Duration(w.Life)), By: by.String(),
			}},
		})
		return text, err
	}
}

// MakeToken asks the collector that runs on this data directory for an admin
// token, as its user or root may where every other token was lost. It is
// audited, and revokes nothing.
func MakeToken(ctx context.Context, cfg Config, name string, life time.Duration) (string, error) {
	dir, err := os.Open(cfg.DataDir)
	if err != nil {
		return "", &fleet.Error{Kind: fleet.NotFound, Err: err}
	}
	defer dir.Close()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socketIn(dir).Name)
	if err != nil {
		return "", &fleet.Error{Kind: fleet.Unavailable, Message: "no collector runs on " + cfg.DataDir, Err: err, Hint: "systemctl start fleetcron-collector, then try again; it runs as its own user or root"}
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(exchangeLimit))
	if err := json.NewEncoder(conn).Encode(wish{Name: name, Life: fleet.Duration(life)}); err != nil {
		return "", err
	}
	var answered grant
	if err := json.NewDecoder(conn).Decode(&answered); err != nil {
		return "", fmt.Errorf("control socket: %w", err)
	}
	if answered.Error != "" {
		return "", &fleet.Error{Kind: fleet.Refused, Code: answered.Code, Message: answered.Error, Hint: answered.Hint}
	}
	return answered.Token, nil
}
