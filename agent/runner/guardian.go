package runner

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// booksName is the directory of the guardians' books among those of the tasks,
// whose names do not begin with a dot.
const booksName = ".guardian"

// wordsName is where guardians say what goes wrong with themselves.
const wordsName = "errors"

// keeper is how a guardian and its book are found again.
type keeper struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
	Book  string `json:"book"` // its name in the directory of the books
}

// guardian is a guardian as its agent sees it.
type guardian struct {
	keeper
	path   string // of its book
	orders *orders
	dead   chan struct{} // closed when it no longer answers

	mu     sync.Mutex
	wards  map[fleet.RunID]*awaited
	unborn map[sight]bool // children that were killed before they executed a program
}

// awaited is what an agent waits for of a run; both channels hold one.
type awaited struct {
	begun chan begun
	ended chan status
}

// begun is how a start went.
type begun struct {
	status status
	err    error
}

// errGuardian says that the guardian died in the middle of a start.
var errGuardian = errors.New("the guardian of the commands died")

// spawn starts a guardian and returns when it is ready.
func spawn(argv []string, dir string) (*guardian, error) {
	book, err := os.CreateTemp(dir, "book-")
	if err != nil {
		return nil, err
	}
	defer book.Close()
	// Its last words, should it panic.
	words, err := os.OpenFile(filepath.Join(dir, wordsName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer words.Close()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	theirs := os.NewFile(uintptr(ends[1]), "agent")
	defer theirs.Close()
	ours := os.NewFile(uintptr(ends[0]), "guardian")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		conn.Close()
		return nil, err
	}
	defer null.Close()
	process, err := os.StartProcess(argv[0], argv[1:], &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: []*os.File{null, words, words, theirs, book},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	go func() { // when it ends before its agent does
		_, _ = process.Wait()
		_ = conn.SetReadDeadline(time.Now().Add(lastWord)) // a child that it was forking may hold the other end for ever
	}()
	theirs.Close() // or its end would not be heard
	stat, err := readStat(process.Pid)
	if err != nil {
		conn.Close()
		return nil, err
	}
	g := &guardian{
		keeper: keeper{PID: process.Pid, Start: stat.start, Book: filepath.Base(book.Name())}, path: book.Name(),
		orders: newOrders(conn.(*net.UnixConn)), dead: make(chan struct{}), wards: map[fleet.RunID]*awaited{}, unborn: map[sight]bool{},
	}
	return g, g.greet(conn)
}

// lastWord is how long what a guardian said may be under way when it has ended.
const lastWord = 100 * time.Millisecond

// greetTime is how long a guardian may take to begin.
const greetTime = 30 * time.Second

// greet waits for the first word, and leaves a goroutine that hears the rest.
func (g *guardian) greet(conn net.Conn) error {
	from := bufio.NewReader(conn)
	_ = conn.SetReadDeadline(time.Now().Add(greetTime))
	var first notice
	if err := decodeWire(from, first.fields); err != nil || !first.Ready {
		conn.Close()
		return fmt.Errorf("it does not answer: %w", err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	go g.hear(from)
	return nil
}

// hear passes on what the guardian tells until it is gone or was left.
func (g *guardian) hear(from *bufio.Reader) {
	for {
		var news notice
		if decodeWire(from, news.fields) != nil {
			break
		}
		g.pass(&news)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.dead)
	for _, w := range g.wards {
		select {
		case w.begun <- begun{err: errGuardian}:
		default: // it was told before
		}
	}
}

func (g *guardian) pass(news *notice) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case news.Failed != nil:
		if w, known := g.wards[news.Failed.Run]; known {
			w.begun <- begun{err: news.Failed.err()}
		}
	case news.Status != nil && !news.Status.over():
		if w, known := g.wards[news.Status.Run]; known {
			w.begun <- begun{status: *news.Status}
		}
	case news.Status != nil:
		if w, known := g.wards[news.Status.Run]; known {
			w.ended <- *news.Status
		}
	}
}

// launch lets the guardian start a process, and returns when that has happened
// or has failed. The end comes by the channel.
func (g *guardian) launch(l *launch, c *companion, files ...*os.File) (begun, <-chan status) {
	w := &awaited{begun: make(chan begun, 1), ended: make(chan status, 1)}
	g.mu.Lock()
	g.wards[l.Run] = w
	g.mu.Unlock()
	if err := g.orders.send(order{Launch: l}, fdsOf(files...)...); err != nil {
		return begun{err: errGuardian}, nil
	}
	return g.hurry(w, cmp.Or(l.Birth, birthMost), c), w.ended
}

// leave stops listening for a run.
func (g *guardian) leave(run fleet.RunID) {
	g.mu.Lock()
	delete(g.wards, run)
	g.mu.Unlock()
}

// forget tells that the outcome of a run is on disk.
func (g *guardian) forget(run fleet.RunID) {
	_ = g.orders.send(order{Forget: run}) // a dead one remembers nothing
}

// lost reports whether the guardian no longer answers.
func (g *guardian) lost() bool {
	select {
	case <-g.dead:
		return true
	default:
		return false
	}
}

// guardAgain is how long runs go unguarded after a guardian could not be
// started.
const guardAgain = time.Minute

// guardian returns the guardian of the runs that begin now, and starts one
// where there is none. It is nil when there is to be none or none can be
// started: then the runner is the parent of the commands itself.
func (r *Runner) guardian() *guardian { return r.guardianIn(&r.guard) }

func (r *Runner) guardianIn(place **guardian) *guardian {
	if len(r.config.Guardian) == 0 {
		return nil
	}
	r.guarding.Lock()
	defer r.guarding.Unlock()
	if *place != nil && !(*place).lost() {
		return *place
	}
	if *place != nil {
		r.log.Warn("guardian died, its commands go on, their exit status will not be known", "pid", (*place).PID, "last_words", r.lastWords())
		(*place).orders.conn.Close()
		*place = nil
	}
	if time.Now().Before(r.unguarded) || r.isClosing() {
		return nil
	}
	g, err := spawn(r.config.Guardian, filepath.Join(r.config.Dir, booksName))
	if err != nil {
		r.unguarded = time.Now().Add(guardAgain)
		r.log.Error("guardian not started: should the agent die now, exit statuses are lost", "error", err)
		return nil
	}
	*place = g
	return g
}

// eitherGuardian returns the guardian of the next run. Where a crowd may come
// there are two, who take turns while several starts are under way: a process
// that forks stands still until its child has a program, and meanwhile the other
// one goes on.
func (r *Runner) eitherGuardian() *guardian {
	if !r.rush.alone() && r.turns.Add(1)%2 == 0 {
		r.guarding.Lock()
		g := r.second
		r.guarding.Unlock()
		if g != nil && !g.lost() {
			return g
		}
	}
	return r.guardian()
}

// readyGuardians starts the guardians of a crowd before it is due, where one may
// be. One processor carries out one fork at a time anyway.
func (r *Runner) readyGuardians() {
	r.expects.mu.Lock()
	crowd := r.expects.crowd
	r.expects.mu.Unlock()
	if crowd && r.rush.calm() && r.guardian() != nil && runtime.GOMAXPROCS(0) > 1 {
		r.guardianIn(&r.second)
	}
}

// lastWords returns what guardians wrote to stderr since they were asked last.
func (r *Runner) lastWords() string {
	path := filepath.Join(r.config.Dir, booksName, wordsName)
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	_ = os.Truncate(path, 0)
	return validTail(text, 4096)
}

// sweepBooks removes the books of guardians that are gone, when no run that
// goes on stands in them, and the cgroups of runs that are over.
func (r *Runner) sweepBooks() {
	r.sweepGroups()
	dir := filepath.Join(r.config.Dir, booksName)
	books, _ := filepath.Glob(filepath.Join(dir, "book-*"))
	needed := map[string]bool{}
	r.guarding.Lock()
	defer r.guarding.Unlock()
	for _, g := range []*guardian{r.guard, r.second} {
		if g != nil {
			needed[g.Book] = true
		}
	}
	r.mu.Lock()
	maps.Copy(needed, r.books)
	for _, c := range r.running {
		if c.handle.Guard != nil {
			needed[c.handle.Guard.Book] = true
		}
	}
	r.mu.Unlock()
	for _, book := range books {
		if !needed[filepath.Base(book)] {
			_ = os.Remove(book) // looked at again
		}
	}
}
