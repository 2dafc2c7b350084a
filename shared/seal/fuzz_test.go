package seal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzParse: what is read as an envelope is written and read again as the same,
// and has no signer but by a signature of ours.
func FuzzParse(f *testing.F) {
	key := keyOf("anna")
	for _, kind := range kinds {
		f.Add(sign(f, sample(kind), key).Marshal())
	}
	f.Add([]byte(`{"payloadType":"application/vnd.fleetcron.statement.v1+json","payload":"e30=","signatures":[{"keyid":"","sig":""}]}`))
	ours := map[string]bool{}
	for _, kind := range kinds {
		ours[sign(f, sample(kind), key).Digest()] = true
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(e.Marshal())
		if err != nil && codeOf(err) != "size" {
			t.Fatalf("what was read is not read again: %v", err)
		}
		if err == nil && !reflect.DeepEqual(e, again) {
			t.Fatalf("%+v and %+v", e, again)
		}
		if signers := e.Signers([]ed25519.PublicKey{key.Public()}); len(signers) > 0 && !ours[e.Digest()] {
			t.Fatalf("a forgery: %s", text)
		}
	})
}

// FuzzStatement: a valid statement can be signed, and then says the same.
func FuzzStatement(f *testing.F) {
	key := keyOf("anna")
	for _, kind := range kinds {
		f.Add(sign(f, sample(kind), key).Payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		s, err := (&Envelope{Payload: payload}).Statement()
		if err != nil {
			return
		}
		_ = s.Object()
		e, err := Sign(s, key)
		if err != nil {
			if codeOf(err) != "size" {
				t.Fatalf("%s cannot be signed: %v", payload, err)
			}
			return
		}
		again, err := e.Statement()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s (-read +read again):\n%s", payload, diff)
		}
	})
}

// FuzzDecodeStrict: what is read strictly, encoding/json reads too, and nobody
// who reads it in another way finds more keys than we did.
func FuzzDecodeStrict(f *testing.F) {
	for _, refusal := range refusals {
		f.Add([]byte(refusal.text))
	}
	f.Add([]byte(`{"wide":"w","user":"\ud83d\ude00","number":1e3,"list":[{"wide":"x"}],"map":{"a":{"wide":"z"}},"any":[1,{"b":null}],"command":["a"],"life":"5m"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got document
		if DecodeStrict(text, &got) != nil {
			return
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		var plain document
		if err := d.Decode(&plain); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if !reflect.DeepEqual(got, plain) {
			t.Fatalf("%q: %+v and %+v", text, got, plain)
		}
		var keys map[string]any
		if err := json.Unmarshal(text, &keys); err != nil {
			t.Fatal(err)
		}
		for key := range keys {
			if _, known := fieldsOf(reflect.TypeFor[document]())[key]; !known {
				t.Fatalf("%q: key %q went through", text, key)
			}
		}
	})
}
