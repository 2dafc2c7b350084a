package discover

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// daemon is a program that must run for jobs to be started.
type daemon struct {
	says  string   // its name for people
	comms []string // its process's name
	start string   // what starts it
}

// daemons are the crons'.
var daemons = map[Cron]daemon{
	Debian:  {"cron", []string{"cron"}, "systemctl start cron, or service cron start"},
	Cronie:  {"cronie", []string{"crond", "cron"}, "systemctl start crond"},
	Busybox: {"busybox crond", []string{"crond", "busybox"}, "rc-service crond start"},
}

var atDaemon = daemon{"atd", []string{"atd"}, "systemctl start atd"}

// down reports whether no process of the machine is the daemon. It says so
// only if it could look at them all.
func (d daemon) down(ctx context.Context, t *tree) bool {
	if len(d.comms) == 0 {
		return false
	}
	proc, err := t.openDir("/proc")
	if err != nil {
		return false
	}
	defer proc.Close()
	if first := text(ctx, t, "/proc/1/comm"); len(first) == 0 {
		return false // others' processes are hidden, or this is no /proc
	}
	ours, ok := processRoom(proc, "self")
	names, err := proc.file.Readdirnames(-1)
	if err != nil {
		return false
	}
	for _, name := range names {
		if strings.Trim(name, "0123456789") != "" || ctx.Err() != nil {
			continue
		}
		p, err := proc.tree.lookup(path.Join("/proc", name, "comm"), false)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue // it has ended
			}
			return false
		}
		comm, err := p.head(64)
		p.Close()
		if errors.Is(err, fs.ErrPermission) {
			return false
		}
		for _, known := range d.comms {
			if string(bytes.TrimSpace(comm)) != known {
				continue
			}
			if theirs, known := processRoom(proc, name); (!ok || !known || ours == theirs) && !ofUser(ctx, t, name) {
				return false
			}
		}
	}
	return ctx.Err() == nil
}

// processRoom is the namespace a process counts its pids in: a container's
// crond does not run the host's jobs.
func processRoom(proc *directory, name string) (string, bool) {
	buffer := make([]byte, 64)
	n, err := unix.Readlinkat(proc.fd, name+"/ns/pid", buffer)
	return string(buffer[:max(n, 0)]), err == nil
}

// ofUser reports whether a process is surely not root's: anybody may give a
// process of theirs a daemon's name.
func ofUser(ctx context.Context, t *tree, name string) bool {
	for line := range bytes.Lines(text(ctx, t, path.Join("/proc", name, "status"))) {
		if ids, ok := bytes.CutPrefix(line, []byte("Uid:")); ok {
			return !slices.ContainsFunc(bytes.Fields(ids), func(id []byte) bool { return string(id) == "0" })
		}
	}
	return false
}
