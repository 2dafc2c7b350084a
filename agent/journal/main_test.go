package journal

import (
	"flag"
	"os"
	"testing"
)

// TestMain plays 40 random lives where nothing else is said: each of them waits
// for the disk. -rapid.checks=1000 plays more.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "40"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
