package seal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestEncodingIsDSSE holds our encoding to the examples of the specification
// and to its lengths in bytes.
func TestEncodingIsDSSE(t *testing.T) {
	for _, test := range []struct{ kind, payload, want string }{
		{"http://example.com/HelloWorld", "hello world", "DSSEv1 29 http://example.com/HelloWorld 11 hello world"},
		{"", "", "DSSEv1 0  0 "},
		{"ü", "日本", "DSSEv1 2 ü 6 日本"},
		{"a 1 b", "1 c", "DSSEv1 5 a 1 b 3 1 c"},
	} {
		if got := string(encoding(test.kind, []byte(test.payload))); got != test.want {
			t.Errorf("%q %q: %q, want %q", test.kind, test.payload, got, test.want)
		}
	}
}

func TestWhatIsSignedIsReadAgain(t *testing.T) {
	key := keyOf("anna")
	for _, kind := range kinds {
		s := sample(kind)
		e, err := Parse(sign(t, s, key).Marshal())
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if signers := e.Signers([]ed25519.PublicKey{keyOf("ben").Public(), key.Public()}); len(signers) != 1 || !signers[0].Equal(key.Public()) {
			t.Errorf("%s is signed by %v", kind, signers)
		}
		got, err := e.Statement()
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if diff := cmp.Diff(s, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-signed +read):\n%s", kind, diff)
		}
	}
}

// TestTheSignatureIsPlainEd25519 verifies with nothing of ours but the text.
func TestTheSignatureIsPlainEd25519(t *testing.T) {
	key := keyOf("anna")
	var e struct {
		PayloadType, Payload string
		Signatures           []struct{ KeyID, Sig string }
	}
	if err := json.Unmarshal(sign(t, sample(KindTask), key).Marshal(), &e); err != nil {
		t.Fatal(err)
	}
	payload, _ := base64.StdEncoding.DecodeString(e.Payload)
	sig, _ := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	message := fmt.Sprintf("DSSEv1 %d %s %d %s", len(e.PayloadType), e.PayloadType, len(payload), payload)
	if !ed25519.Verify(key.Public(), []byte(message), sig) {
		t.Error("a plain verifier does not take the signature")
	}
	if !bytes.Contains(payload, []byte("<&>")) {
		t.Error("the payload is not readable as it was written")
	}
}

func TestAttack64_AFlippedByteOfThePayload(t *testing.T) {
	key := keyOf("anna")
	e := sign(t, sample(KindTask), key)
	for i := range e.Payload {
		e.Payload[i] ^= 1
		if len(e.Signers([]ed25519.PublicKey{key.Public()})) != 0 {
			t.Fatalf("byte %d may be flipped", i)
		}
		e.Payload[i] ^= 1
	}
	for i := range e.Signatures[0].Sig {
		e.Signatures[0].Sig[i] ^= 1
		if len(e.Signers([]ed25519.PublicKey{key.Public()})) != 0 {
			t.Fatalf("byte %d of the signature may be flipped", i)
		}
		e.Signatures[0].Sig[i] ^= 1
	}
}

func TestAttack65_AKeyThatNobodyTrusts(t *testing.T) {
	e := sign(t, sample(KindTask), keyOf("mallory"))
	e.Signatures[0].KeyID = KeyID(keyOf("anna").Public()) // a hint, and a lie
	if signers := e.Signers([]ed25519.PublicKey{keyOf("anna").Public()}); len(signers) != 0 {
		t.Errorf("signed by %v", signers)
	}
}

func TestAttack66_OneKeyIsOneSigner(t *testing.T) {
	anna := keyOf("anna")
	e := sign(t, sample(KindTask), anna)
	e.Signatures = append(e.Signatures, e.Signatures[0], Signature{KeyID: "ben", Sig: e.Signatures[0].Sig}, Signature{Sig: e.Signatures[0].Sig})
	keys := []ed25519.PublicKey{anna.Public(), anna.Public(), keyOf("ben").Public()}
	if signers := e.Signers(keys); len(signers) != 1 {
		t.Errorf("%d signers, want one", len(signers))
	}
	if err := e.Add(anna); err != nil || len(e.Signatures) != 4 {
		t.Errorf("signing again adds: %d signatures, %v", len(e.Signatures), err)
	}
	if err := e.Add(keyOf("ben")); err != nil || len(e.Signers(keys)) != 2 {
		t.Errorf("another key adds nothing: %v", err)
	}
}

