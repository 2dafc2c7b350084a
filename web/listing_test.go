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
		"/upcoming?host=h&within=6h", "/upcoming?from=2026-11-20&label=a%3Db&q=x&until=2026-11-21",
		"/jobs?at=7d&label=role%3Ddb&owner=none", "/jobs?changed_since=24h", "/jobs?overdue=true",
		"/findings?acked=all&host=h&kind=overdue&label=a%3Db&owner=o&q=x&severity=critical",
		"/history?host=h&job=j&label=a%3Db&q=x&since=24h&until=1h&what=moved", "/when?host=h&label=a%3Db&zone=Europe%2FBerlin",
	} {
		source := &fake{n: 2, text: "x"}
		handler := Handler(source, opened)
		want, _ := url.Parse(start)
		var trail []string
		at := start
		for range 4 {
			trail = append(trail, at)
			at = link(t, get(handler, at).Body.String(), nextLink)
			checkFilters(t, at, want.Query())
			get(handler, at)
			if page := last[api.Page](t, source); page.After == "" || page.Limit != rowsPerPage && page.Limit != shownCollisions {
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
	handler := Handler(&fake{n: 2, text: "x"}, opened)
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
	page := get(Handler(&fake{n: 1, text: "x"}, opened), "/jobs?group=command&q=backup&user=root&after=c1").Body.String()
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
	page := get(Handler(&fake{n: 1, text: "x"}, opened), "/jobs?group=command&verdict=broken&fingerprint=ab&label=role%3Ddb&after=c1").Body.String()
	for _, field := range []string{
		`<input type="hidden" name="group" value="command">`, `<input type="hidden" name="verdict" value="broken">`,
		`<input type="hidden" name="fingerprint" value="ab">`, `name="label" value="role=db"`,
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
	handler := Handler(source, opened)
	first := api.Page{Limit: rowsPerPage}

	get(handler, "/hosts?presence=silent&problems=true&q=+db+&label=a%3Db")
	check(t, last[api.HostQuery](t, source), api.HostQuery{Page: first, Text: "db", Label: "a=b", Presence: fleet.Silent, Problems: true})

	get(handler, "/jobs?q=x&host=h&user=u&source=s&kind=timer&label=l&fingerprint=f&verdict=runs&after=c2&back=c1")
	check(t, last[api.JobQuery](t, source), api.JobQuery{Page: api.Page{Limit: rowsPerPage, After: "c2"}, Text: "x", Host: "h", User: "u", Source: "s",
		Kind: fleet.KindTimer, Label: "l", Fingerprint: "f", Verdict: "runs"})

	get(handler, "/tasks?q=x&namespace=n&host=h&state=paused")
	check(t, last[api.TaskQuery](t, source), api.TaskQuery{Page: first, Text: "x", Namespace: "n", Host: "h", State: fleet.TaskPaused})

	get(handler, "/jobs?owner=o&overdue=true")
	check(t, last[api.JobQuery](t, source), api.JobQuery{Page: first, Owner: "o", Overdue: true})
	get(handler, "/jobs?at=2026-11-20+14:00&changed_since=2026-11-19T00:00:00%2B01:00")
	check(t, last[api.JobQuery](t, source), api.JobQuery{Page: first, At: time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC), Changed: time.Date(2026, 11, 18, 23, 0, 0, 0, time.UTC)})

	get(handler, "/findings?q=x&kind=overdue&host=h&label=l&owner=o&severity=warning&acked=only")
	check(t, last[api.FindingQuery](t, source), api.FindingQuery{Page: first, Text: "x", Kind: fleet.FindOverdue, Host: "h", Label: "l", Owner: "o", Severity: fleet.Warning, Acked: "only"})

	get(handler, "/history?q=x&what=moved&host=h&job=j&label=l&since=2026-11-19&until=2026-11-20")
	check(t, last[api.ChangeQuery](t, source), api.ChangeQuery{Page: first, Text: "x", What: fleet.ChangeMoved, Host: "h", Job: "j", Label: "l",
		Since: time.Date(2026, 11, 19, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)})

	get(handler, "/when?host=h&label=l&zone=Europe/Berlin&after=c3")
	density := last[api.DensityQuery](t, source)
	if clock := density.From.Format("15:04:05"); density.Host != "h" || density.Label != "l" || density.Zone != "Europe/Berlin" || clock != "00:00:00" || density.From.Location().String() != "Europe/Berlin" {
		t.Errorf("asked for %+v", density)
	}
	check(t, last[api.CollisionQuery](t, source), api.CollisionQuery{Page: api.Page{Limit: shownCollisions, After: "c3"}, Host: "h", Label: "l"})
	check(t, last[api.SpreadQuery](t, source), api.SpreadQuery{Host: "h", Label: "l"})

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

	get(handler, "/upcoming?from=2026-11-20+02:00&until=2026-11-20+04:00&label=l&q=x")
	check(t, last[api.UpcomingQuery](t, source), api.UpcomingQuery{Page: first, Label: "l", Text: "x",
		From: time.Date(2026, 11, 20, 2, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 20, 4, 0, 0, 0, time.UTC)})

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
	source := &fake{n: 2, text: "x"}
	handler := Handler(source, opened)
	at := link(t, get(handler, "/hosts/db-1?q=backup&verdict=broken").Body.String(), nextLink)
	if !strings.HasSuffix(at, "#found") {
		t.Errorf("the next page leads to %q, away from the jobs", at)
	}
	get(handler, at)
	check(t, last[api.JobQuery](t, source), api.JobQuery{Page: api.Page{Limit: rowsPerPage, After: "c1"}, Host: string(hostID), Text: "backup", Verdict: "broken"})
}

func TestLanesOfADayArePagedInPlace(t *testing.T) {
	var items []api.Upcoming
	for i := range 120 {
		items = append(items, api.Upcoming{At: time.Now(), Job: fleet.JobID(rune('a' + i)), Command: "x"})
	}
	handler := Handler(&days{items: items}, opened)
	at, rows := "/hosts/db-1/timeline?from=1h", 0
	for range 3 {
		page := get(handler, at).Body.String()
		rows += strings.Count(page, `class="lane"`)
		at = link(t, page, nextLink)
	}
	if rows != 120 || at != "" {
		t.Errorf("three pages show %d lanes, and then lead to %q", rows, at)
	}
}

func TestEmptyListsTeachTheNextCommand(t *testing.T) {
	handler := Handler(&fake{}, opened)
	for target, says := range map[string]string{
		"/": "systemctl start fleetcron-agent", "/hosts": "systemctl start fleetcron-agent", "/jobs": "systemctl start fleetcron-agent",
		"/tasks": "fleetctl assign", "/runs": "fleetctl assign", "/hosts/db-1": "fleetctl assign", "/tasks/data/nightly-backup": "fleetctl run",
		"/findings": "fleetctl findings", "/history": "fleetctl history", "/findings?q=x": "Nothing matches", "/history?q=x": "Nothing matches",
		"/hosts?q=x": "Nothing matches", "/runs?after=c9": "Nothing matches",
	} {
		if page := get(handler, target).Body.String(); !strings.Contains(page, says) {
			t.Errorf("%s does not say %q", target, says)
		}
	}
}
