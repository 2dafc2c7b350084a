package policy

import "testing"

func TestWhatATrustedKeySignedIsTakenAndNothingBesideIt(t *testing.T) {
	b := newBed(t, usual)
	s := b.says(task())
	if r := b.take(s); r != nil {
		t.Fatalf("refused: %v", r)
	}
}
