package evidence

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// logDir is where syslog daemons write.
const logDir = "/var/log"

// logs are the files in logDir that may tell of cron.
var logs = []string{
	"cron",     // RHEL, SUSE: cron's own
	"cron.log", // Debian, where someone has asked for it
	"syslog",   // Debian: everything
	"messages", // RHEL, SUSE, Alpine: everything, or all but cron
}

// window is how far back a first reading goes.
const window = 35 * 24 * time.Hour

// directory is an open logDir.
type directory struct {
	root   *os.Root
	limits limits
}

// openLogs opens logDir in a tree, which no link leaves; on the running system
// it may be a link to wherever there is room.
func openLogs(tree string) (*directory, error) {
	if filepath.Clean(tree) == "/" {
		root, err := os.OpenRoot(logDir)
		return &directory{root, limits{maxRound, maxUnpacked}}, err
	}
	top, err := os.OpenRoot(tree)
	if err != nil {
		return nil, err
	}
	defer top.Close()
	root, err := top.OpenRoot(strings.TrimPrefix(logDir, "/"))
	return &directory{root, limits{maxRound, maxUnpacked}}, err
}

// Close closes the directory.
func (d *directory) Close() { d.root.Close() }

// part is one file of a log: what is written now, or what was rotated away.
type part struct {
	file     *os.File
	name     string
	inode    uint64
	size     int64
	modified time.Time
	zipped   bool
	unpacked int64 // bytes that are read of a zipped file
}

// open opens a regular file. A link, a FIFO or a device is refused before
// anything is opened, and so is what was put in its place meanwhile.
func (d *directory) open(name string) (*part, error) {
	look, err := d.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !look.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file but %s", path.Join(logDir, name), kindOf(look.Mode()))
	}
	file, err := d.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && (!os.SameFile(look, info) || !info.Mode().IsRegular()) {
		err = fs.ErrNotExist // it was rotated away at this moment; the next round finds it
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &part{file: file, name: name, inode: inodeOf(info), size: info.Size(), modified: info.ModTime(), zipped: strings.HasSuffix(name, ".gz"), unpacked: d.limits.unpacked}, nil
}

// Close closes the file.
func (p *part) Close() { p.file.Close() }

func inodeOf(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}

// kinds are the words for what is no regular file.
var kinds = map[fs.FileMode]string{
	fs.ModeDir: "a directory", fs.ModeSymlink: "a symbolic link", fs.ModeNamedPipe: "a FIFO", fs.ModeSocket: "a socket",
}

func kindOf(mode fs.FileMode) string {
	if word, ok := kinds[mode.Type()]; ok {
		return word
	}
	return "a device"
}

// rotated is how logrotate and its kin name what they put aside.
var rotated = regexp.MustCompile(`^[.-]([0-9]{1,14})(\.gz)?$`)

// maxOlder is how many rotated files of one log are looked at.
const maxOlder = 64

// older opens the rotated files of a log, the newest first, without those
// that are the given file itself.
func (d *directory) older(log string, current *part) ([]*part, error) {
	dir, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(10_000)
	if err != nil && !errors.Is(err, io.EOF) { // there are none
		return nil, err
	}
	var parts []*part
	for _, name := range names {
		suffix, is := strings.CutPrefix(name, log)
		if !is || !rotated.MatchString(suffix) || len(parts) >= maxOlder {
			continue
		}
		p, err := d.open(name)
		if err != nil {
			continue
		}
		if current != nil && p.inode == current.inode {
			p.Close()
			continue
		}
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b *part) int {
		return cmp.Or(b.modified.Compare(a.modified), cmp.Compare(age(log, a.name), age(log, b.name)))
	})
	return parts, nil
}

// age orders files of one time: .1 is newer than .2, -20260102 than -20260101.
func age(log, name string) int {
	match := rotated.FindStringSubmatch(strings.TrimPrefix(name, log))
	n, _ := strconv.Atoi(match[1])
	if len(match[1]) >= len("20060102") {
		return -n
	}
	return n
}
