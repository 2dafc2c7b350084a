package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// PayloadType is what our signatures are about, and nothing else is.
const PayloadType = "application/vnd.fleetcron.statement.v1+json"

// MaxEnvelope bounds an envelope in bytes; MaxSignatures how many signatures it
// may carry.
const (
	MaxEnvelope   = 256 << 10
	MaxSignatures = 8
)

// Envelope is a payload with its signatures, as JSON:
// {"payloadType","payload","signatures":[{"keyid","sig"}]}. The key ids are
// hints for people; a signature counts for the key that verifies it.
type Envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     []byte      `json:"payload"`
	Signatures  []Signature `json:"signatures"`
}

// Signature is one key's signature over the encoding of an envelope.
type Signature struct {
	KeyID string `json:"keyid"`
	Sig   []byte `json:"sig"`
}

// Signer signs with one key: a key of this machine, or of an agent that holds it.
type Signer interface {
	Public() ed25519.PublicKey
	Sign(message []byte) ([]byte, error)
}

// KeyID returns the id of a key: the first 16 hex digits of its SHA-256.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// Sign returns the statement in an envelope with one signature. The statement
// must be valid.
func Sign(s *Statement, signer Signer) (*Envelope, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(s)
	if err != nil {
		return nil, &fleet.Error{Kind: fleet.Invalid, Message: "the statement cannot be written", Err: err}
	}
	e := &Envelope{PayloadType: PayloadType, Payload: payload}
	return e, e.Add(signer)
}

// Add signs the very bytes once more. A key that signed already adds nothing.
func (e *Envelope) Add(signer Signer) error {
	message := encoding(e.PayloadType, e.Payload)
	for _, s := range e.Signatures {
		if ed25519.Verify(signer.Public(), message, s.Sig) {
			return nil
		}
	}
	if len(e.Signatures) >= MaxSignatures {
		return fleet.Errorf(fleet.Refused, "the statement has %d signatures already", len(e.Signatures))
	}
	sig, err := signer.Sign(message)
	if err != nil {
		return &fleet.Error{Kind: fleet.Refused, Message: "not signed", Err: err}
	}
	e.Signatures = append(e.Signatures, Signature{KeyID: KeyID(signer.Public()), Sig: sig})
	return nil
}

// Signers returns those of the keys whose signature the envelope carries, each
// once, in the order of keys. It is all that decides who said it.
func (e *Envelope) Signers(keys []ed25519.PublicKey) []ed25519.PublicKey {
	if e.PayloadType != PayloadType || len(e.Signatures) > MaxSignatures {
		return nil
	}
	message := encoding(e.PayloadType, e.Payload)
	var signers []ed25519.PublicKey
	for _, key := range keys {
		if len(key) != ed25519.PublicKeySize || slices.ContainsFunc(signers, func(other ed25519.PublicKey) bool { return bytes.Equal(key, other) }) {
			continue
		}
		if slices.ContainsFunc(e.Signatures, func(s Signature) bool { return ed25519.Verify(key, message, s.Sig) }) {
			signers = append(signers, key)
		}
	}
	return signers
}

// Digest returns the SHA-256 of the payload as hex: two envelopes of one digest
// say the same, whoever signed.
func (e *Envelope) Digest() string {
	sum := sha256.Sum256(e.Payload)
	return hex.EncodeToString(sum[:])
}

// Statement reads what is said, whoever said it: for showing and for storing.
// Who obeys it calls Signers first.
func (e *Envelope) Statement() (*Statement, error) {
	var s Statement
	if err := DecodeStrict(e.Payload, &s); err != nil {
		return nil, err
	}
	return &s, s.Validate()
}

// Marshal returns the envelope as JSON.
func (e *Envelope) Marshal() []byte {
	text, _ := json.Marshal(e) // strings and bytes cannot fail
	return text
}

// Parse reads an envelope. The error is Invalid or TooLarge.
func Parse(text []byte) (*Envelope, error) {
	if len(text) > MaxEnvelope {
		return nil, fleet.Errorf(fleet.TooLarge, "the envelope has %d bytes, at most %d are read", len(text), MaxEnvelope).WithCode("size")
	}
	var e Envelope
	if err := DecodeStrict(text, &e); err != nil {
		return nil, err
	}
	switch {
	case e.PayloadType != PayloadType:
		return nil, fleet.Invalidf("payloadType", e.PayloadType, "want %s", PayloadType)
	case len(e.Signatures) == 0 || len(e.Signatures) > MaxSignatures:
		return nil, fleet.Invalidf("signatures", strconv.Itoa(len(e.Signatures)), "want 1 to %d", MaxSignatures)
	}
	return &e, nil
}

// encoding is DSSE's pre-authentication encoding.
func encoding(payloadType string, payload []byte) []byte {
	b := []byte("DSSEv1 ")
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(append(append(b, ' '), payloadType...), ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	return append(append(b, ' '), payload...)
}

// PublicText returns a public key as people copy it: "fck1." and base64.
func PublicText(key ed25519.PublicKey) string {
	return publicPrefix + base64.RawURLEncoding.EncodeToString(key)
}

const publicPrefix = "fck1."
