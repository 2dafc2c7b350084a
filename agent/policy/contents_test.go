package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAProgramHoldsWhatThePolicySays: one that was changed does not begin, and
// one that its own user can change never does.
func TestAProgramHoldsWhatThePolicySays(t *testing.T) {
	b := newBed(t, usual)
	program := b.file("bin/backup", "#!/bin/sh\necho good\n", 0o755)
	sum := sha256.Sum256([]byte("#!/bin/sh\necho good\n"))
	b.policy(usual + "  - path: " + program + "\n    rest: .*\n    sha256: [\"" + strings.Repeat("0", 64) + "\", " + hex.EncodeToString(sum[:]) + "]\n")
	b.reread()
	nightly := task()
	nightly.Run.Command = fleet.Command{Argv: []string{program, "x"}}
	want(t, b.take(b.says(nightly)), "")
	may := func() string {
		if err := b.gate.May(&nightly); err != nil {
			return err.Error()
		}
		return ""
	}
	b.file("bin/backup", "#!/bin/sh\necho evil\n", 0o755) // of the same size
	if why := may(); !strings.Contains(why, "policy:sha256, line") {
		t.Errorf("changed: %q", why)
	}
	b.file("bin/backup", "#!/bin/sh\necho good\n", 0o755)
	if why := may(); why != "" {
		t.Errorf("as it was: %q", why)
	}
	if os.Geteuid() == 0 { // nobody else may give a file away
		if err := os.Chown(program, 1000, 1000); err != nil { // to alice, as whom it runs
			t.Fatal(err)
		}
		if why := may(); !strings.Contains(why, "policy:sha256") {
			t.Errorf("its user may change it: %q", why)
		}
	}
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if why := may(); why != "" {
		t.Errorf("not there: %q", why)
	}
}

// TestASecondEntryMayWantOtherContents: what one entry does not let run another
// may.
func TestASecondEntryMayWantOtherContents(t *testing.T) {
	b := newBed(t, usual)
	program := b.file("bin/backup", "x", 0o755)
	b.policy(usual + "  - path: " + program + "\n    sha256: [\"" + strings.Repeat("0", 64) + "\"]\n  - path: " + program + "\n    args: [small]\n")
	b.reread()
	nightly := task()
	nightly.Run.Command = fleet.Command{Argv: []string{program, "small"}}
	want(t, b.take(b.says(nightly)), "")
	nightly.Run.Command = fleet.Command{Argv: []string{program}}
	want(t, b.take(b.says(nightly)), policyCode+"args")
}
