package link

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// peer is who has connected, by the kernel's word.
type peer struct {
	pid int32
	uid uint32
}

// peerOf asks the kernel. What comes from within this process is this process.
func peerOf(raw net.Conn) (peer, error) {
	if _, inside := raw.(insider); inside {
		return peer{int32(os.Getpid()), uint32(os.Geteuid())}, nil
	}
	socket, is := raw.(*net.UnixConn)
	if !is {
		return peer{}, errors.New("no socket of this host")
	}
	control, err := socket.SyscallConn()
	if err != nil {
		return peer{}, err
	}
	var who *unix.Ucred
	var failed error
	err = control.Control(func(fd uintptr) { who, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, failed); err != nil {
		return peer{}, fmt.Errorf("who has connected: %w", err)
	}
	return peer{who.Pid, who.Uid}, nil
}

// Listen makes a socket in a directory that others cannot write to. Its group,
// where it is not negative, may connect besides its owner; what a process that
// ended left there goes away.
func Listen(path string, group int) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("socket: %w", err)
	}
	// Made where nobody but its owner may enter, and moved when it is as it should be.
	yard, err := os.MkdirTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	defer os.RemoveAll(yard)
	made := filepath.Join(yard, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	listener.SetUnlinkOnClose(false)
	mode := fs.FileMode(0o600)
	if group >= 0 {
		mode = 0o660
		err = os.Chown(made, -1, group)
	}
	if err == nil {
		err = os.Chmod(made, mode)
	}
	if err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("socket: %w", err)
	}
	return listener, nil
}

// Inherited returns the socket that systemd listens on for this process; nil:
// there is none.
func Inherited() (net.Listener, error) {
	const first = 3 // where systemd puts them
	pid, _ := strconv.Atoi(os.Getenv("LISTEN_PID"))
	if count, _ := strconv.Atoi(os.Getenv("LISTEN_FDS")); pid != os.Getpid() || count < 1 {
		return nil, nil
	}
	unix.CloseOnExec(first)
	file := os.NewFile(first, "systemd's socket")
	defer file.Close() // the listener has its own
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("the socket that systemd listens on: %w", err)
	}
	return listener, nil
}

// Socket returns what connects to a socket.
func Socket(path string) func(ctx context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", path)
	}
}

// Inside is a listener for parts that are played by one process.
type Inside struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

// NewInside returns a listener to which only this process can connect.
func NewInside() *Inside {
	l := &Inside{conns: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

// insider is a connection within this process.
type insider struct{ net.Conn }

// Dial connects.
func (l *Inside) Dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- insider{there}:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept returns the next connection.
func (l *Inside) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the listener; connections go on.
func (l *Inside) Close() error {
	l.close()
	return nil
}

// Addr says that it has no address.
func (l *Inside) Addr() net.Addr { return inside{} }

type inside struct{}

func (inside) Network() string { return "inside" }
func (inside) String() string  { return "inside" }
