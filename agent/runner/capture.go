package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The streams of a run.
const (
	Stdout = "stdout"
	Stderr = "stderr"
	Both   = "both"
)

const (
	block    = 4096
	minQuota = 16 << 10 // a smaller one could keep neither head nor tail in whole blocks
)

// capture is the file that one stream of a run is written to.
//
// The process appends to the file itself. Once it holds more than the quota,
// the middle is cut out: the file keeps its length, but the blocks between
// head and tail are given back. What was cut out can be read off the file, so
// that a later agent knows it too.
type capture struct {
	file  *os.File
	path  string // empty: it was opened again, and is not reused
	owner owner
	quota int64
	hole  span  // cut out so far; empty: nothing
	lost  int64 // bytes that went otherwise, where the file system knows no holes
	now   mark  // what the last look saw

	punch func(fd int, offset, length int64) error
}

// span is a range of bytes.
type span struct{ from, to int64 }

func (s span) length() int64 { return s.to - s.from }

type owner struct{ uid, gid int }

// createCapture makes the file of a stream, and opens it a second time for the
// process: what is written to that one is seen here, and the kernel knows
// whether anybody still has it. It belongs to the user that the command runs
// as, who may want to open /dev/stdout again.
func createCapture(spares *spares, path string, quota int64, owner owner) (c *capture, process *os.File, err error) {
	file, err := spares.file(path, owner)
	if err != nil {
		return nil, nil, err
	}
	process, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		os.Remove(path)
		file.Close()
		return nil, nil, err
	}
	c = newCapture(file, quota)
	c.path, c.owner = path, owner
	return c, process, nil
}

func newCapture(file *os.File, quota int64) *capture {
	return &capture{file: file, quota: max(quota, minQuota), punch: punchHole}
}

// openCapture opens the file of a stream whose process is still running.
func openCapture(path string, quota int64) (*capture, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	c := newCapture(file, quota)
	if c.hole, err = findHole(file); err != nil {
		file.Close()
		return nil, err
	}
	return c, nil
}

func punchHole(fd int, offset, length int64) error {
	return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
}

// findHole reads off a file what was cut out of it. What the quota cuts out lies
// around the middle: head and tail are kept, and the tail is cut again before it
// is longer than all before it. A command can make holes of its own elsewhere, and a file as
// long as it likes of nothing; what is at the middle or up to the end of that
// counts as cut out as well, so that nobody reads it.
func findHole(file *os.File) (span, error) {
	fd := int(file.Fd())
	info, err := file.Stat()
	if err != nil {
		return span{}, err
	}
	size := info.Size()
	first, err := unix.Seek(fd, 0, unix.SEEK_HOLE)
	if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EINVAL) || err == nil && first >= size { // empty; no such question here; none
		return span{}, nil
	}
	if err != nil {
		return span{}, err
	}
	middle := size / 2
	to, err := nextData(fd, middle, size)
	if err == nil && to == middle { // it has grown much since the last cut, or never was cut
		middle = first
		to, err = nextData(fd, first, size)
	}
	if err != nil {
		return span{}, err
	}
	// Where the data after a place begins tells whether that lies in the hole.
	from := sort.Search(int((middle-first)/block), func(n int) bool {
		next, failed := nextData(fd, first+int64(n)*block, size)
		err = errors.Join(err, failed)
		return next >= to
	})
	return span{first + int64(from)*block, to}, err
}

// nextData returns where data begins from a place on; size: nowhere.
func nextData(fd int, from, size int64) (int64, error) {
	at, err := unix.Seek(fd, from, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return size, nil
	}
	return at, err
}

// size returns how many bytes the command has written.
func (c *capture) size() (int64, error) {
	info, err := c.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// trim cuts out of the middle what is beyond the quota and returns how many
// bytes there have been so far.
func (c *capture) trim() (int64, error) {
	now, err := lookAt(c.file)
	if err != nil {
		return 0, err
	}
	c.now = now
	size := now.length
	head := c.quota / 2 / block * block
	from := max(head, c.hole.to)
	if size-from <= c.quota-head {
		return size + c.lost, nil
	}
	to := (size - c.quota/4) / block * block
	err = c.punch(int(c.file.Fd()), from, to-from)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		// No holes here: the tail goes, the next output follows the head.
		if err := c.file.Truncate(head); err != nil {
			return 0, err
		}
		c.lost += size - head
		return head + c.lost, nil
	}
	if err != nil {
		return 0, err
	}
	c.hole = span{head, to}
	return size + c.lost, nil
}

