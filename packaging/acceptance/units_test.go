package acceptance

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var coreLimit = regexp.MustCompile(`(?m)^LimitCORE=0(:infinity)?$`)

// TestAttack117_NoUnitLeavesACore: what a program knew when it crashed is on no
// disk. A command may ask for a core of its own, so what runs them has only the
// soft limit. What a panic says of a command is masked like any text (agent/mask),
// and of a request it is told to nobody (collector/httpd).
func TestAttack117_NoUnitLeavesACore(t *testing.T) {
	units, err := filepath.Glob("../systemd/*.service")
	if err != nil || len(units) < 2 {
		t.Fatalf("units %v: %v", units, err)
	}
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		if !coreLimit.Match(text) {
			t.Errorf("%s lacks LimitCORE=0", filepath.Base(unit))
		}
	}
}
