package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// supercronic is the peer that the Go module proxy has, at a version that stays.
const supercronic = "github.com/aptible/supercronic@v0.2.48"

// peer is a scheduler that the agent is compared with.
type peer struct {
	name   string
	second int // of each minute at which its crowd is due
	start  func(s *stage, file string) *exec.Cmd
	late   []time.Duration
}

// BenchmarkPeers lets the same 1,000 lines be due in the same minute in the agent,
// in Debian's cron and in supercronic, at different seconds of it, in each of
// three minutes. It reports the medians of the 99th percentiles, and what part of
// each peer's the agent's is: below 1 it is ahead. The peers are fetched, into a
// directory of the benchmark: cron from Debian's archive, where apt and root are
// to be had, supercronic through the Go module proxy. What cannot be fetched is
// said not to be measured.
func BenchmarkPeers(b *testing.B) {
	runtime.LockOSThread() // Pdeathsig counts from the thread that started them
	defer runtime.UnlockOSThread()
	s := newStage(b)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	file := func(name string) string { return filepath.Join(s.dir, name+"-times") }
	// Those that cannot be told a second come first: they get the whole minute.
	peers := []*peer{{name: "cron", second: 0, start: (*stage).cron}, {name: "supercronic", second: 20, start: (*stage).supercronic}}
	const own = 40
	var measured []*peer
	for _, p := range peers {
		cmd := p.start(s, file(p.name))
		if cmd == nil {
			b.Logf("%s is not to be had here, and not measured", p.name)
			continue
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		defer cmd.Wait()
		defer syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // and with it what it would start in the next minute
		measured = append(measured, p)
	}
	var tasks []fleet.Task
	for n := range crowd {
		tasks = append(tasks, fleet.Task{
			Name: fmt.Sprintf("crowd-%d", n), On: fleet.Trigger{Cron: fmt.Sprintf("%d * * * * *", own)},
			Run: fleet.Execute{Command: fleet.Command{Shell: s.stamp + " " + file("agent")}, Dir: "/"}, Where: fleet.Where{Labels: "*"},
		})
	}
	agent := s.agent(ctx, tasks)
	defer s.failed()
	defer agent.Wait()
	defer cancel()
	us := &peer{name: "agent", second: own}
	b.ResetTimer()
	minute := time.Now().Truncate(time.Minute).Add(time.Minute)
	for round := range rounds {
		for _, p := range append(measured, us) {
			due := minute.Add(time.Duration(round)*time.Minute + time.Duration(p.second)*time.Second)
			wait := time.NewTimer(time.Until(due))
			<-wait.C
			p.late = append(p.late, s.lateness(file(p.name), due))
		}
	}
	for _, p := range append(measured, us) {
		b.ReportMetric(float64(median(p.late).Microseconds())/1000, p.name+"_p99_ms")
		if p != us {
			b.ReportMetric(float64(median(us.late))/float64(median(p.late)), "agent_x_"+p.name)
		}
	}
	load(b)
}

// supercronic builds it, and gives it a crontab of the crowd.
func (s *stage) supercronic(file string) *exec.Cmd {
	install := exec.Command("go", "install", supercronic)
	install.Dir = s.dir
	install.Env = append(os.Environ(), "GOBIN="+s.dir, "GOFLAGS=-mod=mod", "CGO_ENABLED=0")
	if out, err := install.CombinedOutput(); err != nil {
		s.b.Logf("%v\n%s", err, out)
		return nil
	}
	return exec.Command(filepath.Join(s.dir, "supercronic"), "-quiet", s.crontab("supercronic", "20 * * * * * *", file))
}

// cronScript starts cron where it sees none of the host's own tables, none of its
// users' and no other cron, and the host sees none of its files. Its arguments are
// the directory of the package, and the table.
const cronScript = `set -e
for dir in /run /var/spool /etc/cron.d; do
	if [ -d $dir ]; then mount -t tmpfs none $dir; fi
done
if [ -e /etc/crontab ]; then mount --bind /dev/null /etc/crontab; fi
cp -a /etc/pam.d/. "$1/pam.d/"
mount --bind "$1/pam.d" /etc/pam.d
mkdir -p /var/spool/cron/crontabs
install -m 600 "$2" /var/spool/cron/crontabs/root
exec "$1/usr/sbin/cron" -f
`

// cron fetches Debian's cron, and gives it a table of the crowd, in namespaces of
// its own: nothing is installed, and no table of the host is read.
func (s *stage) cron(file string) *exec.Cmd {
	dir := filepath.Join(s.dir, "debian")
	fetch := exec.Command("sh", "-ec", `mkdir -p "$1/pam.d"; cd "$1"; apt-get download cron >&2; dpkg-deb -x cron_*.deb .; cp etc/pam.d/cron pam.d/`, "sh", dir)
	if os.Geteuid() != 0 {
		s.b.Log("cron needs root")
		return nil
	}
	if out, err := fetch.CombinedOutput(); err != nil {
		s.b.Logf("%v\n%s", err, out)
		return nil
	}
	return exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", cronScript, "sh", dir, s.crontab("cron", "* * * * *", file))
}

// crontab is as many lines as there are commands.
func (s *stage) crontab(name, when, file string) string {
	path := filepath.Join(s.dir, name+".tab")
	line := when + " " + s.stamp + " " + file + "\n"
	if err := os.WriteFile(path, []byte(strings.Repeat(line, crowd)), 0o600); err != nil {
		s.b.Fatal(err)
	}
	return path
}
