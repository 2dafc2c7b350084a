package runner

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// privateTmp are the directories that take the place of /tmp and /var/tmp for
// one run, empty where that is hidden already. Each lies in the one that it
// hides, below a directory that only the agent's user enters.
type privateTmp [len(tmpPlaces)]string

// tmpPrefix is how those directories begin. What follows is drawn: whoever knew
// it before could take the name, and the run would not begin.
const tmpPrefix = "fleetcron-private-"

// tmpPlaces are what is hidden.
var tmpPlaces = [...]string{"/tmp", "/var/tmp"}

// makeTmp makes the private directories of a run under a name of theirs.
func makeTmp(name string) (privateTmp, error) {
	var made privateTmp
	for i, place := range tmpPlaces {
		if i > 0 && sameDir(place, tmpPlaces[0]) {
			continue // hidden with that one
		}
		// Made anew or not at all: nobody can have put a link there before.
		own := filepath.Join(place, tmpPrefix+name)
		if err := os.Mkdir(own, 0o700); err != nil {
			return made, errors.Join(err, made.remove())
		}
		made[i] = own
		inner := filepath.Join(own, "tmp")
		err := os.Mkdir(inner, 0o700)
		if err == nil {
			err = os.Chmod(inner, 0o777|os.ModeSticky)
		}
		if err != nil {
			return made, errors.Join(err, made.remove())
		}
	}
	return made, nil
}

// settle puts the directories into the settings of the run.
func (p privateTmp) settle(s *settings) {
	for i, to := range []*string{&s.Tmp, &s.VarTmp} {
		if p[i] != "" {
			*to = filepath.Join(p[i], "tmp")
		}
	}
}

// sameDir reports whether two names lead to one directory.
func sameDir(a, b string) bool {
	one, err1 := os.Stat(a)
	two, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(one, two)
}

// tmpRemoved is how long taking away what a run left in /tmp may take: its
// outcome waits for that.
const tmpRemoved = time.Minute

// remove takes the directories away with all that is in them.
func (p privateTmp) remove() error {
	var all error
	for _, own := range p {
		if own != "" {
			all = errors.Join(all, removeTree(own, tmpRemoved))
		}
	}
	return all
}

// tmpOf returns the private directories that a run has under a name; empty: none.
func tmpOf(name string) privateTmp {
	var found privateTmp
	if name == "" {
		return found
	}
	for i, place := range tmpPlaces {
		own := filepath.Join(place, tmpPrefix+filepath.Base(name))
		var now unix.Stat_t
		if unix.Lstat(own, &now) == nil && now.Mode&unix.S_IFMT == unix.S_IFDIR && int(now.Uid) == os.Geteuid() {
			found[i] = own
		}
	}
	return found
}

// doneTmp takes the private directories of a run away that is over.
func (r *Runner) doneTmp(c *companion) {
	if err := c.tmp.remove(); err != nil {
		r.log.Warn("private directories of a run not removed", "run", c.run.ID, "task", c.run.Task, "error", err)
	}
}
