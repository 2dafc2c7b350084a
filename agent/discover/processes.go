package discover

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	procDir      = "/proc"
	maxProcesses = 100_000
	maxProcText  = 64 << 10
)

// process is a running cron.
type process struct {
	dirOf   string // /proc/1234
	program string // "crond"
	exe     string
	args    []string
	dir     string // it stands in, seen from its root
	mount   string // its mount namespace
	root    identity
	user    account // whose rights it has
	uids    idMap   // of its user namespace; empty: the host's
}

// identity tells directories apart.
type identity struct{ dev, ino uint64 }

// processes lists the numbers of those that run.
func processes(ctx context.Context, proc string) []int {
	dir, err := os.Open(proc)
	if err != nil {
		return nil
	}
	defer dir.Close()
	var list []int
	for len(list) < maxProcesses && ctx.Err() == nil {
		names, err := dir.Readdirnames(1000)
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil {
				list = append(list, pid)
			}
		}
		if err != nil {
			break
		}
	}
	slices.Sort(list)
	return list
}

func namespace(proc string, pid int) string {
	link, _ := os.Readlink(fmt.Sprintf("%s/%d/ns/mnt", proc, pid))
	return link
}

// cronPrograms are the names of processes that may be a cron.
var cronPrograms = []string{"cron", "crond", "busybox", supercronic}

// cronProcess looks at a process, which may end meanwhile.
func cronProcess(proc string, pid int) (process, bool) {
	p := process{dirOf: fmt.Sprintf("%s/%d", proc, pid)}
	p.program = strings.TrimSpace(string(p.text("comm")))
	if !slices.Contains(cronPrograms, p.program) {
		return p, false
	}
	p.args = strings.Split(strings.TrimRight(string(p.text("cmdline")), "\x00"), "\x00")
	if p.program == "busybox" && (len(p.args) < 2 || p.args[1] != "crond") {
		return p, false
	}
	if p.mount = namespace(proc, pid); p.mount == "" {
		return p, false // it has ended, or is not ours to look at
	}
	p.exe, _ = os.Readlink(p.dirOf + "/exe")
	p.dir, _ = os.Readlink(p.dirOf + "/cwd")
	if root, err := os.Readlink(p.dirOf + "/root"); err == nil && root != "/" {
		p.dir = strings.TrimPrefix(p.dir, root)
	}
	var stat unix.Stat_t
	if unix.Stat(p.dirOf+"/root", &stat) != nil {
		return p, false
	}
	p.root = identity{uint64(stat.Dev), stat.Ino}
	p.uids = readIDMap(p.text("uid_map"))
	return p, p.readUser()
}

// text reads a small file of the process's.
func (p *process) text(name string) []byte {
	f, err := os.Open(p.dirOf + "/" + name)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, maxProcText))
	return text
}

// readUser finds whose rights to files the process has.
func (p *process) readUser() bool {
	ids := make(map[string]uint32)
	for line := range bytes.Lines(p.text("status")) {
		if fields := strings.Fields(string(line)); len(fields) == 5 && (fields[0] == "Uid:" || fields[0] == "Gid:") {
			if id, err := strconv.ParseUint(fields[4], 10, 32); err == nil { // that of the file system
				ids[fields[0]] = uint32(id)
			}
		}
	}
	p.user = account{uid: ids["Uid:"], gid: ids["Gid:"], numbered: len(ids) == 2}
	return p.user.numbered
}

var errEnded = errors.New("the process has ended")

// openRoot opens what the process sees as "/", if that is still the same.
func (p *process) openRoot() (*tree, error) {
	t, err := openTree(p.dirOf + "/root")
	if err != nil {
		return nil, err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(t.fd, &stat); err != nil || (identity{uint64(stat.Dev), stat.Ino}) != p.root {
		t.release()
		return nil, errEnded
	}
	t.guarded = true
	return t, nil
}

// idMap says which numbers of users inside a namespace are which outside.
type idMap []idRange

type idRange struct{ inside, outside, count uint32 }

// readIDMap reads a uid_map; the host's own is empty.
func readIDMap(text []byte) idMap {
	var ids idMap
	for line := range strings.Lines(string(text)) {
		var r idRange
		if n, _ := fmt.Sscan(line, &r.inside, &r.outside, &r.count); n == 3 {
			ids = append(ids, r)
		}
	}
	if len(ids) == 1 && ids[0].inside == ids[0].outside && ids[0].inside == 0 {
		return nil
	}
	return ids
}

func (ids idMap) outside(id uint32) (uint32, bool) {
	for _, r := range ids {
		if id >= r.inside && id-r.inside < r.count {
			return r.outside + (id - r.inside), true
		}
	}
	return 65534, false // nobody
}

var (
	containerID  = regexp.MustCompile(`(?:^|[-/:])([0-9a-f]{64})(?:\.scope)?(?:/|$)`)
	machineNames = regexp.MustCompile(`/(?:lxc\.payload\.|lxc\.payload/|lxc/|machine-|systemd-nspawn@)([^/]+?)(?:\.scope|\.service)?(?:/|$)`)
	plainLabel   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_./-]{0,99}$`)
)

// label is what a container is called: the name that its runtime's own files on
// the host say, which a new container in its place has again; else the id of it
// in its control group, or of its namespace. A user's has no name: it may be made
// to look like another's.
func (p *process) label(ctx context.Context, host *tree) (label string, alien bool) {
	groups := string(p.text("cgroup"))
	label = "ns-" + strings.Trim(strings.TrimPrefix(p.mount, "mnt:"), "[]")
	alien = strings.Contains(groups, "/user.slice/") // where users make groups of any name
	for line := range strings.Lines(groups) {
		line = strings.TrimRight(line, "\n")
		if ids := containerID.FindAllStringSubmatch(line, -1); ids != nil {
			id := ids[len(ids)-1][1]
			if alien {
				return id[:12], true
			}
			if name := containerName(ctx, host, id); plainLabel.MatchString(name) {
				return name, false
			}
			return id[:12], false
		}
		if names := machineNames.FindStringSubmatch(line); names != nil && !alien {
			if name := strings.ReplaceAll(names[1], `\x2d`, "-"); plainLabel.MatchString(name) {
				return name, false
			}
		}
	}
	return label, alien || p.user.uid != 0
}

const (
	dockerDir  = "/var/lib/docker/containers"
	podmanList = "/var/lib/containers/storage/overlay-containers/containers.json"
	podLogs    = "/var/log/containers"
)

// containerName finds the name of a container in the files of its runtime:
// docker's, podman's, or the log links of Kubernetes.
func containerName(ctx context.Context, host *tree, id string) string {
	var docker struct{ Name string }
	if content := text(ctx, host, dockerDir+"/"+id+"/config.v2.json"); json.Unmarshal(content, &docker) == nil && docker.Name != "" {
		return strings.TrimPrefix(docker.Name, "/")
	}
	var podman []struct {
		ID    string
		Names []string
	}
	if content := text(ctx, host, podmanList); json.Unmarshal(content, &podman) == nil {
		for _, one := range podman {
			if one.ID == id && len(one.Names) > 0 {
				return one.Names[0]
			}
		}
	}
	dir, err := host.openDir(podLogs)
	if err != nil {
		return ""
	}
	defer dir.Close()
	names, _, _ := dir.names()
	for _, name := range names {
		if stem, ok := strings.CutSuffix(name, "-"+id+".log"); ok {
			if parts := strings.Split(stem, "_"); len(parts) == 3 { // pod, namespace, container: a pod's name is new each time
				return path.Join(parts[1], parts[2])
			}
		}
	}
	return ""
}
