package pki_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

func TestSavedCredentialsAreLoaded(t *testing.T) {
	f := pkitest.New(t)
	dir := filepath.Join(t.TempDir(), "identity")
	if _, err := pki.LoadCredentials(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("without any: %v", err)
	}
	for _, saved := range []*pki.Credentials{f.Collector("c1"), f.Agent(pkitest.HostID())} {
		if err := saved.Save(dir); err != nil {
			t.Fatal(err)
		}
		loaded, err := pki.LoadCredentials(dir)
		if err != nil {
			t.Fatal(err)
		}
		if loaded.ID() != saved.ID() || loaded.Serial() != saved.Serial() || !loaded.Key().Equal(saved.Key()) || !loaded.Root().Equal(f.Root.Certificate) {
			t.Errorf("loaded %v %s, saved %v %s", loaded.ID(), loaded.Serial(), saved.ID(), saved.Serial())
		}
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, "key.pem": 0o600, "chain.pem": 0o644, "ca.pem": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v", name, info.Mode(), err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 3 {
		t.Errorf("the directory holds %v", left)
	}
}

// A crash may leave what the steps of Save have done so far: the old pair, or
// the new one.
func TestSaveThatWasCutOff(t *testing.T) {
	f := pkitest.New(t)
	before, after := f.Agent(pkitest.HostID()), f.Agent(pkitest.HostID())
	full := t.TempDir()
	if err := after.Save(full); err != nil {
		t.Fatal(err)
	}
	copyFile := func(t *testing.T, from, to string) {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		next, chain bool
		want        *pki.Credentials
	}{
		"after the next key": {next: true, want: before},
		"after the chain":    {next: true, chain: true, want: after},
	} {
		dir := t.TempDir()
		if err := before.Save(dir); err != nil {
			t.Fatal(err)
		}
		if c.next {
			copyFile(t, filepath.Join(full, "key.pem"), filepath.Join(dir, "key.next.pem"))
		}
		if c.chain {
			copyFile(t, filepath.Join(full, "chain.pem"), filepath.Join(dir, "chain.pem"))
		}
		for range 2 { // the second time it is mended
			loaded, err := pki.LoadCredentials(dir)
			if err != nil || loaded.ID() != c.want.ID() || !loaded.Key().Equal(c.want.Key()) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestAttack114_KeyFileOfAnyone(t *testing.T) {
	f := pkitest.New(t)
	for name, c := range map[string]struct {
		harm func(key string) error
		want string
	}{
		"mode 0644": {func(key string) error { return os.Chmod(key, 0o644) }, "mode 0644 lets others at it"},
		"mode 0620": {func(key string) error { return os.Chmod(key, 0o620) }, "mode 0620 lets others at it"},
		"symlink": {func(key string) error {
			return errors.Join(os.Rename(key, key+".real"), os.Symlink(key+".real", key))
		}, "is a symbolic link"},
		"directory": {func(key string) error { return errors.Join(os.Remove(key), os.Mkdir(key, 0o700)) }, "is no regular file"},
		"large":     {func(key string) error { return os.Truncate(key, 1<<20) }, "is larger than"},
		"empty":     {func(key string) error { return os.Truncate(key, 0) }, "want one PEM block"},
	} {
		dir := t.TempDir()
		if err := f.Collector("c1").Save(dir); err != nil {
			t.Fatal(err)
		}
		key := filepath.Join(dir, "key.pem")
		if err := c.harm(key); err != nil {
			t.Fatal(err)
		}
		_, err := pki.LoadCredentials(dir)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestCredentialsThatDoNotBelongTogether(t *testing.T) {
	f, other := pkitest.New(t), pkitest.New(t)
	a, b := f.Agent(pkitest.HostID()), f.Agent(pkitest.HostID())
	if _, err := pki.NewCredentials(a.Key(), b.Chain(), f.Root.Certificate); err == nil {
		t.Error("the certificate of another key is taken")
	}
	if _, err := pki.NewCredentials(a.Key(), a.Chain(), other.Root.Certificate); err == nil {
		t.Error("a root of another fleet is taken")
	}
	if _, err := pki.NewCredentials(a.Key(), a.Chain()[:1], f.Root.Certificate); err == nil {
		t.Error("a chain with a hole is taken")
	}
}

func TestReplacedCredentialsAreShown(t *testing.T) {
	f := pkitest.New(t)
	id := pki.ID{Cluster: f.Cluster, Role: pki.RoleAgent, Name: pkitest.HostID()}
	agent := f.Make(f.Issuer, id, pki.SpanOf(time.Now(), -time.Minute))
	client := agent.ClientTLS(pki.PlaneAgent, pki.RoleCollector)
	next := f.Make(f.Issuer, id, pki.SpanOf(time.Now(), time.Hour))
	agent.Replace(next)
	serials := make(chan string, 1)
	server := f.Collector("c1").ServerTLS(func(_ pki.ID, serial string) error { serials <- serial; return nil }, pki.PlaneAgent)
	if m := meet(t, server, client); m.got != "hello" {
		t.Fatalf("client %v, server %v", m.client, m.server)
	}
	if got := <-serials; got != next.Serial() || agent.Serial() != next.Serial() {
		t.Errorf("showed %s, want %s", got, next.Serial())
	}
}
