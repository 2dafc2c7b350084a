package httpd_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/collector/httpd"
)

// TestLimitsForgetWhoIsQuiet: a flood from everywhere fills no memory, and does
// not forget who is at it now.
func TestLimitsForgetWhoIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := httpd.NewLimits()
		busy := netip.MustParseAddr("192.0.2.1")
		at := netip.MustParseAddr("10.0.0.0")
		for n := range 100_000 {
			limits.Failed(at, "")
			at = at.Next()
			if n%1000 == 0 {
				limits.Failed(busy, "")
				time.Sleep(time.Millisecond)
			}
		}
		if n := limits.Remembered(); n > 20_001 {
			t.Errorf("%d addresses are remembered", n)
		}
		if limits.Failed(busy, "") == 0 {
			t.Error("the busy one is forgotten")
		}
	})
}

// TestANetworkIsOneAddress: whoever has a network of IPv6 has no more tries than
// whoever has one address.
func TestANetworkIsOneAddress(t *testing.T) {
	limits := httpd.NewLimits()
	at := netip.MustParseAddr("2001:db8::1")
	for range 10 {
		if wait := limits.Failed(at, ""); wait > 0 {
			t.Fatalf("wait %s", wait)
		}
		at = at.Next()
	}
	if limits.Failed(at, "") == 0 {
		t.Error("the eleventh address of a network is tried at once")
	}
	if wait := limits.Failed(netip.MustParseAddr("2001:db8:0:1::1"), ""); wait > 0 {
		t.Errorf("another network waits %s", wait)
	}
}
