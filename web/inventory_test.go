package web

import (
	"bytes"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// constants returns the values of all constants of a string type that a file
// of shared/fleet declares.
func constants(t *testing.T, file, typeName string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), "../shared/fleet/"+file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, is := n.(*ast.ValueSpec)
		if !is || len(spec.Values) != 1 {
			return true
		}
		name, named := spec.Type.(*ast.Ident)
		literal, text := spec.Values[0].(*ast.BasicLit)
		if named && text && name.Name == typeName {
			value, _ := strconv.Unquote(literal.Value)
			out = append(out, value)
		}
		return true
	})
	if len(out) == 0 {
		t.Fatalf("%s declares no %s", file, typeName)
	}
	return out
}

func TestWhateverThereIsHasItsWords(t *testing.T) {
	icons, err := files.ReadFile("assets/icons.svg")
	if err != nil {
		t.Fatal(err)
	}
	drawn := func(s status) bool {
		return s.Word != "" && s.Tone != "" && s.Icon != "unknown" && bytes.Contains(icons, []byte(`id="`+s.Icon+`"`))
	}
	for _, kind := range constants(t, "finding.go", "FindingKind") {
		if word := findingWord(fleet.FindingKind(kind)); word == kind && kind != "collision" && kind != "newcomer" && kind != "orphan" && kind != "overdue" && kind != "adoption" {
			t.Errorf("finding %s has no words", kind)
		}
		if (filter{Options: findingKinds, Value: kind}).check() != nil {
			t.Errorf("nobody can ask for findings of kind %s", kind)
		}
	}
	for _, severity := range constants(t, "finding.go", "Severity") {
		if !drawn(severityStatus(fleet.Severity(severity))) || severityNotes[fleet.Severity(severity)] == "" {
			t.Errorf("severity %s has no picture or no words", severity)
		}
	}
	for _, code := range constants(t, "job.go", "VerdictCode") {
		if verdictCodes[fleet.VerdictCode(code)].Word == "" {
			t.Errorf("verdict %s is not explained", code)
		}
	}
	for _, kind := range constants(t, "change.go", "ChangeKind") {
		if !drawn(changeStatus(fleet.ChangeKind(kind))) || (filter{Options: changeKinds, Value: kind}).check() != nil {
			t.Errorf("change %s has no picture or no words", kind)
		}
	}
	for _, state := range constants(t, "adoption.go", "AdoptionState") {
		if !drawn(adoptionStatus(fleet.AdoptionState(state))) {
			t.Errorf("adoption %s has no picture or no words", state)
		}
	}
	for _, kind := range constants(t, "job.go", "JobKind") {
		if (filter{Options: jobKinds, Value: kind}).check() != nil {
			t.Errorf("nobody can ask for jobs of kind %s", kind)
		}
	}
	for _, e := range []fleet.Evidence{{Grade: fleet.GradeStarted}, {Grade: fleet.GradeEnded}, {Grade: fleet.GradeStamp}, {Result: "success"}, {Result: "exit 3"}} {
		if !drawn(resultStatus(&e)) {
			t.Errorf("evidence %+v has no picture or no words", e)
		}
	}
}

func TestDiffering(t *testing.T) {
	mark := func(pieces []piece) string {
		var b strings.Builder
		for _, p := range pieces {
			if p.Other {
				b.WriteString("[" + p.Text + "]")
			} else {
				b.WriteString(p.Text)
			}
		}
		return b.String()
	}
	for _, c := range []struct{ before, after, old, now string }{
		{"", "", "", ""},
		{"a b", "a b", "a b", "a b"},
		{"", "a b", "", "[a b]"},
		{"30 2 * * *", "30 4 * * *", "30 [2] * * *", "30 [4] * * *"},
		{"backup --all", "backup --all --verify", "backup --all", "backup --all[ --verify]"},
		{"/opt/a/run x", "/opt/b/run x", "/opt/[a]/run x", "/opt/[b]/run x"},
		{"one two three", "three", "[one two ]three", "three"},
		{"a é b", "a è b", "a [é] b", "a [è] b"},
		{"\xff\xfe", "\xff", "\xff[\xfe]", "\xff"},
	} {
		old, now := differing(c.before, c.after)
		if got := mark(old); got != c.old {
			t.Errorf("before %q: %q, want %q", c.before, got, c.old)
		}
		if got := mark(now); got != c.now {
			t.Errorf("after %q: %q, want %q", c.after, got, c.now)
		}
	}
}

