package discover

import (
	"context"
	"encoding/binary"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// fakeSystemd answers as systemd does on its own socket: what it has loaded,
// and the properties of each object.
type fakeSystemd struct {
	units      []busUnit
	properties map[dbus.ObjectPath]map[string]any
	mute       bool // it takes connections and says nothing
}

// serve listens at a socket of its own until the test ends.
func (f *fakeSystemd) serve(t *testing.T) *bus {
	path := filepath.Join(t.TempDir(), "private")
	listener, err := net.Listen("unix", path)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			stream, err := listener.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { stream.Close() })
			if !f.mute {
				go f.talk(stream)
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		listener.Close()
		<-ended
	})
	return &bus{addresses: []string{privateBus + dbus.EscapeBusAddressValue(path)}}
}

// talk does what little of the server's half of D-Bus's greeting there is, and
// then answers calls.
func (f *fakeSystemd) talk(stream net.Conn) {
	greet := func(said string) { _, _ = stream.Write([]byte(said)) }
	buffer := make([]byte, 1)
	line := ""
	for {
		if _, err := stream.Read(buffer); err != nil {
			return
		}
		if line += string(buffer); buffer[0] != '\n' {
			continue
		}
		switch said := line[:min(len(line), 4)]; {
		case line == "\x00AUTH\r\n" || line == "AUTH\r\n":
			greet("REJECTED EXTERNAL\r\n")
		case said == "\x00AUT" || said == "AUTH":
			greet("OK 0123456789abcdef0123456789abcdef\r\n")
		case said == "NEGO":
			greet("ERROR\r\n")
		case said == "BEGI":
			f.answer(stream)
			return
		}
		line = ""
	}
}

func (f *fakeSystemd) answer(stream net.Conn) {
	for {
		call, err := dbus.DecodeMessage(stream)
		if err != nil {
			return
		}
		if call.Type != dbus.TypeMethodCall {
			continue
		}
		path, _ := call.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
		method, _ := call.Headers[dbus.FieldMember].Value().(string)
		var body any
		switch all := f.properties[path]; method {
		case "ListUnitsByPatterns":
			body = f.units
		case "GetAll":
			set := make(map[string]dbus.Variant)
			for name, value := range all {
				set[name] = dbus.MakeVariant(value)
			}
			body = set
		case "Get":
			name, _ := call.Body[1].(string)
			if all[name] != nil {
				body = dbus.MakeVariant(all[name])
			}
		}
		reply := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()),
		}}
		if body == nil {
			reply.Type = dbus.TypeError
			reply.Headers[dbus.FieldErrorName] = dbus.MakeVariant("org.freedesktop.DBus.Error.UnknownProperty")
		} else {
			reply.Body = []any{body}
			reply.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body))
		}
		if reply.EncodeTo(stream, binary.LittleEndian) != nil {
			return
		}
	}
}

// loaded is a timer as systemd lists it.
func loaded(name, active string) busUnit {
	return busUnit{Name: name, Load: "loaded", Active: active, Path: unitPath(name), JobPath: "/"}
}

func micros(t time.Time) uint64 { return uint64(t.UnixMicro()) }

const running = `
-- bin/sh --
-- usr/lib/systemd/systemd --
-- run/systemd/system/x --
-- etc/systemd/system/a.timer --
[Timer]
OnCalendar=daily
-- etc/systemd/system/a.service --
[Service]
ExecStart=/bin/a
`

// liveTimers scans a tree's timers as if the tree were the running system's.
func liveTimers(t *testing.T, root string, b *bus) []fleet.Job {
	tree, err := openTree(root)
	must(t, err)
	defer tree.release()
	s := &scan{tree: tree, host: readHost(t.Context(), tree), now: noon, next: 2, live: true, bus: b}
	var out found
	systemTimers(t.Context(), s, &out)
	if len(out.problems) > 0 {
		t.Errorf("problems %v", out.problems)
	}
	return out.jobs
}

