package identity

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"regexp"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// hostPattern is a DNS name, perhaps with a wildcard, or an address.
var hostPattern = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]{0,252})$|^[0-9a-fA-F:]{2,45}$`)

// How long certificates count.
const (
	rootLife      = 10 * 365 * 24 * time.Hour
	issuerLife    = 365 * 24 * time.Hour
	collectorLife = 365 * 24 * time.Hour
	// AgentLife is how long a host's certificate counts unless SetAgentLife says
	// otherwise; a host that sleeps longer is readmitted by a person.
	AgentLife = 7 * 24 * time.Hour
)

// Authority signs certificates for one cluster, on one collector. It is safe
// for concurrent use once it serves.
type Authority struct {
	cluster   string
	collector fleet.CollectorID
	issuer    *pki.Authority
	root      *pki.Authority // Key is nil while the root key is off line
	agents    time.Duration  // life of their certificates
}

// Issued is a certificate that was made just now.
type Issued struct {
	Serial       string
	Fingerprint  string // of the key
	Expires      time.Time
	Chain        []byte // PEM: the certificate, and the issuer's where one signed it
	Intermediate []byte // PEM: of a collector, the certificate of its own issuer
}

// Cluster returns the id of the cluster.
func (a *Authority) Cluster() string { return a.cluster }

// Root returns the certificate of the cluster's root.
func (a *Authority) Root() *x509.Certificate { return a.root.Certificate }

// Pin returns what a join token carries to know the root again.
func (a *Authority) Pin() string { return pki.Pin(a.root.Certificate) }

// SetAgentLife says how long the certificates of agents count from now on. It is
// called before the authority serves.
func (a *Authority) SetAgentLife(life time.Duration) { a.agents = life }

// HasRootKey reports whether collectors can be signed here.
func (a *Authority) HasRootKey() bool { return a.root.Key != nil }

// IssueAgent makes a certificate for a host. It ends no later than the issuer's.
func (a *Authority) IssueAgent(request Request, host fleet.HostID, now time.Time) (Issued, error) {
	id := pki.ID{Cluster: a.cluster, Role: pki.RoleAgent, Name: string(host)}
	span := pki.SpanOf(now, a.agents)
	if end := a.issuer.Certificate.NotAfter; span.Until.After(end) {
		span.Until = end
	}
	if !now.Before(span.Until) {
		return Issued{}, fleet.Errorf(fleet.Unavailable, "this collector's own issuer expired %s", span.Until.Format(time.RFC3339)).
			WithCode("issuer_expired").WithHint("fleetcron-collector issue with the root key, on collector %s", a.collector)
	}
	leaf, err := a.issuer.Leaf(request.public, id, span)
	if err != nil {
		return Issued{}, err
	}
	return issued(request, leaf, a.issuer.Certificate), nil
}

// IssueCollector makes the certificate of a collector and of its issuer, which
// only the root can. The hosts are names and addresses under which browsers
// call it. Without the root key it is refused: root_key_offline.
func (a *Authority) IssueCollector(request, issuer Request, id fleet.CollectorID, hosts []string, now time.Time) (Issued, error) {
	if a.root.Key == nil {
		return Issued{}, a.noRootKey()
	}
	return issueCollector(a.root, request.public, issuer.public, id, hosts, now)
}

func (a *Authority) noRootKey() error {
	return fleet.Errorf(fleet.Unavailable, "collector %s has no root key, and a collector's certificate is signed by the root", a.collector).
		WithCode("root_key_offline").WithHint("fleetcron-collector enroll --write-request FILE, then fleetcron-collector issue where the root key is")
}

// IssueByHand is IssueCollector where the root key is and no collector runs.
func IssueByHand(root *pki.Authority, request, issuer Request, id fleet.CollectorID, hosts []string, now time.Time) (Issued, error) {
	return issueCollector(root, request.public, issuer.public, id, hosts, now)
}

func issueCollector(root *pki.Authority, key, issuerKey *ecdsa.PublicKey, collector fleet.CollectorID, hosts []string, now time.Time) (Issued, error) {
	if key.Equal(issuerKey) {
		return Issued{}, refused("csr_key_type", "the collector and its issuer want a key each")
	}
	for _, host := range hosts {
		if !hostPattern.MatchString(host) {
			return Issued{}, fleet.Invalidf("hosts", host, "want a name or an address under which browsers call the collector").WithCode("csr_hosts")
		}
	}
	cluster, err := root.Cluster()
	if err != nil {
		return Issued{}, err
	}
	id := pki.ID{Cluster: cluster, Role: pki.RoleCollector, Name: string(collector)}
	leaf, err := root.Leaf(key, id, pki.SpanOf(now, collectorLife), hosts...)
	if err != nil {
		return Issued{}, err
	}
	own, err := root.Issuer(issuerKey, id.Name, pki.SpanOf(now, issuerLife))
	if err != nil {
		return Issued{}, err
	}
	made := issued(Request{Fingerprint: pki.Fingerprint(key)}, leaf)
	made.Intermediate = pki.EncodeCertificates(own)
	return made, nil
}

func issued(request Request, chain ...*x509.Certificate) Issued {
	return Issued{
		Serial: pki.Serial(chain[0]), Fingerprint: request.Fingerprint, Expires: chain[0].NotAfter,
		Chain: pki.EncodeCertificates(chain...),
	}
}

// Ticket returns a gossip ticket of an agent, or of this collector itself.
func (a *Authority) Ticket(id pki.ID, expires time.Time) (string, error) {
	if id.Role == pki.RoleCollector && id.Name != string(a.collector) {
		return "", errors.New("a collector vouches for agents and for itself")
	}
	return pki.Ticket{ID: id, Expires: expires}.Sign(a.issuer)
}

// Expires returns when the issuer's certificate ends, and with it the tickets.
func (a *Authority) Expires() time.Time { return a.issuer.Certificate.NotAfter }
