package discover

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"

	"github.com/fleetcron/fleetcron/agent/rpmdb"
)

// rpmDatabases are where rpm keeps its packages: in its three formats, in the
// place of newer distributions and in the old one.
var rpmDatabases = []string{
	"/usr/lib/sysimage/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/Packages.db", "/usr/lib/sysimage/rpm/Packages",
	"/var/lib/rpm/rpmdb.sqlite", "/var/lib/rpm/Packages.db", "/var/lib/rpm/Packages",
}

// maxRPM bounds the database: thousands of packages take some hundred MiB.
const maxRPM = 2 << 30

// rpmDatabase is the database of the tree; empty: it is no host of rpm's.
func rpmDatabase(t *tree) string {
	for _, name := range rpmDatabases {
		if exists(t, name) {
			return name
		}
	}
	return ""
}

// readRPM reads the files of packages from rpm's database. What dpkg owns stays
// dpkg's.
func (p *packages) readRPM(ctx context.Context, t *tree, name string) error {
	file, size, err := t.openFile(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if size > maxRPM {
		return fmt.Errorf("it has %d bytes; more than %d MiB are not read", size, maxRPM>>20)
	}
	source := rpmdb.Source{File: file, Size: size}
	if log, size, err := t.openFile(name + "-wal"); err == nil {
		defer log.Close()
		source.Log, source.LogSize = log, size
	}
	owner := make(map[string]string)
	err = rpmdb.Read(ctx, source, wanted, func(name, file string) {
		path := string(merged([]byte(file)))
		if !packaged([]byte(path)) {
			return
		}
		if other, taken := owner[path]; !taken || name < other {
			owner[path] = printable(name)
		}
	})
	maps.Copy(owner, p.owner)
	p.owner = owner
	return err
}

// wanted reports whether jobs may come from files in a directory.
func wanted(dir string) bool {
	path := merged([]byte(dir))
	for _, begin := range packagedDirs {
		if bytes.HasPrefix(path, begin) || bytes.HasPrefix(begin, path) {
			return true
		}
	}
	return false
}

// packaged reports whether jobs may come from a file.
func packaged(path []byte) bool {
	for _, begin := range packagedDirs {
		if bytes.HasPrefix(path, begin) {
			return true
		}
	}
	return false
}

// openFile opens a regular file of the tree, links followed within it.
func (t *tree) openFile(name string) (*os.File, int64, error) {
	p, err := t.lookup(name, true)
	if err != nil {
		return nil, 0, err
	}
	defer p.Close()
	fd, size, err := p.open()
	if err != nil {
		return nil, 0, err
	}
	return os.NewFile(uintptr(fd), name), size, nil
}
