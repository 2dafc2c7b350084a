package replica

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchdog(t *testing.T) {
	for name, test := range map[string]struct {
		answers []any // of each touch: how long it takes, or its error; then it hangs
		after   time.Duration
		reason  string
	}{
		"hangs at once":       {nil, 6 * time.Second, "has not answered for 5s"},
		"hangs later":         {[]any{time.Duration(0), 100 * time.Millisecond}, 8 * time.Second, "has not answered for 5s"},
		"is slow, then hangs": {[]any{4 * time.Second}, 10 * time.Second, "has not answered for 5s"},
		"fails":               {[]any{time.Duration(0), syscall.EIO}, 2 * time.Second, "input/output error"},
		"is full, then hangs": {[]any{syscall.ENOSPC, syscall.ENOSPC}, 8 * time.Second, "has not answered for 5s"},
		"is one moment late":  {[]any{canaryLimit - 1, canaryLimit - 1, errors.New("over")}, 11 * time.Second, "over"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				released := make(chan struct{})
				begin, touches := time.Now(), 0
				var fatal error
				watchdog{
					touch: func() error {
						if touches++; touches > len(test.answers) {
							<-released
							return nil
						}
						switch answer := test.answers[touches-1].(type) {
						case time.Duration:
							time.Sleep(answer)
						case error:
							return answer
						}
						return nil
					},
					fatal: func(err error) { fatal = err },
				}.run(ctx)
				if took := time.Since(begin).Round(time.Second); fatal == nil || !strings.Contains(fatal.Error(), test.reason) || took != test.after {
					t.Errorf("after %s: %v; want %q after %s", took, fatal, test.reason, test.after)
				}
				close(released)
				cancel()
			})
		})
	}
}

func TestWatchdogEndsQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var touches atomic.Int64
		watchdog{
			touch: func() error { touches.Add(1); return nil },
			fatal: func(err error) { t.Errorf("fatal: %v", err) },
		}.run(ctx)
		if n := touches.Load(); n < 3599 {
			t.Errorf("%d touches in an hour", n)
		}
	})
}

func TestCanaryIsOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "canary")
	c, err := openCanary(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.file.Close()
	for range 3 {
		if err := c.touch(); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || len(text) > 40 {
		t.Errorf("%q, %v", text, err)
	}
}