func FuzzDiffering(f *testing.F) {
	f.Add("30 2 * * *", "30 4 * * 1-5")
	f.Add("\xff a", "a\u202e")
	f.Add(strings.Repeat("x y ", 400), strings.Repeat("y x ", 400))
	f.Fuzz(func(t *testing.T, before, after string) {
		old, now := differing(before, after)
		join := func(pieces []piece, kept bool) string {
			var b strings.Builder
			for _, p := range pieces {
				if !kept || !p.Other {
					b.WriteString(p.Text)
				}
			}
			return b.String()
		}
		if join(old, false) != before || join(now, false) != after {
			t.Fatal("the pieces are not the texts")
		}
		if join(old, true) != join(now, true) {
			t.Fatalf("what both keep differs: %q, %q", join(old, true), join(now, true))
		}
	})
}

func TestReadInstant(t *testing.T) {
	now := time.Date(2026, 11, 21, 14, 2, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-11-20":                "2026-11-20T00:00:00Z",
		"2026-11-20 14:00":          "2026-11-20T14:00:00Z",
		"2026-11-20T14:00":          "2026-11-20T14:00:00Z",
		"2026-11-20 14:00:07":       "2026-11-20T14:00:07Z",
		"2026-11-20T14:00:00+01:00": "2026-11-20T13:00:00Z",
		"24h":                       "2026-11-20T14:02:00Z",
		"7d":                        "2026-11-14T14:02:00Z",
		"0s":                        "2026-11-21T14:02:00Z",
		"-1h":                       "", "h": "", "1": "", "now": "", "1y": "", "999999999999999999999d": "", "1000000w": "", "2026-13-01": "", "\xff": "",
	} {
		at, ok := readInstant(text, now)
		if got := at.Format(time.RFC3339); ok != (want != "") || ok && got != want {
			t.Errorf("%q is %s, %t; want %q", text, got, ok, want)
		}
	}
}

