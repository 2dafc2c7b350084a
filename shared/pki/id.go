package pki

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Role is what a certificate's holder is.
type Role string

// The roles. The zero value is nobody.
const (
	RoleAgent     Role = "agent"     // a host; signed by a collector's issuer
	RoleCollector Role = "collector" // signed by the root itself
	RoleOperator  Role = "operator"  // a person; signed by the root itself
)

// ID is who a certificate says its holder is.
type ID struct {
	Cluster string // 32 hex digits
	Role    Role
	Name    string // of an agent: its host id; of a collector: its id
}

const (
	scheme     = "spiffe"
	hostPrefix = "fc-"
)

var clusterPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// ValidCluster reports whether s has the form of a cluster's id.
func ValidCluster(s string) bool { return clusterPattern.MatchString(s) }

// URI returns the id as it stands in a certificate, such as
// spiffe://fc-<cluster>/agent/<host id>.
func (id ID) URI() *url.URL {
	return &url.URL{Scheme: scheme, Host: hostPrefix + id.Cluster, Path: "/" + string(id.Role) + "/" + id.Name}
}

// String returns role and name, such as "agent 0192…".
func (id ID) String() string {
	if id.Role == "" {
		return "nobody"
	}
	return string(id.Role) + " " + id.Name
}

// Valid reports whether the id names somebody who can be.
func (id ID) Valid() bool {
	switch id.Role {
	case RoleAgent:
		return ValidCluster(id.Cluster) && fleet.HostID(id.Name).Valid()
	case RoleCollector, RoleOperator:
		return ValidCluster(id.Cluster) && fleet.ValidName(id.Name)
	}
	return false
}

// IDOf returns who a certificate names: it must hold exactly one URI, and that
// one must be ours. The error is a *PeerError with the code CodeIdentity.
func IDOf(cert *x509.Certificate) (ID, error) {
	if len(cert.URIs) != 1 {
		return ID{}, &PeerError{Code: CodeIdentity, Reason: fmt.Sprintf("the certificate holds %d URIs, want exactly one", len(cert.URIs))}
	}
	uri := cert.URIs[0].String()
	host, path, _ := strings.Cut(strings.TrimPrefix(uri, scheme+"://"+hostPrefix), "/")
	role, name, _ := strings.Cut(path, "/")
	id := ID{Cluster: host, Role: Role(role), Name: name}
	if !id.Valid() || id.URI().String() != uri {
		return ID{}, &PeerError{Code: CodeIdentity, Reason: fmt.Sprintf("%.120q names nobody of a fleet", uri)}
	}
	return id, nil
}

// clusterOf returns the cluster that a root or an issuer was made for.
func clusterOf(authority *x509.Certificate) (string, error) {
	if len(authority.URIs) == 1 {
		uri := authority.URIs[0]
		cluster := strings.TrimPrefix(uri.Host, hostPrefix)
		if ValidCluster(cluster) && uri.String() == domain(cluster).String() {
			return cluster, nil
		}
	}
	return "", &PeerError{Code: CodeIdentity, Reason: "the CA certificate names no cluster"}
}

// domain is the URI that stands in an authority's own certificate.
func domain(cluster string) *url.URL { return &url.URL{Scheme: scheme, Host: hostPrefix + cluster} }
