package collector

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestMemoryHoldsOneCollectorAndIsFreed(t *testing.T) {
	cfg := DefaultConfig()
	cfg.ID = "store-test"
	first, err := takeMemory(&cfg, memoryDir)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.DataDir != first.path || filepath.Dir(first.path) != memoryDir {
		t.Errorf("data_dir is %s", cfg.DataDir)
	}
	if err := os.WriteFile(filepath.Join(cfg.DataDir, "ledger.db"), []byte("left"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := cfg
	if _, err := takeMemory(&other, memoryDir); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("a second collector of the id got %v, want a conflict", err)
	}
	if err := first.lock.Close(); err != nil { // as a kill does
		t.Fatal(err)
	}
	second, err := takeMemory(&cfg, memoryDir)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(cfg.DataDir); len(left) != 0 {
		t.Errorf("the next collector found %v", left)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cfg.DataDir); !os.IsNotExist(err) {
		t.Errorf("after Close: %v", err)
	}
}

func TestMemoryMustBeMemory(t *testing.T) {
	cfg := DefaultConfig()
	if _, err := takeMemory(&cfg, "/proc"); fleet.KindOf(err) != fleet.Usage {
		t.Errorf("%v, want a usage error", err)
	}
}

func TestMemoryOfAnotherIsNotTaken(t *testing.T) {
	cfg := DefaultConfig()
	cfg.ID = "store-open"
	path := filepath.Join(memoryDir, fmt.Sprintf("fleetcron-store-open-%d", os.Geteuid()))
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(path) })
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := takeMemory(&cfg, memoryDir); err == nil {
		t.Error("a directory open to others was taken")
	}
}
