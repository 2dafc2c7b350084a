package discover

import (
	"context"
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// ways finds files by their names and remembers what lies on the way to them,
// so that a thousand jobs cost a look at each directory and each file once.
type ways struct {
	tree   *tree
	remote map[string]bool // mount points that may hang; what lies below is not looked at
	dirs   map[string]*way
	files  map[string]*target
	open   int
}

// step is something on the way: who owns it, and who may write it.
type step struct {
	path string
	uid  uint32
	gid  uint32
	mode uint32 // with its kind
}

func (s *step) kind() uint32 { return s.mode & unix.S_IFMT }

// way is a directory and all that leads to it.
type way struct {
	fd    int // -1: not open
	real  string
	steps []step
	err   error
}

// target is a file and all that leads to it.
type target struct {
	way   *way // of the directory it really lies in
	name  string
	links []step // that were followed in the last place
	step         // itself
	dev   uint64
	ino   uint64
	err   error
	first []byte // bytes of it, once they were read
	read  bool
}

var errUnsure = errors.New("it cannot be said from here")

const (
	maxOpenWays  = 500
	maxKnownWays = 20_000
)

func newWays(ctx context.Context, t *tree, live bool, jobs int) *ways {
	w := &ways{tree: t, dirs: make(map[string]*way), files: make(map[string]*target, jobs)}
	if live {
		w.remote = remoteMounts(string(text(ctx, t.noting(nil), "/proc/self/mountinfo")))
	}
	return w
}

// remote are the mount points of the running system that may hang.
func (s *scan) remote(ctx context.Context) map[string]bool {
	if !s.live {
		return nil
	}
	return remoteMounts(string(text(ctx, s.tree, "/proc/self/mountinfo")))
}

func (w *ways) Close() {
	for _, way := range w.dirs {
		if way.fd >= 0 {
			unix.Close(way.fd)
		}
	}
}

// remoteKinds are the file systems that may keep who looks waiting.
var remoteKinds = []string{"nfs", "cifs", "smb", "fuse", "autofs", "ceph", "9p", "glusterfs", "lustre", "afs", "gfs2", "ocfs2", "gpfs", "beegfs", "coda", "orangefs"}

func remoteMounts(mountinfo string) map[string]bool {
	mounts := make(map[string]bool)
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !ok || len(fields) < 5 {
			continue
		}
		for _, kind := range remoteKinds {
			if strings.HasPrefix(after, kind) && !strings.HasPrefix(after, "fusectl") {
				mounts[strings.ReplaceAll(fields[4], `\040`, " ")] = true
			}
		}
	}
	return mounts
}

// dir finds a directory by its absolute, clean name.
func (w *ways) dir(name string, links int) *way {
	if known := w.dirs[name]; known != nil {
		return known
	}
	found := &way{fd: -1, err: errUnsure}
	if len(w.dirs) >= maxKnownWays || w.open >= maxOpenWays || links > maxLinks {
		return found
	}
	if name == "/" {
		found = w.root()
	} else {
		parent := w.dir(path.Dir(name), links)
		switch at := path.Join(parent.real, path.Base(name)); {
		case parent.err != nil:
			found.err = parent.err
		case w.remote[at]:
		default:
			found = w.enter(parent, path.Base(name), links)
		}
	}
	if found.fd >= 0 {
		w.open++
	}
	w.dirs[name] = found
	return found
}

func (w *ways) root() *way {
	fd, err := unix.Openat(w.tree.fd, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &way{fd: -1, err: err}
	}
	var stat unix.Stat_t
	err = unix.Fstat(fd, &stat)
	w.tree.saw("/", ".", &stat, err)
	if err != nil {
		unix.Close(fd)
		return &way{fd: -1, err: err}
	}
	return &way{fd: fd, real: "/", steps: []step{{"/", stat.Uid, stat.Gid, stat.Mode}}}
}

// enter goes into a directory, or where a link leads.
func (w *ways) enter(parent *way, name string, links int) *way {
	var stat unix.Stat_t
	err := unix.Fstatat(parent.fd, name, &stat, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT)
	w.tree.saw(parent.real, name, &stat, err)
	if err != nil {
		return &way{fd: -1, err: err}
	}
	at := path.Join(parent.real, name)
	here := step{at, stat.Uid, stat.Gid, stat.Mode}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		to, err := link(parent, name)
		if err != nil {
			return &way{fd: -1, err: err}
		}
		there := w.dir(to, links+1)
		if there.err != nil {
			return &way{fd: -1, err: there.err}
		}
		fd, err := unix.FcntlInt(uintptr(there.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return &way{fd: -1, err: err}
		}
		return &way{fd: fd, real: there.real, steps: join(parent.steps, []step{here}, there.steps)}
	case unix.S_IFDIR:
		fd, err := unix.Openat(parent.fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return &way{fd: -1, err: err}
		}
		return &way{fd: fd, real: at, steps: join(parent.steps, []step{here})}
	}
	return &way{fd: -1, err: unix.ENOTDIR}
}

