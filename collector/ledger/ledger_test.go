package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// noon is the instant that tests begin at.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func hostID(n int) fleet.HostID { return fleet.HostID(fmt.Sprintf("%032x", n)) }

func journalID(n int) fleet.JournalID { return fleet.JournalID(fmt.Sprintf("%032x", n)) }

// runID returns the n-th run id of a millisecond after noon.
func runID(millis, n int) fleet.RunID {
	at := noon.UnixMilli() + int64(millis)
	return fleet.RunID(fmt.Sprintf("%08x-%04x-7000-8000-%012x", at>>16, at&0xffff, n))
}

func testHost(n int, labels ...string) fleet.Host {
	host := fleet.Host{ID: hostID(n), Name: fmt.Sprintf("host-%d", n), OS: "Debian GNU/Linux 13"}
	for i := 0; i+1 < len(labels); i += 2 {
		if host.Labels == nil {
			host.Labels = map[string]string{}
		}
		host.Labels[labels[i]] = labels[i+1]
	}
	return host
}

func testTask(name, labels string) *PutTask {
	task := fleet.Task{
		Name:  name,
		On:    fleet.Trigger{Cron: "30 2 * * *", Timezone: "Europe/Berlin"},
		Run:   fleet.Execute{Command: fleet.Command{Argv: []string{"/bin/true", name}}},
		Where: fleet.Where{Labels: labels},
	}
	return &PutTask{Task: task, Document: []byte("task: " + name + "\n"), MediaType: api.MediaYAML, At: noon, Actor: "ann"}
}

func testJob(n int) fleet.Job {
	command := fmt.Sprintf("/usr/local/bin/backup --set %d", n)
	return fleet.Job{
		ID: fleet.NewJobID(fleet.KindCron, "/etc/cron.d/backup", "root", command, 0), Kind: fleet.KindCron,
		Source: "/etc/cron.d/backup", Line: n + 1, User: "root", Schedule: "30 2 * * *", Command: command,
		Enabled: true, Verdict: fleet.Verdict{Runs: true}, Fingerprint: fleet.CommandFingerprint(command),
	}
}

func testReport(host int, jobs ...fleet.Job) *RecordReport {
	report := fleet.Report{Host: fmt.Sprintf("host-%d", host), Scanned: noon, Jobs: jobs, Problems: []fleet.Problem{}}
	return &RecordReport{Host: hostID(host), Report: report, Hash: report.ContentHash(), At: noon}
}

// bench is a ledger under test that counts its own entries.
type bench struct {
	*Ledger
	t     testing.TB
	next  uint64
	where string
}

// newLedger opens an empty ledger that does not wait for the disk.
func newLedger(t testing.TB) *bench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, err := open(path, bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Ledger: l, t: t, where: path}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// reopen closes the ledger and opens its file again.
func (b *bench) reopen() {
	b.t.Helper()
	if err := b.Close(); err != nil {
		b.t.Fatal(err)
	}
	l, err := open(b.where, bbolt.Options{NoSync: true})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Ledger = l
}

// apply applies one command and returns its result, refusals included.
func (b *bench) apply(command Command) any {
	b.t.Helper()
	data, err := Encode(command)
	if err != nil {
		b.t.Fatal(err)
	}
	b.next++
	return b.Apply([]Entry{{Index: b.next, Term: 1, Data: data}})[0]
}

// must applies commands that may not be refused, and returns the last result.
func (b *bench) must(commands ...Command) (result any) {
	b.t.Helper()
	for _, command := range commands {
		result = b.apply(command)
		if refusal, refused := IsRefusal(result); refused {
			b.t.Fatalf("%T was refused: %v", command, refusal)
		}
	}
	return result
}

// refused applies a command that must be refused with the code and change
// nothing.
func (b *bench) refused(code string, command Command) {
	b.t.Helper()
	before := dump(b.t, b.Ledger)
	refusal, refused := IsRefusal(b.apply(command))
	if !refused {
		b.t.Errorf("%T was not refused", command)
		return
	}
	got := refusal.Code
	if got == "" {
		got = refusal.Kind.String()
	}
	if got != code {
		b.t.Errorf("%T was refused as %s (%v), want %s", command, got, refusal, code)
	}
	after := dump(b.t, b.Ledger)
	delete(before, "meta/applied")
	delete(after, "meta/applied")
	if diff := diffDumps(before, after); diff != "" {
		b.t.Errorf("refused %T changed the ledger: %s", command, diff)
	}
}

