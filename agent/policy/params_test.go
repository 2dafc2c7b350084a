package policy

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// clearing allows a task whose values are said by orders.
const clearing = `execute: on
keys:
  - {key: ANNA, name: anna, namespaces: ["*"]}
  - {key: BERT, name: desk, namespaces: [data], may: [run, cancel]}
users: {allow: [alice]}
commands:
  - path: /bin/echo
    args: ["(fast|full)", "[a-z]+"]
`

// template is a task that the policy of clearing takes.
func template() fleet.Task {
	fast := "fast"
	t := task()
	t.On = fleet.Trigger{Manual: true}
	t.Params = map[string]fleet.Param{
		"depth": {Type: fleet.ParamText, Default: &fast},
		"site":  {Type: fleet.ParamText, Pattern: "[A-Za-z -]+"},
	}
	t.Run.Command.Argv = []string{"/bin/echo", "{{depth}}", "{{site}}"}
	return t
}

// runs is an order to run the task with values.
func (b *bed) runs(params fleet.Params) *seal.Statement {
	s := b.orders(fleet.OrderRun, uuid.NewString())
	s.Order.Params = params
	return s
}

func TestValuesAreJudgedAsTheyWillRun(t *testing.T) {
	b := newBed(t, clearing)
	given := given(template(), sign(t, b.says(template()), b.anna))
	want(t, b.refusal(b.takes(given)), "")
	for name, test := range map[string]struct {
		params fleet.Params
		code   string
		says   string
	}{
		"fit":                    {fleet.Params{"site": "shop"}, "", ""},
		"beside a default":       {fleet.Params{"site": "shop", "depth": "full"}, "", ""},
		"missing":                {nil, "params", "params.site: must be given"},
		"unknown":                {fleet.Params{"site": "shop", "user": "root"}, "params", "there are depth, site"},
		"not by the task":        {fleet.Params{"site": "sh0p"}, "params", "want what matches"},
		"an option":              {fleet.Params{"site": "-x"}, "params", "begins with -"},
		"not by the host":        {fleet.Params{"site": "SHOP"}, "policy:args", "/bin/echo"},
		"one word stays one":     {fleet.Params{"site": "a b"}, "policy:args", `"a b"`},
		"another than a default": {fleet.Params{"site": "shop", "depth": "deep"}, "policy:args", `"deep"`},
	} {
		said := b.runs(test.params)
		plan, refused := b.order(given, b.ordered(said, sign(t, said, b.anna)))
		r := b.refusal(plan, refused)
		want(t, r, test.code)
		order := plan.Orders[0]
		if (order.Refused == nil) != (test.code == "") || r != nil && !strings.Contains(r.Why, test.says) {
			t.Errorf("%s: %+v, %v", name, order, r)
		}
		if got, said := order.Params.String(), test.params.String(); got != said {
			t.Errorf("%s: the order says %q, signed was %q", name, got, said)
		}
	}
}

// refusal is the first of what was refused.
func (b *bed) refusal(_ *fleet.Plan, refused []fleet.Refusal) *fleet.Refusal {
	if len(refused) == 0 {
		return nil
	}
	return &refused[0]
}

