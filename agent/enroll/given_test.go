package enroll

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user who is not root, as whoever plays the network part.
const nobody = 65534

func ownerOf(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// asRoot says so where it is asked for without: only root gives files away.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to another user")
	}
}

// TestRootEnrolsForTheNetworkPart does what a person does on a host whose parts
// are users of their own, and again as it is let in anew.
func TestRootEnrolsForTheNetworkPart(t *testing.T) {
	asRoot(t)
	c := newCollector(t)
	home := Home{StateDir: t.TempDir(), Owner: nobody}
	made, err := c.request(home).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := home.save(made); err != nil { // as a renewal does, where root plays all parts
		t.Fatal(err)
	}
	for _, name := range []string{"identity", "identity/key.pem", "identity/chain.pem", "identity/ca.pem", "net", "net/ring", "net/ticket", "net/seeds", "net/collectors"} {
		if uid := ownerOf(t, filepath.Join(home.StateDir, name)); uid != nobody {
			t.Errorf("%s belongs to %d", name, uid)
		}
	}
	for _, name := range []string{"host-id", "cluster"} {
		if uid := ownerOf(t, filepath.Join(home.StateDir, name)); uid != 0 {
			t.Errorf("%s belongs to %d", name, uid)
		}
	}
	if _, err := home.Load(); err != nil {
		t.Errorf("root cannot read what it gave: %v", err)
	}
}

// TestRootIsNotLed lays what a network part that was taken over would lay where
// root writes next.
func TestRootIsNotLed(t *testing.T) {
	asRoot(t)
	for _, at := range []string{"net/ticket.new", "net/ticket", "net/seeds.new", "net/collectors.new", "identity/pending.json.new", "identity/chain.pem", "identity/other"} {
		for kind, link := range map[string]func(old, name string) error{"symlink": os.Symlink, "hard link": os.Link} {
			c := newCollector(t)
			home := Home{StateDir: t.TempDir(), Owner: nobody}
			victim := filepath.Join(home.StateDir, "shadow")
			if err := os.WriteFile(victim, []byte("root:*:"), 0o600); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(home.StateDir, at)
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := link(victim, name); err != nil {
				t.Fatal(err)
			}
			_, err := c.request(home).Run(t.Context())
			text, _ := os.ReadFile(victim)
			if string(text) != "root:*:" || ownerOf(t, victim) != 0 {
				t.Errorf("%s at %s: the file holds %q and belongs to %d", kind, at, text, ownerOf(t, victim))
			}
			if strings.HasSuffix(at, "other") && err == nil {
				t.Errorf("%s at %s: no word of it", kind, at)
			}
		}
	}
}
