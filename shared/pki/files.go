package pki

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// maxPrivate is more than any file of ours with a secret in it holds.
const maxPrivate = 64 << 10

// ReadPrivate reads a small file that nobody but its owner may read: a key, a
// token. A file that others may read or write, of another owner than this
// process or root, or that is no regular file, is refused.
func ReadPrivate(path string) ([]byte, error) { return ReadPrivateOf(path, 0) }

// ReadPrivateOf reads a small file that may be that user's as well.
func ReadPrivateOf(path string, uid int) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, private(path, "is a symbolic link", "name the file itself")
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if err := judgeFile(path, info, uid); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxPrivate+1))
	if len(text) > maxPrivate {
		return nil, private(path, fmt.Sprintf("is larger than %d bytes", maxPrivate), "name another file")
	}
	return text, err
}

func judgeFile(path string, info os.FileInfo, uid int) error {
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return private(path, "is no regular file", "name a file")
	case mode.Perm()&0o077 != 0:
		return private(path, fmt.Sprintf("mode %04o lets others at it", mode.Perm()), "chmod 600 "+path)
	case owner != os.Geteuid() && owner != 0 && owner != uid:
		return private(path, fmt.Sprintf("belongs to uid %d, and this process is uid %d", owner, os.Geteuid()), fmt.Sprintf("chown %d %s", os.Geteuid(), path))
	}
	return nil
}

func private(path, reason, hint string) *fleet.Error {
	return (&fleet.Error{Kind: fleet.Refused, Code: "file_not_private", Fields: []fleet.FieldError{{Field: "file", Value: path, Reason: reason}}}).WithHint("%s", hint)
}

// WritePrivate writes a file that only its owner reads, mode 0600: all of it
// and on disk, or as it was before. The directory is made, 0700, where it is
// missing.
func WritePrivate(path string, content []byte) error { return write(path, content, 0o600) }

// write replaces a file as a whole.
func write(path string, content []byte, mode os.FileMode) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	fresh, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(fresh.Name())
		}
	}()
	_, err = fresh.Write(content)
	err = errors.Join(err, fresh.Chmod(mode), fresh.Sync(), fresh.Close())
	if err != nil {
		return err
	}
	return place(fresh.Name(), path)
}

// place gives a file its name for good.
func place(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
