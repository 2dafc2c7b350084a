package discover

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

const (
	// maxAnswer is how long systemd may take to tell of all its timers.
	maxAnswer = 2 * time.Second
	// busPause is how long it is not asked again after it did not answer.
	busPause = 5 * time.Minute
	// maxBusTimers bounds the timers it is asked about.
	maxBusTimers = 1000
)

// bus leads to the running systemd. It is asked only, and told nothing.
type bus struct {
	addresses []string // tried in turn
	silent    time.Time
}

// systemBus finds systemd where it listens itself, for root, or else behind
// the system's bus.
func systemBus() *bus {
	list := []string{"unix:path=/run/dbus/system_bus_socket"}
	if os.Geteuid() == 0 {
		list = append([]string{privateBus + "/run/systemd/private"}, list...)
	}
	return &bus{addresses: list}
}

const privateBus = "unix:path=" // of a socket with nobody between

// busTimers are the timers that systemd has loaded, by name.
type busTimers struct{ loaded map[string]*busTimer }

// busTimer is what systemd says of a timer. The zero value is one that it has
// not loaded.
type busTimer struct {
	known   bool   // systemd was asked
	active  string // "active", "inactive", "failed"
	result  string // of the timer itself: why it failed
	last    time.Time
	elapses time.Time // of what is counted from boots and runs; zero: nothing
	service busService
}

// busService is what systemd says of the last run of a timer's service.
type busService struct {
	began, ended time.Time // zero: unknown, or not yet
	result       string
	code, status int32 // as waitid says
}

// of returns what systemd says of a timer; nil where it was not asked.
func (b *busTimers) of(name string) *busTimer {
	if b == nil {
		return nil
	}
	if t := b.loaded[name]; t != nil {
		return t
	}
	return &busTimer{known: true, active: "inactive"}
}

// askSystemd asks the running systemd for its timers. It returns nil where
// that does not answer in time: then the files alone say what there is.
func askSystemd(ctx context.Context, b *bus) *busTimers {
	if b == nil || time.Now().Before(b.silent) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, maxAnswer)
	defer cancel()
	for _, address := range b.addresses {
		if timers, err := askAt(ctx, address); err == nil {
			return timers
		}
	}
	b.silent = time.Now().Add(busPause)
	return nil
}

const (
	systemdName = "org.freedesktop.systemd1"
	systemdPath = "/org/freedesktop/systemd1"
)

// askAt asks at one address: first which timers there are, then about all of
// them at once.
func askAt(ctx context.Context, address string) (*busTimers, error) {
	connection, err := dbus.Dial(address, dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	if err := connection.Auth([]dbus.Auth{dbus.AuthExternal(fmt.Sprint(os.Geteuid()))}); err != nil {
		return nil, err
	}
	if !strings.HasSuffix(address, "/private") {
		if err := connection.Hello(); err != nil {
			return nil, err
		}
	}
	q := &question{ctx: ctx, connection: connection}
	var units []busUnit
	manager := connection.Object(systemdName, systemdPath)
	if err := manager.CallWithContext(ctx, systemdName+".Manager.ListUnitsByPatterns", dbus.FlagNoAutoStart, []string{}, []string{"*.timer"}).Store(&units); err != nil {
		return nil, err
	}
	timers := &busTimers{loaded: make(map[string]*busTimer, len(units))}
	units = units[:min(len(units), maxBusTimers)]
	for _, unit := range units {
		timers.loaded[unit.Name] = &busTimer{known: true, active: unit.Active}
		q.timer(unit.Path)
	}
	for _, unit := range units {
		timer := timers.loaded[unit.Name]
		properties, err := q.answer()
		if err != nil {
			return nil, err
		}
		timer.read(properties)
		q.service(text1(properties["Unit"]))
	}
	for _, unit := range units {
		properties, err := q.answer()
		if err != nil {
			return nil, err
		}
		timers.loaded[unit.Name].service.read(properties)
	}
	return timers, nil
}

// busUnit is an entry of the manager's list.
type busUnit struct {
	Name, Description, Load, Active, Sub, Following string
	Path                                            dbus.ObjectPath
	Job                                             uint32
	JobType                                         string
	JobPath                                         dbus.ObjectPath
}

// question asks many things without waiting for the answer to the one before.
type question struct {
	ctx        context.Context
	connection *dbus.Conn
	pending    [][]asked
}

// asked is one property, or all where it has no name, on its way.
type asked struct {
	name string
	call *dbus.Call
}

const getProperty = "org.freedesktop.DBus.Properties.Get"

func (q *question) timer(path dbus.ObjectPath) {
	object := q.connection.Object(systemdName, path)
	q.pending = append(q.pending, []asked{{"", object.GoWithContext(q.ctx, getProperty+"All", dbus.FlagNoAutoStart, nil, systemdName+".Timer")}})
}

// serviceProperties are all that is asked of a service, which has hundreds.
var serviceProperties = []string{"Result", "ExecMainStartTimestamp", "ExecMainExitTimestamp", "ExecMainCode", "ExecMainStatus"}

// service asks of a service; of any other unit there is nothing to ask.
func (q *question) service(name string) {
	var all []asked
	if strings.HasSuffix(name, ".service") {
		object := q.connection.Object(systemdName, unitPath(name))
		for _, property := range serviceProperties {
			all = append(all, asked{property, object.GoWithContext(q.ctx, getProperty, dbus.FlagNoAutoStart, nil, systemdName+".Service", property)})
		}
	}
	q.pending = append(q.pending, all)
}

// answer waits for the answer to the question asked first. A unit that is gone
// meanwhile has no properties.
func (q *question) answer() (map[string]dbus.Variant, error) {
	properties := make(map[string]dbus.Variant)
	for _, one := range q.pending[0] {
		select {
		case <-one.call.Done:
		case <-q.ctx.Done():
			return nil, q.ctx.Err()
		}
		if one.name == "" {
			_ = one.call.Store(&properties)
			continue
		}
		var value dbus.Variant
		if one.call.Store(&value) == nil {
			properties[one.name] = value
		}
	}
	q.pending = q.pending[1:]
	return properties, nil
}

// unitPath is the object of a unit: what is no letter or digit stands as _xx.
func unitPath(name string) dbus.ObjectPath {
	var b strings.Builder
	b.WriteString(systemdPath + "/unit/")
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' && i > 0 {
			b.WriteByte(c)
		} else {
			b.WriteString("_" + hex.EncodeToString([]byte{c}))
		}
	}
	return dbus.ObjectPath(b.String())
}

