package ledger

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

var update = flag.Bool("update", false, "write the golden files anew; they are a promise, so only add")

// examples has every command with every field set.
func examples() []Command {
	anchor, seven := noon.Add(-time.Hour), uint64(7)
	task := wholeTask(anchor)
	put := &PutTask{Task: task, Document: []byte("task: nightly\n"), MediaType: api.MediaYAML, IfIndex: &seven, At: noon, Actor: "ann", Reason: "why not", State: fleet.TaskPaused, Envelope: []byte("{}"), Serial: 8, Signers: []string{"aa"}}
	host := fleet.Host{
		ID: hostID(1), Name: "db-1", Addresses: []netip.Addr{netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("fd00::1")},
		Labels: map[string]string{"role": "db", "env": "prod"}, OS: "Debian", Kernel: "6.18", Arch: "amd64", CPUs: 2,
		MemoryBytes: 1 << 34, Timezone: "UTC", Cron: "debian", AgentVersion: "0.1",
	}
	job := testJob(1)
	job.Timezone, job.Env, job.Next = "UTC", map[string]string{"PATH": "/bin", "MAILTO": ""}, []time.Time{noon}
	job.Verdict, job.Package, job.ManagedBy = fleet.Verdict{Code: fleet.Disabled, Why: "no"}, "cron", "puppet"
	job.Unit, job.Latin1 = "backup@x.service", true
	job.Risks, job.Container, job.Stale, job.Unseen = []fleet.Risk{{Kind: fleet.FindWritable, Why: "w"}}, "web", &anchor, true
	job.Evidence = wholeEvidence()
	report := fleet.Report{Host: "db-1", Scanned: noon, Jobs: []fleet.Job{job}, Problems: []fleet.Problem{{Source: "/etc/crontab", Line: 3, Text: "x", Reason: "y"}}}
	return []Command{
		&InitCluster{ID: "c1", At: noon},
		&PutCollector{ID: "a", API: "https://127.0.0.1:7770", Version: "0.1", At: noon},
		&DropCollector{ID: "a"},
		&RegisterHost{Host: host, At: noon},
		&RecordReport{Host: hostID(1), Report: report, Hash: "abc", At: noon},
		put,
		&SetTaskState{ID: "data/nightly", State: fleet.TaskPaused, IfIndex: &seven, At: noon, Actor: "ann", Reason: "holiday", Envelope: []byte("{}"), Serial: 8, Signers: []string{"aa"}},
		&PutOrders{Orders: []fleet.Order{{ID: "o1", Kind: fleet.OrderRun, Host: hostID(1), Task: "data/nightly", Run: "r1", Due: noon, Expires: noon.Add(time.Hour), By: "ann", Reason: "now", Parent: "r0", Cause: "event e", Payload: "p", Params: fleet.Params{"site": "shop", "days": "7"}, Envelope: []byte("{}"), Refused: &fleet.Refusal{Object: "order o1", Code: "policy:user", Why: "w", Line: 3}}}, At: noon, Envelope: []byte("{}"), Digest: "dd", Expires: noon.Add(time.Hour)},
		&DropOrder{Host: hostID(1), ID: "o1"},
		&RecordApplied{Applied: fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"data/nightly": 2, "data/a": 1}, Held: []fleet.TaskID{"data/held"}, At: noon, Since: map[fleet.TaskID]time.Time{"data/nightly": noon}}},
		&RecordRuns{Batches: []HostBatch{{Host: hostID(1), Journal: journalID(2), Records: []api.RunRecord{
			{Sequence: 9, Run: wholeRun()},
			{Sequence: 10, Stint: &fleet.Stint{Task: "data/nightly", Generation: 2, After: noon, Last: noon.Add(-time.Hour)}},
		}}}, At: noon},
		&Prune{At: noon, RunsBefore: noon.Add(-time.Hour), RunsOfTask: 10, Limit: 20, ChangesBefore: noon.Add(-time.Minute), TrustBefore: noon.Add(-time.Second), ProofsBefore: noon, ProofBytes: 9},
		&Once{Key: "k", Digest: "d", At: noon, Expires: noon.Add(24 * time.Hour), Command: put},
		&RecordSightings{Host: hostID(1), At: noon, Sightings: fleet.Sightings{
			Since: map[fleet.JobKind]time.Time{fleet.KindTimer: noon, fleet.KindCron: noon.Add(-time.Hour)},
			Jobs:  map[fleet.JobID]fleet.Evidence{job.ID: *wholeEvidence()},
		}},
		&PutPin{Pin: fleet.Pin{Name: "db", Labels: "role=db", Allow: []fleet.Allowed{{Fingerprint: job.Fingerprint, User: "root", Command: "x"}}, By: "ann", Reason: "hard", At: noon}},
		&DropPin{Name: "db"},
		&PutAnnotation{Annotation: fleet.Annotation{Fingerprint: job.Fingerprint, Owner: "team-data", Note: "n", By: "ann", At: noon}},
		&PutAck{Ack: fleet.Ack{Finding: "0123456789abcdef", By: "ann", Reason: "known", At: noon, Expires: noon.Add(time.Hour)}},
		&DropAck{Finding: "0123456789abcdef"},
		&Adopt{Task: task, Document: []byte("task: nightly\n"), MediaType: api.MediaYAML, Adoption: wholeAdoption(job), Envelope: []byte("{}"), Serial: 8, Signers: []string{"aa"}},
		&SettleAdoptions{Host: hostID(1), Adoptions: []fleet.Adoption{wholeAdoption(job)}, At: noon},
		&Release{Task: "data/nightly", At: noon, Actor: "ann", Reason: "back", Envelope: []byte("{}"), Serial: 8},
		&TakeLease{Task: "data/nightly", Run: "r1", Host: hostID(1), At: noon},
		&ReturnLease{Task: "data/nightly", Run: "r1", Host: hostID(1)},
		&PutCalendar{Calendar: wholeCalendar(), IfIndex: &seven, At: noon, Actor: "ann", Envelope: []byte("{}"), Serial: 8},
		&DropCalendar{Name: "year-end", IfIndex: &seven, At: noon, Actor: "ann", Envelope: []byte("{}"), Serial: 8},
		&RecordStandings{Host: hostID(1), At: noon, Standings: []fleet.Standing{wholeStanding()}, Done: []fleet.OrderID{"o1"}},
		&Audited{At: noon, By: wholePrincipal("ann"), Action: "task.put", Object: "data/nightly", Why: "why not", Digest: "dd", Command: &Once{Key: "k", Digest: "d", At: noon, Expires: noon.Add(24 * time.Hour), Command: put}},
		&RecordRefusals{Entries: []fleet.AuditEntry{{
			Seq: 1, At: noon, By: wholePrincipal("ann"), Action: "task.put", Object: "data/nightly", Namespace: "data", Decision: AuditRefused, Code: "permission_denied",
			Why: "w", Digest: "dd", Count: 3, Before: []byte{1}, Hash: []byte{2},
		}}},
		&PutToken{Token: fleet.Token{
			ID: "abcd1234", Name: "ann", Hash: hashOf("secret"), Roles: []fleet.Role{fleet.Admin}, Namespaces: []string{"*"},
			Created: noon, Expires: noon.Add(time.Hour), Revoked: noon.Add(time.Minute), By: "init", Bootstrap: true,
		}},
		&RevokeToken{ID: "abcd1234", At: noon, Actor: "ann", Reason: "lost"},
		&PutJoinToken{Token: fleet.JoinToken{
			ID: "efgh5678", Hash: hashOf("join"), Collector: "c2", Node: hostID(1), Namespaces: []string{"data"}, Labels: map[string]string{"role": "db"},
			Network: netip.MustParsePrefix("10.0.0.0/8"), Approve: true, Created: noon, Expires: noon.Add(time.Hour), Used: noon, UsedBy: "x", By: "ann",
		}},
		&DropJoinToken{ID: "efgh5678", At: noon},
		&UseJoinToken{ID: "efgh5678", Hash: hashOf("join"), From: netip.MustParseAddr("10.1.2.3"), Node: wholeNode(), Chain: []byte("pem"), At: noon},
		&PutNode{Node: wholeNode(), At: noon, Actor: "ann"},
		&ApproveNode{ID: string(hostID(1)), Fingerprint: "ff", Serial: "01", Expires: noon, Chain: []byte("pem"), At: noon, Actor: "ann", Reason: "seen"},
		&SetNodeState{ID: string(hostID(1)), State: fleet.NodeRevoked, At: noon, Actor: "ann", Reason: "stolen"},
		&RenewNode{ID: string(hostID(1)), Before: "01", Serial: "02", Fingerprint: "fe", Expires: noon, At: noon},
		&PutRules{Rules: fleet.Rules{Namespace: "data", TwoPerson: []fleet.Danger{fleet.DangerRoot}, Approvals: 1, Within: fleet.Duration(time.Hour), Changed: noon, By: "ann", Index: 7}, IfIndex: &seven, At: noon, Actor: "ann"},
		&DropRules{Namespace: "data", IfIndex: &seven, At: noon, Actor: "ann"},
		&PutRequest{Request: wholeRequest(), Signers: []string{"aa"}, Action: "task.put", Command: put},
		&Approve{ID: "r1", IfIndex: 7, Envelope: []byte("{}"), Approval: fleet.Approval{By: wholePrincipal("bob"), Key: "bb", At: noon}, At: noon},
		&DropRequest{ID: "r1", At: noon, Actor: "ann", Reason: "no"},
		&RecordPolicy{Host: hostID(1), At: noon, Report: fleet.PolicyReport{
			Execute: true, Problem: "p", Digest: "dd", Keys: []string{"aa"}, TwoPerson: []fleet.Danger{fleet.DangerShell},
			Refused: []fleet.Refusal{{Object: "task data/nightly", Code: "policy:user", Why: "w", Line: 3}}, AuditSeq: 4, AuditHead: []byte{5}, At: noon,
		}},
		&PutEnvelope{Task: "data/nightly", Serial: 8, Envelope: []byte("{}"), Signers: []string{"aa", "bb"}, IfIndex: &seven, At: noon, Actor: "bob"},
		&RecordProofs{Host: hostID(1), Blocks: [][]byte{newSigner(1, 1).block(2, fleet.DefaultNamespace).Encode()}, At: noon},
		&PutRevocation{ID: "c3", Envelope: []byte("{}"), At: noon, Actor: "ann"},
	}
}

