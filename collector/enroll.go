package collector

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// Enroll gives this collector an identity in the cluster that the token is of.
// The token's secret is sent only to a collector below the root that the token
// names.
func Enroll(ctx context.Context, cfg Config, token pki.JoinSecret, addresses []string) (api.Enrolled, error) {
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return api.Enrolled{}, err
	}
	defer lock.Close()
	if err := unborn(&cfg); err != nil {
		return api.Enrolled{}, err
	}
	keys, err := identity.NewKeys()
	if err != nil {
		return api.Enrolled{}, err
	}
	own, issuer, err := requests(keys)
	if err != nil {
		return api.Enrolled{}, err
	}
	var root *x509.Certificate
	client, err := api.NewClient(api.Config{
		Addresses: addresses, UserAgent: "fleetcron-collector/" + cfg.Version, Rounds: 1,
		TLS: pki.PinnedTLS(token.Pin, func(seen *x509.Certificate) { root = seen }),
	})
	if err != nil {
		return api.Enrolled{}, err
	}
	defer client.Close()
	got, err := client.Enroll(ctx, api.Enroll{
		Token: token.Text(), Request: own, Intermediate: issuer, Name: cfg.ID,
		Raft: cfg.reached(cfg.Listen.Raft), API: cfg.apiURL(), Hosts: cfg.hosts(),
	})
	if err != nil {
		return got, err
	}
	return got, settle(&cfg, keys, got, pki.EncodeCertificates(root), addresses)
}

// unborn refuses a collector that is somebody.
func unborn(cfg *Config) error {
	_, err := os.Lstat(filepath.Join(cfg.identityDir(), "chain.pem"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, fleet.Errorf(fleet.Conflict, "%s is there already: this collector belongs to a cluster", cfg.identityDir()).
		WithCode("exists").WithHint("fleetcron-collector run starts it; to join another cluster begin with an empty data_dir"))
}

// requests returns a certificate request for each key.
func requests(keys identity.Keys) (own, issuer string, err error) {
	first, err := pki.Request(keys.Own)
	if err != nil {
		return "", "", err
	}
	second, err := pki.Request(keys.Issuer)
	return string(first), string(second), err
}

// settle keeps what was issued: the gossip keys, where the others are, and
// last the identity.
func settle(cfg *Config, keys identity.Keys, got api.Enrolled, root []byte, addresses []string) error {
	authority, credentials, err := keys.Take([]byte(got.Chain), []byte(got.Intermediate), root)
	if err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	if id := credentials.ID(); id.Name != cfg.ID {
		return fleet.Errorf(fleet.Conflict, "the token is of collector %s, this is %s", id.Name, cfg.ID).
			WithCode("collector_id_mismatch").WithHint("set id to %s, or make a token for %s", id.Name, cfg.ID)
	}
	if got.Gossip != nil {
		if _, err := gossip.MakeRing(cfg.keyFile(), got.Gossip.Keys...); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("enrol: %w", err)
		}
	}
	if err := cfg.remember(append(addresses, got.Collectors...)); err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	return self{credentials, authority}.save(cfg)
}

// membersFile keeps the API addresses of the members that enroll was told.
func (c *Config) membersFile() string { return filepath.Join(c.identityDir(), "collectors") }

func (c *Config) remember(addresses []string) error {
	return pki.WritePrivate(c.membersFile(), []byte(strings.Join(addresses, "\n")+"\n"))
}

// members are the API addresses at which the others may be found.
func (c *Config) members() []string {
	if len(c.Join) > 0 {
		return c.Join
	}
	text, err := os.ReadFile(c.membersFile())
	if err != nil {
		return nil // nobody told
	}
	return strings.Fields(string(text))
}

// ByHand is a collector's request to whoever holds the root key, and the
// answer: files that people carry.
type ByHand struct {
	Collector    fleet.CollectorID `json:"collector"`
	Request      string            `json:"request,omitempty"`      // PEM
	Intermediate string            `json:"intermediate,omitempty"` // PEM: in a request a request, in an answer a certificate
	Hosts        []string          `json:"hosts,omitempty"`
	Chain        string            `json:"chain,omitempty"` // PEM, of an answer
	CA           string            `json:"ca,omitempty"`    // PEM, of an answer
}

// pendingDir keeps the keys of a request until the answer comes.
func (c *Config) pendingDir() string { return filepath.Join(c.identityDir(), "pending") }

// WriteRequest makes new keys for this collector and returns the request that
// fleetcron-collector issue answers. An identity that is there stays until then.
func WriteRequest(cfg Config) (ByHand, error) {
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return ByHand{}, err
	}
	defer lock.Close()
	keys, err := identity.NewKeys()
	if err != nil {
		return ByHand{}, err
	}
	own, issuer, err := requests(keys)
	if err != nil {
		return ByHand{}, err
	}
	return ByHand{Collector: fleet.CollectorID(cfg.ID), Request: own, Intermediate: issuer, Hosts: cfg.hosts()}, keys.Save(cfg.pendingDir())
}

// Issue answers a request with the root's key.
func Issue(rootKey, rootCert string, request ByHand, now time.Time) (ByHand, error) {
	root, err := identity.LoadRoot(rootKey, rootCert)
	if err != nil {
		return ByHand{}, err
	}
	own, err := identity.ParseRequest([]byte(request.Request))
	if err != nil {
		return ByHand{}, err
	}
	issuer, err := identity.ParseRequest([]byte(request.Intermediate))
	if err != nil {
		return ByHand{}, err
	}
	made, err := identity.IssueByHand(root, own, issuer, request.Collector, request.Hosts, now)
	return ByHand{
		Collector: request.Collector, Chain: string(made.Chain), Intermediate: string(made.Intermediate),
		CA: string(pki.EncodeCertificates(root.Certificate)),
	}, err
}

// TakeIssued puts the answer to WriteRequest in force. The members' addresses
// are for a collector that is to join.
func TakeIssued(cfg Config, answer ByHand, addresses []string) error {
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	keys, err := identity.LoadKeys(cfg.pendingDir())
	if err != nil {
		return fmt.Errorf("no request waits for an answer: %w", err)
	}
	if old, err := pki.LoadCredentials(cfg.identityDir()); err == nil && string(pki.EncodeCertificates(old.Root())) != answer.CA {
		return fleet.Errorf(fleet.Conflict, "the answer is of another cluster than %s", old.ID().Cluster).WithCode("other_cluster")
	}
	if len(addresses) == 0 {
		addresses = cfg.members()
	}
	if err := settle(&cfg, keys, api.Enrolled{Chain: answer.Chain, Intermediate: answer.Intermediate}, []byte(answer.CA), addresses); err != nil {
		return err
	}
	return os.RemoveAll(cfg.pendingDir())
}

// ParseByHand reads a request or an answer.
func ParseByHand(text []byte) (ByHand, error) {
	var file ByHand
	if err := json.Unmarshal(text, &file); err != nil || !fleet.ValidName(string(file.Collector)) {
		return file, fleet.Errorf(fleet.Invalid, "this is no file of fleetcron-collector enroll --write-request or issue")
	}
	return file, nil
}
