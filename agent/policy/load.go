package policy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Load reads the policy of a host, after it found that nobody but root, or the
// agent's own user, can have written it or put another in its place.
func Load(name string) (*Policy, error) {
	text, err := readTrusted(name)
	if err != nil {
		return nil, err
	}
	return Parse(text)
}

// readTrusted reads a file by descriptors all along its path, so that what is
// looked at is what is read. No part of the path may be a symbolic link.
func readTrusted(name string) ([]byte, error) {
	if !path.IsAbs(name) || path.Clean(name) != name {
		return nil, fleet.Invalidf("policy", name, "want an absolute path without . and ..")
	}
	at, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/: %w", err)
	}
	defer func() { unix.Close(at) }()
	parts := strings.Split(name[1:], "/")
	for i := range parts {
		so := "/" + strings.Join(parts[:i], "/")
		if err := trustedDir(at, so); err != nil {
			return nil, err
		}
		if i == len(parts)-1 {
			break
		}
		below, err := unix.Openat(at, parts[i], unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: path.Join(so, parts[i]), Err: err}
		}
		unix.Close(at)
		at = below
	}
	return readFile(at, parts[len(parts)-1], name)
}

func readFile(dir int, base, name string) ([]byte, error) {
	fd, err := unix.Openat(dir, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, fleet.Errorf(fleet.Refused, "%s is a symbolic link", name)
	case err != nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	switch {
	case stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fleet.Errorf(fleet.Refused, "%s is no regular file", name)
	case !trustedOwner(stat.Uid):
		return nil, fleet.Errorf(fleet.Refused, "%s belongs to user %d: chown root %s", name, stat.Uid, name)
	case writable(&stat):
		return nil, fleet.Errorf(fleet.Refused, "%s is writable by others (mode %04o): chmod go-w %s", name, stat.Mode&0o7777, name)
	case stat.Nlink != 1:
		return nil, fleet.Errorf(fleet.Refused, "%s has %d links: somebody gave it another name", name, stat.Nlink)
	}
	return io.ReadAll(io.LimitReader(file, maxFile+1))
}

// trustedDir refuses a directory in which others can put another file in the
// place of one. A sticky one, such as /tmp, keeps what is root's.
func trustedDir(fd int, name string) error {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	switch {
	case stat.Mode&unix.S_IFMT == unix.S_IFLNK:
		return fleet.Errorf(fleet.Refused, "%s, on the way to the policy, is a symbolic link", name)
	case stat.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fleet.Errorf(fleet.Refused, "%s is no directory", name)
	case !trustedOwner(stat.Uid):
		return fleet.Errorf(fleet.Refused, "the directory %s belongs to user %d: chown root %s", name, stat.Uid, name)
	case writable(&stat) && stat.Mode&unix.S_ISVTX == 0:
		return fleet.Errorf(fleet.Refused, "the directory %s is writable by others (mode %04o): chmod go-w %s", name, stat.Mode&0o7777, name)
	}
	return nil
}

// trustedOwner reports whether whoever owns a file could do without it what the
// agent does: root, and the agent's own user.
func trustedOwner(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// writable reports whether others than the owner may write: root's own group is
// root.
func writable(stat *unix.Stat_t) bool {
	return stat.Mode&0o002 != 0 || stat.Mode&0o020 != 0 && stat.Gid != 0
}
