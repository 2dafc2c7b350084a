package pki

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"time"
)

// Authority is a key that signs certificates, and its own certificate: a
// cluster's root, or a collector's issuer. It is what a certificate of ours
// looks like; whom to make one for is not decided here.
type Authority struct {
	Certificate *x509.Certificate
	Key         *ecdsa.PrivateKey
}

// Span is when a certificate counts.
type Span struct{ From, Until time.Time }

// behind is by how much a host's clock may be slow when its certificate is new.
const behind = time.Hour

// SpanOf returns the span that begins now and lasts for life. On paper it begins
// an hour earlier, for hosts whose clock is behind, or a tenth of a shorter life.
func SpanOf(now time.Time, life time.Duration) Span {
	early := behind
	if life > 0 {
		early = min(behind, life/10)
	}
	return Span{From: now.Add(-early).UTC(), Until: now.Add(life).UTC()}
}

// NewRoot makes the root of a cluster.
func NewRoot(cluster string, span Span) (*Authority, error) {
	if !ValidCluster(cluster) {
		return nil, fmt.Errorf("make root: %q is no cluster id", cluster)
	}
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "fleetcron root"}, URIs: []*url.URL{domain(cluster)},
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1, KeyUsage: x509.KeyUsageCertSign,
	}
	self := &Authority{Certificate: template, Key: key}
	self.Certificate, err = self.sign(template, &key.PublicKey, span)
	return self, err
}

// Cluster returns the cluster that the authority was made for.
func (a *Authority) Cluster() (string, error) { return clusterOf(a.Certificate) }

// Issuer signs the certificate of a collector's own authority. Below it only
// agents can be: it has no purpose but that of a client, and every verifier of
// ours refuses another role below it.
//
// The certificate carries the root's voucher for gossip tickets.
func (a *Authority) Issuer(public *ecdsa.PublicKey, collector string, span Span) (*x509.Certificate, error) {
	cluster, err := clusterOf(a.Certificate)
	if err != nil {
		return nil, err
	}
	voucher, err := a.vouch(cluster, collector, public, span.Until)
	if err != nil {
		return nil, err
	}
	return a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "fleetcron issuer " + collector}, URIs: []*url.URL{domain(cluster)},
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 0, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		ExtraExtensions: []pkix.Extension{{Id: voucherExtension, Value: voucher}},
	}, public, span)
}

// Leaf signs the certificate of who is named. The hosts are DNS names and
// addresses for browsers, of a collector alone; no part of fleetcron reads them.
func (a *Authority) Leaf(public *ecdsa.PublicKey, id ID, span Span, hosts ...string) (*x509.Certificate, error) {
	if cluster, err := clusterOf(a.Certificate); err != nil || !id.Valid() || id.Cluster != cluster {
		return nil, errors.Join(fmt.Errorf("sign certificate: %s is nobody of this cluster", id), err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: id.String()}, URIs: []*url.URL{id.URI()},
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if id.Role == RoleCollector {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		for _, host := range hosts {
			if address, err := netip.ParseAddr(host); err == nil {
				template.IPAddresses = append(template.IPAddresses, net.IP(address.AsSlice()))
			} else {
				template.DNSNames = append(template.DNSNames, host)
			}
		}
	}
	return a.sign(template, public, span)
}

// sign fills in what all certificates have.
func (a *Authority) sign(template *x509.Certificate, public *ecdsa.PublicKey, span Span) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	rand.Read(serial)                 // never fails: it ends the process instead
	serial[0] = serial[0]&0x7f | 0x40 // positive, and always of the same length
	template.SerialNumber = new(big.Int).SetBytes(serial)
	template.NotBefore, template.NotAfter = span.From, span.Until
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, public, a.Key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}
