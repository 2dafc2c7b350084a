package findings

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// shelf is a fleet that a test changes while an engine reads it.
type shelf struct {
	mu     sync.Mutex
	fleet  Fleet
	reads  int // of what was found on a host
	broken error
}

func newShelf(f Fleet) *shelf { return &shelf{fleet: f} }

func (s *shelf) change(fn func(f *Fleet)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(&s.fleet)
}

func (s *shelf) Hosts() ([]Host, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.fleet.Hosts), s.broken
}

func (s *shelf) Found(host fleet.HostID) (Inventory, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return s.fleet.Found[host], nil
}

func (s *shelf) Pins() ([]fleet.Pin, error)           { return s.fleet.Pins, nil }
func (s *shelf) Adoptions() ([]fleet.Adoption, error) { return s.fleet.Adoptions, nil }

func (s *shelf) Policies(fleet.Scope) ([]api.HostChain, error) { return s.fleet.Policies, nil }

func (s *shelf) Owners() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.fleet.Owners)
}

func (s *shelf) Acks() (map[string]fleet.Ack, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.fleet.Acks), nil
}

// inBubble runs an engine over a shelf while fn runs.
func inBubble(t *testing.T, f Fleet, fn func(*shelf, *Engine, func(api.FindingQuery) []string)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(noon)) // the bubble's clock begins in 2000
		source := newShelf(f)
		engine := New(source)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := engine.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		fn(source, engine, func(q api.FindingQuery) []string {
			t.Helper()
			list, err := engine.List(t.Context(), everywhere, q)
			if err != nil {
				t.Fatal(err)
			}
			return shown(list.Items)
		})
		cancel()
		running.Wait()
	})
}

func TestEngineFollows(t *testing.T) {
	f := fleetOf(map[int][]api.JobView{1: {newJob("/bin/a")}, 2: {newJob("/bin/b")}})
	inBubble(t, f, func(source *shelf, engine *Engine, list func(api.FindingQuery) []string) {
		expectLines(t, list(api.FindingQuery{}))
		if source.reads != 2 {
			t.Errorf("%d hosts read at first", source.reads)
		}
		id := newHost(2).ID
		source.change(func(f *Fleet) { f.Found[id] = Inventory{Jobs: []api.JobView{newJob("/bin/b", broken(fleet.BadMode))}} })
		engine.Mark(id)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		want := "warning ignored web-2 /etc/cron.d/x:0: 1 job in /etc/cron.d/x does not run: reason file_mode"
		expectLines(t, list(api.FindingQuery{}), want)
		if source.reads != 3 {
			t.Errorf("%d hosts read after one changed", source.reads)
		}
		source.change(func(f *Fleet) { f.Pins = []fleet.Pin{{Name: "none", Labels: "*"}} })
		engine.Stir()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := list(api.FindingQuery{Kind: fleet.FindUnexpected}); len(got) != 2 {
			t.Errorf("%q", got)
		}
		source.change(func(f *Fleet) {
			f.Hosts = slices.DeleteFunc(f.Hosts, func(h Host) bool { return h.ID == id })
			f.Pins = nil
		})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		expectLines(t, list(api.FindingQuery{}))
	})
}

// TestEngineSeesHostsFallSilent: silence is told of after five minutes, and
// what was due while a host was away is not overdue when it is back.
func TestEngineSeesHostsFallSilent(t *testing.T) {
	f := seen(one(newJob("/bin/x", due("30 14 * * *"), last(24*time.Hour-30*time.Minute)))) // 12:30 UTC
	inBubble(t, f, func(source *shelf, _ *Engine, list func(api.FindingQuery) []string) {
		source.change(func(f *Fleet) { f.Hosts[0].Presence = fleet.Silent })
		time.Sleep(4 * time.Minute)
		expectLines(t, list(api.FindingQuery{}))
		time.Sleep(4 * time.Minute)
		if got := list(api.FindingQuery{}); len(got) != 1 {
			t.Errorf("%q", got)
		}
		time.Sleep(time.Hour)
		source.change(func(f *Fleet) { f.Hosts[0].Presence = fleet.Alive })
		time.Sleep(time.Hour)
		expectLines(t, list(api.FindingQuery{}))
		time.Sleep(23 * time.Hour) // past the next 12:30
		expectLines(t, list(api.FindingQuery{}), "warning overdue web-1 /etc/cron.d/x:3: should have started at 2026-06-11T12:30:00Z and did not")
	})
}

