package work

import (
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/agent/mask"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestLastOutputIsMasked: it stays within what a record may hold, its end kept.
func TestLastOutputIsMasked(t *testing.T) {
	o := outbox{masker: mask.New(make([]byte, mask.KeySize))}
	line := "mysqldump: -phunter2 refused: mysqldump -phunter2 x\n"
	got := o.mask(strings.Repeat(line, maxTail/len(line)), maxTail)
	if strings.Contains(got, "hunter2") || len(got) > fleet.MaxTail || !strings.HasSuffix(got, " x\n") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if got := o.mask("exit 3", maxDetail); got != "exit 3" {
		t.Errorf("%q", got)
	}
}
