package collector

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// self is who a collector is, and what it may sign.
type self struct {
	credentials *pki.Credentials
	authority   *identity.Authority
}

func (c *Config) identityDir() string { return filepath.Join(c.DataDir, "identity") }

// loadSelf reads the identity that init, enroll or issue left.
func loadSelf(cfg *Config) (self, error) {
	credentials, err := pki.LoadCredentials(cfg.identityDir())
	if errors.Is(err, fs.ErrNotExist) {
		return self{}, fleet.Errorf(fleet.Usage, "collector %s has no identity in %s", cfg.ID, cfg.identityDir()).WithCode("no_identity").
			WithHint("fleetcron-collector init makes a new cluster; to join one: fleetctl enroll-token --collector %s there, then fleetcron-collector enroll here", cfg.ID)
	}
	if err != nil {
		return self{}, err
	}
	if id := credentials.ID(); id.Role != pki.RoleCollector || id.Name != cfg.ID {
		return self{}, fleet.Errorf(fleet.Conflict, "the certificate in %s is of %s, this is collector %s", cfg.identityDir(), id, cfg.ID).
			WithCode("other_member").WithHint("set id back to %s, or use an empty data_dir and enrol", id.Name)
	}
	authority, err := identity.Load(cfg.identityDir(), credentials)
	if err != nil {
		return self{}, fmt.Errorf("identity: %w", err)
	}
	return self{credentials, authority}, nil
}

// save writes what is there of an identity; the credentials, which count, last.
func (s self) save(cfg *Config) error {
	if err := s.authority.Save(cfg.identityDir()); err != nil {
		return err
	}
	return s.credentials.Save(cfg.identityDir())
}

// kinds translates the role of a certificate.
var kinds = map[pki.Role]fleet.PrincipalKind{pki.RoleAgent: fleet.AgentKind, pki.RoleCollector: fleet.CollectorKind}

// welcome judges certificates by what the ledger says of their nodes. The root
// vouches for a collector by itself, so one that the ledger does not know yet,
// or knows with an earlier certificate, is let in; one that a person suspended
// or revoked is not.
func welcome(admit func(kind fleet.PrincipalKind, id, serial string) error) pki.Judge {
	return func(id pki.ID, serial string) error {
		err := admit(kinds[id.Role], id.Name, serial)
		if id.Role == pki.RoleCollector {
			err = inForce(err)
		}
		refusal, is := errors.AsType[*fleet.Error](err)
		if !is {
			return err
		}
		return &pki.PeerError{Code: refusal.Code, Peer: id, Reason: refusal.Message, Hint: refusal.Hint}
	}
}

// inForce leaves of a refusal only what a person decided, and not what is about
// a certificate, or about a node that the ledger does not know yet.
func inForce(err error) error {
	refusal, is := errors.AsType[*fleet.Error](err)
	if is && (refusal.Code == "node_unknown" || refusal.Code == "node_serial") {
		return nil
	}
	return err
}

// hosts are the names and addresses under which browsers may call this collector.
func (c *Config) hosts() []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	for _, listener := range []string{c.Listen.Web, c.Listen.API} {
		if at, err := netip.ParseAddrPort(listener); err == nil && !at.Addr().IsUnspecified() {
			hosts = append(hosts, at.Addr().String())
		}
	}
	hosts = append(hosts, c.Hosts...)
	if c.Advertise != "" {
		hosts = append(hosts, c.Advertise)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}