func TestEngineTriesAgain(t *testing.T) {
	source := newShelf(one(newJob("/bin/a", broken(fleet.BadMode))))
	engine := New(source)
	source.broken = errors.New("disk")
	if _, err := engine.List(t.Context(), everywhere, api.FindingQuery{}); err == nil || err.Error() != "findings: read hosts: disk" {
		t.Error(err)
	}
	source.broken = nil
	list, err := engine.List(t.Context(), everywhere, api.FindingQuery{})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("%v, %v", list.Items, err)
	}
}

func expectLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// motley returns a fleet in which every rule has something to say.
func motley() Fleet {
	jobs := map[int][]api.JobView{}
	for n := range 30 {
		for i := range 12 {
			job := newJob(fmt.Sprintf("/opt/shared-%d", i), from(fmt.Sprintf("/etc/cron.d/%d", i%4), i), due([]string{"0 2 * * *", "*/30 2 * * *", "5 4 * * 1"}[i%3]), func(job *api.JobView) {
				job.Package = []string{"", "x"}[(n+i)%2]
				job.FirstSeen = installed.Add(time.Duration(n*i) * 2 * time.Hour)
				job.Verdict = fleet.Verdict{Runs: (n*i)%7 != 3, Code: fleet.NoCommand, Why: "why"}
			})
			if (n+i)%11 != 0 {
				jobs[n] = append(jobs[n], job)
			}
		}
		jobs[n] = append(jobs[n], newJob(fmt.Sprintf("/opt/own-%d", n), byHand), newJob("/opt/shared-1", from("/etc/cron.d/again", 1)))
	}
	return seen(fleetOf(jobs, "role=web", "zone=a"))
}

