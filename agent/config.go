package agent

import (
	"net/netip"
	"path/filepath"
	"reflect"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/agent/outside"
	"github.com/fleetcron/fleetcron/agent/policy"
	"github.com/fleetcron/fleetcron/agent/turn"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/logging"
)

// Config is everything an agent can be told.
type Config struct {
	Collectors []string          `yaml:"collectors" help:"addresses of the collectors, beside those that enrolment told; any of them may be away"`
	StateDir   string            `yaml:"state_dir" help:"directory of journal, plan and output of runs"`
	RuntimeDir string            `yaml:"runtime_dir" help:"directory of the sockets where the agent's parts meet that are processes of their own"`
	PIDFile    string            `yaml:"pid_file" help:"file with the agent's pid; empty: agent.pid in state_dir"`
	Name       string            `yaml:"name" help:"name of this host for people; empty: its hostname"`
	Labels     map[string]string `yaml:"labels" help:"what tasks may select this host by, key=value"`
	Root       string            `yaml:"root" help:"tree that is scanned for scheduled jobs"`
	Policy     string            `yaml:"policy" help:"file that says what may run on this host; only root may write it, and all directories on the way to it"`
	Slots      int               `yaml:"slots" help:"runs that go on at once, without those that are supervised; what finds none waits for its turn, until its deadline"`
	StartRate  int               `yaml:"start_rate" help:"runs that begin within a second, and at once after a pause"`
	Drain      fleet.Duration    `yaml:"drain" help:"how long an agent that ends waits for runs to end; what runs then goes on, and the next agent takes it up"`
	Output     Output            `yaml:"output"`
	Gossip     Gossip            `yaml:"gossip"`
	Log        logging.Config    `yaml:"log"`

	Version  string        `yaml:"-"` // of the program
	Reloads  <-chan Config `yaml:"-"` // configurations to take in while running; nil: none
	Guardian []string      `yaml:"-"` // program and argv of the commands' guardian; empty: none
	Step     []string      `yaml:"-"` // program and argv that begins commands with limits of their own; empty: they do not begin
	Prober   []string      `yaml:"-"` // argv of what asks services for tasks; empty: no service is there
	Ready    func()        `yaml:"-"` // called when the agent has started; nil: nobody
}

// Output bounds what is kept of the output of past runs.
type Output struct {
	Runs int            `yaml:"runs" help:"newest runs of a task whose output is kept, and up to 5 failed ones before them; a task's limits.keep goes before it"`
	Age  fleet.Duration `yaml:"age" help:"how long output is kept after its last byte; 0s: as long as there is room; a task's limits.keep goes before it"`
	Size fleet.Bytes    `yaml:"size" help:"what the output of all tasks together may take on disk; the oldest goes first"`
}

// Gossip configures how this host is seen, and how it hears of news.
type Gossip struct {
	Bind      string   `yaml:"bind" help:"address for gossip, TCP and UDP; empty: no gossip, the agent asks by HTTPS alone"`
	Advertise string   `yaml:"advertise" help:"ip:port that the others reach it at; empty: as bind says, or the host's own address"`
	Seeds     []string `yaml:"seeds" help:"gossip addresses of collectors to begin with, beside those that enrolment told"`
}

// hot holds the keys that a reload changes while the agent runs; all others
// need a restart, which stops no command either.
var hot = map[string]bool{"collectors": true, "name": true, "labels": true, "slots": true, "start_rate": true}

// DefaultConfig returns the values that stand where nothing else is said. They are
// enough for a host that was enrolled.
func DefaultConfig() Config {
	return Config{
		StateDir:   "/var/lib/fleetcron",
		RuntimeDir: "/run/fleetcron",
		Root:       "/",
		Policy:     policy.DefaultPath,
		Slots:      turn.DefaultSlots,
		StartRate:  turn.DefaultRate,
		Drain:      fleet.Duration(2 * time.Second),
		Output:     Output{Runs: 20, Size: 1 << 30},
		Gossip:     Gossip{Bind: "0.0.0.0:7773"},
	}
}

// Validate reports every field that is wrong.
func (c *Config) Validate() error {
	var wrong []fleet.FieldError
	add := func(field, value, reason string) {
		if reason != "" {
			wrong = append(wrong, fleet.FieldError{Field: field, Value: value, Reason: reason})
		}
	}
	for _, address := range c.Collectors {
		add("collectors", address, outside.WrongCollector(address))
	}
	for field, path := range map[string]string{"state_dir": c.StateDir, "runtime_dir": c.RuntimeDir, "root": c.Root, "policy": c.Policy, "pid_file": c.PIDFile} {
		if !filepath.IsAbs(path) && (path != "" || field != "pid_file") {
			add(field, path, "want an absolute path")
		}
	}
	for field, number := range map[string]int{"slots": c.Slots, "start_rate": c.StartRate} {
		if number < 1 || number > 1_000_000 {
			add(field, strconv.Itoa(number), "want 1 to 1000000")
		}
	}
	if c.Output.Runs < 1 {
		add("output.runs", strconv.Itoa(c.Output.Runs), "want at least 1")
	}
	if c.Output.Age < 0 {
		add("output.age", c.Output.Age.String(), "must not be negative")
	}
	if c.Output.Size < 1<<20 {
		add("output.size", c.Output.Size.String(), "want at least 1MiB")
	}
	if c.Drain < 0 {
		add("drain", c.Drain.String(), "must not be negative")
	}
	for field, address := range map[string]string{"gossip.bind": c.Gossip.Bind, "gossip.advertise": c.Gossip.Advertise} {
		if _, err := netip.ParseAddrPort(address); address != "" && err != nil {
			add(field, address, "want an IP address and a port, such as 192.0.2.7:7773")
		}
	}
	wrong = append(wrong, c.wrongHost()...)
	if len(wrong) > 0 {
		return &fleet.Error{Kind: fleet.Usage, Message: "configuration", Fields: wrong}
	}
	return nil
}

// wrongHost says what is wrong with name and labels, as every collector would.
func (c *Config) wrongHost() []fleet.FieldError {
	host := fleet.Host{ID: "00000000000000000000000000000000", Name: c.Name, Labels: c.Labels}
	if host.Name == "" {
		host.Name = "unnamed"
	}
	var wrong *fleet.Error
	if err := host.Validate(); err != nil {
		wrong, _ = err.(*fleet.Error)
	}
	if wrong == nil {
		return nil
	}
	return wrong.Fields
}

// coldChanges lists the keys that differ in next and need a restart.
func (c *Config) coldChanges(next *Config) []string {
	var cold []string
	was, is := reflect.ValueOf(*c), reflect.ValueOf(*next)
	for i := range was.NumField() {
		key := was.Type().Field(i).Tag.Get("yaml")
		if key != "-" && !hot[key] && !reflect.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()) {
			cold = append(cold, key)
		}
	}
	return cold
}