func TestWallFindsTheHourOfTheClock(t *testing.T) {
	for _, c := range []struct{ zone, clock, want string }{
		{"UTC", "2026-03-29 02:00", "2026-03-29T02:00:00Z"},
		{"Europe/Berlin", "2026-03-29 02:00", "2026-03-29T03:00:00+02:00"},    // skipped
		{"Europe/Berlin", "2026-10-25 02:00", "2026-10-25T02:00:00+02:00"},    // twice: the first
		{"Europe/Berlin", "2026-10-25 03:00", "2026-10-25T03:00:00+01:00"},    // after it
		{"America/New_York", "2026-03-08 02:00", "2026-03-08T03:00:00-04:00"}, // skipped
		{"America/New_York", "2026-11-01 01:00", "2026-11-01T01:00:00-04:00"}, // twice
		{"Asia/Kolkata", "2026-11-01 01:00", "2026-11-01T01:00:00+05:30"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		clock, _ := time.Parse("2006-01-02 15:04", c.clock)
		if got := wall(clock, zone).Format(time.RFC3339); got != c.want {
			t.Errorf("%s in %s is %s, want %s", c.clock, c.zone, got, c.want)
		}
	}
}

func TestTheWeekIsWhole(t *testing.T) {
	zone, _ := time.LoadLocation("Europe/Berlin")
	first := time.Date(2026, 10, 22, 0, 0, 0, 0, zone) // a change of the clock within
	density := api.Density{Hours: make([]int, 168), Max: 167}
	for i := range density.Hours {
		density.Hours[i] = i
	}
	w := &whenPage{listing: &listing{Path: "/when", Filters: []filter{{Name: "host", Value: "db-1"}, {Name: "label", Value: "a=b"}}}}
	w.fill(density, first, first.Add(90*time.Minute))
	at := first
	for day := range weekDays {
		for hour := range dayHours {
			c := w.Hours[hour].Cells[day]
			if !c.From.Equal(at) || c.Count != day*24+hour {
				t.Fatalf("day %d hour %d: from %s with %d, want %s", day, hour, c.From, c.Count, at)
			}
			at = c.Until
		}
	}
	if length := at.Sub(first); length != 169*time.Hour {
		t.Errorf("the week has %s", length)
	}
	now := w.Hours[1].Cells[0]
	if !now.Now || now.Past || !w.Hours[0].Cells[0].Past || w.Busiest.Count != 167 || w.Quietest != &w.Hours[1].Cells[0] || w.Starts != 167*168/2 {
		t.Errorf("now %+v, busiest %+v, quietest %+v, %d starts", now, w.Busiest, w.Quietest, w.Starts)
	}
	if want := "/upcoming?from=2026-10-21T23%3A00%3A00Z&host=db-1&label=a%3Db&until=2026-10-22T00%3A00%3A00Z"; now.URL != want {
		t.Errorf("the cell leads to %s, want %s", now.URL, want)
	}
	for n, want := range map[int]int{0: 0, 40: 1, 100: 6, 70: 4, 99: 6} {
		if got := shade(n, 40, 100); got != want {
			t.Errorf("shade of %d is %d, want %d", n, got, want)
		}
	}
}

func TestTheDayHasALaneForEach(t *testing.T) {
	from := time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC)
	at := func(hour, minute int) time.Time {
		return from.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
	}
	items := []api.Upcoming{{At: at(0, 0), Job: "often", Command: "often"}, {At: at(0, 5), Job: "often"}, {At: at(0, 30), Job: "often"},
		{At: at(2, 0), Task: "a/b", Command: "given"}, {At: at(23, 59), Job: "late", Command: "late"}}
	run := fleet.Run{Task: "a/b", Due: at(2, 0), State: fleet.RunMissed}
	d := newDay(items, []api.RunView{{Run: run}, {Run: fleet.Run{Task: "gone/task", Due: at(1, 0)}}}, false, from, at(3, 0))
	if d.NowX != 180 || len(d.Lanes) != 3 || !d.Through.Equal(at(23, 59)) || len(d.Hours) != dayMarks || d.Hours[0].Day != "21 Nov" || d.Hours[5].Day != "22 Nov" {
		t.Fatalf("%+v", d)
	}
	given, late, often := &d.Lanes[0], &d.Lanes[1], &d.Lanes[2]
	if !given.Given() || len(given.Failed) != 1 || given.Failed[0].X != 120 || given.Label() != "1 start at 13:00 UTC" {
		t.Errorf("%+v", given)
	}
	if last := late.Marks[0]; last.X+last.Width > dayMinutes {
		t.Errorf("the last mark leaves the lane: %+v", last)
	}
	want := []mark{{0, 9, "11:00 UTC"}, {30, 4, "11:30 UTC"}}
	if diff := cmp.Diff(want, often.Marks); diff != "" {
		t.Error(diff)
	}
	if often.Label() != "3 starts, first 11:00, last 11:30 UTC" || d.Top(2).Lanes[1].Command != "late" {
		t.Errorf("%q", often.Label())
	}
}

// tale is a Source whose host has no jobs, but a history.
type tale struct {
	fake
	changes []api.ChangeView
}

func (s *tale) Changes(context.Context, api.ChangeQuery) (api.List[api.ChangeView], error) {
	return api.List[api.ChangeView]{Items: s.changes}, nil
}

