package work

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestWhoThisHostIs(t *testing.T) {
	const id, cluster = "0123456789abcdef0123456789abcdef", "00112233445566778899aabbccddeeff"
	for _, c := range []struct {
		name, host, cluster string
		mode                os.FileMode
		want                self
		fails               string
	}{
		{name: "enrolled", host: id + "\n", cluster: cluster + "\n", mode: 0o644, want: self{id, cluster}},
		{name: "of no fleet", host: id + "\n", mode: 0o600, want: self{id, ""}},
		{name: "nonsense", host: "nonsense\n", mode: 0o644, fails: "32 hex digits"},
		{name: "others may write it", host: id + "\n", mode: 0o666, fails: "can be written by others"},
		{name: "its group may write it", host: id + "\n", mode: 0o664, fails: "can be written by others"},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"host-id": c.host, "cluster": c.cluster} {
			if text == "" {
				continue
			}
			path := filepath.Join(dir, name)
			if err := errors.Join(os.WriteFile(path, []byte(text), c.mode), os.Chmod(path, c.mode)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := readIdentity(dir)
		if c.fails == "" && (err != nil || got != c.want) || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

// TestAHostThatIsEnrolledLater waits, and one that becomes another ends.
func TestAHostThatIsEnrolledLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		enrol := func(id string) {
			if err := durable.Replace(filepath.Join(dir, "host-id"), []byte(id)); err != nil {
				t.Error(err)
			}
		}
		first, second := strings.Repeat("a", 32), strings.Repeat("b", 32)
		go func() {
			time.Sleep(time.Minute)
			enrol(first)
			time.Sleep(time.Minute)
			enrol(second)
		}()
		began := time.Now()
		me, err := awaitIdentity(t.Context(), dir, slog.New(slog.DiscardHandler))
		if waited := time.Since(began); err != nil || string(me.host) != first || waited < time.Minute || waited > time.Minute+identityEvery {
			t.Errorf("%+v after %s, %v", me, waited, err)
		}
		if err := remain(t.Context(), dir, me); fleet.KindOf(err) != fleet.Conflict || time.Since(began) < 2*time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestBootTime(t *testing.T) {
	if bootTime().IsZero() {
		t.Error("the kernel says when it booted, and it was not read")
	}
}

func TestLabelsOfTheEnrolment(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{StateDir: dir, Name: "db-1", Labels: map[string]string{"role": "web"}}
	labels := func() map[string]string {
		t.Helper()
		host, err := describe(cfg, "0123456789abcdef0123456789abcdef")
		if err != nil {
			t.Fatal(err)
		}
		return host.Labels
	}
	if got := labels(); len(got) != 1 {
		t.Errorf("without any: %v", got)
	}
	path := filepath.Join(dir, "labels")
	if err := os.WriteFile(path, []byte(`{"role":"db","zone":"a"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := labels(); got["role"] != "web" || got["zone"] != "a" || len(cfg.Labels) != 1 {
		t.Errorf("the host's own go before those of its enrolment: %v, configured %v", got, cfg.Labels)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := describe(cfg, "0123456789abcdef0123456789abcdef"); err == nil {
		t.Error("labels that everybody may write are believed")
	}
}