// TestTheCollectorsWordIsNoValue: what stands beside a signed order counts for
// nothing, and changed bytes are no order.
func TestTheCollectorsWordIsNoValue(t *testing.T) {
	b := newBed(t, clearing)
	given := given(template(), sign(t, b.says(template()), b.anna))
	said := b.runs(fleet.Params{"site": "shop"})
	beside := b.ordered(said, sign(t, said, b.anna))
	beside.Params = fleet.Params{"site": "other", "depth": "full"}
	plan, refused := b.order(given, beside)
	if len(refused) != 0 || plan.Orders[0].Params.String() != "site=shop" {
		t.Errorf("%v, %v", refused, plan.Orders)
	}
	again := b.runs(fleet.Params{"site": "shop"})
	envelope := sign(t, again, b.anna)
	text := strings.Replace(string(mustPayload(t, envelope)), `"site":"shop"`, `"site":"pay"`, 1)
	var e seal.Envelope
	if err := json.Unmarshal(envelope, &e); err != nil {
		t.Fatal(err)
	}
	e.Payload = []byte(text)
	_, refused = b.order(given, b.ordered(again, e.Marshal()))
	if len(refused) != 1 || refused[0].Code != "signature" {
		t.Errorf("changed values: %v", refused)
	}
	for name, params := range map[string]any{
		"no text": map[string]any{"site": 7}, "nothing": map[string]any{"site": nil}, "a list": []string{"site"}, "null": nil, "two lines": map[string]any{"site": "a\nb"},
		"too many": many(40), "a bad name": map[string]any{"SITE": "a"}, "a mask": map[string]any{"site": "<redacted:1>"},
	} {
		forged := b.runs(nil)
		raw, _ := json.Marshal(forged)
		var loose map[string]any
		if err := json.Unmarshal(raw, &loose); err != nil {
			t.Fatal(err)
		}
		loose["order"].(map[string]any)["params"] = params
		loose["serial"] = json.Number(strings.TrimSpace(jsonOf(t, forged.Serial)))
		_, refused := b.order(given, b.ordered(forged, forgeBytes(t, []byte(jsonOf(t, loose)), b.anna)))
		if len(refused) != 1 || refused[0].Code != "parse" && name != "null" {
			t.Errorf("%s: %v", name, refused)
		}
	}
}

