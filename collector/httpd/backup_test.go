package httpd_test

import (
	"bytes"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	backupfile "github.com/fleetcron/fleetcron/shared/backup"
)

func TestABackupHoldsTheLedger(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addTask(t)
	reply := h.do(t, http.MethodGet, api.PathBackup, "")
	content, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", reply.Status, err)
	}
	header, _, snapshot, err := backupfile.Open(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	cluster, _, _ := h.ledger.Cluster()
	if header.Cluster != cluster.ID || header.Index == 0 || header.Taken.IsZero() {
		t.Errorf("header %+v, cluster %s", header, cluster.ID)
	}
	other, err := ledger.Open(filepath.Join(t.TempDir(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Task(everywhere, "data/backup"); err != nil {
		t.Errorf("the task is not in the backup: %v", err)
	}
}
