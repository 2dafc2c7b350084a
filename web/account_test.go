package web

import (
	"strings"
	"testing"
)

func TestATaskTellsWhatBecameOfWhatWasDue(t *testing.T) {
	page := get(Handler(&fake{n: 1, text: "x"}, opened), "/tasks/data/nightly-backup").Body.String()
	rest := page
	for _, want := range []string{
		`>due<`, `>30<`, `>ran<`, `>20<`, "of these 5 failed", `>skipped<`, `>4<`, `>missed<`, `>3<`, `>unknown<`, `>1<`, `>pending<`, `>2<`, `>difference<`, `>0<`,
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("the account lacks %s", want)
		}
		rest = after
	}
	if strings.Contains(page, `<span>difference</span>`) {
		t.Error("a difference of zero is marked as bad")
	}
	lost := get(Handler(&fake{n: 1, text: "lost"}, opened), "/tasks/data/nightly-backup").Body.String()
	if !strings.Contains(lost, `<span class="status bad">`) || !strings.Contains(lost, `<span>difference</span>`) {
		t.Error("a difference is not marked as bad")
	}
	if none := get(Handler(&fake{}, opened), "/tasks/data/nightly-backup").Body.String(); strings.Contains(none, `id="account"`) {
		t.Error("a task that was never due shows an account")
	}
}
