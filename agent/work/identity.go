package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// self is who this host is, by files that only its root writes. No other part
// is asked: one that says it is another host could have that host's tasks run here.
type self struct {
	host    fleet.HostID
	cluster string // empty: of none, so nothing is taken
}

// identityEvery is how often is looked whether a person has enrolled this host,
// and sayEvery how often the log says that it is not.
const (
	identityEvery = 2 * time.Second
	sayEvery      = 10 * time.Minute
)

// awaitIdentity waits until this host is one of a fleet: before that there is
// nothing it could be given. It returns the zero self when ctx ends before.
func awaitIdentity(ctx context.Context, stateDir string, log *slog.Logger) (self, error) {
	var said time.Time
	for {
		me, err := readIdentity(stateDir)
		if !errors.Is(err, fs.ErrNotExist) {
			return me, err
		}
		if time.Since(said) >= sayEvery {
			said = time.Now()
			log.Warn("this host is not enrolled, so nothing runs on it", "component", "work", "state_dir", stateDir,
				"hint", "fleetctl enroll-token, and then here: fleetcron-agent enroll --token-file FILE --address https://COLLECTOR:7770")
		}
		select {
		case <-time.After(identityEvery):
		case <-ctx.Done():
			return self{}, nil
		}
	}
}

func readIdentity(stateDir string) (me self, err error) {
	if me.host, err = readHostID(filepath.Join(stateDir, "host-id")); err == nil {
		me.cluster, err = clusterID(stateDir)
	}
	return me, err
}

// remain ends this part when the host was made another: all that it does was
// given to the one that it was.
func remain(ctx context.Context, stateDir string, me self) error {
	tick := time.NewTicker(identityEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if now, err := readIdentity(stateDir); err == nil && now != me {
			return fleet.Errorf(fleet.Conflict, "this machine was enrolled as host %s of cluster %q, and was host %s of cluster %q", now.host, now.cluster, me.host, me.cluster).
				WithHint("the agent must start again")
		}
	}
}

func readHostID(path string) (fleet.HostID, error) {
	text, err := readOwn(path)
	if err != nil {
		return "", err
	}
	id := fleet.HostID(strings.TrimSpace(text))
	if !id.Valid() {
		return "", fleet.Errorf(fleet.Invalid, "%s does not hold a host id of 32 hex digits", path).
			WithHint("restore it, or enrol this host again")
	}
	return id, nil
}

// readOwn reads a file that nobody else can have written.
func readOwn(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if by, is := info.Sys().(*syscall.Stat_t); is && int(by.Uid) != os.Geteuid() && by.Uid != 0 || info.Mode().Perm()&0o022 != 0 {
		return "", fleet.Errorf(fleet.Refused, "%s can be written by others (owner %d, mode %s)", path, by.Uid, info.Mode()).
			WithHint("chown root %s; chmod 644 %[1]s; and find out who wrote it", path)
	}
	text, err := io.ReadAll(io.LimitReader(file, 16<<10))
	return string(text), err
}

// clusterID returns the cluster that this host is enrolled in; empty: none.
func clusterID(stateDir string) (string, error) {
	text, err := readOwn(filepath.Join(stateDir, "cluster"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(text), err
}

// passable lets the commands of all users pass through the state directory, to
// the state of their own tasks. What else is in it is readable for the agent
// alone, file by file.
func passable(stateDir string) error {
	const pass = 0o011
	info, err := os.Stat(stateDir)
	if err == nil && os.Geteuid() == 0 && info.Mode().Perm()&pass != pass {
		err = os.Chmod(stateDir, info.Mode().Perm()|pass)
	}
	if err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	return nil
}

// hostName returns the name of the host whose tree is at root. It is what people
// name it by in what they seal, so no other part is asked for it.
func hostName(root string) string {
	if root == "/" {
		if name, err := os.Hostname(); err == nil {
			return name
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "etc/hostname"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name := strings.TrimSpace(line); name != "" && name[0] != '#' {
			return name
		}
	}
	return ""
}

// enrolledLabels returns the labels that the host's join token gave it.
func enrolledLabels(stateDir string) (labels map[string]string, err error) {
	path := filepath.Join(stateDir, "labels")
	text, err := readOwn(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &labels)
	}
	if err != nil {
		return nil, fmt.Errorf("labels of the enrolment, %s: %w", path, err)
	}
	return labels, nil
}

// describe says who this host is to the policy. Its own labels go before those
// of its enrolment.
func describe(cfg Config, id fleet.HostID) (fleet.Host, error) {
	labels, err := enrolledLabels(cfg.StateDir)
	if err != nil {
		return fleet.Host{}, err
	}
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, cfg.Labels)
	host := fleet.Host{ID: id, Name: cfg.Name, Labels: labels, AgentVersion: cfg.Version}
	if host.Name == "" {
		host.Name = hostName(cfg.Root)
	}
	if host.Name == "" {
		host.Name = string(id)
	}
	return host, nil
}

// bootTime returns when the host booted; zero when the kernel does not say.
func bootTime() time.Time {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}
	}
	for line := range strings.Lines(string(text)) {
		if number, is := strings.CutPrefix(line, "btime "); is {
			if seconds, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64); err == nil {
				return time.Unix(seconds, 0)
			}
		}
	}
	return time.Time{}
}
