package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/settings"
)

// config says whom fleetctl asks, who asks, and how it answers. Neither token nor
// key has a flag: a command line is visible to everybody on the machine.
type config struct {
	Addresses addresses      `yaml:"address"`
	Output    format         `yaml:"output"`
	Timeout   fleet.Duration `yaml:"timeout"`   // of one attempt to ask
	TasksDir  string         `yaml:"tasks_dir"` // task file or directory where no -f names one
	Web       string         `yaml:"web"`       // address of the web page; empty: port 7780 beside the API

	// Relative to the file that names them.
	CAFile      string `yaml:"ca_file"`      // the fleet's root certificate
	TokenFile   string `yaml:"token_file"`   // the person's token; FLEETCRON_TOKEN instead
	KeyFile     string `yaml:"key_file"`     // what signs; or
	Key         string `yaml:"key"`          // ssh-agent, or ssh-agent: and which of its keys
	TrustedKeys string `yaml:"trusted_keys"` // of other people, whose tasks may be built upon

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
	p.settings = config{Addresses: addresses{"https://127.0.0.1:7770"}, Timeout: fleet.Duration(10 * time.Second)}
	file, named := p.configFile()
	err := settings.Load(&p.settings, settings.Source{File: file, Optional: !named})
	if err == nil {
		p.settings.resolve(filepath.Dir(file))
		err = settings.Load(&p.settings, settings.Source{
			Flags: root.PersistentFlags(),
			Env: func(name string) (string, bool) {
				text := p.getenv(name)
				return text, text != "" // an empty variable says nothing
			},
		})
	}
	if err == nil {
		err = p.settings.check()
	}
	if err == nil {
		err = p.chooseColor()
	}
	return err
}

// resolve makes the paths of a file relative to where it lies.
func (c *config) resolve(dir string) {
	for _, path := range []*string{&c.CAFile, &c.TokenFile, &c.KeyFile, &c.TrustedKeys} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	if c.TrustedKeys == "" {
		c.TrustedKeys = filepath.Join(dir, "trusted_keys")
	}
}

// check refuses what no layer may say.
func (c *config) check() error {
	switch {
	case len(c.Addresses) == 0:
		return fleet.Errorf(fleet.Usage, "address: names no collector").WithHint("name one, such as https://192.0.2.7:7770")
	case c.Timeout <= 0:
		return fleet.Errorf(fleet.Usage, "timeout %q: want a duration such as 5s or 1m", c.Timeout)
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
	access := p.access()
	access.Timeout, access.Rounds = timeout, rounds
	return access.Client()
}

// access says how the person reaches the fleet and signs for it.
func (p *program) access() *author.Access {
	return &author.Access{
		Addresses: p.settings.Addresses, CAFile: p.settings.CAFile,
		Token: p.getenv("FLEETCRON_TOKEN"), TokenFile: p.settings.TokenFile,
		KeyFile: p.settings.KeyFile, Key: p.settings.Key, AgentSocket: p.getenv("SSH_AUTH_SOCK"), TrustedKeys: p.settings.TrustedKeys,
		UserAgent: "fleetctl/" + version, Consistent: true, // what one command changed the next one sees
	}
}

// signing runs a command that gives the fleet something.
func (p *program) signing(run func(ctx context.Context, client *api.Client, by *author.Author, args []string) error) func(*cobra.Command, []string) error {
	return p.asking(func(ctx context.Context, client *api.Client, args []string) error {
		by, err := p.access().Author(client)
		if err != nil {
			return err
		}
		return run(ctx, client, by, args)
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
