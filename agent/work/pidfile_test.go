package work

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestAPIDFileLocksOutOnlyTheLiving(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "agent.pid")
	self, err := processOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("/bin/sleep", "1000")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	other, err := processOf(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	reused, rebooted := other, other
	reused.start--
	rebooted.boot = "another"
	for name, left := range map[string]string{
		"nothing": "", "rubbish": "\x00\xff", "a pid alone": fmt.Sprintln(other.pid), "of an agent whose pid is another's now": reused.String(),
		"of an agent before the boot": rebooted.String(), "of a process that is gone": process{1 << 30, 7, self.boot}.String(),
		"of a process that lives, and is no agent": other.String(),
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, left)
		if found, err := readPIDFile(path); left != other.String() && !errors.Is(err, errNoProcess) {
			t.Errorf("%s: found %+v, %v", name, found, err)
		}
		p, err := takePIDFile(path)
		if err != nil {
			t.Errorf("%s locks out: %v", name, err)
			continue
		}
		if found, err := readPIDFile(path); err != nil || found != self {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
		_, err = takePIDFile(path)
		if fleet.KindOf(err) != fleet.Conflict || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
			t.Errorf("a second agent: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
	}
}

func TestTheFirstLineIsThePID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.pid")
	p, err := takePIDFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	text, err := os.ReadFile(path)
	if line, _, _ := strings.Cut(string(text), "\n"); err != nil || line != fmt.Sprint(os.Getpid()) {
		t.Errorf("%q, %v", text, err)
	}
}

func TestNobodyIsTold(t *testing.T) {
	cfg := Config{}
	cfg.StateDir = t.TempDir()
	if _, err := Reload(cfg); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("reload: %v", err)
	}
	if _, err := Stop(t.Context(), cfg, Leave{}); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("stop: %v", err)
	}
	if left, _ := os.ReadDir(cfg.StateDir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestAWishIsForOneProcess(t *testing.T) {
	cfg := Config{}
	cfg.StateDir = t.TempDir()
	self, err := processOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	wish := fmt.Sprintf(`{"pid":%d,"start":%d,"boot":%q,"drain":60000000000,"kill":true}`, self.pid, self.start, self.boot)
	for text, ours := range map[string]bool{
		wish: true, strings.Replace(wish, fmt.Sprint(self.start), "1", 1): false, "{": false, "": false,
	} {
		write(t, cfg.wishPath(), text)
		leave, wished := wishOf(cfg)
		if wished != ours || wished && (!leave.Kill || leave.Drain.Seconds() != 60) {
			t.Errorf("%s: %+v, %v", text, leave, wished)
		}
		if _, err := os.Stat(cfg.wishPath()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: it is found again", text)
		}
	}
	if _, wished := wishOf(cfg); wished {
		t.Error("a wish out of nothing")
	}
}
