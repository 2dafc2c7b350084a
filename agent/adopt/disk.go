package adopt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// disk is the host's files as far as this room changes them. Each method is one
// effect: it happens whole or, as far as a name goes, not at all. Directories
// are absolute on the host; names hold no slash.
type disk interface {
	// look reads a file with all that belongs to it. Of a symbolic link only
	// Link is known.
	look(dir, name string) (*file, error)
	// create writes a new file as it is described and makes it durable.
	create(dir, name string, f *file) error
	// swap lets two names change places, or, where the file system cannot,
	// puts the second in place of the first. It is durable when it returns.
	swap(dir, name, other string) error
	// move gives a file another name, which must be free. Durable.
	move(dir, name, toDir, toName string) error
	remove(dir, name string) error
	mkdir(dir, name string) error
	rmdir(dir, name string) error
	symlink(dir, name, target string) error
	// touch sets the time of modification to now; a file that is not there
	// needs none.
	touch(dir, name string) error
}

// file is a file with all that belongs to it.
type file struct {
	Content  []byte            `json:"content,omitempty"`
	Mode     uint32            `json:"mode"` // permissions, set-id and sticky bits
	UID      int               `json:"uid"`
	GID      int               `json:"gid"`
	Accessed time.Time         `json:"accessed"`
	Modified time.Time         `json:"modified"` // of create: zero is now
	Changed  time.Time         `json:"changed"`  // the inode; set by the kernel alone
	Inode    uint64            `json:"inode"`
	Links    uint64            `json:"links"`
	Attrs    map[string][]byte `json:"attrs,omitempty"` // extended attributes: labels, ACLs
	Fixed    bool              `json:"fixed,omitempty"` // immutable or append-only
	Link     string            `json:"link,omitempty"`  // where a symbolic link points to
}

// same reports whether two looks are of one file that nobody touched between.
func (f *file) same(other *file) bool {
	return f.Inode == other.Inode && f.Modified.Equal(other.Modified) && f.alike(other) && bytes.Equal(f.Content, other.Content)
}

// alike reports whether mode, owner and attributes are the same.
func (f *file) alike(other *file) bool {
	return f.Mode == other.Mode && f.UID == other.UID && f.GID == other.GID && maps.EqualFunc(f.Attrs, other.Attrs, bytes.Equal)
}

// Flags of an inode, as linux/fs.h has them.
const (
	immutable  = 0x10
	appendOnly = 0x20
)

// maxBytes is of one file; the largest table that cron takes is far smaller.
const maxBytes = 8 << 20

// tree is the disk below a root, which no link leads out of.
type tree struct{ root string }

// open opens a directory of the host.
func (t tree) open(dir string) (int, error) {
	root, err := unix.Open(t.root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: t.root, Err: err}
	}
	defer unix.Close(root)
	fd, err := unix.Openat2(root, strings.TrimPrefix(path.Clean(dir), "/"), &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ENOSYS) && filepath.Clean(t.root) == "/" { // before Linux 5.6; nothing to leave
		fd, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return fd, nil
}

// in calls fn with an open directory and puts the name into its error.
func (t tree) in(op, dir, name string, fn func(fd int) error) error {
	fd, err := t.open(dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := fn(fd); err != nil {
		return &os.PathError{Op: op, Path: path.Join(dir, name), Err: err}
	}
	return nil
}

func (t tree) look(dir, name string) (f *file, err error) {
	err = t.in("read", dir, name, func(fd int) error {
		f, err = lookAt(fd, name)
		return err
	})
	return f, err
}

var errNotRegular = errors.New("it is no regular file")

func lookAt(dir int, name string) (*file, error) {
	var stat unix.Stat_t
	if err := unix.Fstatat(dir, name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, err
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		buffer := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(dir, name, buffer)
		if err != nil {
			return nil, err
		}
		f := factsOf(&stat)
		f.Link = string(buffer[:n])
		return f, nil
	case unix.S_IFREG:
	default:
		return nil, errNotRegular
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) { // only owners may leave the time of access alone
		fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, err
	}
	opened := os.NewFile(uintptr(fd), name)
	defer opened.Close()
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errNotRegular
	}
	f := factsOf(&stat)
	if f.Content, err = io.ReadAll(io.LimitReader(opened, maxBytes+1)); err != nil {
		return nil, err
	}
	if len(f.Content) > maxBytes {
		return nil, fmt.Errorf("it is larger than %d MiB", maxBytes>>20)
	}
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	f.Fixed = err == nil && flags&(immutable|appendOnly) != 0
	f.Attrs, err = attributes(fd)
	return f, err
}

func factsOf(stat *unix.Stat_t) *file {
	return &file{
		Mode: stat.Mode & 0o7777, UID: int(stat.Uid), GID: int(stat.Gid), Inode: stat.Ino, Links: uint64(stat.Nlink),
		Accessed: time.Unix(stat.Atim.Unix()).UTC(), Modified: time.Unix(stat.Mtim.Unix()).UTC(), Changed: time.Unix(stat.Ctim.Unix()).UTC(),
	}
}

