package discover

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

var update = flag.Bool("update", false, "write the golden files anew")

// plant makes a tree of an archive. A file is named "path", "path 0600" or
// "path -> target of a link".
func plant(t testing.TB, archive string) string {
	t.Helper()
	root := t.TempDir()
	for _, file := range txtar.Parse([]byte(archive)).Files {
		if name, target, link := strings.Cut(file.Name, " -> "); link {
			path := filepath.Join(root, name)
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.Symlink(target, path))
			continue
		}
		name, mode, given := strings.Cut(file.Name, " ")
		bits := uint64(0o644)
		if given {
			var err error
			bits, err = strconv.ParseUint(mode, 8, 32)
			must(t, err)
		}
		path := filepath.Join(root, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		content := file.Data
		if strings.HasSuffix(name, "/noeol") {
			content = content[:len(content)-1]
		}
		must(t, os.WriteFile(path, content, 0o644))
		must(t, os.Chmod(path, fs.FileMode(bits)))
	}
	return root
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var noon = time.Date(2026, time.March, 6, 12, 0, 0, 0, time.UTC)

func scanned(t testing.TB, root string) fleet.Report {
	t.Helper()
	report, err := Scan(t.Context(), root, Options{Now: noon})
	must(t, err)
	must(t, report.Validate())
	return report
}

// TestScanOfEachKind compares the scan of example hosts with what their own
// daemons would make of them, written down in testdata.
func TestScanOfEachKind(t *testing.T) {
	for _, kind := range []string{"debian", "rhel", "suse", "alpine", "anacron-debian", "anacron-cronie", "at", "attribution", "timers", "timers-user"} {
		t.Run(kind, func(t *testing.T) {
			archive, err := os.ReadFile("testdata/" + kind + ".txtar")
			must(t, err)
			root := plant(t, string(archive))
			got, err := json.MarshalIndent(scanned(t, root), "", "  ")
			must(t, err)
			got = append(got, '\n')
			golden := "testdata/" + kind + ".json"
			if *update {
				must(t, os.WriteFile(golden, got, 0o644))
			}
			want, err := os.ReadFile(golden)
			must(t, err)
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
			again, err := json.MarshalIndent(scanned(t, root), "", "  ")
			must(t, err)
			if string(again)+"\n" != string(got) {
				t.Error("a second scan differs")
			}
		})
	}
}
