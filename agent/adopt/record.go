package adopt

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// phase is how far an adoption is on this host.
type phase string

const (
	refused   phase = "refused"   // nothing was changed, and nothing will be for this wish
	silencing phase = "silencing" // the intent: the job may or may not be silent
	silent    phase = "silent"    // the task runs
	restoring phase = "restoring" // the intent: the job may or may not be back
	restored  phase = "restored"  // the host's own scheduler runs it again
	stuck     phase = "stuck"     // it could not be put back; the task runs on
)

// record is what is on disk of one adoption: all that is needed to go back.
type record struct {
	Task   fleet.TaskID `json:"task"`
	Asked  time.Time    `json:"asked"` // of the wish that it answers
	Phase  phase        `json:"phase"`
	Why    string       `json:"why,omitempty"`
	Host   fleet.Host   `json:"host"`
	Job    fleet.Job    `json:"job"`   // as the wish has it, secrets masked
	Found  fleet.Job    `json:"found"` // as it stands here
	Change change       `json:"change"`
	// Generation is that of the task when its job fell silent.
	Generation uint64 `json:"generation,omitempty"`

	Began  time.Time `json:"began"`           // of the last intent
	Handed time.Time `json:"handed,omitzero"` // when it fell silent
	Back   time.Time `json:"back,omitzero"`   // when it came back
}

// armed reports whether the task is due on this host.
func (r *record) armed() bool { return r.Phase == silent || r.Phase == stuck }

// settled returns what the collectors are to hear of it.
func (r *record) settled(host fleet.HostID) fleet.Adoption {
	word := fleet.Adoption{Task: r.Task, Host: host, Job: r.Job, Why: r.Why, At: r.Asked, Asked: r.Asked}
	switch r.Phase {
	case refused:
		word.State = fleet.AdoptionRefused
	case silent:
		word.State, word.Handed = fleet.AdoptionAdopted, r.Handed
	case restored:
		word.State, word.Handed = fleet.AdoptionReleased, r.Back
	case stuck:
		word.State, word.Handed = fleet.AdoptionStuck, r.Handed
	}
	return word
}

// shelf keeps the records of all adoptions, each in a file of its own.
type shelf interface {
	load() ([]*record, error)
	save(r *record) error
	drop(task fleet.TaskID) error
}

// folder is a shelf in a directory that nobody else may look into: the records
// hold commands with their secrets.
type folder struct {
	dir string
	log *slog.Logger
}

func openFolder(dir string, log *slog.Logger) (folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return folder{}, fmt.Errorf("open adoptions: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return folder{}, fmt.Errorf("open adoptions: %w", err)
	}
	if err := durable.SyncDir(filepath.Dir(dir)); err != nil { // or power may fail and the directory with all in it be gone
		return folder{}, fmt.Errorf("open adoptions: %w", err)
	}
	return folder{dir, log}, nil
}

func (f folder) path(task fleet.TaskID) string {
	sum := sha256.Sum256([]byte(task))
	return filepath.Join(f.dir, hex.EncodeToString(sum[:8])+".json")
}

// load reads all records. One that cannot be read is set aside: the comment on
// the host holds the line, and the other tasks of this host must go on.
func (f folder) load() ([]*record, error) {
	names, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	var records []*record
	for _, name := range names {
		path := filepath.Join(f.dir, name.Name())
		if !strings.HasSuffix(path, ".json") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		r := new(record)
		if err := json.Unmarshal(text, r); err != nil {
			f.log.Error("record of an adoption set aside", "record", path, "error", err)
			if err := os.Rename(path, path+".damaged"); err != nil {
				return nil, err
			}
			continue
		}
		records = append(records, r)
	}
	return records, nil
}

// save makes the record durable in place of the one before.
func (f folder) save(r *record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return durable.Replace(f.path(r.Task), text)
}

func (f folder) drop(task fleet.TaskID) error {
	if err := os.Remove(f.path(task)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.SyncDir(f.dir)
}