// attributes reads the extended attributes: what SELinux, ACLs and people keep
// there. A file system without any has none.
func attributes(fd int) (map[string][]byte, error) {
	size, err := unix.Flistxattr(fd, nil)
	if errors.Is(err, unix.ENOTSUP) || err == nil && size == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make([]byte, size+1024)
	if size, err = unix.Flistxattr(fd, names); err != nil {
		return nil, err
	}
	attrs := map[string][]byte{}
	for name := range strings.SplitSeq(strings.Trim(string(names[:size]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		size, err := unix.Fgetxattr(fd, name, nil)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", name, err)
		}
		value := make([]byte, size)
		if size, err = unix.Fgetxattr(fd, name, value); err != nil {
			return nil, fmt.Errorf("attribute %s: %w", name, err)
		}
		attrs[name] = value[:size]
	}
	return attrs, nil
}

func (t tree) create(dir, name string, f *file) error {
	return t.in("write", dir, name, func(at int) error {
		fd, err := unix.Openat(at, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		opened := os.NewFile(uintptr(fd), name)
		err = f.write(opened)
		if err = errors.Join(err, opened.Close()); err != nil {
			_ = unix.Unlinkat(at, name, 0) // a piece of a file helps nobody
		}
		return err
	})
}

// write fills a new file. Owner comes before mode, because a change of owner
// clears set-id bits, and both before the attributes, which hold the ACL.
func (f *file) write(to *os.File) error {
	fd := int(to.Fd())
	if _, err := to.Write(f.Content); err != nil {
		return err
	}
	if os.Geteuid() != f.UID || os.Getegid() != f.GID {
		if err := unix.Fchown(fd, f.UID, f.GID); err != nil {
			return fmt.Errorf("owner %d:%d: %w", f.UID, f.GID, err)
		}
	}
	if err := unix.Fchmod(fd, f.Mode); err != nil {
		return fmt.Errorf("mode %04o: %w", f.Mode, err)
	}
	if err := f.label(fd); err != nil {
		return err
	}
	if !f.Modified.IsZero() {
		times := []unix.Timespec{unix.NsecToTimespec(f.Accessed.UnixNano()), unix.NsecToTimespec(f.Modified.UnixNano())}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), times, 0); err != nil {
			return fmt.Errorf("times: %w", err)
		}
	}
	return to.Sync()
}

// label gives a new file the attributes, and takes away what it got by itself,
// such as a directory's default ACL.
func (f *file) label(fd int) error {
	inherited, err := attributes(fd)
	if err != nil {
		return err
	}
	for name := range inherited {
		if _, wanted := f.Attrs[name]; wanted {
			continue
		}
		if err := unix.Fremovexattr(fd, name); err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	for name, value := range f.Attrs {
		if bytes.Equal(inherited[name], value) && inherited[name] != nil {
			continue
		}
		if err := unix.Fsetxattr(fd, name, value, 0); err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}

func (t tree) swap(dir, name, other string) error {
	return t.in("rename", dir, name, func(fd int) error {
		err := unix.Renameat2(fd, other, fd, name, unix.RENAME_EXCHANGE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) {
			err = unix.Renameat(fd, other, fd, name)
		}
		if err != nil {
			return err
		}
		return unix.Fsync(fd)
	})
}

func (t tree) move(dir, name, toDir, toName string) error {
	return t.in("rename", dir, name, func(from int) error {
		return t.in("rename", toDir, toName, func(to int) error {
			err := unix.Renameat2(from, name, to, toName, unix.RENAME_NOREPLACE)
			if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
				var stat unix.Stat_t
				if unix.Fstatat(to, toName, &stat, unix.AT_SYMLINK_NOFOLLOW) == nil {
					return unix.EEXIST
				}
				err = unix.Renameat(from, name, to, toName)
			}
			if err != nil {
				return err
			}
			return errors.Join(unix.Fsync(from), unix.Fsync(to))
		})
	})
}

func (t tree) remove(dir, name string) error {
	return t.in("remove", dir, name, func(fd int) error {
		if err := unix.Unlinkat(fd, name, 0); err != nil {
			return err
		}
		return unix.Fsync(fd)
	})
}

func (t tree) mkdir(dir, name string) error {
	return t.in("mkdir", dir, name, func(fd int) error {
		err := unix.Mkdirat(fd, name, 0o755)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		return unix.Fsync(fd)
	})
}

func (t tree) rmdir(dir, name string) error {
	return t.in("rmdir", dir, name, func(fd int) error {
		err := unix.Unlinkat(fd, name, unix.AT_REMOVEDIR)
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	})
}

func (t tree) touch(dir, name string) error {
	err := t.in("touch", dir, name, func(fd int) error {
		now := unix.Timespec{Nsec: unix.UTIME_NOW}
		return unix.UtimesNanoAt(fd, name, []unix.Timespec{now, now}, unix.AT_SYMLINK_NOFOLLOW)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (t tree) symlink(dir, name, target string) error {
	return t.in("symlink", dir, name, func(fd int) error {
		if err := unix.Symlinkat(target, fd, name); err != nil {
			return err
		}
		return unix.Fsync(fd)
	})
}
