package runner

import "time"

// look reads in a guardian's book how a run ended, and reports whether that
// stands there.
type look func() (status, bool)

// lookUp returns how to look the companion's run up in a book.
func (c *companion) lookUp(path string) look {
	run, h := c.run.ID, c.handle
	return func() (status, bool) {
		s, noted := findStatus(path, run, &h)
		return s, noted && s.over()
	}
}

// accompanyGuarded begins to wait for a process that the runner's own guardian
// has started.
func accompanyGuarded(s *status, ended <-chan status, g *guardian, book look) *process {
	p := newProcess(s.PID, s.Start)
	p.lost = g.dead
	go func() {
		select {
		case end := <-ended:
			p.end = &end
			close(p.gone)
		case <-p.released:
		case <-g.dead:
			p.followBy(attach(g.PID, g.Start), book) // it may have its last words to write
		}
	}()
	return p
}

// accompanyStranger begins to wait for a process that the guardian of an
// earlier agent has started; it may have ended. Without that guardian, which
// is nil then, there is only its book.
func accompanyStranger(pid int, start uint64, by *process, book look) *process {
	p := newProcess(pid, start)
	p.lost = closed
	if by != nil {
		p.lost = by.gone
	}
	go p.followBy(by, book)
	return p
}

func (p *process) followBy(by *process, book look) {
	p.follow(by, book)
	if by != nil {
		by.release()
	}
}

// closed is what is over from the beginning.
var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// follow waits for the end of the process and for what its guardian writes
// about it, and closes gone.
func (p *process) follow(by *process, book look) {
	if now := attach(p.pid, p.start); now != nil {
		defer now.release()
		select {
		case <-now.gone:
		case <-p.released:
			return
		}
	}
	var dead <-chan struct{}
	if by == nil {
		dead = closed
	} else {
		dead = by.gone
	}
	for wait := time.Millisecond; ; wait = min(2*wait, time.Second) {
		over := false
		select {
		case <-dead:
			over = true
		default:
		}
		if s, noted := book(); noted {
			p.end = &s
		}
		if over || p.end != nil {
			close(p.gone)
			return
		}
		select {
		case <-time.After(wait):
		case <-dead:
		case <-p.released:
			return
		}
	}
}
