package discover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	dpkgInfo       = "/var/lib/dpkg/info"
	dpkgDiversions = "/var/lib/dpkg/diversions"
	maxLists       = 50_000    // packages of a host
	maxListBytes   = 256 << 20 // of all their lists
)

// packagedDirs begin the names of the files that jobs may come from; the lists
// of dpkg hold many more. "/usr" before "/lib" is left out.
var packagedDirs = [][]byte{
	[]byte("/etc/cron"), []byte("/etc/anacrontab"), []byte("/etc/periodic/"), []byte("/lib/systemd/"), []byte("/etc/systemd/"),
}

// packages say which package a file came with. They are read once and again
// only when dpkg or rpm did something.
type packages struct {
	seen     [4]fileState // of what they were read from
	owner    map[string]string
	problems []fleet.Problem // of reading them
}

// fileState changes whenever dpkg or rpm writes.
type fileState struct {
	dev, ino  uint64
	size      int64
	sec, nsec int64
}

// stateOf is the zero value where there is no such file.
func stateOf(t *tree, name string) fileState {
	p, err := t.lookup(name, true)
	if err != nil {
		return fileState{}
	}
	p.Close()
	sec, nsec := p.stat.Mtim.Unix()
	return fileState{uint64(p.stat.Dev), p.stat.Ino, p.stat.Size, sec, nsec}
}

// packageStates are those of all that packages are read from.
func packageStates(t *tree, rpm string) [4]fileState {
	states := [4]fileState{stateOf(t, dpkgInfo), stateOf(t, dpkgDiversions)}
	if rpm != "" {
		states[2], states[3] = stateOf(t, rpm), stateOf(t, rpm+"-wal")
	}
	return states
}

// readPackages reads which package owns what, or returns last, which may be
// nil, where nothing has changed since.
func readPackages(ctx context.Context, t *tree, last *packages) (*packages, error) {
	rpm := rpmDatabase(t)
	p := &packages{owner: make(map[string]string), seen: packageStates(t, rpm)}
	if last != nil && last.seen == p.seen {
		return last, nil
	}
	complain := func(source string, err error) {
		if err != nil && !errors.Is(err, unix.ENOTDIR) {
			p.problems = append(p.problems, fleet.Problem{Source: source, Reason: reason(err)})
		}
	}
	if p.seen[0] != (fileState{}) {
		complain(dpkgInfo, p.readLists(ctx, t))
	}
	if rpm != "" {
		complain(rpm, p.readRPM(ctx, t, rpm))
	}
	if ctx.Err() == nil && len(p.problems) > 0 && p.seen != packageStates(t, rpm) {
		return last, nil // one is being installed; the next scan sees it whole
	}
	return p, ctx.Err()
}

// readLists reads dpkg's lists of the files of packages.
func (p *packages) readLists(ctx context.Context, t *tree) error {
	diverted := readDiversions(text(ctx, t, dpkgDiversions))
	dir, err := t.openDir(dpkgInfo)
	if err != nil {
		return err
	}
	defer dir.Close()
	var buffer []byte
	total := 0
	lists, err := dir.lists()
	for _, list := range lists {
		place, err := dir.lookup(list, false)
		if err != nil {
			continue // a package was removed meanwhile
		}
		content, err := place.read(ctx, buffer)
		place.Close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			continue
		}
		if total += len(content); total > maxListBytes {
			return fmt.Errorf("the lists of packages have more than %d MiB; the rest was not looked at", maxListBytes>>20)
		}
		buffer = content
		name, _, _ := strings.Cut(strings.TrimSuffix(list, ".list"), ":") // of "libc6:amd64"
		p.add(printable(name), content, diverted)
	}
	return err
}

// lists returns the names of the lists of packages' files.
func (d *directory) lists() ([]string, error) {
	var lists []string
	for {
		names, err := d.file.Readdirnames(1000)
		for _, name := range names {
			if strings.HasSuffix(name, ".list") {
				lists = append(lists, name)
			}
		}
		switch {
		case len(lists) > maxLists:
			return lists[:maxLists], fmt.Errorf("it holds more than %d lists of packages; the rest was not looked at", maxLists)
		case errors.Is(err, io.EOF):
			return lists, nil
		case err != nil:
			return lists, err
		}
	}
}

// diversion says that another package's file of that name lies elsewhere.
type diversion struct{ to, by string }

// readDiversions reads dpkg's own: three lines each, the last of them the
// package that diverts, or ":" for the administrator.
func readDiversions(content []byte) map[string]diversion {
	lines := strings.Split(string(content), "\n")
	diverted := make(map[string]diversion, len(lines)/3)
	for ; len(lines) >= 3; lines = lines[3:] {
		diverted[lines[0]] = diversion{to: lines[1], by: lines[2]}
	}
	return diverted
}

// add notes the files of a package that jobs may come from.
func (p *packages) add(name string, list []byte, diverted map[string]diversion) {
	for line := range bytes.Lines(list) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if len(diverted) > 0 {
			if d, ok := diverted[string(line)]; ok && d.by != name {
				line = []byte(d.to)
			}
		}
		if line = merged(line); !packaged(line) {
			continue
		}
		if other, taken := p.owner[string(line)]; !taken || name < other {
			p.owner[string(line)] = name
		}
	}
}

// merged leaves out the /usr that is the same as no /usr on a merged host.
func merged(path []byte) []byte {
	if bytes.HasPrefix(path, []byte("/usr/lib/")) {
		return path[len("/usr"):]
	}
	return path
}

// attribute tells of each job what package its file came with.
func (p *packages) attribute(jobs []fleet.Job) {
	if p == nil || len(p.owner) == 0 {
		return
	}
	for i := range jobs {
		if jobs[i].Package == "" {
			jobs[i].Package = p.owner[string(merged([]byte(jobs[i].Source)))]
		}
	}
}

// readPackages reads which package owns what within the time a source has. Where
// that fails, what was known before still counts.
func (c *Scanner) readPackages(ctx context.Context, t *tree, all *found) {
	var read *packages
	done := make(chan struct{})
	last := c.packages
	all.add(c.bounded(ctx, t, dpkgInfo, func(ctx context.Context, out *found) {
		defer close(done)
		p, err := readPackages(ctx, t, last)
		if err != nil || p == nil {
			return
		}
		for _, problem := range p.problems {
			out.problem(problem.Source, 0, "", problem.Reason)
		}
		read = p
	}))
	select {
	case <-done:
		if read != nil {
			c.packages = read
		}
	default:
	}
	c.packages.attribute(all.jobs)
}
