package httpd

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/backup"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// serveBackup answers GET /v1/backup: everything that the ledger holds. It is
// written to the local disk first, because a snapshot that is held across a
// network keeps the ledger's file growing.
func (s *Server) serveBackup(w http.ResponseWriter, r *request) error {
	if _, err := nothing(r); err != nil {
		return err
	}
	if err := s.ready(); err != nil { // it would not hold what was acknowledged
		return err
	}
	taken := fleet.AuditEntry{At: time.Now().UTC(), By: r.exchange.caller, Action: "backup", Decision: "done"}
	if err := s.tell(r.Context(), []fleet.AuditEntry{taken}); err != nil { // nobody takes all that there is unseen
		return &fleet.Error{Kind: fleet.Unavailable, Code: "audit_unavailable", Message: "that a backup is taken cannot be written down now", Err: err, Hint: "try again when there is a leader: fleetctl collectors"}
	}
	file, header, err := s.takeBackup()
	if err != nil {
		return err
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	w.Header().Set("Content-Type", api.MediaOutput)
	w.Header().Set("Content-Disposition", "attachment")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	s.Logger.Info("backup taken", "cluster", header.Cluster, "entry", header.Index, "bytes", size)
	_, err = io.Copy(w, file)
	if err != nil {
		r.exchange.problem = err
		panic(http.ErrAbortHandler) // so that the reader sees that it is not all
	}
	return nil
}

// takeBackup writes a backup into a file that has no name.
func (s *Server) takeBackup() (file *os.File, header backup.Header, err error) {
	cluster, found, err := s.Ledger.Cluster()
	if err != nil || !found {
		return nil, header, fleet.Errorf(fleet.Unavailable, "the cluster has no id yet").WithCode(api.CodeNoLeader)
	}
	if file, err = s.Ledger.Scratch(); err != nil {
		return nil, header, err
	}
	snapshot, err := s.Ledger.Snapshot()
	if err != nil {
		file.Close()
		return nil, header, err
	}
	defer snapshot.Close()
	header = backup.Header{Cluster: cluster.ID, Index: snapshot.Index(), Taken: time.Now().UTC(), Version: s.Version}
	if err := backup.Write(file, header, snapshot, s.Vouch); err != nil {
		file.Close()
		return nil, header, err
	}
	return file, header, nil
}
