package pki

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// vouched is what a holder of credentials says of a sum: whose word it is, and
// the word.
type vouched struct {
	Chain     [][]byte `json:"chain"` // DER, leaf first, without the root
	Signature []byte   `json:"signature"`
}

// Vouch signs a sum with the key of these credentials and returns that with the
// certificates that say whose it is. What says for what the sum is: a word about
// one thing is none about another.
func (c *Credentials) Vouch(what string, sum []byte) ([]byte, error) {
	held := c.held.Load()
	signature, err := ecdsa.SignASN1(rand.Reader, held.key, aboutOf(what, sum))
	if err != nil {
		return nil, fmt.Errorf("vouch for a %s: %w", what, err)
	}
	word := vouched{Signature: signature}
	for _, cert := range held.chain {
		word.Chain = append(word.Chain, cert.Raw)
	}
	return json.Marshal(word)
}

// Vouched returns who vouched for a sum, as of the instant when that was done:
// a certificate of the root that these credentials are below. The error is a
// PeerError where it is nobody's word, or that of somebody else.
func (c *Credentials) Vouched(what string, sum, word []byte, at time.Time) (ID, error) {
	var said vouched
	if err := json.Unmarshal(word, &said); err != nil || len(said.Chain) == 0 || len(said.Chain) > 4 {
		return ID{}, &PeerError{Code: CodeIdentity, Reason: "nobody vouches for the " + what, Err: err}
	}
	chain := make([]*x509.Certificate, len(said.Chain))
	for i, der := range said.Chain {
		var err error
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			return ID{}, &PeerError{Code: CodeIdentity, Reason: "the certificate of who vouches for the " + what + " cannot be read", Err: err}
		}
	}
	held := c.held.Load()
	id, err := verify(chain, held.pool, held.root, at)
	if err != nil {
		return ID{}, err
	}
	key, is := chain[0].PublicKey.(*ecdsa.PublicKey)
	if !is || !ecdsa.VerifyASN1(key, aboutOf(what, sum), said.Signature) {
		return ID{}, &PeerError{Code: CodeIdentity, Peer: id, Reason: "did not sign this " + what, Err: errors.New("the signature does not fit")}
	}
	return id, nil
}

// aboutOf is what is signed: the sum, and what it is of.
func aboutOf(what string, sum []byte) []byte {
	digest := sha256.Sum256(fmt.Appendf(nil, "fleetcron vouches for a %s\n%x\n", what, sum))
	return digest[:]
}
