package web

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// link finds the address of a link on a page by its rel or its text.
func link(t *testing.T, page, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(page)
	if found == nil {
		return ""
	}
	return html.UnescapeString(found[1])
}

const (
	nextLink     = `<a href="([^"]*)" rel="next">`
	previousLink = `<a href="([^"]*)" rel="prev">`
	firstLink    = `<a href="([^"]*)">First</a>`
)

func TestPagingKeepsTheFilters(t *testing.T) {
	for _, start := range []string{
		"/hosts?presence=silent&q=a+b%26c&label=role%3Ddb",
		"/jobs?fingerprint=ab&group=command&host=db-1&kind=cron&q=%22x%22&source=%2Fetc&user=root&verdict=broken",
		"/tasks?host=h&namespace=data&q=x&state=paused",
		"/runs?failed=1&host=h&since=24h&state=ran&task=data%2Fbackup",
		"/upcoming?host=h&within=6h",
	} {
		source := &fake{n: 2, text: "x"}
		handler := Handler(source, Options{})
		want, _ := url.Parse(start)
		var trail []string
		at := start
		for range 4 {
			trail = append(trail, at)
			at = link(t, get(handler, at).Body.String(), nextLink)
			checkFilters(t, at, want.Query())
			get(handler, at)
			if page := last[api.Page](t, source); page.After == "" || page.Limit != rowsPerPage {
				t.Errorf("%s: asked for %+v", at, page)
			}
		}
		if first := link(t, get(handler, at).Body.String(), firstLink); !sameQuery(first, start) {
			t.Errorf("%s: First leads to %s, want %s", at, first, start)
		}
		for i := len(trail) - 1; i >= 0; i-- {
			at = link(t, get(handler, at).Body.String(), previousLink)
			if !sameQuery(at, trail[i]) {
				t.Errorf("Previous leads to %s, want %s", at, trail[i])
			}
		}
		if page := get(handler, at).Body.String(); link(t, page, previousLink) != "" || link(t, page, firstLink) != "" {
			t.Errorf("%s: the first page has a way back", at)
		}
	}
}

func checkFilters(t *testing.T, address string, want url.Values) {
	t.Helper()
	got, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := got.Query()
	query.Del("after")
	query.Del("back")
	if diff := cmp.Diff(want, query); diff != "" {
		t.Errorf("%s loses filters:\n%s", address, diff)
	}
}

func sameQuery(a, b string) bool {
	left, _ := url.Parse(a)
	right, _ := url.Parse(b)
	return left.Path == right.Path && cmp.Equal(left.Query(), right.Query())
}

func TestTheLastPageHasNoNext(t *testing.T) {
	handler := Handler(&fake{n: 2, text: "x"}, Options{})
	page := get(handler, "/hosts?after=c5").Body.String()
	if link(t, page, nextLink) != "" || !sameQuery(link(t, page, previousLink), "/hosts") {
		t.Error("the last page leads on, or not back")
	}
}

func TestTheTrailIsBounded(t *testing.T) {
	l := &listing{Path: "/runs", After: "z", Next: "n", Trail: make([]string, maxTrail)}
	next, _ := url.Parse(l.NextURL())
	if got := len(next.Query()["back"]); got != maxTrail {
		t.Errorf("the address carries %d cursors", got)
	}
}

func TestChipsRemoveOneFilterEach(t *testing.T) {
	page := get(Handler(&fake{n: 1, text: "x"}, Options{}), "/jobs?group=command&q=backup&user=root&after=c1").Body.String()
	removed := map[string]string{}
	for _, chip := range regexp.MustCompile(`<a class="chip" href="([^"]*)"><span class="chip-label">([^<]*)</span>`).FindAllStringSubmatch(page, -1) {
		removed[chip[2]] = html.UnescapeString(chip[1])
	}
	want := map[string]string{"Command": "/jobs?group=command&user=root", "User": "/jobs?group=command&q=backup"}
	if diff := cmp.Diff(want, removed); diff != "" {
		t.Error(diff)
	}
	if clear := link(t, page, `<a class="clear" href="([^"]*)">`); clear != "/jobs" {
		t.Errorf("Clear all leads to %s", clear)
	}
}

