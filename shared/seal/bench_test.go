package seal

import (
	"crypto/ed25519"
	"testing"
)

// BenchmarkOpen measures seals opened a second, as a host does it: the envelope
// parsed, the signatures of four trusted keys looked for, the statement read and
// validated.
func BenchmarkOpen(b *testing.B) {
	anna, ben := keyOf("anna"), keyOf("ben")
	keys := []ed25519.PublicKey{keyOf("carl").Public(), ben.Public(), keyOf("dora").Public(), anna.Public()}
	for _, test := range []struct {
		name    string
		kind    Kind
		signers []Key
		keys    []ed25519.PublicKey
	}{
		{"task, 1 signature, 1 key", KindTask, nil, keys[3:]},
		{"task, 1 signature, 4 keys", KindTask, nil, keys},
		{"task, 2 signatures, 4 keys", KindTask, []Key{ben}, keys},
		{"order, 1 signature, 1 key", KindOrder, nil, keys[3:]},
	} {
		b.Run(test.name, func(b *testing.B) {
			e := sign(b, sample(test.kind), anna)
			for _, key := range test.signers {
				if err := e.Add(key); err != nil {
					b.Fatal(err)
				}
			}
			text := e.Marshal()
			for b.Loop() {
				e, err := Parse(text)
				if err != nil || len(e.Signers(test.keys)) != len(test.signers)+1 {
					b.Fatal(err)
				}
				if _, err := e.Statement(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "seals/s")
		})
	}
}