func hashOf(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// wholePrincipal has every field set.
func wholePrincipal(name string) fleet.Principal {
	return fleet.Principal{
		Kind: fleet.PersonKind, Name: name, Token: "of-" + name, Roles: []fleet.Role{fleet.Operator, fleet.Approver}, Scope: []string{"data"},
		Via: "api", Address: netip.MustParseAddr("10.1.2.3"),
	}
}

// wholeNode has every field set.
func wholeNode() fleet.Node {
	return fleet.Node{
		ID: string(hostID(1)), Name: "db-1", Role: fleet.AgentKind, State: fleet.NodeActive, Namespaces: []string{"data"}, Labels: map[string]string{"role": "db"},
		Serial: "01", Before: "00", Fingerprint: "ff", Expires: noon, Enrolled: noon, Changed: noon, By: "ann", Why: "w", Request: []byte("der"), ProofKey: []byte("key"),
	}
}

// wholeRequest has every field set.
func wholeRequest() fleet.Request {
	return fleet.Request{
		ID: "r1", Namespace: "data", Object: "task data/nightly", Dangers: []fleet.Danger{fleet.DangerRoot}, Envelope: []byte("{}"), By: wholePrincipal("ann"),
		Reason: "because", At: noon, Expires: noon.Add(time.Hour), Needs: 1, Approved: []fleet.Approval{{By: wholePrincipal("bob"), Key: "bb", At: noon}}, Index: 7,
	}
}

// wholeCalendar has every field set.
func wholeCalendar() fleet.Calendar {
	later := noon.Add(time.Hour)
	return fleet.Calendar{
		Name: "year-end", Description: "the books are closed", Timezone: "Europe/Berlin",
		Windows: []fleet.Window{{From: &later, To: &later, Cron: "0 0 24 12 *", For: fleet.Duration(time.Hour), Rule: "FREQ=YEARLY", Except: []time.Time{later}, Summary: "closed"}},
	}
}

// wholeStanding has every field set.
func wholeStanding() fleet.Standing {
	later := noon.Add(time.Minute)
	return fleet.Standing{
		Task: "data/nightly", Since: noon, Phase: fleet.PhaseBackoff, Run: "r1", Restarts: 2, At: &later, Detail: "d",
		Breaker: fleet.BreakerOpen, Failures: 3, Health: fleet.Unhealthy, HealthDetail: "h",
	}
}

// wholeTask has every field set.
func wholeTask(anchor time.Time) fleet.Task {
	return fleet.Task{
		Name: "nightly", Namespace: "data", Owner: "team-data", Description: "dumps",
		Params: map[string]fleet.Param{
			"site": {Type: fleet.ParamText, Description: "whose", Default: new("shop"), Min: "1", Max: "2", Pattern: "[a-z]+", Values: []string{"v"}, MaxLength: 9},
			"days": {Type: fleet.ParamInt, Default: new("")},
		},
		On: fleet.Trigger{
			Cron: "30 2 * * *", Every: fleet.Duration(time.Minute), Anchor: &anchor, At: &anchor, Event: "e", File: "/in/*", Webhook: true, Manual: true, Daemon: true,
			Startup: fleet.StartupBoot, AfterEnd: true, Merge: 3, Blackout: []string{"year-end"},
			Timezone: "Europe/Berlin", Spread: fleet.Duration(time.Second), Deadline: fleet.Duration(time.Minute), Starts: &anchor, Ends: &anchor,
			Missed: fleet.Missed{Policy: fleet.MissedOnce, Within: fleet.Duration(time.Hour)},
		},
		Run: fleet.Execute{
			Command: fleet.Command{Argv: []string{"/bin/dump", "--all"}, Shell: "dump"}, User: "backup", Dir: "/var", Stdin: "in", Env: map[string]string{"B": "2", "A": "1"},
			Shell: fleet.ShellStrict, Group: "g", Groups: []string{"adm"}, Login: true, Umask: "0027", NoNewPrivs: true, PrivateTmp: true,
		},
		Where: fleet.Where{Labels: "role=db", Hosts: []string{"db-*"}, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Pick: fleet.PickAll},
		Limits: fleet.Limits{
			Timeout: 1, Grace: 2, Overlap: fleet.OverlapQueue, PerHost: 3, Fleet: 6, Wait: 7, Nice: 4, Output: 5,
			Stall: 8, Keep: fleet.Keep{Runs: 9, Age: 10, Size: 11}, Memory: 12, CPU: 1.5, Processes: 13, IOWeight: 14, IONice: "idle", Rlimits: map[string]uint64{"nofile": 15, "core": 16},
		},
		WaitFor: fleet.WaitFor{TCP: []string{"a:1"}, HTTP: []string{"http://a"}, File: []string{"/f"}, Unit: []string{"u.service"}, Command: []string{"/c"}, Every: 17, Timeout: 18},
		Retry:   fleet.Retry{Attempts: 3, Base: 19, Factor: 2.5, Cap: 20, Jitter: 0.5, Budget: 21, On: []string{"75"}},
		Breaker: fleet.Breaker{Failures: 5, Rate: 0.25, Window: 22, Open: 23, Key: "db"},
		Restart: fleet.Restart{
			Policy: fleet.RestartAlways, Base: 24, Cap: 25, Reset: 26, GiveUp: fleet.Frequency{Times: 10, Per: 27},
			When: fleet.Excess{Memory: 28, CPU: 2.5, Files: 29, For: 30},
		},
		Health: fleet.Health{Exec: []string{"/h"}, HTTP: "http://h", TCP: "h:1", Every: 31, Timeout: 32, Fail: 33, Start: 34},
		Needs:  []string{"postgres"},
	}
}

// wholeAdoption has every field set.
func wholeAdoption(job fleet.Job) fleet.Adoption {
	return fleet.Adoption{
		Task: "data/nightly", Host: hostID(1), Job: job, State: fleet.AdoptionStuck, Why: "w", Handed: noon, Force: true, By: "ann", Reason: "r", At: noon, Asked: noon,
		Envelope: []byte("{}"), Serial: 8,
	}
}

// wholeEvidence has every field set.
func wholeEvidence() *fleet.Evidence {
	ended := noon.Add(time.Second)
	return &fleet.Evidence{Last: noon, Grade: fleet.GradeEnded, From: "syslog", Ended: &ended, Result: "exit 3"}
}

// wholeRun has every field set.
func wholeRun() fleet.Run {
	later, exit := noon.Add(time.Second+time.Nanosecond), 3
	return fleet.Run{
		ID: runID(1, 1), Task: "data/nightly", Generation: 2, Host: hostID(1), Due: noon, Until: &later, Count: 4, Order: "o1", Parent: "r0", Params: fleet.Params{"site": "shop", "days": "7"}, Attempt: 5,
		State: fleet.RunRan, Reason: fleet.SkippedOverlap, Detail: "d", Started: &later, Ended: &later, PID: 6, Exit: &exit, Signal: "SIGKILL",
		TimedOut: true, Cancelled: true, Stdout: 7, Stderr: 8, Dropped: 9, Tail: "t",
		Again: &later, Used: fleet.Used{CPU: 10, Memory: 11, Read: 12, Written: 13},
	}
}

// TestEntriesStayReadable holds every command to the bytes it had when it was
// first written: those bytes are in logs.
func TestEntriesStayReadable(t *testing.T) {
	var out bytes.Buffer
	for _, command := range examples() {
		data, err := Encode(command)
		if err != nil {
			t.Fatal(err)
		}
		text, err := cbor.Diagnose(data[2:])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%d.%d %T\n%x\n%s\n\n", data[0], data[1], command, data, text)
		again, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(command, again, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%T came back otherwise: %s", command, diff)
		}
	}
	golden := filepath.Join("testdata", "entries.golden")
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("entries are not what is in the logs (a changed encoding needs a version of its own): %s", diff)
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	seen := map[[2]byte]bool{}
	for i, row := range kinds {
		if id := [2]byte{row.number, row.version}; seen[id] {
			t.Errorf("command %v is there twice", id)
		} else {
			seen[id] = true
		}
		if i >= len(examples()) || reflect.TypeOf(examples()[i]) != reflect.TypeOf(row.command()) {
			t.Errorf("command %d, %T, has no example at its place", row.number, row.command())
		}
	}
}

// TestExamplesAreWhole notices a field that was added and has no example, and
// so no place in the golden file.
func TestExamplesAreWhole(t *testing.T) {
	for _, command := range examples() {
		if path := zeroField(reflect.ValueOf(command), fmt.Sprintf("%T", command)); path != "" {
			t.Errorf("%s is not set", path)
		}
	}
}

// zeroField returns the path of the first field that is zero, or nothing. That
// a job does not run is the example, and that a record is a run or a stint.
func zeroField(v reflect.Value, path string) string {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() && strings.HasSuffix(path, ".Records[0].Stint") {
			return ""
		}
		if v.IsNil() {
			return path
		}
		return zeroField(v.Elem(), path)
	case reflect.Slice:
		if v.Len() == 0 {
			return path
		}
		return zeroField(v.Index(0), path+"[0]")
	case reflect.Struct:
		if v.Type().PkgPath() == "time" || v.Type().PkgPath() == "net/netip" {
			break
		}
		for i := range v.NumField() {
			if found := zeroField(v.Field(i), path+"."+v.Type().Field(i).Name); found != "" {
				return found
			}
		}
		return ""
	}
	if v.IsZero() && !strings.HasSuffix(path, ".Verdict.Runs") {
		return path
	}
	return ""
}

