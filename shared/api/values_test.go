package api_test

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestQueriesSurviveTheirURL(t *testing.T) {
	page := api.Page{After: "a b&c=ü", Limit: 7, Index: 1 << 60, Wait: fleet.Duration(90 * time.Second)}
	at := time.Date(2026, 3, 1, 2, 30, 0, 5, time.UTC)
	for _, query := range []any{
		api.HostQuery{Page: page, Text: "x", Label: "role=db", Presence: fleet.Alive},
		api.JobQuery{Page: page, Text: "user:root rm -rf", Kind: fleet.KindCron, Verdict: "broken"},
		api.TaskQuery{Namespace: "data", State: fleet.TaskPaused},
		api.RunQuery{Page: page, Task: "data/x", Failed: true, Since: at, Until: at.Add(time.Hour)},
		api.UpcomingQuery{From: at, Until: at.Add(time.Hour)},
		api.HostQuery{},
	} {
		values, err := url.ParseQuery(api.Values(query).Encode())
		if err != nil {
			t.Fatal(err)
		}
		got := reflect.New(reflect.TypeOf(query))
		if err := api.ParseValues(values, got.Interface()); err != nil {
			t.Errorf("%T: %v", query, err)
		}
		if diff := cmp.Diff(query, got.Elem().Interface()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestParseValuesTellsEverythingAtOnce(t *testing.T) {
	var q api.RunQuery
	err := api.ParseValues(url.Values{"colour": {"red"}, "limit": {"-3"}, "since": {"now"}, "q": {"x"}, "host": {"a", "b"}, "failed": {"perhaps"}, "order": {"a\x00b"}, "index": {"x"}, "wait": {"-1s"}, "task": {strings.Repeat("x", 2000)}}, &q)
	for _, want := range []string{"colour", "limit", "since", `q "x"`, "host", "failed", "order", "index", "wait", "task"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell of %s", err, want)
		}
	}
	if err := api.ParseValues(url.Values{"failed": {""}}, &q); err != nil || !q.Failed {
		t.Errorf("?failed alone: %v, %v", q.Failed, err)
	}
}

func FuzzParseValues(f *testing.F) {
	f.Add("q=a&limit=3&since=2026-01-01T00:00:00Z&failed")
	f.Add("after=%00&wait=5m&index=18446744073709551615")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		var q, again api.RunQuery
		if api.ParseValues(values, &q) != nil {
			return
		}
		if err := api.ParseValues(api.Values(q), &again); err != nil {
			t.Fatalf("%+v does not come back: %v", q, err)
		}
		if diff := cmp.Diff(q.Page, again.Page); diff != "" || !q.Since.Equal(again.Since) {
			t.Fatal(diff)
		}
	})
}
