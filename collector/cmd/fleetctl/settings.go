package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// settings say whom fleetctl asks and how it answers.
type settings struct {
	addresses []string
	token     string
	output    format
	timeout   time.Duration
	color     bool
	tasksDir  string // task file or directory where no -f names one
}

// knob is one setting: its key in the file, FLEETCRON_ and its name in the
// environment, and how its text is read.
type knob struct {
	name string
	set  func(s *settings, text string) error
}

// knobs is every setting that the file and the environment know. The token has
// no flag: a command line is visible to everybody on the machine.
var knobs = []knob{
	{"address", func(s *settings, text string) error {
		s.addresses = nil
		for address := range strings.SplitSeq(text, ",") {
			if address = strings.TrimSpace(address); address != "" {
				s.addresses = append(s.addresses, address)
			}
		}
		if len(s.addresses) == 0 {
			return fleet.Invalidf("address", text, "names no collector")
		}
		return nil
	}},
	{"output", func(s *settings, text string) (err error) {
		s.output, err = parseFormat(text)
		return err
	}},
	{"timeout", func(s *settings, text string) error {
		timeout, err := fleet.ParseDuration(text)
		if err != nil || timeout == 0 {
			return fleet.Invalidf("timeout", text, "want a duration such as 5s or 1m")
		}
		s.timeout = time.Duration(timeout)
		return nil
	}},
	{"token", func(s *settings, text string) error {
		if strings.ContainsAny(text, " \t\r\n") {
			return fleet.Invalidf("token", "", "must not contain blanks")
		}
		s.token = text
		return nil
	}},
	{"tasks_dir", func(s *settings, text string) error {
		s.tasksDir = text
		return nil
	}},
}

func findKnob(name string) (knob, bool) {
	for _, k := range knobs {
		if k.name == name {
			return k, true
		}
	}
	return knob{}, false
}

// configure resolves the settings: flags over environment over file over
// defaults.
func (p *program) configure(root *cobra.Command) error {
	p.settings = settings{addresses: []string{"http://127.0.0.1:7770"}, timeout: 10 * time.Second}
	if err := p.readConfig(root.PersistentFlags().Changed("config")); err != nil {
		return err
	}
	for _, k := range knobs {
		name := "FLEETCRON_" + strings.ToUpper(k.name)
		if text := p.getenv(name); text != "" {
			if err := k.set(&p.settings, text); err != nil {
				return &fleet.Error{Kind: fleet.Usage, Message: "environment " + name, Err: err}
			}
		}
	}
	given := map[string]string{"address": strings.Join(p.flags.address, ","), "output": p.flags.output, "timeout": p.flags.timeout}
	for _, k := range knobs {
		if root.PersistentFlags().Changed(k.name) {
			if err := k.set(&p.settings, given[k.name]); err != nil {
				return &fleet.Error{Kind: fleet.Usage, Message: "flag --" + k.name, Err: err}
			}
		}
	}
	return p.chooseColor()
}

func (p *program) chooseColor() error {
	switch p.flags.color {
	case "auto":
		p.settings.color = p.terminal && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb"
	case "always":
		p.settings.color = true
	case "never":
	default:
		return &fleet.Error{Kind: fleet.Usage, Message: "flag --color", Err: fleet.Invalidf("color", p.flags.color, "want auto, always or never")}
	}
	return nil
}

// readConfig reads the config file. One that is named must be there.
func (p *program) readConfig(named bool) error {
	path := p.flags.config
	if !named {
		path = p.getenv("FLEETCRON_CONFIG")
		named = path != ""
	}
	if path == "" {
		path = p.defaultConfig()
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named:
		return nil
	case err != nil:
		return fleet.Errorf(fleet.Usage, "read config: %v", err)
	}
	if err := p.settings.read(text); err != nil {
		return inFile{path, err}
	}
	return nil
}

func (p *program) defaultConfig() string {
	dir := p.getenv("XDG_CONFIG_HOME")
	if dir == "" {
		dir = filepath.Join(p.getenv("HOME"), ".config")
	}
	return filepath.Join(dir, "fleetcron", "config.yaml")
}

// read takes the settings from a config file; every wrong key is reported.
func (s *settings) read(text []byte) error {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return fleet.Errorf(fleet.Invalid, "is not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(root.Content) == 0 || root.Content[0].ShortTag() == "!!null" {
		return nil
	}
	content := root.Content[0]
	if content.Kind != yaml.MappingNode {
		return fleet.Errorf(fleet.Invalid, "want a mapping with the keys %s", knobNames())
	}
	var wrong []fleet.FieldError
	seen := map[string]bool{}
	for i := 0; i+1 < len(content.Content); i += 2 {
		key, value := content.Content[i], content.Content[i+1]
		if reason := s.readKey(key.Value, value, seen[key.Value]); reason != "" {
			wrong = append(wrong, fleet.FieldError{Field: key.Value, Reason: reason, Line: key.Line, Column: key.Column})
		}
		seen[key.Value] = true
	}
	if len(wrong) > 0 {
		return &fleet.Error{Kind: fleet.Invalid, Fields: wrong}
	}
	return nil
}

// readKey sets one key and returns what is wrong with it, or nothing.
func (s *settings) readKey(name string, value *yaml.Node, again bool) string {
	k, known := findKnob(name)
	switch {
	case !known:
		return "is no setting; want one of " + knobNames()
	case again:
		return "is set twice"
	}
	text := value.Value
	if value.Kind == yaml.SequenceNode && name == "address" {
		addresses := make([]string, len(value.Content))
		for i, item := range value.Content {
			addresses[i] = item.Value
		}
		text = strings.Join(addresses, ",")
	} else if value.Kind != yaml.ScalarNode || value.ShortTag() != "!!str" {
		return "want text"
	}
	if e, ok := errors.AsType[*fleet.Error](k.set(s, text)); ok {
		return e.Fields[0].Reason
	}
	return ""
}

func knobNames() string {
	names := make([]string, len(knobs))
	for i, k := range knobs {
		names[i] = k.name
	}
	return strings.Join(names, ", ")
}

// client returns the client for the settings.
func (p *program) client() (*api.Client, error) {
	return p.clientWith(p.settings.timeout, 0)
}

func (p *program) clientWith(timeout time.Duration, rounds int) (*api.Client, error) {
	return api.NewClient(api.Config{
		Addresses: p.settings.addresses,
		Token:     p.settings.token,
		Actor:     actor(),
		UserAgent: "fleetctl/" + version,
		Timeout:   timeout,
		Rounds:    rounds,

		Consistent: true, // what one command changed the next one sees
	})
}

// actor says who makes changes: the user on this machine, until identities
// exist.
func actor() string {
	name := "unknown"
	if current, err := user.Current(); err == nil {
		name = current.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

// asking runs a command that needs the collectors.
func (p *program) asking(run func(ctx context.Context, client *api.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		defer client.Close()
		err = run(c.Context(), client, args)
		if err == nil && client.Stale() {
			p.note("nobody leads the collectors; this is what the one that answered knew last")
		}
		return err
	}
}