func TestPagesAreTheWhole(t *testing.T) {
	f := motley()
	engine := New(newShelf(f))
	if err := engine.Look(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	whole := Evaluate(f, noon)
	seenIDs := map[string]bool{}
	for _, one := range whole {
		if len(one.ID) != 16 || seenIDs[one.ID] {
			t.Errorf("id %q of %+v", one.ID, one)
		}
		seenIDs[one.ID] = true
	}
	var paged []fleet.Finding
	q := api.FindingQuery{Page: api.Page{Limit: 7}}
	for {
		list, err := engine.List(t.Context(), everywhere, q)
		if err != nil {
			t.Fatal(err)
		}
		if list.Total != len(whole) || list.Counts[fleet.Notice]+list.Counts[fleet.Warning]+list.Counts[fleet.Critical] != len(whole) || !list.Evaluated.Equal(noon) {
			t.Fatalf("total %d, counts %v, want %d", list.Total, list.Counts, len(whole))
		}
		paged = append(paged, list.Items...)
		if q.After = list.Next; q.After == "" {
			break
		}
	}
	if diff := cmp.Diff(whole, paged); diff != "" || len(whole) < 50 {
		t.Errorf("%d findings: %s", len(whole), diff)
	}
	again := New(newShelf(motley()))
	if err := again.Look(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(engine.known(everywhere).list, again.known(everywhere).list, cmp.AllowUnexported(found{})); diff != "" {
		t.Errorf("another order: %s", diff)
	}
	got, err := engine.Finding(t.Context(), everywhere, whole[3].ID)
	if err != nil || !cmp.Equal(got, whole[3]) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAJobHasItsFindingsAloneAndWithOthers(t *testing.T) {
	mine := newJob("/opt/mine", byHand, from("/etc/cron.d/own", 1))
	f := fleetOf(map[int][]api.JobView{
		1: {
			mine, newJob("/opt/mine-too", byHand, from("/etc/cron.d/own", 2)), newJob("/opt/shared", byHand), newJob("/bin/quiet"),
			newJob("/bin/a", from("/etc/cron.d/bad", 1), broken(fleet.BadMode)), newJob("/bin/b", from("/etc/cron.d/bad", 2), broken(fleet.BadMode)),
		},
		2: {newJob("/opt/shared", byHand)},
	})
	engine := New(newShelf(f))
	for _, c := range []struct {
		command string
		job     fleet.JobID
		want    []string
	}{
		{"/opt/mine", mine.ID, []string{"no_owner"}}, // told of both of the host's own
		{"/opt/shared", f.Found[newHost(1).ID].Jobs[2].ID, []string{"no_owner"}},
		{"/bin/quiet", f.Found[newHost(1).ID].Jobs[3].ID, nil},
		{"/bin/b", f.Found[newHost(1).ID].Jobs[5].ID, []string{"ignored"}}, // told of the file
		{"gone", "ffffffffffffffff", nil},
	} {
		list, err := engine.List(t.Context(), everywhere, api.FindingQuery{Host: "web-1", Job: c.job})
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, one := range list.Items {
			kinds = append(kinds, string(one.Kind))
		}
		if diff := cmp.Diff(c.want, kinds); diff != "" || list.Total != len(c.want) {
			t.Errorf("%s: %d, %s", c.command, list.Total, diff)
		}
	}
}

func TestFindingsAreFiltered(t *testing.T) {
	f := fleetOf(map[int][]api.JobView{
		1: {newJob("/bin/a", broken(fleet.BadMode)), newJob("/opt/shared", byHand)},
		2: {newJob("/bin/b", broken(fleet.SchedulerDown), byHand), newJob("/opt/shared", byHand)},
		3: {newJob("/bin/c")},
	})
	f.Hosts[slices.IndexFunc(f.Hosts, func(h Host) bool { return h.Name == "web-2" })].Labels["role"] = "db"
	f.Owners = map[string]string{fleet.CommandFingerprint("/bin/b"): "anna"}
	source := newShelf(f)
	engine := New(source)
	kinds := func(q api.FindingQuery) (kinds []fleet.FindingKind) {
		t.Helper()
		list, err := engine.List(t.Context(), everywhere, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range list.Items {
			kinds = append(kinds, one.Kind)
		}
		return kinds
	}
	const ignored, noOwner = fleet.FindIgnored, fleet.FindNoOwner
	for i, c := range []struct {
		q    api.FindingQuery
		want []fleet.FindingKind
	}{
		{api.FindingQuery{}, []fleet.FindingKind{ignored, ignored, noOwner}},
		{api.FindingQuery{Host: "web-1"}, []fleet.FindingKind{ignored, noOwner}},
		{api.FindingQuery{Host: string(newHost(2).ID), Severity: fleet.Warning}, []fleet.FindingKind{ignored}},
		{api.FindingQuery{Host: "web-3"}, nil},
		{api.FindingQuery{Label: "role=db"}, []fleet.FindingKind{ignored, noOwner}},
		{api.FindingQuery{Severity: fleet.Critical}, []fleet.FindingKind{ignored}},
		{api.FindingQuery{Kind: noOwner}, []fleet.FindingKind{noOwner}},
		{api.FindingQuery{Text: "WEB-2"}, []fleet.FindingKind{ignored, noOwner}},
		{api.FindingQuery{Text: "/cron.d/"}, []fleet.FindingKind{ignored}},
		{api.FindingQuery{Owner: "none"}, []fleet.FindingKind{ignored, ignored, noOwner}},
		{api.FindingQuery{Acked: "only"}, nil},
	} {
		if diff := cmp.Diff(c.want, kinds(c.q)); diff != "" {
			t.Errorf("%d: %s", i, diff)
		}
	}
	list, err := engine.List(t.Context(), everywhere, api.FindingQuery{Kind: noOwner})
	if err != nil {
		t.Fatal(err)
	}
	source.fleet.Acks = map[string]fleet.Ack{list.Items[0].ID: {Finding: list.Items[0].ID}}
	if got := kinds(api.FindingQuery{}); len(got) != 2 {
		t.Errorf("%q", got)
	}
	if got := kinds(api.FindingQuery{Acked: "only"}); len(got) != 1 {
		t.Errorf("%q", got)
	}
	if got := kinds(api.FindingQuery{Acked: "all"}); len(got) != 3 {
		t.Errorf("%q", got)
	}
	for field, q := range map[string]api.FindingQuery{
		"kind": {Kind: "odd"}, "severity": {Severity: "loud"}, "acked": {Acked: "yes"}, "after": {Page: api.Page{After: "x"}}, "labels": {Label: "=="},
	} {
		var refused *fleet.Error
		if _, err := engine.List(t.Context(), everywhere, q); !errors.As(err, &refused) || refused.Kind != fleet.Invalid || refused.Fields[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := engine.List(t.Context(), everywhere, api.FindingQuery{Host: "none"}); fleet.KindOf(err) != fleet.NotFound {
		t.Error(err)
	}
	if _, err := engine.Finding(t.Context(), everywhere, "none"); fleet.KindOf(err) != fleet.NotFound {
		t.Error(err)
	}
}
