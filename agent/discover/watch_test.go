package discover

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestBurst plays changes at given instants and looks when scans are due.
func TestBurst(t *testing.T) {
	const ms = time.Millisecond
	steady := make([]time.Duration, 0, 50)
	for at := 100 * ms; at <= 5000*ms; at += 100 * ms {
		steady = append(steady, at)
	}
	for _, c := range []struct {
		name    string
		changes []time.Duration
		due     []time.Duration
		until   time.Duration
	}{
		{"nothing", nil, []time.Duration{60_000 * ms, 120_000 * ms}, 121 * time.Second},
		{"one change", []time.Duration{1000 * ms}, []time.Duration{1300 * ms, 61_300 * ms}, 62 * time.Second},
		{"a burst is one", []time.Duration{1000 * ms, 1100 * ms, 1350 * ms}, []time.Duration{1650 * ms}, 3 * time.Second},
		{"two bursts are two", []time.Duration{1000 * ms, 2500 * ms}, []time.Duration{1300 * ms, 2800 * ms}, 4 * time.Second},
		{"a burst soon after another waits", []time.Duration{1000 * ms, 1500 * ms}, []time.Duration{1300 * ms, 2500 * ms}, 4 * time.Second},
		{"a burst that never ends", steady, []time.Duration{1300 * ms, 2500 * ms, 3700 * ms, 4900 * ms}, 5000 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				begin := time.Now()
				changes, due := make(chan struct{}), make(chan struct{}, 1)
				go burst{300 * ms, time.Minute}.run(ctx, changes, due)
				var got []time.Duration
				go func() {
					for {
						select {
						case <-due:
							got = append(got, time.Since(begin))
						case <-ctx.Done():
							return
						}
					}
				}()
				for _, at := range c.changes {
					time.Sleep(at - time.Since(begin))
					changes <- struct{}{}
				}
				time.Sleep(c.until - time.Since(begin))
				cancel()
				synctest.Wait()
				if !slices.Equal(got, c.due) {
					t.Errorf("due at %v, want %v", got, c.due)
				}
			})
		})
	}
}

// TestBurstIsNeverLost: what comes while nobody looks is due once.
func TestBurstIsNeverLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		due := make(chan struct{}, 1)
		go burst{time.Second, time.Minute}.run(ctx, nil, due)
		time.Sleep(10*time.Minute + time.Second)
		<-due
		synctest.Wait()
		if len(due) != 0 {
			t.Error("more than one was kept")
		}
		cancel()
		synctest.Wait()
	})
}

// TestWatchSeesChanges waits for the kernel's notices on a real directory; the
// test's own time limit is the only clock.
func TestWatchSeesChanges(t *testing.T) {
	root := plant(t, "-- etc/crontab --\n# none\n")
	ctx, cancel := context.WithCancel(t.Context())
	w := NewWatcher(root)
	w.Quiet, w.Every = time.Millisecond, time.Hour
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	// A change before the watch stands goes unseen, so each is made until seen.
	until := func(change func()) {
		for {
			change()
			select {
			case <-w.Due():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	until(func() { must(t, os.WriteFile(filepath.Join(root, "etc/crontab"), []byte("0 1 * * * root x\n"), 0o644)) })
	must(t, os.MkdirAll(filepath.Join(root, "etc/cron.d"), 0o755))
	<-w.Due() // the new directory, which is watched from now on
	until(func() { must(t, os.WriteFile(filepath.Join(root, "etc/cron.d/new"), nil, 0o644)) })
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestNearestIsWatched: of a directory that is not there yet, the nearest one
// above is watched, and only for the next one down.
func TestNearestIsWatched(t *testing.T) {
	root := plant(t, "-- var/x --\n-- home/ann/.bash_history --\n-- etc/x --\n")
	tree, err := openTree(root)
	must(t, err)
	defer tree.release()
	notices, err := fsnotify.NewWatcher()
	must(t, err)
	defer notices.Close()
	w := NewWatcher(root)
	for _, name := range []string{"/var/spool/cron/crontabs", "/home/ann/.config/systemd/user", "/home/ann/.local/share", "/etc/systemd/system", "/etc", "/etc/cron.d"} {
		w.addNearest(notices, tree, root, name)
	}
	got := notices.WatchList()
	slices.Sort(got)
	if want := []string{root + "/etc", root + "/home/ann", root + "/var"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for name, want := range map[string]bool{
		"/var/spool": true, "/var/log": false, "/home/ann/.config": true, "/home/ann/.local": true, "/home/ann/.bash_history": false,
		"/etc/passwd": true, "/etc/systemd": true,
	} {
		if w.wants(root+name) != want {
			t.Errorf("%s is wanted: %t", name, !want)
		}
	}
}

// TestUnitWatches: what adds to a timer or enables it is watched, of users too.
func TestUnitWatches(t *testing.T) {
	tree, err := openTree(plant(t, `
-- etc/passwd --
root:x:0:0::/root:
ann:x:1000:1000::/home/ann:
bob:x:1001:1001::/home/bob:
-- etc/systemd/system/a.timer.d/x.conf --
-- etc/systemd/system/a.service.d/x.conf --
-- etc/systemd/system/timer.d/x.conf --
-- etc/systemd/system/timers.target.wants/x --
-- etc/systemd/system/a.socket.d/x.conf --
-- etc/systemd/system/b.timer --
-- home/ann/.config/systemd/user/a.timer.d/x.conf --
-- home/ann/.config/systemd/user/timers.target.wants/x --
-- home/bob/.config/systemd/x --
-- run/user/1001/systemd/transient/x --
`))
	must(t, err)
	defer tree.release()
	want := []string{"/etc/systemd/system/a.service.d", "/etc/systemd/system/a.timer.d", "/etc/systemd/system/timer.d", "/etc/systemd/system/timers.target.wants"}
	if got := unitSubdirs(tree, systemDirs); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	const home = "/home/ann/.config/systemd"
	want = []string{home + "/user", home + "/user/a.timer.d", home + "/user/timers.target.wants", home, "/run/user/1001/systemd/transient", "/home/bob/.config/systemd"}
	nobody := func(home string) bool { return home == "/root" }
	if got := homeWatches(tree, nobody); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