func TestAttack67_ASignatureOfAnotherMeaning(t *testing.T) {
	anna := keyOf("anna")
	keys := []ed25519.PublicKey{anna.Public()}
	e := sign(t, sample(KindTask), anna)
	for what, message := range map[string][]byte{
		"another payload type":  encoding("application/vnd.in-toto+json", e.Payload),
		"the payload alone":     e.Payload,
		"an SSH signature":      append([]byte("SSHSIG\x00\x00\x00\x0efleetcron"), e.Payload...),
		"a commit":              append([]byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\n"), e.Payload...),
		"the type's own prefix": encoding(PayloadType[:len(PayloadType)-1], e.Payload),
	} {
		sig, _ := anna.Sign(message)
		forged := &Envelope{PayloadType: PayloadType, Payload: e.Payload, Signatures: []Signature{{Sig: sig}}}
		if len(forged.Signers(keys)) != 0 {
			t.Errorf("a signature of %s counts", what)
		}
	}
	other := &Envelope{PayloadType: "application/vnd.in-toto+json", Payload: e.Payload}
	if err := other.Add(anna); err != nil {
		t.Fatal(err)
	}
	if len(other.Signers(keys)) != 0 {
		t.Error("an envelope of another payload type has signers")
	}
	if _, err := Parse(other.Marshal()); codeOf(err) != "signature" {
		t.Errorf("an envelope of another payload type: %v", err)
	}
}

func TestAttack68_NoSignatureNoAlgorithm(t *testing.T) {
	anna := keyOf("anna")
	payload := base64.StdEncoding.EncodeToString(sign(t, sample(KindTask), anna).Payload)
	envelope := func(rest string) string {
		return fmt.Sprintf(`{"payloadType":%q,"payload":%q%s}`, PayloadType, payload, rest)
	}
	many := `,"signatures":[` + strings.TrimSuffix(strings.Repeat(`{"keyid":"a","sig":"AA=="},`, MaxSignatures+1), ",") + `]`
	for _, test := range []struct{ what, text, code string }{
		{"no signatures", envelope(``), "signature"},
		{"an empty list", envelope(`,"signatures":[]`), "signature"},
		{"null", envelope(`,"signatures":null`), "signature"},
		{"too many", envelope(many), "signature"},
		{"alg none", envelope(`,"signatures":[{"keyid":"a","sig":"","alg":"none"}]`), "unknown_field"},
		{"an algorithm beside", envelope(`,"alg":"none","signatures":[{"keyid":"a","sig":""}]`), "unknown_field"},
		{"a certificate", envelope(`,"signatures":[{"keyid":"a","sig":"","cert":"x"}]`), "unknown_field"},
		{"no base64", envelope(`,"signatures":[{"keyid":"a","sig":"!"}]`), "json_type"},
		{"too large", strings.Repeat(" ", MaxEnvelope+1), "size"},
		{"nothing", "", "json"},
		{"a list", "[]", "json"},
	} {
		if _, err := Parse([]byte(test.text)); codeOf(err) != test.code {
			t.Errorf("%s: code %q, want %q: %v", test.what, codeOf(err), test.code, err)
		}
	}
	for what, sig := range map[string][]byte{"none": nil, "an empty one": {}, "63 bytes": make([]byte, 63), "an RSA one": make([]byte, 256), "zeroes": make([]byte, 64)} {
		e := &Envelope{PayloadType: PayloadType, Payload: []byte("{}"), Signatures: []Signature{{Sig: sig}}}
		if len(e.Signers([]ed25519.PublicKey{anna.Public(), nil, make([]byte, 31)})) != 0 {
			t.Errorf("%s counts as a signature", what)
		}
	}
}

func TestSignersOfTooManySignatures(t *testing.T) {
	anna := keyOf("anna")
	e := sign(t, sample(KindTask), anna)
	for i := 1; i < MaxSignatures; i++ {
		if err := e.Add(keyOf(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(e.Signers([]ed25519.PublicKey{anna.Public()})); got != 1 {
		t.Errorf("%d signers of eight signatures", got)
	}
	if err := e.Add(keyOf("one more")); fleet.KindOf(err) != fleet.Refused {
		t.Errorf("a ninth signature: %v", err)
	}
	if err := e.Add(anna); err != nil {
		t.Errorf("who signed already: %v", err)
	}
	e.Signatures = append(e.Signatures, Signature{})
	if e.Signers([]ed25519.PublicKey{anna.Public()}) != nil {
		t.Error("nine signatures have signers")
	}
}

// liar is a Signer that signs something else, or nothing.
type liar struct {
	Key
	sig []byte
	err error
}

func (l liar) Sign([]byte) ([]byte, error) { return l.sig, l.err }

func TestASignerThatFails(t *testing.T) {
	cause := errors.New("the card was pulled out")
	if _, err := Sign(sample(KindTask), liar{Key: keyOf("anna"), err: cause}); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	if _, err := Sign(sample(KindTask), liar{Key: keyOf("anna"), sig: make([]byte, 64)}); fleet.KindOf(err) != fleet.Refused {
		t.Errorf("a signature of nothing: %v", err)
	}
	if _, err := Sign(sample(KindTask), Key{}); fleet.KindOf(err) != fleet.Refused {
		t.Errorf("no key: %v", err)
	}
}

// TestSignRefusesWhatWouldChange: what is no UTF-8 would be signed as another text.
func TestSignRefusesWhatWouldChange(t *testing.T) {
	s := sample(KindTask)
	s.Task.Document = "task: \xff"
	if _, err := Sign(s, keyOf("anna")); codeOf(err) != "json_utf8" {
		t.Errorf("bytes that are no UTF-8: %v", err)
	}
	for _, text := range []string{"\ufffd", `\ufffd`, `\\ufffd`} {
		s.Task.Document = text
		e, err := Sign(s, keyOf("anna"))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got, err := e.Statement(); err != nil || got.Task.Document != text {
			t.Errorf("%q is read as %v, %v", text, got, err)
		}
	}
}

func TestTheLargestStatements(t *testing.T) {
	s := sample(KindTask)
	s.Task.Document = strings.Repeat("\n", fleet.MaxTaskBytes)
	s.Task.Definition.Run.Command = fleet.Command{Argv: []string{"/bin/echo", strings.Repeat("\"", fleet.MaxCommandSize-100)}}
	if e := sign(t, s, keyOf("anna")); len(e.Marshal()) > MaxEnvelope/2 {
		t.Errorf("a large task needs %d bytes", len(e.Marshal()))
	}
	c := sample(KindCalendar)
	for range fleet.MaxWindows - 1 {
		w := c.Calendar.Definition.Windows[0]
		w.Summary = strings.Repeat("ä", 60)
		c.Calendar.Definition.Windows = append(c.Calendar.Definition.Windows, w)
	}
	if e := sign(t, c, keyOf("anna")); len(e.Marshal()) > MaxEnvelope {
		t.Errorf("a large calendar needs %d bytes", len(e.Marshal()))
	}
	c.Calendar.Document = strings.Repeat("x", MaxEnvelope)
	if _, err := Sign(c, keyOf("anna")); fleet.KindOf(err) != fleet.TooLarge {
		t.Errorf("too large a statement: %v", err)
	}
}

func TestDigestIsOfThePayload(t *testing.T) {
	first, second := sign(t, sample(KindTask), keyOf("anna")), sign(t, sample(KindTask), keyOf("ben"))
	if first.Digest() != second.Digest() || len(first.Digest()) != 64 {
		t.Errorf("%s and %s", first.Digest(), second.Digest())
	}
}