// TestSystemdSays: what the running systemd says goes before what the files do.
func TestSystemdSays(t *testing.T) {
	const link = "-- etc/systemd/system/timers.target.wants/a.timer -> ../a.timer --\n"
	last := noon.Add(-time.Hour)
	began, ended := last.Add(time.Second), last.Add(time.Minute)
	failed := map[string]any{
		"Result": "exit-code", "ExecMainStartTimestamp": micros(began), "ExecMainExitTimestamp": micros(ended), "ExecMainCode": int32(1), "ExecMainStatus": int32(3),
	}
	killed := map[string]any{
		"Result": "signal", "ExecMainStartTimestamp": micros(began), "ExecMainExitTimestamp": micros(ended), "ExecMainCode": int32(2), "ExecMainStatus": int32(9),
	}
	still := map[string]any{"Result": "success", "ExecMainStartTimestamp": micros(began), "ExecMainExitTimestamp": uint64(0), "ExecMainCode": int32(0), "ExecMainStatus": int32(0)}
	for _, c := range []struct {
		name, tree string
		units      []busUnit
		timer      map[string]any
		service    map[string]any
		verdict    fleet.Verdict
		evidence   *fleet.Evidence
	}{
		{"active, and it failed last", link, []busUnit{loaded("a.timer", "active")}, map[string]any{"LastTriggerUSec": micros(last)}, failed,
			fleet.Verdict{Runs: true}, &fleet.Evidence{Last: last, Grade: "ended", From: "systemd: a.timer", Ended: &ended, Result: "exit 3"}},
		{"active, and killed last", link, []busUnit{loaded("a.timer", "active")}, map[string]any{"LastTriggerUSec": micros(last)}, killed,
			fleet.Verdict{Runs: true}, &fleet.Evidence{Last: last, Grade: "ended", From: "systemd: a.timer", Ended: &ended, Result: "signal KILL"}},
		{"active, and it runs", link, []busUnit{loaded("a.timer", "active")}, map[string]any{"LastTriggerUSec": micros(last)}, still,
			fleet.Verdict{Runs: true}, &fleet.Evidence{Last: last, Grade: "started", From: "systemd: a.timer"}},
		{"active, never triggered", link, []busUnit{loaded("a.timer", "active")}, map[string]any{"LastTriggerUSec": uint64(0)}, nil,
			fleet.Verdict{Runs: true}, nil},
		{"stopped", link, []busUnit{loaded("a.timer", "inactive")}, nil, nil,
			fleet.Verdict{Code: fleet.Inactive, Why: "it is enabled but not active: it was stopped or never started (systemctl start a.timer)"}, nil},
		{"not loaded", link, nil, nil, nil,
			fleet.Verdict{Code: fleet.Inactive, Why: "it is enabled but not active: it was stopped or never started (systemctl start a.timer)"}, nil},
		{"failed", link, []busUnit{loaded("a.timer", "failed")}, map[string]any{"Result": "resources"}, nil,
			fleet.Verdict{Code: fleet.Inactive, Why: "it failed (resources), so it is not active (systemctl restart a.timer)"}, nil},
		{"started by hand", "", []busUnit{loaded("a.timer", "active")}, nil, nil,
			fleet.Verdict{Runs: true, Why: "it was started by hand or by another unit, and is not enabled: after a boot it may be gone (systemctl enable a.timer)"}, nil},
		{"neither enabled nor active", "", nil, nil, nil,
			fleet.Verdict{Code: fleet.Disabled, Why: "it is not enabled: no link pulls it in (systemctl enable --now a.timer)"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			timer := map[string]any{"Unit": "a.service"}
			for key, value := range c.timer {
				timer[key] = value
			}
			fake := fakeSystemd{units: append([]busUnit{}, c.units...), properties: map[dbus.ObjectPath]map[string]any{unitPath("a.timer"): timer, unitPath("a.service"): c.service}}
			jobs := liveTimers(t, plant(t, running+c.tree), fake.serve(t))
			if len(jobs) != 1 {
				t.Fatalf("%d jobs", len(jobs))
			}
			if diff := cmp.Diff(c.verdict, jobs[0].Verdict); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.evidence, jobs[0].Evidence); diff != "" {
				t.Errorf("evidence (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSystemdForetells: of what is counted from boots and runs, systemd alone
// knows when it comes.
func TestSystemdForetells(t *testing.T) {
	next := sinceBoot(90*time.Minute, false)
	fake := fakeSystemd{units: []busUnit{loaded("a.timer", "active")}, properties: map[dbus.ObjectPath]map[string]any{
		unitPath("a.timer"): {"Unit": "a.service", "NextElapseUSecMonotonic": uint64(90 * time.Minute / time.Microsecond)},
	}}
	root := plant(t, running+"-- etc/systemd/system/a.timer.d/x.conf --\n[Timer]\nOnCalendar=\nOnUnitActiveSec=1h\n")
	jobs := liveTimers(t, root, fake.serve(t))
	if len(jobs) != 1 || len(jobs[0].Next) != 1 || jobs[0].Next[0].Sub(next).Abs() > 5*time.Second {
		t.Errorf("%+v, want next %s", jobs, next)
	}
}

// TestSystemdIsSilent: where nobody answers, the files alone say what there is,
// and nobody is asked again for a while.
func TestSystemdIsSilent(t *testing.T) {
	const link = "-- etc/systemd/system/timers.target.wants/a.timer -> ../a.timer --\n"
	b := &bus{addresses: []string{privateBus + filepath.Join(t.TempDir(), "none")}}
	for range 2 {
		if jobs := liveTimers(t, plant(t, running+link), b); len(jobs) != 1 || !jobs[0].Verdict.Runs {
			t.Errorf("%+v", jobs)
		}
	}
	if b.silent.IsZero() {
		t.Error("it would be asked again at once")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	mute := fakeSystemd{mute: true}
	if timers := askSystemd(ctx, mute.serve(t)); timers != nil {
		t.Errorf("%+v", timers)
	}
}
