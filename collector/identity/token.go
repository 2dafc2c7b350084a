package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

const tokenPrefix = "fct1_"

// tokenPattern is a token's text: id, then 32 bytes as base64 for URLs.
var tokenPattern = regexp.MustCompile(`^fct1_([a-z0-9]{8})_[A-Za-z0-9_-]{43}$`)

// NewToken draws a person's token. The text is shown once; the hash is kept.
func NewToken() (id, text string, hash []byte) {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails: it ends the process instead
	id = pki.NewTokenID()
	text = tokenPrefix + id + "_" + base64.RawURLEncoding.EncodeToString(secret)
	return id, text, hashOf(text)
}

// ParseToken returns the id in a token's text and the hash to look for. The
// error says nothing of the text. Whether the token counts is for the ledger to
// say, which compares in constant time.
func ParseToken(text string) (id string, hash []byte, err error) {
	text = strings.TrimSpace(text)
	match := tokenPattern.FindStringSubmatch(text)
	if match == nil {
		return "", nil, fleet.Errorf(fleet.Unauthenticated, "the token does not count").WithCode("token_invalid").
			WithHint("fleetctl token create makes one; fleetctl whoami shows which one is used")
	}
	return match[1], hashOf(text), nil
}

func hashOf(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}
