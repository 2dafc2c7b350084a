package runner

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// account is a user of the host with all its groups.
type account struct {
	name   string
	uid    uint32
	gid    uint32
	groups []uint32
	home   string
}

// accounts reads users from the passwd and group files in a directory. They
// are read anew when one of the files is another one than before: users come
// and go.
type accounts struct {
	dir string

	mu    sync.Mutex
	seen  [2]os.FileInfo // of passwd and group when known was filled
	known map[string]known
}

// known is what the files say of one user.
type known struct {
	account *account // nil: nothing
	err     error
}

// look returns what was read of a user before, or reads it now.
func (a *accounts) look(user string, read func() (*account, error)) (*account, error) {
	var now [2]os.FileInfo
	for i, name := range []string{"passwd", "group"} {
		info, err := os.Stat(filepath.Join(a.dir, name))
		// One that was written a moment ago may be written again within the
		// same tick of its clock: what is read of it now is not kept.
		if err == nil && time.Since(info.ModTime()) > time.Second {
			now[i] = info
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !same(a.seen[0], now[0]) || !same(a.seen[1], now[1]) {
		a.seen, a.known = now, map[string]known{}
	}
	found, is := a.known[user]
	if !is {
		found.account, found.err = read()
		a.known[user] = found
	}
	return found.account, found.err
}

// same reports whether a file is as it was.
func same(before, now os.FileInfo) bool {
	return before != nil && now != nil && os.SameFile(before, now) && before.Size() == now.Size() &&
		before.ModTime().Equal(now.ModTime())
}

// byName returns the account of that name, and an error that says what to do
// where there is none.
func (a *accounts) byName(name string) (account, error) {
	found, err := a.look("name "+name, func() (*account, error) {
		return a.find(func(fields []string) bool { return fields[0] == name })
	})
	if err != nil {
		return account{}, err
	}
	if found == nil {
		return account{}, fmt.Errorf("user %q does not exist on this host: create it, or name another in run.user", name)
	}
	return *found, nil
}

// byID returns the account of a number; one that has no entry gets by without.
func (a *accounts) byID(uid int) (account, error) {
	number := strconv.Itoa(uid)
	found, err := a.look("number "+number, func() (*account, error) {
		return a.find(func(fields []string) bool { return fields[2] == number })
	})
	if err != nil || found == nil {
		return account{name: number, uid: uint32(uid), gid: uint32(os.Getgid()), home: "/"}, err
	}
	return *found, nil
}

func (a *accounts) find(wanted func(fields []string) bool) (*account, error) {
	var found *account
	err := eachLine(filepath.Join(a.dir, "passwd"), func(line string) error {
		// name:password:uid:gid:gecos:home:shell
		fields := strings.Split(line, ":")
		if found != nil || len(fields) < 7 || !wanted(fields) {
			return nil
		}
		uid, err1 := strconv.ParseUint(fields[2], 10, 32)
		gid, err2 := strconv.ParseUint(fields[3], 10, 32)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("user %q has no usable numbers in %s/passwd", fields[0], a.dir)
		}
		found = &account{name: fields[0], uid: uint32(uid), gid: uint32(gid), home: fields[5]}
		return nil
	})
	if err != nil || found == nil {
		return nil, err
	}
	found.groups, err = a.groupsOf(found)
	return found, err
}

func (a *accounts) groupsOf(user *account) ([]uint32, error) {
	groups := []uint32{user.gid}
	err := eachLine(filepath.Join(a.dir, "group"), func(line string) error {
		// name:password:gid:member,member
		fields := strings.Split(line, ":")
		if len(fields) < 4 || !slices.Contains(strings.Split(fields[3], ","), user.name) {
			return nil
		}
		gid, err := strconv.ParseUint(fields[2], 10, 32)
		if err == nil && !slices.Contains(groups, uint32(gid)) {
			groups = append(groups, uint32(gid))
		}
		return nil
	})
	return groups, err
}

func eachLine(path string, visit func(line string) error) error {
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	for reader := bufio.NewReader(file); ; {
		line, err := reader.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			if err := visit(line); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// become decides as whom a command runs. A nil credential means as the agent.
func (a *accounts) become(name string, self int) (account, *syscall.Credential, error) {
	if name == "" {
		user, err := a.byID(self)
		return user, nil, err
	}
	user, err := a.byName(name)
	if err != nil {
		return account{}, nil, err
	}
	if int(user.uid) == self && self != 0 {
		return user, nil, nil
	}
	if self != 0 {
		return account{}, nil, fmt.Errorf("user %q: this agent does not run as root and cannot become another user", name)
	}
	return user, &syscall.Credential{Uid: user.uid, Gid: user.gid, Groups: user.groups}, nil
}

// environment builds what a command sees from nothing: the agent's own
// variables are not passed on. The later of two settings of a name counts.
func environment(spec *Spec, user account) []string {
	run := &spec.Run
	env := []string{
		"HOME=" + user.home,
		"LANG=C.UTF-8",
		"LOGNAME=" + user.name,
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"SHELL=" + shell,
		"USER=" + user.name,
	}
	names := make([]string, 0, len(spec.Execute.Env))
	for name := range spec.Execute.Env {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := name + "=" + spec.Execute.Env[name]
		if at := slices.IndexFunc(env, func(set string) bool { return strings.HasPrefix(set, name+"=") }); at >= 0 {
			env[at] = value
		} else {
			env = append(env, value)
		}
	}
	for _, fact := range spec.Facts {
		env = append(env, "FLEETCRON_"+fact.Name+"="+fact.Value)
	}
	return append(env,
		"FLEETCRON_TASK="+string(run.Task),
		runVariable+string(run.ID),
		"FLEETCRON_OCCURRENCE="+run.Occurrence().String(),
		"FLEETCRON_ATTEMPT="+strconv.Itoa(max(1, run.Attempt)),
		"FLEETCRON_DUE="+run.Due.UTC().Format(timeFormat),
		"FLEETCRON_HOST="+string(run.Host),
	)
}

// runVariable marks a process as belonging to a run.
const runVariable = "FLEETCRON_RUN="

const timeFormat = "2006-01-02T15:04:05.999999999Z"

// shell runs the commands that are given as one string.
const shell = "/bin/sh"

// words returns what is executed.
func words(command fleet.Command) []string {
	if command.Shell != "" {
		return []string{shell, "-c", command.Shell}
	}
	return command.Argv
}
