package discover

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	maxFileBytes = 8 << 20 // of one file; the largest table cron takes is far smaller
	maxNames     = 10_000  // of one directory
	maxLinks     = 40      // followed for one name, as the kernel does
)

// tree is a file system seen from its root, which no name and no link leaves.
// It is open while anyone holds it.
type tree struct {
	fd      int
	rootUID uint32 // whose files count as root's: a copied tree belongs to who copied it
	holders *atomic.Int32
	// guarded: others made the tree, and what the kernel makes up, as in
	// /proc, is not read there: it would tell a scanner what it does not them.
	guarded bool
	// trouble, where set, is asked before a file or a directory is opened; it
	// may fail, and it may hang, as a mount does.
	trouble func(path string) error
	notes   *notes // nil: nothing is noted
}

func openTree(root string) (*tree, error) {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}
	t := &tree{fd: fd, holders: new(atomic.Int32)}
	t.holders.Store(1)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		t.release()
		return nil, &os.PathError{Op: "stat", Path: root, Err: err}
	}
	t.rootUID = stat.Uid
	return t, nil
}

// hold and release count the users, so that a reader that hangs keeps the
// descriptor from being closed and reused under it.
func (t *tree) hold() { t.holders.Add(1) }

func (t *tree) release() {
	if t.holders.Add(-1) == 0 {
		unix.Close(t.fd)
	}
}

// root reports whether a file of that owner counts as root's.
func (t *tree) root(uid uint32) bool { return uid == 0 || uid == t.rootUID }

// place is a name that was looked up: the directory it lies in, held open, and
// what it is there, links not followed.
type place struct {
	dir      int
	borrowed bool // dir is closed by whoever lent it
	name     string
	path     string // from the tree's root, links resolved
	stat     unix.Stat_t
	tree     *tree
}

func (p *place) Close() {
	if !p.borrowed {
		unix.Close(p.dir)
	}
}

func (p *place) kind() uint32 { return p.stat.Mode & unix.S_IFMT }

// lookup walks from the root to a name. Links on the way are followed within
// the tree, an absolute one from its root; the last one only if follow is set.
func (t *tree) lookup(name string, follow bool) (*place, error) {
	w := walk{tree: t, todo: strings.Split(name, "/")}
	defer w.close()
	for links := 0; ; {
		part, last := w.next()
		if part == "" {
			return w.here()
		}
		var stat unix.Stat_t
		err := unix.Fstatat(w.top(), part, &stat, unix.AT_SYMLINK_NOFOLLOW)
		if t.notes != nil {
			t.saw("/"+path.Join(w.names...), part, &stat, err)
		}
		if err != nil {
			return nil, &os.PathError{Op: "stat", Path: name, Err: err}
		}
		switch {
		case stat.Mode&unix.S_IFMT == unix.S_IFLNK && (follow || !last):
			if links++; links > maxLinks {
				return nil, &os.PathError{Op: "follow", Path: name, Err: unix.ELOOP}
			}
			if err := w.follow(part); err != nil {
				return nil, &os.PathError{Op: "readlink", Path: name, Err: err}
			}
		case last:
			return w.found(part, stat)
		default:
			if err := w.enter(part); err != nil {
				return nil, &os.PathError{Op: "open", Path: name, Err: err}
			}
		}
	}
}

// walk is a lookup on its way: the directories entered and the parts to come.
type walk struct {
	tree  *tree
	fds   []int
	names []string
	todo  []string
}

func (w *walk) top() int {
	if len(w.fds) == 0 {
		return w.tree.fd
	}
	return w.fds[len(w.fds)-1]
}

// next takes the next part, going up for "..", and reports whether it is the last.
func (w *walk) next() (part string, last bool) {
	for len(w.todo) > 0 {
		part, w.todo = w.todo[0], w.todo[1:]
		switch part {
		case "", ".":
		case "..":
			if n := len(w.fds); n > 0 { // the root is its own parent
				unix.Close(w.fds[n-1])
				w.fds, w.names = w.fds[:n-1], w.names[:n-1]
			}
		default:
			rest := func(s string) bool { return s != "" && s != "." }
			return part, !slices.ContainsFunc(w.todo, rest)
		}
	}
	return "", true
}

