package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// PayloadType is what our signatures are about, and nothing else is.
const PayloadType = "application/vnd.fleetcron.statement.v1+json"

// MaxEnvelope bounds an envelope in bytes: a calendar of fleet.MaxWindows windows
// fits. MaxSignatures is how many signatures it may carry.
const (
	MaxEnvelope   = 1 << 20
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
// must be valid, and be read again as it is.
func Sign(s *Statement, signer Signer) (*Envelope, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	payload, err := write(s)
	if err != nil {
		return nil, err
	}
	e := &Envelope{PayloadType: PayloadType, Payload: payload}
	if _, err := e.Statement(); err != nil {
		return nil, err
	}
	if err := e.Add(signer); err != nil {
		return nil, err
	}
	if n := len(e.Marshal()) + (MaxSignatures-1)*signatureSize; n > MaxEnvelope {
		return nil, fleet.Errorf(fleet.TooLarge, "the statement about %s makes an envelope of %d bytes, at most %d are read", s.Object(), n, MaxEnvelope).WithCode("size")
	}
	return e, nil
}

// signatureSize is how many bytes one signature takes in an envelope.
const signatureSize = 150

// write returns the bytes that are signed.
func write(s *Statement) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return nil, &fleet.Error{Kind: fleet.Invalid, Message: "the statement cannot be written", Err: err}
	}
	payload := bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	// encoding/json writes this escape for a byte that is no UTF-8, and the
	// character itself where it was meant.
	if bytes.Contains(bytes.ReplaceAll(payload, []byte(`\\`), nil), []byte(`\ufffd`)) {
		return nil, fleet.Errorf(fleet.Invalid, "the statement about %s holds bytes that are no UTF-8", s.Object()).WithCode("json_utf8")
	}
	return payload, nil
}

// Add signs the very bytes once more. A key that signed already adds nothing.
func (e *Envelope) Add(signer Signer) error {
	message := encoding(e.PayloadType, e.Payload)
	key := signer.Public()
	if len(key) != ed25519.PublicKeySize {
		return fleet.Errorf(fleet.Refused, "not signed: the key has %d bytes and is no Ed25519 key", len(key))
	}
	for _, s := range e.Signatures {
		if ed25519.Verify(key, message, s.Sig) {
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
	if !ed25519.Verify(key, message, sig) {
		return fleet.Errorf(fleet.Refused, "not signed: what signs gave a signature that is not of key %s", KeyID(key))
	}
	e.Signatures = append(e.Signatures, Signature{KeyID: KeyID(key), Sig: sig})
	return nil
}

// Signers returns those of the keys whose signature the envelope carries, each
// once, in the order of keys. It is all that decides who said it: what an
// envelope says of its keys, and how often one signed, counts for nothing.
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
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return &s, nil
}

// Marshal returns the envelope as JSON.
func (e *Envelope) Marshal() []byte {
	text, _ := json.Marshal(e) // strings and bytes cannot fail
	return text
}

// Parse reads an envelope. The error is Invalid with the code of DecodeStrict or
// "signature", or TooLarge with the code "size".
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
		return nil, fleet.Invalidf("payloadType", e.PayloadType, "want %s", PayloadType).WithCode("signature")
	case len(e.Signatures) == 0 || len(e.Signatures) > MaxSignatures:
		return nil, fleet.Invalidf("signatures", strconv.Itoa(len(e.Signatures)), "want 1 to %d", MaxSignatures).WithCode("signature")
	}
	return &e, nil
}

// encoding is DSSE's pre-authentication encoding, the bytes that are signed.
func encoding(payloadType string, payload []byte) []byte {
	b := make([]byte, 0, len("DSSEv1    ")+len(payloadType)+len(payload)+20)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(append(append(b, ' '), payloadType...), ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	return append(append(b, ' '), payload...)
}
