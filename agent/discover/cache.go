package discover

import (
	"os"
	"path"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// mark is what changes when a file does: its content, its rights, its place.
type mark struct {
	dev, ino, nlink uint64
	size            int64
	written         [2]int64 // the time of its content, in seconds and nanoseconds
	changed         [2]int64 // and of anything of it
	mode, uid, gid  uint32
	err             unix.Errno // there is none, or it cannot be looked at
}

// markOf is the mark of what a stat says. Of a directory only what decides who
// may pass counts, unless its names were read.
func markOf(stat *unix.Stat_t, err error, listed bool) mark {
	if err != nil {
		number, _ := err.(unix.Errno)
		return mark{err: max(number, 1)}
	}
	m := mark{dev: uint64(stat.Dev), ino: stat.Ino, mode: stat.Mode, uid: stat.Uid, gid: stat.Gid}
	if listed || stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		m.nlink, m.size = uint64(stat.Nlink), stat.Size
		m.written[0], m.written[1] = stat.Mtim.Unix()
		m.changed[0], m.changed[1] = stat.Ctim.Unix()
	}
	return m
}

// spot is a name in a directory, whose own path holds no links; "." is the
// directory itself.
type spot struct{ dir, name string }

// note is a spot and what was there.
type note struct {
	spot
	mark   mark
	listed bool
}

// notes are all that a reader looked at, until they are closed: a reader that
// hangs notes nothing more.
type notes struct {
	mu     sync.Mutex
	closed bool
	list   []note
}

func (n *notes) add(one note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.list = append(n.list, one)
	}
}

// grow makes room for more.
func (n *notes) grow(more int) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = slices.Grow(n.list, more)
}

func (n *notes) close() []note {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	return n.list
}

// noting is the same tree, of which is noted what is looked at.
func (t *tree) noting(n *notes) *tree {
	other := *t
	other.notes = n
	return &other
}

// saw notes what was found under a name.
func (t *tree) saw(dir, name string, stat *unix.Stat_t, err error) {
	if t != nil && t.notes != nil {
		t.notes.add(note{spot: spot{dir, name}, mark: markOf(stat, err, false)})
	}
}

// listed notes that the names in a directory were read.
func (t *tree) listed(dir string, stat *unix.Stat_t) {
	if t.notes != nil {
		t.notes.add(note{spot: spot{dir, "."}, mark: markOf(stat, nil, true), listed: true})
	}
}

// exactly notes all of a name's mark, whatever it is: its list of rights counts.
func (t *tree) exactly(in *way, name string) {
	if t.notes == nil {
		return
	}
	var stat unix.Stat_t
	err := unix.Fstatat(in.fd, name, &stat, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT)
	t.notes.add(note{spot: spot{in.real, name}, mark: markOf(&stat, err, true), listed: true})
}

// glance looks again at what was noted: at each spot once in a scan, and from
// the root through no link.
type glance struct {
	tree *tree
	dirs map[string]*os.File // which are closed with the garbage, if not before
	seen map[note]bool       // whether it is as noted
}

func newGlance(t *tree) *glance {
	return &glance{tree: t, dirs: make(map[string]*os.File), seen: make(map[note]bool)}
}

func (g *glance) Close() {
	for _, dir := range g.dirs {
		if dir != nil {
			dir.Close()
		}
	}
}

// dir opens a directory, or returns nil.
func (g *glance) dir(name string) *os.File {
	if known, ok := g.dirs[name]; ok {
		return known
	}
	at, base := g.tree.fd, "."
	if name != "/" {
		parent := g.dir(path.Dir(name))
		if parent == nil {
			g.dirs[name] = nil
			return nil
		}
		at, base = int(parent.Fd()), path.Base(name)
	}
	var dir *os.File
	if fd, err := unix.Openat(at, base, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == nil {
		dir = os.NewFile(uintptr(fd), name)
	}
	g.dirs[name] = dir
	return dir
}

// same reports whether all is as noted.
func (g *glance) same(list []note) bool {
	last := spot{}
	var fd int
	for i := range list {
		one := &list[i]
		if known, ok := g.seen[*one]; ok {
			if !known {
				return false
			}
			continue
		}
		if one.dir != last.dir {
			dir := g.dir(one.dir)
			if dir == nil {
				return false
			}
			fd = int(dir.Fd())
		}
		last = one.spot
		var stat unix.Stat_t
		err := unix.Fstatat(fd, one.name, &stat, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT)
		same := markOf(&stat, err, one.listed) == one.mark
		if g.seen[*one] = same; !same {
			return false
		}
	}
	return true
}