func TestAJobThatIsGoneIsStillTold(t *testing.T) {
	was, is := fleet.Job{ID: "old", Command: "backup --old", Verdict: fleet.Verdict{Runs: true}}, fleet.Job{ID: "new", Command: "backup --new"}
	vanished := &tale{changes: []api.ChangeView{{Change: fleet.Change{Host: hostID, Job: "old", What: []fleet.ChangeKind{fleet.ChangeVanished}, Before: &was}}}}
	page := get(Handler(vanished, opened), "/hosts/h/jobs/old").Body.String()
	if !strings.Contains(page, "no longer there") || !strings.Contains(page, "backup --old") || strings.Contains(page, "fleetctl adopt") {
		t.Errorf("it is not told that it vanished:\n%s", page)
	}
	edited := &tale{changes: []api.ChangeView{{Change: fleet.Change{Host: hostID, Job: "new", What: []fleet.ChangeKind{fleet.ChangeCommand}, Before: &was, After: &is}}}}
	if page := get(Handler(edited, opened), "/hosts/h/jobs/old").Body.String(); !strings.Contains(page, `href="/hosts/`+string(hostID)+`/jobs/new"`) || !strings.Contains(page, "<del>old</del>") {
		t.Errorf("it does not lead to what became of it:\n%s", page)
	}
	if got := get(Handler(&tale{}, opened), "/hosts/h/jobs/old"); got.Code != http.StatusNotFound {
		t.Errorf("a job that never was: status %d", got.Code)
	}
}

func TestTheJobPageLeadsOn(t *testing.T) {
	source := &fake{n: 2, text: "plain"}
	page := get(Handler(source, opened), "/hosts/h/jobs/"+string(aJob)).Body.String()
	for _, want := range []string{
		`href="/jobs?fingerprint=fingerprint"`, `fleetctl release data/nightly-backup`, `fleetctl annotate plain:0123456789abcdef`,
		`href="/history?host=` + string(hostID), "another reason", "was due", `href="/tasks/data/nightly-backup"`, "plain=plain",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	check(t, last[api.FindingQuery](t, source), api.FindingQuery{Page: api.Page{Limit: api.MaxPage}, Host: string(hostID), Job: aJob, Acked: "all"})
	hostile := get(Handler(&fake{n: 1, text: "$(reboot)"}, opened), "/hosts/h/jobs/"+string(aJob)).Body.String()
	if strings.Contains(hostile, "fleetctl annotate $(reboot)") || !strings.Contains(hostile, "fleetctl annotate "+string(hostID)+":") {
		t.Error("a name that a shell would execute stands in a command to copy")
	}
}

// settled is a Source none of whose tasks was adopted.
type settled struct{ fake }

func (s *settled) Adoption(context.Context, fleet.TaskID) (fleet.Adoption, error) {
	return fleet.Adoption{}, fleet.Errorf(fleet.NotFound, "there is no such adoption")
}

func TestTasksTellWhatTheyWereMadeOf(t *testing.T) {
	link := `href="/hosts/` + string(hostID) + "/jobs/" + string(aJob) + `"`
	if page := get(Handler(&fake{n: 1, text: "x"}, opened), "/tasks/data/nightly-backup").Body.String(); !strings.Contains(page, link) {
		t.Error("an adopted task does not lead to its job")
	}
	got := get(Handler(&settled{fake{n: 1, text: "x"}}, opened), "/tasks/data/nightly-backup")
	if got.Code != http.StatusOK || strings.Contains(got.Body.String(), "Adopted") {
		t.Errorf("a task that was not adopted: status %d", got.Code)
	}
}

func TestThePastIsMarkedAsSuch(t *testing.T) {
	page := get(Handler(&fake{n: 1, text: "x"}, opened), "/jobs?at=2026-11-20+14:00&user=root").Body.String()
	if !strings.Contains(page, "As of 20 Nov 2026 14:00:00 UTC") || !strings.Contains(page, `href="/jobs?user=root">Back to now`) {
		t.Errorf("the banner is missing:\n%s", page)
	}
	if page := get(Handler(&fake{n: 1, text: "x"}, opened), "/jobs").Body.String(); strings.Contains(page, "As of ") && strings.Contains(page, "Back to now") {
		t.Error("the present is shown as the past")
	}
}
