package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
	"github.com/fleetcron/fleetcron/shared/seal/sshagent"
	"github.com/fleetcron/fleetcron/shared/visible"
)

func newKeyCommand(p *program) *cobra.Command {
	return parent("key", "Make, list and trust the keys that sign what hosts run", newKeyNew(p), newKeyList(p), newKeyTrust(p))
}

// keyName is how a key is called: its id and its public text.
func keyName(key ed25519.PublicKey) string { return seal.KeyID(key) + "  " + seal.PublicText(key) }

// madeKey is what key new answers.
type madeKey struct {
	ID     string `json:"id"`
	Public string `json:"public"`
	File   string `json:"file"`
}

func newKeyNew(p *program) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "new", Args: arguments(0, 0),
		Short:   "Make a key in a file of yours",
		Long:    "Make a key in a file of yours, mode 0600. It never leaves this machine: hosts are told its\npublic half, which is printed. A key that shall have a passphrase, or be on a card, belongs\ninto ssh-agent: ssh-keygen -t ed25519, ssh-add, and key: ssh-agent in the configuration.",
		Example: "  fleetctl key new\n  fleetctl key new --out ~/.config/fleetcron/release.key",
		RunE: func(*cobra.Command, []string) error {
			return p.newKey(file)
		},
	}
	c.Flags().StringVar(&file, "out", "", "the `file` to make (default: key_file of the configuration, or operator.key beside it)")
	return c
}

func (p *program) newKey(file string) error {
	config, _ := p.configFile()
	if file == "" {
		file = orWord(p.settings.KeyFile, filepath.Join(filepath.Dir(config), "operator.key"))
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fleet.Errorf(fleet.Usage, "%v", err)
	}
	key, err := seal.NewKey()
	if err != nil {
		return err
	}
	if err := key.Save(file); err != nil {
		return err
	}
	made := madeKey{seal.KeyID(key.Public()), seal.PublicText(key.Public()), file}
	return p.show(made, func() error {
		p.say("%s", made.Public)
		p.note("key %s is in %s", made.ID, file)
		if p.settings.KeyFile != file {
			p.note("to sign with it: key_file: %s in %s", file, config)
		}
		p.note("for hosts to obey it, on each as root: fleetcron-agent policy trust %s", made.Public)
		return nil
	})
}

// heldKey is a key that this person can sign with, or trusts.
type heldKey struct {
	ID     string `json:"id"`
	Public string `json:"public"`
	Where  string `json:"where"`
	Name   string `json:"name,omitempty"`
	Signs  bool   `json:"signs"`           // it is the one that fleetctl signs with
	Hosts  *int   `json:"hosts,omitempty"` // that say they trust it
}

func newKeyList(p *program) *cobra.Command {
	var hosts bool
	c := &cobra.Command{
		Use: "list", Args: arguments(0, 0),
		Short: "List the keys that you can sign with, and those that you trust",
		RunE: func(c *cobra.Command, args []string) error {
			keys, err := p.heldKeys()
			if err != nil {
				return err
			}
			if !hosts {
				return p.showKeys(keys)
			}
			return p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
				list, err := client.Policies(ctx)
				if err != nil {
					return err
				}
				for i := range keys {
					trusted := 0
					for _, host := range list.Items {
						if slices.Contains(host.Keys, keys[i].ID) {
							trusted++
						}
					}
					keys[i].Hosts = &trusted
				}
				return p.showKeys(keys)
			})(c, args)
		},
	}
	c.Flags().BoolVar(&hosts, "hosts", false, "ask on how many hosts each is trusted")
	return c
}

func (p *program) showKeys(keys []heldKey) error {
	return p.show(keys, func() error {
		t := p.table(column{title: "KEY"}, column{title: "SIGNS"}, column{title: "HOSTS", right: true}, column{title: "NAME", shrinks: true}, column{title: "WHERE", shrinks: true}, column{title: "PUBLIC"})
		for _, key := range keys {
			signs, hosts := "-", "-"
			if key.Signs {
				signs = "yes"
			}
			if key.Hosts != nil {
				hosts = fmt.Sprint(*key.Hosts)
			}
			t.row(key.ID, signs, hosts, orDash(key.Name), key.Where, key.Public)
		}
		return t.write(p.stdout)
	})
}

