package filewatch

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Watch is a task and the files that it waits for.
type Watch struct {
	Task    fleet.TaskID
	Pattern string // as in fleet.Trigger.File
}

// maxFiles is how many files of one pattern are followed.
const maxFiles = 10_000

// stamp is what a file looks like from outside.
type stamp struct {
	Inode uint64 `json:"inode"`
	Size  int64  `json:"size"`
	Nanos int64  `json:"mtime"` // nanoseconds since 1970
}

// look returns the stamps of the regular files that match, by path. A
// directory that is not there holds none.
func look(pattern string) (map[string]stamp, error) {
	dir, last := filepath.Split(pattern)
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	files := map[string]stamp{}
	for _, entry := range entries {
		if matches, _ := filepath.Match(last, entry.Name()); !matches {
			continue // the pattern itself was checked with the task
		}
		info, err := os.Stat(filepath.Join(dir, entry.Name()))
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if len(files) == maxFiles {
			return nil, fmt.Errorf("%s matches more than %d files", pattern, maxFiles)
		}
		files[filepath.Join(dir, entry.Name())] = stampOf(info)
	}
	return files, nil
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{Size: info.Size(), Nanos: info.ModTime().UnixNano()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Inode = stat.Ino
	}
	return s
}