func (w *walk) enter(part string) error {
	fd, err := unix.Openat(w.top(), part, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	w.fds, w.names = append(w.fds, fd), append(w.names, part)
	return nil
}

func (w *walk) follow(part string) error {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(w.top(), part, buffer)
	if err != nil {
		return err
	}
	target := string(buffer[:n])
	if path.IsAbs(target) {
		w.close()
		w.fds, w.names = nil, nil
	}
	w.todo = append(strings.Split(target, "/"), w.todo...)
	return nil
}

// found is the place of part in the directory that the walk has come to.
func (w *walk) found(part string, stat unix.Stat_t) (*place, error) {
	fd, err := unix.FcntlInt(uintptr(w.top()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &place{dir: fd, name: part, path: "/" + path.Join(append(slices.Clone(w.names), part)...), stat: stat, tree: w.tree}, nil
}

// here is the place of the directory that the walk has come to itself.
func (w *walk) here() (*place, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(w.top(), &stat); err != nil {
		return nil, err
	}
	return w.found(".", stat)
}

func (w *walk) close() {
	for _, fd := range w.fds {
		unix.Close(fd)
	}
}

// errKinds are the errors for what is not a regular file, in a person's words.
var errKinds = map[uint32]error{
	unix.S_IFDIR:  errors.New("a directory stands where a file is expected"),
	unix.S_IFIFO:  errors.New("it is a FIFO, not a regular file"),
	unix.S_IFSOCK: errors.New("it is a socket, not a regular file"),
	unix.S_IFCHR:  errors.New("it is a device, not a regular file"),
	unix.S_IFBLK:  errors.New("it is a device, not a regular file"),
	unix.S_IFLNK:  errors.New("it is a symbolic link"),
}

// readWhole reads a file that is open.
func readWhole(ctx context.Context, fd int, size int64, buffer []byte) ([]byte, error) {
	if size > maxFileBytes {
		return nil, errTooLarge(size)
	}
	return readAll(ctx, fd, size, buffer)
}

// read returns the content of a regular file that is still the one looked up,
// in the room of buffer if that is enough.
func (p *place) read(ctx context.Context, buffer []byte) ([]byte, error) {
	if p.kind() == unix.S_IFREG && p.stat.Size > maxFileBytes {
		return nil, errTooLarge(p.stat.Size)
	}
	fd, size, err := p.open()
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return readAll(ctx, fd, size, buffer)
}

// head returns the first bytes of a regular file, however large it is.
func (p *place) head(n int) ([]byte, error) {
	fd, _, err := p.open()
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	text := make([]byte, n)
	n, err = unix.Read(fd, text)
	return text[:max(n, 0)], err
}

// open opens a regular file that is still the one looked up, and tells its size.
func (p *place) open() (fd int, size int64, err error) {
	if err := errKinds[p.kind()]; err != nil {
		return -1, 0, err
	}
	if err := p.tree.troubled(p.path); err != nil {
		return -1, 0, err
	}
	fd, err = unix.Openat(p.dir, p.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, 0, err
	}
	var stat unix.Stat_t
	if err = unix.Fstat(fd, &stat); err == nil && (stat.Dev != p.stat.Dev || stat.Ino != p.stat.Ino || stat.Mode&unix.S_IFMT != unix.S_IFREG) {
		err = errReplaced
	}
	if err == nil && p.tree != nil && p.tree.guarded {
		err = notMadeUp(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, 0, err
	}
	return fd, stat.Size, nil
}

var errReplaced = errors.New("it was replaced by something else while it was looked at")

func (t *tree) troubled(path string) error {
	if t == nil || t.trouble == nil {
		return nil
	}
	return t.trouble(path)
}

// kernelFiles are the file systems whose content the kernel makes up.
var kernelFiles = []int64{
	unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC,
	unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.SELINUX_MAGIC,
}

// notMadeUp is an error where the kernel makes up the content of a file.
func notMadeUp(fd int) error {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(fd, &stat); err != nil {
		return err
	}
	if slices.Contains(kernelFiles, int64(stat.Type)) {
		return errors.New("it is the kernel's own, not a file that cron reads")
	}
	return nil
}

func errTooLarge(size int64) error {
	return fmt.Errorf("it has %d bytes; more than %d MiB are not read", size, maxFileBytes>>20)
}

// readAll reads a descriptor to its end, but never more than maxFileBytes.
func readAll(ctx context.Context, fd int, size int64, buffer []byte) ([]byte, error) {
	text := slices.Grow(buffer[:0], int(min(size, maxFileBytes))+1)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(text) == cap(text) {
			text = slices.Grow(text, 32<<10)
		}
		room := text[len(text):min(cap(text), len(text)+1<<20)]
		n, err := unix.Read(fd, room)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		}
		if text = text[:len(text)+n]; len(text) > maxFileBytes {
			return nil, errTooLarge(int64(len(text)))
		}
		if n == 0 || n < len(room) && int64(len(text)) == size {
			return text, nil
		}
	}
}

// directory is an open directory of the tree.
type directory struct {
	tree *tree
	path string // as asked for
	real string // links resolved
	file *os.File
	fd   int // of file
	stat unix.Stat_t
	// plain are the names that were listed as regular files.
	plain map[string]bool
}

// begin opens a name that was listed as a regular file and still is one, which
// spares looking it up. What is anything else must not be opened untried: it
// could be a device. It returns -1 where nothing was opened.
func (d *directory) begin(name string, stat *unix.Stat_t) int {
	if !d.plain[name] || d.tree.guarded || d.tree.trouble != nil {
		return -1
	}
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	if err := unix.Fstat(fd, stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return -1
	}
	d.tree.saw(d.real, name, stat, nil)
	return fd
}

// openDir opens a directory, links followed within the tree.
func (t *tree) openDir(name string) (*directory, error) {
	p, err := t.lookup(name, true)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if p.kind() != unix.S_IFDIR {
		return nil, &os.PathError{Op: "open", Path: name, Err: unix.ENOTDIR}
	}
	if err := t.troubled(p.path); err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	fd, err := unix.Openat(p.dir, p.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return &directory{tree: t, path: name, real: p.path, file: os.NewFile(uintptr(fd), name), fd: fd, stat: p.stat}, nil
}

func (d *directory) Close() { d.file.Close() }

// names returns the names in it in the order of their bytes, and whether there
// are more than are looked at.
func (d *directory) names() (names []string, more bool, err error) {
	d.tree.listed(d.real, &d.stat)
	names, err = d.list(maxNames + 1)
	if more = len(names) > maxNames; more {
		names = names[:maxNames]
	}
	slices.Sort(names)
	return names, more, err
}

// list reads at most so many names as they come, and which of them are regular
// files where the file system says so.
func (d *directory) list(most int) (names []string, err error) {
	d.plain = make(map[string]bool)
	buffer := make([]byte, 32<<10)
	for {
		n, err := unix.ReadDirent(d.fd, buffer)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return names, err
		}
		for rest := buffer[:n]; len(rest) > direntName; {
			size := int(binary.NativeEndian.Uint16(rest[direntSize:]))
			if size <= direntName || size > len(rest) {
				return names, errListing
			}
			name, kind := rest[direntName:size], rest[direntKind]
			if end := bytes.IndexByte(name, 0); end >= 0 {
				name = name[:end]
			}
			rest = rest[size:]
			if text := string(name); text != "." && text != ".." {
				names = append(names, text)
				if kind == unix.DT_REG {
					d.plain[text] = true
				}
			}
			if len(names) == most {
				return names, nil
			}
		}
	}
}

// Where the parts of an entry stand in what getdents64 fills in.
const (
	direntSize = 16 // two bytes, in the machine's order
	direntKind = 18
	direntName = 19 // up to a NUL
)

var errListing = errors.New("the kernel's list of its names cannot be read")

// lookup finds a name in the directory, a link followed or not. The place must
// be closed before the directory.
func (d *directory) lookup(name string, follow bool) (*place, error) {
	var stat unix.Stat_t
	err := unix.Fstatat(d.fd, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	d.tree.saw(d.real, name, &stat, err)
	if err != nil {
		return nil, err
	}
	if follow && stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		return d.tree.lookup(d.real+"/"+name, true)
	}
	return &place{dir: d.fd, borrowed: true, name: name, path: d.real + "/" + name, stat: stat, tree: d.tree}, nil
}