func join(parts ...[]step) []step {
	n := 0
	for _, part := range parts {
		n += len(part)
	}
	all := make([]step, 0, n)
	for _, part := range parts {
		for _, s := range part {
			if !hasStep(all, s.path) {
				all = append(all, s)
			}
		}
	}
	return all
}

func hasStep(steps []step, path string) bool {
	for i := range steps {
		if steps[i].path == path {
			return true
		}
	}
	return false
}

// link is where a link leads, as an absolute name.
func link(parent *way, name string) (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(parent.fd, name, buffer)
	if err != nil {
		return "", err
	}
	to := string(buffer[:n])
	if path.IsAbs(to) {
		return path.Clean(to), nil
	}
	if up := strings.TrimLeft(to, "./"); strings.Contains(up, "../") {
		return "", errUnsure // it goes down and up again, perhaps by a link
	}
	return path.Join(parent.real, to), nil
}

// file finds a file by its absolute name, the links in its last place followed.
func (w *ways) file(name string) *target {
	if known := w.files[name]; known != nil {
		return known
	}
	found := &target{err: errUnsure}
	if len(w.files) < maxKnownWays {
		if at := path.Clean(name); at != "/" && !strings.Contains(name, "/../") {
			found = w.last(at, nil)
		}
		w.files[name] = found
	}
	return found
}

func (w *ways) last(name string, links []step) *target {
	slash := strings.LastIndexByte(name, '/')
	dir, base := name[:max(slash, 1)], name[slash+1:]
	parent := w.dir(dir, len(links))
	t := &target{way: parent, name: base, links: links, err: parent.err}
	if t.err != nil {
		return t
	}
	if base == "" { // a link to the root
		t.err = errUnsure
		return t
	}
	at := name
	if parent.real != dir {
		at = path.Join(parent.real, base)
	}
	if w.remote[at] || len(links) > maxLinks {
		t.err = errUnsure
		return t
	}
	var stat unix.Stat_t
	t.err = unix.Fstatat(parent.fd, base, &stat, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT)
	w.tree.saw(parent.real, base, &stat, t.err)
	if t.err != nil {
		return t
	}
	t.step, t.dev, t.ino = step{at, stat.Uid, stat.Gid, stat.Mode}, stat.Dev, stat.Ino
	if t.kind() != unix.S_IFLNK {
		return t
	}
	to, err := link(parent, base)
	if err != nil {
		t.err = err
		return t
	}
	return w.last(to, append(links[:len(links):len(links)], join(parent.steps, []step{t.step})...))
}

// stood is the file of that name where it is what was read before.
func (w *ways) stood(name string, as *standing) *target {
	if as == nil || as.path != name || w.files[name] != nil {
		return w.file(name)
	}
	slash := strings.LastIndexByte(name, '/')
	dir, base := name[:max(slash, 1)], name[slash+1:]
	parent := w.dir(dir, 0)
	if parent.err != nil || parent.real != dir || w.remote[name] {
		return w.file(name)
	}
	w.tree.saw(dir, base, &as.stat, nil)
	t := &target{way: parent, name: base, dev: as.stat.Dev, ino: as.stat.Ino}
	t.step = step{name, as.stat.Uid, as.stat.Gid, as.stat.Mode}
	return t
}

// steps yields all that lies on the way to a file, itself included.
func (t *target) steps(yield func(*step) bool) {
	for _, part := range [...][]step{t.links, t.way.steps} {
		for i := range part {
			if !yield(&part[i]) {
				return
			}
		}
	}
	yield(&t.step)
}

// only reports whether owners of one kind alone decide which file it is.
func (t *target) only(are func(uid uint32) bool) bool {
	for s := range t.steps {
		if !are(s.uid) {
			return false
		}
	}
	return true
}

// missing reports whether there is surely no such file.
func (t *target) missing() bool {
	return errors.Is(t.err, unix.ENOENT) || errors.Is(t.err, unix.ENOTDIR)
}

// head reads how a regular file begins.
func (t *target) head(n int) []byte {
	if !t.read {
		p := &place{dir: t.way.fd, borrowed: true, name: t.name, stat: unix.Stat_t{Mode: t.mode, Ino: t.ino}}
		p.stat.Dev = t.dev
		t.first, _ = p.head(n) // what cannot be read tells nothing
		t.read = true
	}
	return t.first
}
