package discover

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestSpreadChangesNothing: a report is the same however many goroutines
// worked on it, and what is said once for each file is said once.
func TestSpreadChangesNothing(t *testing.T) {
	var tree strings.Builder
	tree.WriteString("-- bin/sh 0755 --\n-- usr/sbin/cron 0755 --\n-- etc/passwd --\nroot:x:0:0::/root:/bin/sh\n-- etc/cron.daily/nightly 0755 --\n#!/bin/sh\n")
	for i := range 4 * leastEach {
		fmt.Fprintf(&tree, "-- etc/cron.d/t%03d --\nA_PASSWORD=hunter%d\n%d 5 * * * root echo %d\n6 6 * * * root /gone/%d\n7 7 * * * root echo x\n", i, i, i%60, i, i)
	}
	tree.WriteString("-- etc/cron.d/zz --\n25 6 * * * root run-parts /etc/cron.daily\n61 * * * * root x\n")
	root := plant(t, tree.String())
	alone := runtime.GOMAXPROCS(1)
	one := scanned(t, root)
	runtime.GOMAXPROCS(max(2, alone))
	two := scanned(t, root)
	runtime.GOMAXPROCS(alone)
	if diff := cmp.Diff(one, two); diff != "" {
		t.Errorf("alone -, together +\n%s", diff)
	}
	told := 0
	for i := range two.Jobs {
		for _, risk := range two.Jobs[i].Risks {
			if risk.Kind == fleet.FindSecret {
				told++
			}
		}
	}
	if told != 4*leastEach {
		t.Errorf("%d secrets are told of in %d files", told, 4*leastEach)
	}
}

// TestStretchesMeetBetweenTables holds what ofTables promises.
func TestStretchesMeetBetweenTables(t *testing.T) {
	list := make([]subject, 10)
	for i := range list {
		list[i] = subject{kind: fleet.KindCron, source: fmt.Sprint(i / 4)}
	}
	want := []stretch{{0, 8}, {8, 10}}
	if got := ofTables([]stretch{{0, 5}, {5, 10}}, list); !cmp.Equal(got, want, cmp.AllowUnexported(stretch{})) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := ofTables([]stretch{{0, 9}, {9, 10}}, list); !cmp.Equal(got, []stretch{{0, 10}}, cmp.AllowUnexported(stretch{})) {
		t.Errorf("%v, though no table begins after it", got)
	}
}

// TestEveryBannerIsMarked: the one pass over a comment misses no banner.
func TestEveryBannerIsMarked(t *testing.T) {
	for _, b := range banners {
		if !marked([]byte("# x" + b.text)) {
			t.Errorf("%q is passed over", b.text)
		}
	}
	if marked([]byte("# m h dom mon dow user command")) {
		t.Error("a usual comment is not")
	}
}
