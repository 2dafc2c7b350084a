package policy

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// accounts are the users of a host, as its own files name them.
type accounts struct {
	dir  string           // /etc
	read map[string]table // what was read of each file; nil: nothing is kept
}

// table is a file of accounts as it was read.
type table struct {
	lines [][]string
	stat  syscall.Stat_t // as it was before
	keeps bool           // whether an equal stat means equal lines
}

// once returns the accounts as they are now: each file is read once, and not at
// all that is as it was.
func (a accounts) once() accounts {
	now := accounts{a.dir, map[string]table{}}
	for file, was := range a.read {
		var stat syscall.Stat_t
		if was.keeps && syscall.Stat(filepath.Join(a.dir, file), &stat) == nil && stat.Ino == was.stat.Ino && stat.Size == was.stat.Size && stat.Mtim == was.stat.Mtim && stat.Ctim == was.stat.Ctim {
			now.read[file] = was
		}
	}
	return now
}

// settled is how old a file must be before its times tell each change: what is
// written within one tick of its clock has the same.
const settled = time.Second

// account is one of them.
type account struct {
	name string
	uid  int
	gid  int
}

// byName finds a user; ok is false where there is none.
func (a accounts) byName(name string) (found account, ok bool, err error) {
	return a.find(func(fields []string) bool { return fields[0] == name })
}

// byID finds the first user of a number.
func (a accounts) byID(uid int) (found account, ok bool, err error) {
	number := strconv.Itoa(uid)
	return a.find(func(fields []string) bool { return fields[2] == number })
}

func (a accounts) find(wanted func(fields []string) bool) (found account, ok bool, err error) {
	err = a.lines("passwd", func(fields []string) {
		// name:password:uid:gid:gecos:home:shell
		if ok || len(fields) < 7 || !wanted(fields) {
			return
		}
		uid, err1 := strconv.ParseUint(fields[2], 10, 32)
		gid, err2 := strconv.ParseUint(fields[3], 10, 32)
		if err1 == nil && err2 == nil {
			found, ok = account{fields[0], int(uid), int(gid)}, true
		}
	})
	return found, ok, err
}

// closed says why nobody may use the account at that time; empty: anybody may.
// A password that cannot match ("*", "!") is how daemons' accounts look, and
// closes nothing; one that was switched off with usermod -L does.
func (a accounts) closed(name string, now time.Time) (why string, err error) {
	err = a.lines("shadow", func(fields []string) {
		// name:password:changed:min:max:warn:inactive:expire:
		if len(fields) < 8 || fields[0] != name {
			return
		}
		if day, err := strconv.ParseInt(fields[7], 10, 64); err == nil && fields[7] != "" && !now.Before(time.Unix(day*24*3600, 0)) {
			why = "its account has expired on " + time.Unix(day*24*3600, 0).UTC().Format(time.DateOnly)
		} else if hash := strings.TrimLeft(fields[1], "!"); hash != fields[1] && strings.HasPrefix(hash, "$") {
			why = "its account is locked"
		}
	})
	if errors.Is(err, os.ErrPermission) { // then the agent is not root, and becomes nobody else
		return "", nil
	}
	return why, err
}

// groupsOf lists the names of the groups that a user is in.
func (a accounts) groupsOf(user account) (names []string, err error) {
	err = a.lines("group", func(fields []string) {
		// name:password:gid:member,member
		if len(fields) >= 4 && (fields[2] == strconv.Itoa(user.gid) || slices.Contains(strings.Split(fields[3], ","), user.name)) {
			names = append(names, fields[0])
		}
	})
	return names, err
}

func (a accounts) lines(file string, visit func(fields []string)) error {
	was, known := a.read[file]
	if !known {
		err := syscall.Stat(filepath.Join(a.dir, file), &was.stat)
		was.keeps = err == nil && time.Since(time.Unix(was.stat.Mtim.Unix())) > settled
		if err := a.scan(file, func(fields []string) { was.lines = append(was.lines, fields) }); err != nil {
			return err
		}
		if a.read != nil {
			a.read[file] = was
		}
	}
	for _, fields := range was.lines {
		visit(fields)
	}
	return nil
}

func (a accounts) scan(file string, visit func(fields []string)) error {
	f, err := os.Open(filepath.Join(a.dir, file))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for reader := bufio.NewReader(f); ; {
		line, err := reader.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			visit(strings.Split(line, ":"))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