func TestFormsKeepWhatTheyDoNotShow(t *testing.T) {
	page := get(Handler(&fake{n: 1, text: "x"}, Options{}), "/jobs?group=command&verdict=broken&fingerprint=ab&label=role%3Ddb&after=c1").Body.String()
	for _, field := range []string{
		`<input type="hidden" name="group" value="command">`, `<input type="hidden" name="verdict" value="broken">`,
		`<input type="hidden" name="fingerprint" value="ab">`, `<input type="hidden" name="label" value="role=db">`,
	} {
		if !strings.Contains(page, field) {
			t.Errorf("the form lacks %s", field)
		}
	}
	if strings.Contains(page, `name="after"`) {
		t.Error("the form keeps the cursor of another list")
	}
}

func TestQueriesReachTheSource(t *testing.T) {
	source := &fake{n: 1, text: "x"}
	handler := Handler(source, Options{})
	first := api.Page{Limit: rowsPerPage}

	get(handler, "/hosts?presence=silent&q=+db+&label=a%3Db")
	check(t, last[api.HostQuery](t, source), api.HostQuery{Page: first, Text: "db", Label: "a=b", Presence: fleet.Silent})

	get(handler, "/jobs?q=x&host=h&user=u&source=s&kind=timer&label=l&fingerprint=f&verdict=runs&after=c2&back=c1")
	check(t, last[api.JobQuery](t, source), api.JobQuery{Page: api.Page{Limit: rowsPerPage, After: "c2"}, Text: "x", Host: "h", User: "u", Source: "s",
		Kind: fleet.KindTimer, Label: "l", Fingerprint: "f", Verdict: "runs"})

	get(handler, "/tasks?q=x&namespace=n&host=h&state=paused")
	check(t, last[api.TaskQuery](t, source), api.TaskQuery{Page: first, Text: "x", Namespace: "n", Host: "h", State: fleet.TaskPaused})

	before := time.Now()
	get(handler, "/runs?task=backup&host=h&state=missed&failed=1&order=o&since=24h")
	runs := last[api.RunQuery](t, source)
	if age := before.Sub(runs.Since); age > 24*time.Hour || age < 23*time.Hour {
		t.Errorf("since is %s before now", age)
	}
	runs.Since = time.Time{}
	check(t, runs, api.RunQuery{Page: first, Task: "default/backup", Host: "h", State: fleet.RunMissed, Failed: true, Order: "o"})

	get(handler, "/upcoming?within=6h&host=h&task=data/x")
	coming := last[api.UpcomingQuery](t, source)
	if coming.Until.Sub(coming.From) != 6*time.Hour || coming.Task != "data/x" || coming.Host != "h" {
		t.Errorf("asked for %+v", coming)
	}

	get(handler, "/hosts/db-1")
	check(t, last[string](t, source), "db-1")
}

func check[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFoundJobsOfAHostArePagedInPlace(t *testing.T) {
	handler := Handler(&fake{n: 120, text: "x"}, Options{})
	at, rows := "/hosts/db-1?q=X", 0
	for range 3 {
		page := get(handler, at).Body.String()
		rows += strings.Count(page, `id="job-`)
		at = link(t, page, nextLink)
	}
	if rows != 120 || at != "" {
		t.Errorf("three pages show %d jobs, and then lead to %q", rows, at)
	}
	if page := get(handler, "/hosts/db-1?q=nothing").Body.String(); strings.Contains(page, `id="job-`) || !strings.Contains(page, "Nothing matches") {
		t.Error("the filter does not hold")
	}
	if page := get(handler, "/hosts/db-1?verdict=runs").Body.String(); strings.Contains(page, `id="job-`) {
		t.Error("jobs that will not run are shown among those that do")
	}
}

func TestEmptyListsTeachTheNextCommand(t *testing.T) {
	handler := Handler(&fake{}, Options{})
	for target, says := range map[string]string{
		"/": "systemctl start fleetcron-agent", "/hosts": "systemctl start fleetcron-agent", "/jobs": "systemctl start fleetcron-agent",
		"/tasks": "fleetctl assign", "/runs": "fleetctl assign", "/hosts/db-1": "fleetctl assign", "/tasks/data/nightly-backup": "fleetctl run",
		"/hosts?q=x": "Nothing matches", "/runs?after=c9": "Nothing matches",
	} {
		if page := get(handler, target).Body.String(); !strings.Contains(page, says) {
			t.Errorf("%s does not say %q", target, says)
		}
	}
}