func (t *busTimer) read(properties map[string]dbus.Variant) {
	t.result = text1(properties["Result"])
	t.last = instant(properties["LastTriggerUSec"])
	if monotonic, _ := properties["NextElapseUSecMonotonic"].Value().(uint64); monotonic > 0 && monotonic < math.MaxInt64/1000 {
		t.elapses = sinceBoot(time.Duration(monotonic)*time.Microsecond, properties["WakeSystem"].Value() == true)
	}
}

func (s *busService) read(properties map[string]dbus.Variant) {
	s.result = text1(properties["Result"])
	s.began, s.ended = instant(properties["ExecMainStartTimestamp"]), instant(properties["ExecMainExitTimestamp"])
	s.code, _ = properties["ExecMainCode"].Value().(int32)
	s.status, _ = properties["ExecMainStatus"].Value().(int32)
}

// outcome says how the last run ended: "success", "exit 3", "signal KILL", or
// systemd's own word.
func (s *busService) outcome() string {
	const exited, killed, dumped = 1, 2, 3 // CLD_EXITED and so on
	switch {
	case s.result == "exit-code" && s.code == exited && s.status != 0:
		return fmt.Sprintf("exit %d", s.status)
	case (s.result == "signal" || s.result == "core-dump") && (s.code == killed || s.code == dumped):
		return "signal " + strings.TrimPrefix(unix.SignalName(unix.Signal(s.status)), "SIG")
	}
	return s.result
}

func text1(value dbus.Variant) string {
	text, _ := value.Value().(string)
	return text
}

// instant reads microseconds since 1970; none and never are the zero time.
func instant(value dbus.Variant) time.Time {
	micros, _ := value.Value().(uint64)
	if micros == 0 || micros > math.MaxInt64 {
		return time.Time{}
	}
	return time.UnixMicro(int64(micros)).UTC()
}

// sinceBoot is the instant at which the clock since the boot shows a value; it
// stands still while the machine sleeps, unless it wakes it.
func sinceBoot(value time.Duration, wakes bool) time.Time {
	clock := int32(unix.CLOCK_MONOTONIC)
	if wakes {
		clock = unix.CLOCK_BOOTTIME
	}
	var now unix.Timespec
	if unix.ClockGettime(clock, &now) != nil {
		return time.Time{}
	}
	return time.Now().Add(value - time.Duration(now.Nano())).Round(time.Second).UTC()
}
