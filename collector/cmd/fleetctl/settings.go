package main

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/settings"
)

// config says whom fleetctl asks and how it answers. The token has no flag: a
// command line is visible to everybody on the machine.
type config struct {
	Addresses addresses      `yaml:"address"`
	Output    format         `yaml:"output"`
	Timeout   fleet.Duration `yaml:"timeout"` // of one attempt to ask
	Token     string         `yaml:"token"`
	TasksDir  string         `yaml:"tasks_dir"` // task file or directory where no -f names one

	color bool
}

// addresses are URLs of collectors; a file may also write them as one text,
// joined by commas.
type addresses []string

// UnmarshalYAML reads a list or a text.
func (a *addresses) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*a = split(node.Value)
		return nil
	}
	return node.Decode((*[]string)(a))
}

// configure resolves the settings: flags over environment over file over
// defaults.
func (p *program) configure(root *cobra.Command) error {
	p.settings = config{Addresses: addresses{"http://127.0.0.1:7770"}, Timeout: fleet.Duration(10 * time.Second)}
	file, named := p.configFile()
	err := settings.Load(&p.settings, settings.Source{
		File: file, Optional: !named, Flags: root.PersistentFlags(),
		Env: func(name string) (string, bool) {
			text := p.getenv(name)
			return text, text != "" // an empty variable says nothing
		},
	})
	if err == nil {
		err = p.settings.check()
	}
	if err == nil {
		err = p.chooseColor()
	}
	return err
}

// check refuses what no layer may say.
func (c *config) check() error {
	switch {
	case len(c.Addresses) == 0:
		return fleet.Errorf(fleet.Usage, "address: names no collector").WithHint("name one, such as http://127.0.0.1:7770")
	case c.Timeout <= 0:
		return fleet.Errorf(fleet.Usage, "timeout %q: want a duration such as 5s or 1m", c.Timeout)
	case strings.ContainsAny(c.Token, " \t\r\n"):
		return fleet.Errorf(fleet.Usage, "token: must not contain blanks")
	}
	return nil
}

// configFile returns the config file, and whether somebody named it: one that
// is named must be there.
func (p *program) configFile() (string, bool) {
	for _, path := range []string{p.flags.config, p.getenv("FLEETCRON_CONFIG")} {
		if path != "" {
			return path, true
		}
	}
	dir := p.getenv("XDG_CONFIG_HOME")
	if dir == "" {
		dir = filepath.Join(p.getenv("HOME"), ".config")
	}
	return filepath.Join(dir, "fleetcron", "config.yaml"), false
}

func (p *program) chooseColor() error {
	switch p.flags.color {
	case "auto":
		p.settings.color = p.terminal && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb"
	case "always":
		p.settings.color = true
	case "never":
	default:
		return fleet.Errorf(fleet.Usage, "--color %q: want auto, always or never", p.flags.color)
	}
	return nil
}

// client returns the client for the settings.
func (p *program) client() (*api.Client, error) {
	return p.clientWith(time.Duration(p.settings.Timeout), 0)
}

func (p *program) clientWith(timeout time.Duration, rounds int) (*api.Client, error) {
	return api.NewClient(api.Config{
		Addresses: p.settings.Addresses,
		Token:     p.settings.Token,
		UserAgent: "fleetctl/" + version,
		Timeout:   timeout,
		Rounds:    rounds,

		Consistent: true, // what one command changed the next one sees
	})
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
