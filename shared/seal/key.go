package seal

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Key is a key of this machine. It is a Signer.
type Key struct{ private ed25519.PrivateKey }

// NewKey makes a key.
func NewKey() (Key, error) {
	_, private, err := ed25519.GenerateKey(nil)
	return Key{private}, err
}

// Public returns the public half.
func (k Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// Sign signs the message as it is.
func (k Key) Sign(message []byte) ([]byte, error) { return ed25519.Sign(k.private, message), nil }

// ParsePublic reads what PublicText wrote.
func ParsePublic(text string) (ed25519.PublicKey, error) {
	encoded, ours := strings.CutPrefix(text, publicPrefix)
	key, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ours || err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fleet.Invalidf("key", text, "want a public key such as fck1.… with 43 characters after the dot").
			WithHint("fleetctl key list shows yours")
	}
	return key, nil
}
