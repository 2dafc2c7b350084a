package collector

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/collector/replica"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// Kit is what init leaves for the first person: all that fleetctl needs, in a
// directory that only its owner reads.
type Kit struct {
	Cluster string
	Pin     string // of the root
	Dir     string // data_dir/admin
	RootKey string // the file that may be taken off line
	Address string // at which others reach this collector's API
}

// bootstrapLife is how long the first token counts, unless another admin's
// token ends it before.
const bootstrapLife = 365 * 24 * time.Hour

// electIn is how long a group of one may take to elect itself.
const electIn = 30 * time.Second

// Init makes a new cluster with this collector in it, once: its id and root,
// this collector's certificate and issuer, the gossip key, the first token and
// the first key to sign with. The kit is written last: without it an init did
// not end. One that fails leaves nothing behind.
func Init(ctx context.Context, cfg Config) (kit Kit, err error) {
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return Kit{}, err
	}
	defer lock.Close()
	if _, err := os.Lstat(cfg.identityDir()); !errors.Is(err, fs.ErrNotExist) {
		return Kit{}, errors.Join(err, fleet.Errorf(fleet.Conflict, "%s is there already: this collector belongs to a cluster", cfg.identityDir()).
			WithCode("exists").WithHint("fleetcron-collector run starts it; where an earlier init was cut off (no %s), empty %s and begin again", cfg.adminDir(), cfg.DataDir))
	}
	undo := undoing(&cfg)
	defer func() {
		if err != nil {
			undo()
		}
	}()
	var me self
	if me.authority, me.credentials, err = identity.Make(fleet.CollectorID(cfg.ID), cfg.hosts(), time.Now()); err != nil {
		return Kit{}, fmt.Errorf("init: %w", err)
	}
	if err := me.save(&cfg); err != nil {
		return Kit{}, fmt.Errorf("init: %w", err)
	}
	if _, err := gossip.MakeRing(cfg.keyFile()); err != nil && !errors.Is(err, fs.ErrExist) {
		return Kit{}, fmt.Errorf("init: %w", err)
	}
	token, err := found(ctx, &cfg, me)
	if err != nil {
		return Kit{}, fmt.Errorf("init: %w", err)
	}
	kit = Kit{
		Cluster: me.authority.Cluster(), Pin: me.authority.Pin(), Dir: cfg.adminDir(),
		RootKey: filepath.Join(cfg.identityDir(), identity.RootKeyFile), Address: cfg.apiURL(),
	}
	if err := writeKit(&cfg, me, token); err != nil {
		return Kit{}, fmt.Errorf("init: %w", err)
	}
	return kit, nil
}

// undoing returns what takes away that which is not there yet, and nothing else.
func undoing(cfg *Config) (undo func()) {
	var fresh []string
	for _, path := range []string{cfg.identityDir(), cfg.keyFile(), filepath.Join(cfg.DataDir, "ledger.db"), filepath.Join(cfg.DataDir, "raft"), cfg.adminDir() + ".new"} {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			fresh = append(fresh, path)
		}
	}
	return func() {
		for _, path := range fresh {
			_ = os.RemoveAll(path) // what is said is why init failed
		}
	}
}

func (c *Config) adminDir() string { return filepath.Join(c.DataDir, "admin") }

// found makes the raft group of one and has it agree on the first entries: this
// collector as a node, and the first token. It returns the token's text.
func found(ctx context.Context, cfg *Config, me self) (token string, err error) {
	book, err := openLedger(*cfg)
	if err != nil {
		return "", err
	}
	defer book.Close()
	settings := cfg.replica(me, book, slog.New(slog.DiscardHandler))
	settings.Bind = "127.0.0.1:0" // alone, it is called by nobody
	settings.Timing = replica.Timing{Heartbeat: 100 * time.Millisecond, Election: 100 * time.Millisecond, Lease: 100 * time.Millisecond}
	raft, err := replica.Open(settings)
	if err != nil {
		return "", fmt.Errorf("open replica: %w", err)
	}
	defer func() { err = errors.Join(err, raft.Close()) }()
	if err := raft.Bootstrap([]replica.Member{{ID: fleet.CollectorID(cfg.ID), Address: cfg.reached(cfg.Listen.Raft), Voter: true}}); err != nil {
		return "", err
	}
	done := false
	entries, token := firstEntries(cfg, me, time.Now().UTC())
	ctx, cancel := context.WithTimeoutCause(ctx, electIn, errors.New("the collector did not become the leader of itself"))
	defer cancel()
	err = raft.WhileLeading(ctx, func(ctx context.Context) error {
		for _, entry := range entries {
			if _, err := raft.Propose(ctx, entry); err != nil {
				return err
			}
		}
		done = true
		cancel()
		return nil
	})
	if err == nil && !done {
		err = context.Cause(ctx)
	}
	return token, err
}

// firstEntries are what a new cluster agrees on.
func firstEntries(cfg *Config, me self, now time.Time) (entries []ledger.Command, token string) {
	by := fleet.Principal{Kind: fleet.SystemKind, Name: cfg.ID}
	node := nodeOf(me.credentials)
	id, token, hash := identity.NewToken()
	return []ledger.Command{
		&ledger.Audited{
			At: now, By: by, Action: "node.put", Object: "collector " + cfg.ID, Why: "init",
			Command: &ledger.PutNode{Node: node, At: now, Actor: by.String()},
		},
		&ledger.Audited{
			At: now, By: by, Action: "token.put", Object: "token " + id, Why: "init",
			Command: &ledger.PutToken{Token: fleet.Token{
				ID: id, Name: "bootstrap", Hash: hash, Roles: []fleet.Role{fleet.Admin}, Namespaces: []string{fleet.Everywhere},
				Created: now, Expires: now.Add(bootstrapLife), By: by.String(), Bootstrap: true,
			}},
		},
	}, token
}

// nodeOf returns what the ledger keeps of a collector's certificate.
func nodeOf(c *pki.Credentials) fleet.Node {
	return fleet.Node{ID: c.ID().Name, Role: fleet.CollectorKind, Serial: c.Serial(), Fingerprint: c.Fingerprint(), Expires: c.NotAfter()}
}

// writeKit writes the directory under another name and gives it its own last.
func writeKit(cfg *Config, me self, token string) error {
	fresh := cfg.adminDir() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	key, err := seal.NewKey()
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"config.yaml":  fmt.Sprintf("address: %s\nca_file: ca.pem\ntoken_file: token\nkey_file: operator.key\n", cfg.apiURL()),
		"ca.pem":       string(pki.EncodeCertificates(me.credentials.Root())),
		"token":        token + "\n",
		"operator.pub": seal.PublicText(key.Public()) + "\n",
	} {
		if err := pki.WritePrivate(filepath.Join(fresh, name), []byte(content)); err != nil {
			return err
		}
	}
	if err := key.Save(filepath.Join(fresh, "operator.key")); err != nil {
		return err
	}
	return os.Rename(fresh, cfg.adminDir())
}
