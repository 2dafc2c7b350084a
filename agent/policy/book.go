package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// book is what was taken so far: it lets nobody take anything again, or go back
// to what was before. It is durable before anything that it notes has an effect.
type book struct {
	Version int `json:"v"` // 1
	// Seen is the latest time that this host's clock ever showed.
	Seen time.Time `json:"seen"`
	// Lost is when it was found missing or damaged; zero: never, or a person
	// has confirmed it since. What is ordered once then waits for that person.
	Lost time.Time `json:"lost,omitzero"`
	// Since is when that person confirmed; nothing ordered before is taken.
	Since time.Time `json:"since,omitzero"`
	// Objects holds the last statement about each thing: never dropped, because
	// who stores statements may bring back the oldest one.
	Objects map[string]noted `json:"objects"`
	// Orders holds what was ordered once, until it expires.
	Orders map[string]ordered `json:"orders"`
	// Ran is when a run of each task was last ordered.
	Ran map[fleet.TaskID]time.Time `json:"ran,omitempty"`
	// Stood holds the serial of the last order to start, stop, restart or reset
	// each task: an older one that is brought later would undo it.
	Stood map[fleet.TaskID]uint64 `json:"stood,omitempty"`
}

// noted is the last statement about a thing.
type noted struct {
	Serial     uint64    `json:"serial"`
	Digest     string    `json:"digest"`
	Gone       bool      `json:"gone,omitempty"`       // a tombstone
	Here       bool      `json:"here,omitempty"`       // of a task: it, or one before, was taken here, and it means this host
	Dropped    bool      `json:"dropped,omitempty"`    // of a task: root of this host wants nothing of it
	Instead    bool      `json:"instead,omitempty"`    // of a task: it was taken while a job of this host was silent for it
	Envelope   string    `json:"envelope,omitempty"`   // of a task: SHA-256 of the envelope under which it was taken last
	Was        string    `json:"was,omitempty"`        // of a tombstone: the digest of the statement before
	Generation uint64    `json:"generation,omitempty"` // of a task, under that statement
	Definition string    `json:"definition,omitempty"` // of a task: SHA-256 of what it says
	Floor      time.Time `json:"floor,omitzero"`       // of a task: when it was first said; nothing before is due
	Since      time.Time `json:"since,omitzero"`       // of a task: when it counts from, as it was taken first
	Taken      bool      `json:"taken,omitempty"`      // of an adoption: it was taken in time
	Asked      time.Time `json:"asked,omitzero"`       // of an adoption, as it was taken
}

// ordered is something that is done once.
type ordered struct {
	Digest  string          `json:"digest"`
	Expires time.Time       `json:"expires"`
	Journal fleet.JournalID `json:"journal"`         // in which it was to be noted as done
	Never   bool            `json:"never,omitempty"` // it came too soon
}

const bookVersion = 1

func newBook() *book {
	return &book{Version: bookVersion, Objects: map[string]noted{}, Orders: map[string]ordered{}, Ran: map[fleet.TaskID]time.Time{}, Stood: map[fleet.TaskID]uint64{}}
}

// openBook reads the book. One that is missing where there must be one, or that
// is damaged, is begun anew as lost.
func openBook(path string, known bool, now time.Time) (b *book, problem string, err error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !known:
		return newBook(), "", nil
	case errors.Is(err, fs.ErrNotExist):
		problem = "is missing"
	case err != nil:
		return nil, "", err
	}
	if err == nil {
		b = newBook()
		if err := json.Unmarshal(text, b); err == nil && b.Version == bookVersion && b.Objects != nil && b.Orders != nil {
			if b.Ran == nil {
				b.Ran = map[fleet.TaskID]time.Time{}
			}
			if b.Stood == nil {
				b.Stood = map[fleet.TaskID]uint64{}
			}
			return b, "", nil
		}
		problem = "is damaged, and kept as " + path + ".damaged"
		if err := os.Rename(path, path+".damaged"); err != nil {
			return nil, "", err
		}
	}
	b = newBook()
	b.Lost = now.UTC()
	return b, problem, nil
}

// copy lets changes be tried.
func (b *book) copy() *book {
	c := *b
	c.Objects, c.Orders, c.Ran, c.Stood = maps.Clone(b.Objects), maps.Clone(b.Orders), maps.Clone(b.Ran), maps.Clone(b.Stood)
	return &c
}

// prune drops what can no longer be offered: the time rule refuses it by then.
func (b *book) prune() {
	maps.DeleteFunc(b.Orders, func(_ string, o ordered) bool { return b.Seen.After(o.Expires.Add(leeway)) })
	maps.DeleteFunc(b.Ran, func(_ fleet.TaskID, at time.Time) bool { return b.Seen.Sub(at) > rememberRan })
	maps.DeleteFunc(b.Stood, func(_ fleet.TaskID, serial uint64) bool {
		return b.Seen.Sub(time.UnixMilli(int64(serial))) > rememberRan
	})
}

// rememberRan is longer than any interval between orders that makes sense.
const rememberRan = 7 * 24 * time.Hour

// save makes the book durable in place of the one before.
func (b *book) save(path string) error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return replace(path, text)
}

// replace makes a file durable in place of the one before: after a crash there
// is the one or the other.
func replace(path string, text []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // when it got its name there is none
	_, err = temporary.Write(text)
	if err == nil {
		err = temporary.Sync()
	}
	if err := errors.Join(err, temporary.Close()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