// dump returns every key and value of the file.
func dump(t testing.TB, l *Ledger) map[string]string {
	t.Helper()
	pairs := map[string]string{}
	err := l.view(func(r *reader) error {
		for b, name := range bucketNames {
			each(r.bucket(bucket(b)), nil, nil, func(k, v []byte) bool {
				pairs[name+"/"+string(k)] = string(v)
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pairs
}

func diffDumps(a, b map[string]string) string {
	for k := range sorted(a) {
		if got, found := b[k]; !found || got != a[k] {
			return fmt.Sprintf("%q: %q then %q", k, a[k], got)
		}
	}
	for k := range sorted(b) {
		if _, found := a[k]; !found {
			return fmt.Sprintf("%q appeared: %q", k, b[k])
		}
	}
	return ""
}

func snapshotOf(t testing.TB, l *Ledger) []byte {
	t.Helper()
	snapshot, err := l.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	var out bytes.Buffer
	if n, err := snapshot.WriteTo(&out); err != nil || n != int64(out.Len()) {
		t.Fatalf("WriteTo = %d of %d, %v", n, out.Len(), err)
	}
	return out.Bytes()
}

func TestOpenRefusesASecondProcess(t *testing.T) {
	l := newLedger(t)
	_, err := Open(l.where)
	if kind := fleet.KindOf(err); kind != fleet.Conflict {
		t.Fatalf("second Open: %v (%v), want a conflict", err, kind)
	}
	if refusal, _ := errors.AsType[*fleet.Error](err); refusal.Code != "in_use" || refusal.Hint == "" {
		t.Errorf("second Open: code %q, hint %q", refusal.Code, refusal.Hint)
	}
}

func TestOpenTellsWhatIsWrong(t *testing.T) {
	damaged := filepath.Join(t.TempDir(), "ledger.db")
	if err := os.WriteFile(damaged, bytes.Repeat([]byte("no ledger "), 2000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{damaged, filepath.Join(t.TempDir(), "missing", "ledger.db")} {
		if l, err := Open(path); err == nil {
			_ = l.Close()
			t.Errorf("Open(%s) opened it", path)
		}
	}
}

func TestOpenRefusesAnotherFormat(t *testing.T) {
	l := newLedger(t)
	err := l.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("format"), bigEndian(format+1))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(l.where); err == nil {
		t.Error("a file of another format was opened")
	}
}

func TestApplyRemembersWhereItIs(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, testReport(1, testJob(1), testJob(2)))
	data, err := Encode(testReport(1, testJob(3)))
	if err != nil {
		t.Fatal(err)
	}
	l.reopen()
	if index, term := l.Applied(); index != 2 || term != 1 {
		t.Fatalf("Applied() = %d, %d after a restart; want 2, 1", index, term)
	}
	before := dump(t, l.Ledger)
	// The log is replayed from its beginning, with an entry that would differ.
	results := l.Apply([]Entry{{1, 1, data}, {2, 1, data}})
	if results[0] != nil || results[1] != nil {
		t.Errorf("replayed entries had results: %v", results)
	}
	if diff := diffDumps(before, dump(t, l.Ledger)); diff != "" {
		t.Errorf("replayed entries changed the ledger: %s", diff)
	}
	results = l.Apply([]Entry{{2, 1, data}, {3, 2, data}})
	if got := results[1]; got != (Recorded{Changed: true, Written: 1, Removed: 2}) {
		t.Errorf("the first new entry: %+v", got)
	}
	if index, term := l.Applied(); index != 3 || term != 2 {
		t.Errorf("Applied() = %d, %d; want 3, 2", index, term)
	}
}

func TestApplyPanicsOnWhatItDoesNotKnow(t *testing.T) {
	for name, data := range map[string][]byte{
		"a command of a newer collector": {200, 1, 0xa0},
		"a newer version of a command":   {4, 2, 0xa0},
		"a field of a newer collector":   {9, 1, 0xa1, 0x63, 'n', 'e', 'w', 0x01},
		"nothing":                        nil,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			before := dump(t, l.Ledger)
			for range 2 { // once broken, it stays so
				func() {
					defer func() {
						if _, fatal := recover().(*Fatal); !fatal {
							t.Error("Apply did not panic with a *Fatal")
						}
					}()
					good, err := Encode(&RegisterHost{Host: testHost(1), At: noon})
					if err != nil {
						t.Fatal(err)
					}
					l.Apply([]Entry{{1, 1, good}, {2, 1, data}})
				}()
			}
			if diff := diffDumps(before, dump(t, l.Ledger)); diff != "" {
				t.Errorf("entries beside it were kept: %s", diff)
			}
		})
	}
}

func TestApplyPanicsOnAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, err := open(path, bbolt.Options{NoSync: true, MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := &bench{Ledger: l, t: t}
	b.must(&RegisterHost{Host: testHost(1), At: noon})
	var fatal *Fatal
	func() {
		defer func() { fatal, _ = recover().(*Fatal) }()
		for n := range 10_000 {
			put := testTask(fmt.Sprintf("task-%d", n), "*")
			put.Document = bytes.Repeat([]byte("x"), 4000)
			b.apply(put)
		}
	}()
	if fatal == nil {
		t.Fatal("a full disk went unnoticed")
	}
	if index, _ := l.Applied(); fatal.Index != index+1 {
		t.Errorf("Fatal names entry %d, the last applied is %d", fatal.Index, index)
	}
}
