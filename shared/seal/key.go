package seal

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// How keys are written: so that one is never taken for the other.
const (
	publicPrefix = "fck1."
	secretPrefix = "fcs1."
)

// Key is a key of this machine. It is a Signer. The zero value signs nothing.
type Key struct{ private ed25519.PrivateKey }

// NewKey makes a key.
func NewKey() (Key, error) {
	_, private, err := ed25519.GenerateKey(nil)
	return Key{private}, err
}

// Public returns the public half; nil of no key.
func (k Key) Public() ed25519.PublicKey {
	if k.private == nil {
		return nil
	}
	return k.private.Public().(ed25519.PublicKey)
}

// Sign signs the message as it is.
func (k Key) Sign(message []byte) ([]byte, error) {
	if k.private == nil {
		return nil, fleet.Errorf(fleet.Refused, "there is no key to sign with")
	}
	return ed25519.Sign(k.private, message), nil
}

// String hides the secret half from whoever prints a key.
func (k Key) String() string { return "key " + KeyID(k.Public()) }

// GoString hides it from %#v as well.
func (k Key) GoString() string { return k.String() }

// PublicText returns a public key as people copy it: "fck1." and base64.
func PublicText(key ed25519.PublicKey) string {
	return publicPrefix + base64.RawURLEncoding.EncodeToString(key)
}

// ParsePublic reads what PublicText wrote. A key that anybody can sign for is
// none.
func ParsePublic(text string) (ed25519.PublicKey, error) {
	encoded, ours := strings.CutPrefix(text, publicPrefix)
	key, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	switch {
	case strings.HasPrefix(text, secretPrefix):
		return nil, fleet.Invalidf("key", "", "is a secret key: never show it to anybody").WithHint("fleetctl key list shows the public half")
	case !ours || err != nil || len(key) != ed25519.PublicKeySize || PublicText(key) != text:
		return nil, fleet.Invalidf("key", text, "want a public key such as fck1.… with 43 characters after the dot").
			WithHint("fleetctl key list shows yours")
	case slices.Contains(weak, hex.EncodeToString(append(key[:31:31], key[31]&0x7f))):
		return nil, fleet.Invalidf("key", text, "is no secret of anybody: everyone can sign for it").WithHint("fleetctl key new makes a key")
	}
	return key, nil
}

// weak lists the points of small order without their sign, as RFC 8032 and as a
// careless reader would write them: for such a key one signature fits an eighth
// of all messages or more, whoever made it.
var weak = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}