// heldKeys looks into the key file, ssh-agent and the file of trusted keys.
func (p *program) heldKeys() ([]heldKey, error) {
	access := p.access()
	var signing ed25519.PublicKey
	if access.KeyFile != "" || access.Key != "" {
		signer, err := access.Signer()
		if err != nil {
			return nil, err
		}
		signing = signer.Public()
	}
	keys := []heldKey{}
	add := func(key ed25519.PublicKey, where, name string) {
		id := seal.KeyID(key)
		if !slices.ContainsFunc(keys, func(k heldKey) bool { return k.ID == id }) {
			keys = append(keys, heldKey{ID: id, Public: seal.PublicText(key), Where: where, Name: name, Signs: key.Equal(signing)})
		}
	}
	if access.KeyFile != "" {
		add(signing, access.KeyFile, "")
	}
	if access.AgentSocket != "" {
		agent, err := sshagent.Dial(access.AgentSocket)
		if err != nil && access.Key != "" {
			return nil, err
		}
		if err == nil {
			defer agent.Close()
			for _, key := range agent.Keys() {
				add(key.Public(), "ssh-agent", key.Comment)
			}
		}
	}
	trusted, err := access.Trusted()
	for _, key := range trusted {
		add(key.Key, "trusted_keys", key.Name)
	}
	return keys, err
}

func newKeyTrust(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "trust [KEY [NAME]]", Args: arguments(0, 2),
		Short:   "Trust another person's key, or tell hosts how to trust yours",
		Long:    "Without a key: print what makes a host obey yours. With one: trust another person's key. To pause a task, or to give it to further hosts, is to sign it\nanew; fleetctl does so only with tasks that you signed, or somebody whose key you trust, and\nnever on a collector's word. Hosts have their own say: what they obey stands in\n/etc/fleetcron/policy.yaml on each of them, and no collector can change it.",
		Example: "  fleetctl key trust fck1.x2pdsHXTLxMGYi_5PV4jd-FNHoOAGveaOWx1464X_Ww \"ben, team data\"",
		RunE: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return p.ownKey()
			case 1:
				return p.trustKey(args[0], "")
			}
			return p.trustKey(args[0], args[1])
		},
	}
}

// ownKey says what makes a host obey this person's key.
func (p *program) ownKey() error {
	signer, err := p.access().Signer()
	if err != nil {
		return err
	}
	key := signer.Public()
	answer := heldKey{ID: seal.KeyID(key), Public: seal.PublicText(key), Where: orWord(p.settings.KeyFile, p.settings.Key), Signs: true}
	return p.show(answer, func() error {
		p.say("fleetcron-agent policy trust %s", answer.Public)
		p.note("as root on each host that shall obey key %s; --namespace limits it there", answer.ID)
		return nil
	})
}

func (p *program) trustKey(text, name string) error {
	key, err := seal.ParsePublic(text)
	if err != nil {
		return err
	}
	if visible.Line(name) != name || len(name) > 100 {
		return fleet.Errorf(fleet.Usage, "name %q: want a short name in one line", name)
	}
	access := p.access()
	trusted, err := access.Trusted()
	if err != nil {
		return err
	}
	id := seal.KeyID(key)
	answer := heldKey{ID: id, Public: text, Where: access.TrustedKeys, Name: name}
	for _, other := range trusted {
		if other.Key.Equal(key) {
			answer.Name = other.Name
			return p.show(answer, func() error { p.say("key %s is trusted already: %s", id, orDash(other.Name)); return nil })
		}
	}
	if err := os.MkdirAll(filepath.Dir(access.TrustedKeys), 0o700); err != nil {
		return fleet.Errorf(fleet.Usage, "%v", err)
	}
	file, err := os.OpenFile(access.TrustedKeys, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fleet.Errorf(fleet.Usage, "trusted_keys: %v", err)
	}
	_, err = file.WriteString(strings.TrimSpace(text+" "+name) + "\n")
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("trusted_keys: %w", err)
	}
	return p.show(answer, func() error {
		p.say("key %s is trusted: you may pause and assign what it signed", id)
		p.note("for hosts to obey it, on each as root: fleetcron-agent policy trust %s", text)
		return nil
	})
}