func many(n int) map[string]any {
	all := map[string]any{}
	for i := range n {
		all["p"+strings.Repeat("x", i%20)+string(rune('a'+i%26))+string(rune('a'+i/26))] = "v"
	}
	return all
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func mustPayload(t *testing.T, envelope []byte) []byte {
	t.Helper()
	e, err := seal.Parse(envelope)
	if err != nil {
		t.Fatal(err)
	}
	return e.Payload
}

// TestWhatIsOpenIsJudgedLater: without its values a task is judged as far as they
// are known, and the number of its words always is.
func TestWhatIsOpenIsJudgedLater(t *testing.T) {
	b := newBed(t, clearing)
	deep := "deep"
	for name, test := range map[string]struct {
		change func(*fleet.Task)
		code   string
	}{
		"open":             {func(*fleet.Task) {}, ""},
		"a bad default":    {func(t *fleet.Task) { t.Params["depth"] = fleet.Param{Type: fleet.ParamText, Default: &deep} }, "policy:args"},
		"a word too many":  {func(t *fleet.Task) { t.Run.Command.Argv = append(t.Run.Command.Argv, "{{site}}") }, "policy:args"},
		"a word too few":   {func(t *fleet.Task) { t.Run.Command.Argv = t.Run.Command.Argv[:2] }, "policy:args"},
		"another program":  {func(t *fleet.Task) { t.Run.Command.Argv[0] = "/bin/true" }, "policy:command"},
		"a chosen program": {func(t *fleet.Task) { t.Run.Command.Argv[0] = "/bin/{{site}}" }, "policy:command"},
		"for a shell":      {func(t *fleet.Task) { t.Run.Command = fleet.Command{Shell: "echo {{site}}"} }, "policy:command"},
		"undeclared":       {func(t *fleet.Task) { t.Run.Command.Argv[2] = "{{host}}" }, "policy:command"},
	} {
		one := template()
		test.change(&one)
		s := b.says(one)
		r := b.refusal(b.takes(given(one, forge(t, s, b.anna))))
		if want(t, r, test.code); t.Failed() {
			t.Fatal(name)
		}
	}
}

// TestAShellByAnotherNameGetsNoValue: what a program is counts, and not how its
// path is spelled.
func TestAShellByAnotherNameGetsNoValue(t *testing.T) {
	b := newBed(t, strings.Replace(clearing, "users:", "shell: allowed\nusers:", 1))
	tool := b.path("tool")
	if err := os.Symlink("/bin/sh", tool); err != nil {
		t.Fatal(err)
	}
	one := template()
	one.Run.Command.Argv = []string{tool, "-c", "{{site}}"}
	b.policy(strings.Replace(strings.Replace(clearing, "/bin/echo", tool, 1), "users:", "shell: allowed\nusers:", 1))
	b.reread()
	r := b.refusal(b.takes(given(one, sign(t, b.says(one), b.anna))))
	want(t, r, "policy:shell")
	if r != nil && !strings.Contains(r.Why, "what a shell reads") {
		t.Error(r.Why)
	}
}

// TestMayOfAKey tries every kind of statement with a key that is for orders to run
// and to cancel alone.
func TestMayOfAKey(t *testing.T) {
	b := newBed(t, clearing)
	stands := given(template(), sign(t, b.says(template()), b.anna))
	want(t, b.refusal(b.takes(stands)), "")
	for _, kind := range []fleet.OrderKind{fleet.OrderRun, fleet.OrderCancel, fleet.OrderStart, fleet.OrderStop, fleet.OrderRestart, fleet.OrderReset} {
		said := b.orders(kind, uuid.NewString())
		code := codeMay
		if kind == fleet.OrderRun || kind == fleet.OrderCancel {
			code = ""
		}
		if kind == fleet.OrderRun {
			said.Order.Params = fleet.Params{"site": "shop"}
		}
		r := b.refusal(b.order(stands, b.ordered(said, sign(t, said, b.bert))))
		want(t, r, code)
		if r != nil && (r.Line != 4 || !strings.Contains(r.Why, "desk") || !strings.Contains(r.Why, "may run, cancel")) {
			t.Errorf("%s: line %d: %s", kind, r.Line, r.Why)
		}
	}
	paused := b.says(template())
	paused.Task.State = fleet.TaskPaused
	want(t, b.take(paused, b.bert), codeMay)
	fresh := task()
	fresh.Name, fresh.Run.Command.Argv = "fresh", []string{"/bin/echo", "fast", "a"}
	want(t, b.take(b.says(fresh), b.bert), codeMay)
	// Neither does a tombstone of that key end what stands.
	b.gate.Open(&fleet.Plan{Host: hostID, Index: 3, Tombstones: [][]byte{sign(t, b.retires(template()), b.bert)}})
	want(t, b.refusal(b.takes(stands)), "")
	if err := b.gate.May(b.filled(fleet.Params{"site": "shop"})); err != nil {
		t.Errorf("it may begin no longer: %v", err)
	}
	// With a key that is for tasks it is given; when that key is limited, it begins no more.
	b.policy(strings.Replace(clearing, `name: anna, namespaces: ["*"]`, `name: anna, namespaces: ["*"], may: [run]`, 1))
	b.reread()
	if err := b.gate.May(b.filled(fleet.Params{"site": "shop"})); err == nil {
		t.Error("a key that is not for tasks any more lets one begin")
	}
}

// filled is the template as it begins with these values.
func (b *bed) filled(params fleet.Params) *fleet.Task {
	b.t.Helper()
	one := template()
	run, err := one.Filled(params)
	if err != nil {
		b.t.Fatal(err)
	}
	one.Run = run
	return &one
}

// TestNoValueBeginsAnythingElse draws values, and holds what may begin to words
// that the policy would have allowed as they stand.
func TestNoValueBeginsAnythingElse(t *testing.T) {
	b := newBed(t, clearing)
	want(t, b.refusal(b.takes(given(template(), sign(t, b.says(template()), b.anna)))), "")
	begun := 0
	rapid.Check(t, func(t *rapid.T) {
		params := fleet.Params{"site": rapid.OneOf(rapid.StringMatching(`[a-z -]{0,8}`), rapid.String()).Draw(t, "site"), "depth": rapid.SampledFrom([]string{"fast", "full", "{{site}}", "$(id)", ""}).Draw(t, "depth")}
		one := template()
		run, err := one.Filled(params)
		if err != nil {
			return
		}
		one.Run = run
		if len(run.Command.Argv) != 3 || run.Command.Shell != "" || run.Command.Argv[0] != "/bin/echo" {
			t.Fatalf("%q became %q", params, run.Command.Argv)
		}
		allowed := b.gate.policy.Commands[0].matchesArgs(run.Command.Argv[1:], nil)
		if err := b.gate.May(&one); (err == nil) != allowed {
			t.Fatalf("%q: %v, and the policy allows it: %v", run.Command.Argv, err, allowed)
		}
		if allowed {
			begun++
		}
	})
	if begun == 0 {
		t.Error("nothing began at all")
	}
}