func TestEncodeRefusesWhatNobodyCouldRead(t *testing.T) {
	beyond := time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("west", -23*3600))
	for name, command := range map[string]Command{
		"a year beyond 9999": &RegisterHost{Host: testHost(1), At: beyond},
		"a nil command":      (*PutTask)(nil),
		"no command":         nil,
		"once once":          &Once{Key: "a", Command: &Once{Key: "b", Command: &DropOrder{}}},
		"once nothing":       &Once{Key: "a"},
	} {
		if data, err := Encode(command); err == nil {
			t.Errorf("%s was encoded: %x", name, data)
		}
	}
}

// FuzzDecode gives Apply whatever decodes. None of it may end the process: an
// entry that did would end every collector at each start.
func FuzzDecode(f *testing.F) {
	for _, command := range examples() {
		data, err := Encode(command)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	l := newLedger(f)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, testTask("nightly", "*"))
	f.Fuzz(func(t *testing.T, data []byte) {
		command, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Encode(command)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		command, err = Decode(again)
		if err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v", err)
		}
		stable, err := Encode(command)
		if err != nil || !bytes.Equal(again, stable) {
			t.Fatalf("the encoding is not stable: %x then %x, %v", again, stable, err)
		}
		l.next++
		l.Apply([]Entry{{Index: l.next, Term: 1, Data: data}})
	})
}
