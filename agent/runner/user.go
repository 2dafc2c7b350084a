package runner

import (
	"bufio"
	"errors"
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
	groups []uint32 // its own first
	home   string
	shell  string
	closed int64 // the day from which on nobody may use it, since 1970; zero: none
}

// accounts reads users from the passwd, group and shadow files in a directory.
// They are read anew when one of the files is another one than before: users
// come and go.
type accounts struct {
	dir string

	mu    sync.Mutex
	seen  [len(accountFiles)]source // when known was filled
	known map[string]known
}

var accountFiles = [...]string{"passwd", "group", "shadow"}

// known is what the files say of one user.
type known struct {
	account *account // nil: nothing
	err     error
}

// look returns what was read of a user before, or reads it now.
func (a *accounts) look(user string, read func() (*account, error)) (*account, error) {
	var now [len(accountFiles)]source
	for i, name := range accountFiles {
		info, err := os.Stat(filepath.Join(a.dir, name))
		// One that was written a moment ago may be written again within the
		// same tick of its clock: what is read of it now is not kept.
		if err == nil && time.Since(info.ModTime()) > time.Second {
			now[i].info = info
		}
		now[i].missing = os.IsNotExist(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.EqualFunc(a.seen[:], now[:], same) {
		a.seen, a.known = now, map[string]known{}
	}
	found, is := a.known[user]
	if !is {
		found.account, found.err = read()
		a.known[user] = found
	}
	return found.account, found.err
}

// source is a file when it was read; without info what was read is not kept.
type source struct {
	info    os.FileInfo
	missing bool
}

// same reports whether a file is as it was.
func same(before, now source) bool {
	if before.info == nil || now.info == nil {
		return before.missing && now.missing
	}
	return os.SameFile(before.info, now.info) && before.info.Size() == now.info.Size() &&
		before.info.ModTime().Equal(now.info.ModTime())
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
		found = &account{name: fields[0], uid: uint32(uid), gid: uint32(gid), home: fields[5], shell: fields[6]}
		return nil
	})
	if err != nil || found == nil {
		return nil, err
	}
	if found.groups, err = a.groupsOf(found); err == nil {
		found.closed, err = a.closedFrom(found.name)
	}
	return found, err
}

// closedFrom reads from which day on an account is closed. Who may not read
// that is no root, and becomes nobody else.
func (a *accounts) closedFrom(name string) (day int64, err error) {
	err = eachLine(filepath.Join(a.dir, "shadow"), func(line string) error {
		// name:password:changed:min:max:warn:inactive:expire:
		fields := strings.Split(line, ":")
		if len(fields) >= 8 && fields[0] == name {
			day, _ = strconv.ParseInt(fields[7], 10, 64) // empty: never
		}
		return nil
	})
	if errors.Is(err, os.ErrPermission) {
		return 0, nil
	}
	return day, err
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
func (a *accounts) become(e *fleet.Execute, self int) (account, *syscall.Credential, error) {
	user, err := a.wanted(e.User, self)
	if err != nil {
		return account{}, nil, err
	}
	if e.Group == "" && len(e.Groups) == 0 && (int(user.uid) == self && self != 0 || e.User == "") {
		return user, nil, nil
	}
	if self != 0 {
		if int(user.uid) != self {
			return account{}, nil, fmt.Errorf("user %q: this agent does not run as root and cannot become another user", user.name)
		}
		return account{}, nil, fmt.Errorf("run.group: this agent does not run as root and cannot give other groups to its commands")
	}
	credential := &syscall.Credential{Uid: user.uid, Gid: user.gid, Groups: user.groups}
	if e.Group != "" {
		if credential.Gid, err = a.groupByName(e.Group, "run.group"); err != nil {
			return account{}, nil, err
		}
		credential.Groups = append([]uint32{credential.Gid}, user.groups[min(1, len(user.groups)):]...)
	}
	if len(e.Groups) > 0 {
		credential.Groups = []uint32{credential.Gid}
	}
	for _, name := range e.Groups {
		gid, err := a.groupByName(name, "run.groups")
		if err != nil {
			return account{}, nil, err
		}
		credential.Groups = append(credential.Groups, gid)
	}
	return user, credential, nil
}

// wanted returns the account of the user that is named, or the agent's own.
func (a *accounts) wanted(name string, self int) (account, error) {
	if name == "" {
		return a.byID(self)
	}
	user, err := a.byName(name)
	if err != nil {
		return account{}, err
	}
	if day := time.Unix(user.closed*24*3600, 0).UTC(); user.closed > 0 && !time.Now().Before(day) {
		return account{}, fmt.Errorf("user %q is locked: its account is closed since %s; chage -E -1 %s opens it", name, day.Format(time.DateOnly), name)
	}
	return user, nil
}

// groupByName returns the number of a group; the field is for people.
func (a *accounts) groupByName(name, field string) (uint32, error) {
	found, err := a.look("group "+name, func() (*account, error) {
		var group *account
		err := eachLine(filepath.Join(a.dir, "group"), func(line string) error {
			fields := strings.Split(line, ":")
			if len(fields) < 3 || fields[0] != name {
				return nil
			}
			gid, err := strconv.ParseUint(fields[2], 10, 32)
			group = &account{gid: uint32(gid)}
			return err
		})
		return group, err
	})
	if err != nil {
		return 0, err
	}
	if found == nil {
		return 0, fmt.Errorf("%s: group %q does not exist on this host: create it, or name another", field, name)
	}
	return found.gid, nil
}
