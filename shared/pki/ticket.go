package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Ticket lets a member of gossip wear the tags of its role. It is small enough
// for a member's tags, where no certificate fits: instead of one it carries a
// voucher, which is the root's word that a collector's key may sign tickets, for
// agents and for that collector itself. The name and the role are not in it; who
// looks at a ticket says whom it must be of.
type Ticket struct {
	ID      ID
	Expires time.Time // to the second
}

// What is signed begins with its purpose, so that one signature cannot be
// shown for another.
const (
	ticketPurpose  = "fleetcron gossip ticket 1\n"
	voucherPurpose = "fleetcron gossip voucher 1\n"
)

const (
	pointSize     = 33 // a public key on P-256, compressed
	signatureSize = 64 // r and s
	timeSize      = 8  // seconds since 1970, big endian
	ticketVersion = 1
	maxTicket     = 512
)

// voucherExtension is where an issuer's certificate carries its voucher: an
// octet string in the arc of numbers that nobody hands out.
var voucherExtension = asn1.ObjectIdentifier{2, 25, 1862735204}

// vouch lets the root vouch for a collector's key.
func (a *Authority) vouch(cluster, collector string, key *ecdsa.PublicKey, expires time.Time) ([]byte, error) {
	if !fleet.ValidName(collector) {
		return nil, fmt.Errorf("vouch: %q is no collector id", collector)
	}
	body := append([]byte{byte(len(collector))}, collector...)
	point, err := compress(key)
	if err != nil {
		return nil, err
	}
	body = append(body, point...)
	body = binary.BigEndian.AppendUint64(body, uint64(expires.Unix()))
	return signed(a.Key, voucherPurpose+cluster+"\n", body)
}

// Sign returns the ticket as text, signed by a collector's issuer.
func (t Ticket) Sign(issuer *Authority) (string, error) {
	if !t.ID.Valid() {
		return "", fmt.Errorf("sign ticket: %s is nobody", t.ID)
	}
	at := slices.IndexFunc(issuer.Certificate.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(voucherExtension) })
	if at < 0 {
		return "", errors.New("sign ticket: the issuer's certificate carries no voucher")
	}
	voucher := issuer.Certificate.Extensions[at].Value
	body := append([]byte{ticketVersion}, voucher...)
	body = binary.BigEndian.AppendUint64(body, uint64(t.Expires.Unix()))
	whole, err := signed(issuer.Key, t.purpose(), body)
	return base64.RawURLEncoding.EncodeToString(whole), err
}

// purpose holds what the ticket is about and does not carry.
func (t Ticket) purpose() string { return ticketPurpose + t.ID.URI().String() + "\n" }

// VerifyTicket decides whether the text is a ticket of id, by a collector that
// the root vouches for, at the time. The error is for people; it does not say
// more to who sent the ticket than that it does not count.
func VerifyTicket(text string, id ID, root *x509.Certificate, at time.Time) (Ticket, error) {
	t := Ticket{ID: id}
	whole, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(text) > maxTicket || !id.Valid() || len(whole) < 2 || whole[0] != ticketVersion {
		return t, fmt.Errorf("gossip ticket of %s: is none", id)
	}
	collector, key, voucher, err := openVoucher(whole[1:], id.Cluster, root, at)
	if err != nil {
		return t, fmt.Errorf("gossip ticket of %s: %w", id, err)
	}
	if id.Role != RoleAgent && (id.Role != RoleCollector || id.Name != collector) {
		return t, fmt.Errorf("gossip ticket of %s: collector %s vouches for agents and for itself", id, collector)
	}
	if len(whole) != 1+len(voucher)+timeSize+signatureSize || !opened(key, t.purpose(), whole) {
		return t, fmt.Errorf("gossip ticket of %s: the signature is not of collector %s, or for somebody else", id, collector)
	}
	t.Expires = instant(whole[1+len(voucher):])
	if !at.Before(t.Expires) {
		return t, fmt.Errorf("gossip ticket of %s: expired %s", id, t.Expires.Format(time.RFC3339))
	}
	return t, nil
}

// openVoucher reads the voucher that text begins with.
func openVoucher(text []byte, cluster string, root *x509.Certificate, at time.Time) (collector string, key *ecdsa.PublicKey, voucher []byte, err error) {
	name := int(text[0])
	size := 1 + name + pointSize + timeSize + signatureSize
	rootKey, is := root.PublicKey.(*ecdsa.PublicKey)
	if len(text) < size || !is {
		return "", nil, nil, fmt.Errorf("is none")
	}
	voucher, collector = text[:size], string(text[1:1+name])
	key = expand(text[1+name : 1+name+pointSize])
	if key == nil || !opened(rootKey, voucherPurpose+cluster+"\n", voucher) {
		return "", nil, nil, fmt.Errorf("the root does not vouch for who signed it")
	}
	if until := instant(text[1+name+pointSize:]); !at.Before(until) {
		return "", nil, nil, fmt.Errorf("the root's word for collector %s expired %s", collector, until.Format(time.RFC3339))
	}
	return collector, key, voucher, nil
}

// compress returns a public key as SEC 1 writes it in 33 bytes.
func compress(key *ecdsa.PublicKey) ([]byte, error) {
	whole, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	return append([]byte{2 | whole[len(whole)-1]&1}, whole[1:pointSize]...), nil
}

// expand reads what compress wrote; nil: it is no key.
func expand(point []byte) *ecdsa.PublicKey {
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), point)
	if x == nil {
		return nil
	}
	whole := append([]byte{4}, x.FillBytes(make([]byte, pointSize-1))...)
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(whole, y.FillBytes(make([]byte, pointSize-1))...))
	if err != nil {
		return nil
	}
	return key
}

func instant(text []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(text)), 0).UTC()
}

// signed returns body with the signature of purpose and body behind it.
func signed(key *ecdsa.PrivateKey, purpose string, body []byte) ([]byte, error) {
	digest := sha256.Sum256(append([]byte(purpose), body...))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return nil, err
	}
	return append(body, append(r.FillBytes(make([]byte, signatureSize/2)), s.FillBytes(make([]byte, signatureSize/2))...)...), nil
}

// opened reports whether whole ends with the signature of the rest.
func opened(key *ecdsa.PublicKey, purpose string, whole []byte) bool {
	at := len(whole) - signatureSize
	digest := sha256.Sum256(append([]byte(purpose), whole[:at]...))
	r, s := new(big.Int).SetBytes(whole[at:at+signatureSize/2]), new(big.Int).SetBytes(whole[at+signatureSize/2:])
	return ecdsa.Verify(key, digest[:], r, s)
}