// dropped returns how many bytes are no longer in the file.
func (c *capture) dropped() int64 { return c.hole.length() + c.lost }

// tail returns the end of the stream as text of at most limit bytes.
func (c *capture) tail(limit int) (string, error) {
	size, err := c.size()
	if err != nil {
		return "", err
	}
	from := max(0, size-int64(limit), c.hole.to)
	buf := make([]byte, size-from)
	n, err := c.file.ReadAt(buf, from)
	if n == 0 && err != nil {
		return "", err
	}
	return validTail(buf[:n], limit), nil
}

// validTail makes text of bytes: what is no UTF-8 is replaced, and what is too
// long then is cut at its beginning.
func validTail(raw []byte, limit int) string {
	for len(raw) > 0 && !utf8.RuneStart(raw[0]) { // the rest of a rune that was cut
		raw = raw[1:]
	}
	text := strings.ToValidUTF8(string(raw), "\uFFFD")
	for len(text) > limit {
		_, size := utf8.DecodeRuneInString(text)
		text = text[size:]
	}
	return text
}

// paths of a run's files. A task's runs lie in one directory, named after the
// task; run ids sort by time.
func taskDir(root string, task fleet.TaskID) string {
	return filepath.Join(root, strings.ReplaceAll(string(task), "/", "+"))
}

func streamPath(dir string, run fleet.RunID, stream string) string {
	return filepath.Join(dir, string(run)+"."+stream)
}

// What else stands beside the streams of a run.
const (
	marksName  = "marks"  // the order of its two streams
	failedName = "failed" // it failed; empty
)

// captures are the two streams of a run, and their order.
type captures struct {
	out, err *capture
	marks    *marks
}

// createCaptures makes the files of a run, and returns them as the process is
// to have them, too.
func (r *Runner) createCaptures(run *fleet.Run, quota int64, owner owner) (captures, [2]*os.File, error) {
	dir := taskDir(r.config.Dir, run.Task)
	out, stdout, err := createCapture(r.spares, streamPath(dir, run.ID, Stdout), quota, owner)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return captures{}, [2]*os.File{}, fmt.Errorf("make a directory for the output: %w", err)
		}
		out, stdout, err = createCapture(r.spares, streamPath(dir, run.ID, Stdout), quota, owner)
	}
	if err != nil {
		return captures{}, [2]*os.File{}, fmt.Errorf("make a file for the output: %w", err)
	}
	errors, stderr, err := createCapture(r.spares, streamPath(dir, run.ID, Stderr), quota, owner)
	if err != nil {
		stdout.Close()
		r.done(out)
		return captures{}, [2]*os.File{}, fmt.Errorf("make a file for the output: %w", err)
	}
	return captures{out, errors, r.marked(run.ID, &marks{path: streamPath(dir, run.ID, marksName)})}, [2]*os.File{stdout, stderr}, nil
}

// marked lets those who follow a run find its marks.
func (r *Runner) marked(run fleet.RunID, m *marks) *marks {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.marks[run] = m
	return m
}

// done lets go of a run's streams; empty ones serve another run, and those that
// somebody may still write into are kept an eye on.
func (r *Runner) done(streams ...*capture) {
	for _, c := range streams {
		switch {
		case c.path != "" && r.spares.give(c.file, c.path, c.owner):
		case unshared(c.file):
			c.file.Close()
		default:
			r.linger(c)
		}
	}
}

func (c captures) close() {
	c.out.file.Close()
	c.err.file.Close()
}

// trim keeps both streams within their quota, notes how they have grown, and
// returns their sizes.
func (c captures) trim() (stdout, stderr int64, err error) {
	stdout, err1 := c.out.trim()
	stderr, err2 := c.err.trim()
	c.err.now.stream = 1
	err3 := c.marks.note(c.out.now, c.err.now)
	return stdout, stderr, errors.Join(err1, err2, err3)
}

// tail returns the last output, of stderr where there is any.
func (c captures) tail() string {
	for _, stream := range []*capture{c.err, c.out} {
		if text, err := stream.tail(fleet.MaxTail); err == nil && strings.TrimSpace(text) != "" {
			return text
		}
	}
	return ""
}
