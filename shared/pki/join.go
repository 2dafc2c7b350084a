package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// JoinSecret is what a join token's text holds: which one it is, the secret,
// and how to know the fleet before the secret is sent.
type JoinSecret struct {
	ID     string // 8 lower-case letters and digits
	Secret [32]byte
	Pin    string // of the root, 64 hex digits
}

const joinPrefix = "fcj1."

var (
	tokenIDPattern = regexp.MustCompile(`^[a-z0-9]{8}$`)
	pinPattern     = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// NewJoinSecret draws a secret for the fleet with this pin.
func NewJoinSecret(pin string) JoinSecret {
	s := JoinSecret{ID: NewTokenID(), Pin: pin}
	rand.Read(s.Secret[:]) // never fails: it ends the process instead
	return s
}

// NewTokenID draws the id of a token of either kind.
func NewTokenID() string { return strings.ToLower(rand.Text()[:8]) }

// Text returns the token as people carry it: fcj1.<id>.<43 characters>.<pin>.
func (s JoinSecret) Text() string {
	return joinPrefix + s.ID + "." + base64.RawURLEncoding.EncodeToString(s.Secret[:]) + "." + s.Pin
}

// Hash returns what the collectors keep of the secret.
func (s JoinSecret) Hash() []byte {
	sum := sha256.Sum256(s.Secret[:])
	return sum[:]
}

// String hides the secret.
func (s JoinSecret) String() string { return joinPrefix + s.ID + ".…" }

// ParseJoinSecret reads a join token; white space around it is cut off. The
// error holds nothing of the text.
func ParseJoinSecret(text string) (JoinSecret, error) {
	rest, ours := strings.CutPrefix(strings.TrimSpace(text), joinPrefix)
	parts := strings.Split(rest, ".")
	if ours && len(parts) == 3 && tokenIDPattern.MatchString(parts[0]) && pinPattern.MatchString(parts[2]) {
		s := JoinSecret{ID: parts[0], Pin: parts[2]}
		secret, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
		if err == nil && len(secret) == len(s.Secret) {
			copy(s.Secret[:], secret)
			return s, nil
		}
	}
	return JoinSecret{}, fleet.Errorf(fleet.Invalid, "this is no join token: want fcj1.<id>.<43 characters>.<64 hex digits>").
		WithCode("join_token_format").WithHint("fleetctl enroll-token prints one; copy the whole line")
}
