package seal

import (
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

type inner struct {
	Wide string `json:"wide"`
}

// document has every kind of field that statements have.
type document struct {
	inner
	User    string            `json:"user"`
	Number  float64           `json:"number"`
	Count   uint64            `json:"count,omitempty"`
	List    []inner           `json:"list"`
	Pointer *inner            `json:"pointer"`
	Map     map[string]inner  `json:"map"`
	Any     any               `json:"any"`
	Command fleet.Command     `json:"command"`
	Life    fleet.Duration    `json:"life"`
	At      time.Time         `json:"at"`
	Env     map[string]string `json:"env"`
	Plain   int
	Hidden  string `json:"-"`
	private string
}

func TestDecodeStrictReads(t *testing.T) {
	text := `{"wide":"w","user":"\ud83d\ude00\\ud800","number":1e3,"list":[{"wide":"x"}],"pointer":{"wide":"y"},"map":{"A":{"wide":"z"},"a":{"wide":""}},
		"any":{"USER":[{"x":null}]},"command":["a","b"],"life":"5m","at":"2026-11-21T18:00:00Z","env":{"user":"1","USER":"2"},"Plain":3} `
	var got document
	if err := DecodeStrict([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if got.Wide != "w" || got.User != `😀\ud800` || got.Number != 1000 || got.List[0].Wide != "x" || got.Pointer.Wide != "y" || len(got.Map) != 2 || got.Plain != 3 || got.private != "" {
		t.Errorf("%+v", got)
	}
}

// refusals are documents that encoding/json would read, or that would hurt.
var refusals = []struct{ attack, text, code string }{
	{"46", `{"uid":0}`, "unknown_field"},
	{"46", `{"list":[{"gid":0}]}`, "unknown_field"},
	{"46", `{"pointer":{"gid":0}}`, "unknown_field"},
	{"46", `{"map":{"x":{"gid":0}}}`, "unknown_field"},
	{"46", `{"inner":{"wide":"x"}}`, "unknown_field"},
	{"46", `{"Hidden":"x"}`, "unknown_field"},
	{"46", `{"-":"x"}`, "unknown_field"},
	{"46", `{"private":"x"}`, "unknown_field"},
	{"46", `{"":"x"}`, "unknown_field"},
	{"47", `{"user":"a","User":"root"}`, "json_case"},
	{"47", `{"USER":"root"}`, "json_case"},
	{"47", `{"u\u017fer":"root"}`, "json_case"}, // ſ, which folds to s
	{"47", `{"plain":1}`, "json_case"},
	{"47", `{"list":[{"WIDE":""}]}`, "json_case"},
	{"47", `{"user":"a","user":"root"}`, "json_duplicate_key"},
	{"47", `{"user":"a","\u0075ser":"root"}`, "json_duplicate_key"},
	{"47", `{"env":{"a":"1","a":"2"}}`, "json_duplicate_key"},
	{"47", `{"any":{"a":1,"a":2}}`, "json_duplicate_key"},
	{"47", `{"pointer":{"wide":"","wide":""}}`, "json_duplicate_key"},
	{"47", `{"user":"a"}{}`, "json_trailing"},
	{"47", `{"user":"a"} x`, "json_trailing"},
	{"47", `{}]`, "json_trailing"},
	{"48", `{"any":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, "json_depth"},
	{"48", strings.Repeat(`{"any":`, 10_000) + "1" + strings.Repeat("}", 10_000), "json_depth"},
	{"48", `{"any":` + strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 41), "json_depth"},
	{"48", `{"number":1e999}`, "json_type"},
	{"48", `{"count":-1}`, "json_type"},
	{"48", `{"count":1.5}`, "json_type"},
	{"48", `{"count":18446744073709551616}`, "json_type"},
	{"48", `{"user":"\ud800"}`, "json_utf8"},
	{"48", `{"user":"\udc00\ud800"}`, "json_utf8"},
	{"48", `{"user":"\ud800\ud800\udc00"}`, "json_utf8"},
	{"48", `{"user":"\ud800x"}`, "json_utf8"},
	{"48", `{"user":"\\\ud800"}`, "json_utf8"},
	{"48", `{"env":{"\uD83D":"x"}}`, "json_utf8"},
	{"48", "{\"user\":\"\xff\"}", "json_utf8"},
	{"48", "{\"user\":\"\xed\xa0\x80\"}", "json_utf8"},
	{"48", `{"user":`, "json"},
	{"48", `{"user":"a",}`, "json"},
	{"48", `{'user':1}`, "json"},
	{"48", `{"number":01}`, "json"},
	{"48", `{"number":NaN}`, "json"},
	{"48", "\ufeff{}", "json"},
	{"48", ``, "json"},
	{"48", `null`, "json"},
	{"48", `[]`, "json"},
	{"48", `"x"`, "json"},
	{"48", `{"user":1}`, "json_type"},
	{"48", `{"life":"soon"}`, "json_type"},
	{"48", `{"life":{}}`, "json_type"},
	{"48", `{"at":"yesterday"}`, "json_type"},
}

func TestAttack46_FieldsThatAreNone(t *testing.T)     { refuses(t, "46") }
func TestAttack47_KeysInTwoSpellings(t *testing.T)    { refuses(t, "47") }
func TestAttack48_DocumentsThatAreTraps(t *testing.T) { refuses(t, "48") }

func refuses(t *testing.T, attack string) {
	t.Helper()
	for _, test := range refusals {
		if test.attack != attack {
			continue
		}
		var got document
		err := DecodeStrict([]byte(test.text), &got)
		if codeOf(err) != test.code || fleet.KindOf(err) != fleet.Invalid {
			text := test.text
			if len(text) > 80 {
				text = text[:80] + "…"
			}
			t.Errorf("attack %s: %s: code %q, want %q: %v", test.attack, text, codeOf(err), test.code, err)
		}
	}
}

func TestRefusalsNameTheField(t *testing.T) {
	var got document
	err := DecodeStrict([]byte(`{"list":[{"gid":0}]}`), &got)
	if err == nil || err.Error() != "list[].gid: is no field here" {
		t.Errorf("%v", err)
	}
}
