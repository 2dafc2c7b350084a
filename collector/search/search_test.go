package search

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// fleetOf is a small true ledger: hosts and their jobs in memory.
type fleetOf struct {
	mu     sync.Mutex
	hosts  map[fleet.HostID]*ledger.Host
	jobs   map[fleet.HostID][]api.JobView
	index  uint64
	broken error // what Jobs returns, where set
	said   []*fleet.Annotation
}

func newFleet() *fleetOf {
	return &fleetOf{hosts: map[fleet.HostID]*ledger.Host{}, jobs: map[fleet.HostID][]api.JobView{}}
}

func (f *fleetOf) AllHosts(fleet.Scope) []*ledger.Host {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Values(f.hosts), func(a, b *ledger.Host) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
}

func (f *fleetOf) Host(_ fleet.Scope, id fleet.HostID) (*ledger.Host, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	host, found := f.hosts[id]
	return host, found
}

func (f *fleetOf) Jobs(_ fleet.Scope, id fleet.HostID) ([]api.JobView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.jobs[id]), f.broken
}

func (f *fleetOf) Job(_ fleet.Scope, host fleet.HostID, id fleet.JobID) (api.JobView, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, job := range f.jobs[host] {
		if job.ID == id {
			return job, true, nil
		}
	}
	return api.JobView{}, false, nil
}

func (f *fleetOf) Applied() (uint64, uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.index, 1
}

func (f *fleetOf) AllAnnotations(fleet.Scope) []*fleet.Annotation { return f.said }

func (f *fleetOf) OnHost(func(fleet.HostID)) {} // tests mark hosts themselves

// put gives a host its jobs.
func (f *fleetOf) put(n int, name string, labels map[string]string, jobs ...fleet.Job) fleet.HostID {
	id := fleet.HostID(fmt.Sprintf("%032x", n))
	views := make([]api.JobView, len(jobs))
	for i, job := range jobs {
		views[i] = api.JobView{Job: job, Host: id, HostName: name, FirstSeen: time.Unix(1e9, 0)}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index++
	f.hosts[id] = &ledger.Host{Host: fleet.Host{ID: id, Name: name, Labels: labels}}
	f.jobs[id] = views
	return id
}

func job(source string, line int, user, schedule, command string) fleet.Job {
	return fleet.Job{
		ID: fleet.NewJobID(fleet.KindCron, source, user, command, line), Kind: fleet.KindCron, Source: source, Line: line,
		User: user, Schedule: schedule, Command: command, Enabled: true, Verdict: fleet.Verdict{Runs: true},
		Fingerprint: fleet.CommandFingerprint(command),
	}
}

func smallFleet() *fleetOf {
	f := newFleet()
	broken := job("/etc/cron.d/php", 3, "www-data", "*/30 * * * *", "[ -x /usr/lib/php/sessionclean ] && /usr/lib/php/sessionclean")
	broken.Verdict, broken.Package = fleet.Verdict{Code: fleet.BadMode, Why: "the file is group writable"}, "php-common"
	timer := job("/lib/systemd/system/apt-daily.timer", 0, "root", "*-*-* 6,18:00", "/usr/lib/apt/apt.systemd.daily update")
	timer.Kind = fleet.KindTimer
	f.put(1, "db-1", map[string]string{"role": "db"},
		job("/etc/cron.d/backup", 2, "postgres", "30 2 * * *", "/usr/local/bin/pg_dump --All"), timer)
	f.put(2, "db-2", map[string]string{"role": "db"},
		job("/etc/cron.d/backup", 2, "postgres", "45 2 * * *", "/usr/local/bin/pg_dump  --All"))
	f.put(3, "web-1", map[string]string{"role": "web"}, broken, timer,
		job("/var/spool/cron/crontabs/Deploy", 1, "Deploy", "@daily", "find /srv/cache -mtime +7 -delete; echo DÖNER"))
	return f
}

// found lists "host line source" of what a query returns.
func found(t *testing.T, x *Index, q api.JobQuery) []string {
	t.Helper()
	list, err := x.Query(everywhere, q)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, job := range list.Items {
		names = append(names, fmt.Sprintf("%s %s:%d", job.HostName, job.Source, job.Line))
	}
	return names
}

func TestQuery(t *testing.T) {
	f := smallFleet()
	f.said = []*fleet.Annotation{{Fingerprint: fleet.CommandFingerprint("/usr/local/bin/pg_dump --All"), Owner: "Team-Data"}, {Fingerprint: fleet.CommandFingerprint("/usr/lib/apt/apt.systemd.daily update"), Note: "no owner"}}
	x := New(f)
	x.OverdueBy(func(host fleet.HostID, _ fleet.JobID) bool { return f.hosts[host].Name == "db-2" })
	const (
		backup1 = "db-1 /etc/cron.d/backup:2"
		backup2 = "db-2 /etc/cron.d/backup:2"
		timer1  = "db-1 /lib/systemd/system/apt-daily.timer:0"
		timer3  = "web-1 /lib/systemd/system/apt-daily.timer:0"
		php     = "web-1 /etc/cron.d/php:3"
		clean   = "web-1 /var/spool/cron/crontabs/Deploy:1"
	)
	for name, c := range map[string]struct {
		q    api.JobQuery
		want []string
	}{
		"everything, in order":            {api.JobQuery{}, []string{backup1, timer1, backup2, php, timer3, clean}},
		"part of a command, in any case":  {api.JobQuery{Text: "PG_dump"}, []string{backup1, backup2}},
		"blanks as they stand":            {api.JobQuery{Text: "pg_dump --all"}, []string{backup1}},
		"beyond ASCII":                    {api.JobQuery{Text: "döner"}, []string{clean}},
		"part of a host's name":           {api.JobQuery{Text: "web"}, []string{php, timer3, clean}},
		"part of a user":                  {api.JobQuery{Text: "ostgre"}, []string{backup1, backup2}},
		"part of a source":                {api.JobQuery{Text: "crontabs/dep"}, []string{clean}},
		"nothing":                         {api.JobQuery{Text: "no such thing"}, []string{}},
		"a NUL":                           {api.JobQuery{Text: "all\x00/usr"}, []string{}},
		"a term for the user, whole":      {api.JobQuery{Text: "user:postgre"}, []string{}},
		"a term for the user":             {api.JobQuery{Text: "user:deploy"}, []string{clean}},
		"a term for the host":             {api.JobQuery{Text: "host:db-"}, []string{backup1, timer1, backup2}},
		"a host's id":                     {api.JobQuery{Text: "host:" + strings.Repeat("0", 31) + "2"}, []string{backup2}},
		"a term for the source":           {api.JobQuery{Text: "source:cron.d"}, []string{backup1, backup2, php}},
		"a term with blanks":              {api.JobQuery{Text: `schedule:"45 2"`}, []string{backup2}},
		"a term for the kind":             {api.JobQuery{Text: "kind:timer"}, []string{timer1, timer3}},
		"terms and text":                  {api.JobQuery{Text: "apt user:root host:web update"}, []string{}},
		"terms around one text":           {api.JobQuery{Text: "user:root systemd.daily update host:web"}, []string{timer3}},
		"two terms of one kind":           {api.JobQuery{Text: "source:cron source:php"}, []string{php}},
		"no term: another word":           {api.JobQuery{Text: "https://x"}, []string{}},
		"a port is no term":               {api.JobQuery{Text: "localhost:8080"}, []string{}},
		"owner":                           {api.JobQuery{Text: "owner:team-data"}, []string{backup1, backup2}},
		"not that owner":                  {api.JobQuery{Text: "-owner:team-data kind:timer"}, []string{timer1, timer3}},
		"nobody's":                        {api.JobQuery{Text: "owner:none -kind:timer"}, []string{php, clean}},
		"fields: owner":                   {api.JobQuery{Owner: "Team-Data", Host: "db-1"}, []string{backup1}},
		"verdict":                         {api.JobQuery{Text: "verdict:broken"}, []string{php}},
		"verdict by its code":             {api.JobQuery{Text: "verdict:file_mode"}, []string{php}},
		"package":                         {api.JobQuery{Text: "package:PHP-common"}, []string{php}},
		"of no package":                   {api.JobQuery{Text: "package:none host:web"}, []string{timer3, clean}},
		"overdue":                         {api.JobQuery{Text: "is:overdue"}, []string{backup2}},
		"fields: overdue":                 {api.JobQuery{Overdue: true}, []string{backup2}},
		"not a user":                      {api.JobQuery{Text: "-user:root -user:postgres"}, []string{php, clean}},
		"text in quotes, twice":           {api.JobQuery{Text: `"-delete;" "/srv/cache"`}, []string{clean}},
		"text in quotes, not":             {api.JobQuery{Text: `-"pg_dump --all" host:db`}, []string{timer1, backup2}},
		"an option is no minus":           {api.JobQuery{Text: "cache -mtime"}, []string{clean}},
		"fields: host by name":            {api.JobQuery{Host: "db-2"}, []string{backup2}},
		"fields: not part of a name":      {api.JobQuery{Host: "db-"}, []string{}},
		"fields: user and source":         {api.JobQuery{User: "root", Source: "apt"}, []string{timer1, timer3}},
		"fields: kind":                    {api.JobQuery{Kind: fleet.KindTimer, Host: "web-1"}, []string{timer3}},
		"fields: label":                   {api.JobQuery{Label: "role!=db", Text: "root"}, []string{timer3}},
		"fields: broken":                  {api.JobQuery{Verdict: "broken"}, []string{php}},
		"fields: runs":                    {api.JobQuery{Verdict: "runs", Host: "web-1"}, []string{timer3, clean}},
		"fields: fingerprint":             {api.JobQuery{Fingerprint: fleet.CommandFingerprint("/usr/local/bin/pg_dump --All")}, []string{backup1, backup2}},
		"fields: a fingerprint of nobody": {api.JobQuery{Fingerprint: "0123456789abcdef"}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := gocmp.Diff(c.want, found(t, x, c.q)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestQueryRefusesWhatItCannotMean(t *testing.T) {
	x := New(smallFleet())
	for name, q := range map[string]api.JobQuery{
		"kind":      {Kind: "crond"},
		"kind term": {Text: "kind:crond"},
		"verdict":   {Verdict: "maybe"},
		"label":     {Label: "=db"},
		"no value":  {Text: "backup user:"},
		"no term":   {Text: "usr:root"},
		"is":        {Text: "is:late"},
		"cursor":    {Page: api.Page{After: "%%"}},
		"cursor 2":  {Page: api.Page{After: "aGVsbG8"}},
	} {
		_, err := x.Query(everywhere, q)
		_, errGroups := x.Groups(everywhere, q)
		if fleet.KindOf(err) != fleet.Invalid || fleet.KindOf(errGroups) != fleet.Invalid {
			t.Errorf("%s: %v; groups: %v; want Invalid", name, err, errGroups)
		}
	}
}

func TestAnUnknownTermNamesTheKnownOnes(t *testing.T) {
	_, err := New(smallFleet()).Query(everywhere, api.JobQuery{Text: "-usr:root"})
	const want = `q "usr:": no such term: there are user: host: schedule: source: kind: owner: verdict: package: is:; put text with a colon in quotes`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestGroups(t *testing.T) {
	x := New(smallFleet())
	list, err := x.Groups(everywhere, api.JobQuery{Page: api.Page{Limit: 2}})
	if err != nil {
		t.Fatal(err)
	}
	dump, apt := "/usr/local/bin/pg_dump --All", "/usr/lib/apt/apt.systemd.daily update"
	want := []api.JobGroup{
		{Fingerprint: fleet.CommandFingerprint(dump), Command: dump, Jobs: 2, Hosts: 2, HostNames: []string{"db-1", "db-2"}, Schedules: []string{"30 2 * * *", "45 2 * * *"}, Users: []string{"postgres"}},
		{Fingerprint: fleet.CommandFingerprint(apt), Command: apt, Jobs: 2, Hosts: 2, HostNames: []string{"db-1", "web-1"}, Schedules: []string{"*-*-* 6,18:00"}, Users: []string{"root"}},
	}
	slices.SortFunc(want, func(a, b api.JobGroup) int { return cmp.Compare(a.Fingerprint, b.Fingerprint) })
	if diff := gocmp.Diff(want, list.Items); diff != "" || list.Total != 4 || list.Next == "" {
		t.Errorf("total %d, next %q: %s", list.Total, list.Next, diff)
	}
	list, err = x.Groups(everywhere, api.JobQuery{Text: "web", Page: api.Page{After: list.Next}})
	if err != nil || list.Total != 3 || len(list.Items) != 3 || list.Next != "" {
		t.Errorf("the next page, of web alone: %+v, %v", list, err)
	}
}

func TestGroupsListOnlySome(t *testing.T) {
	f := newFleet()
	for n := range 30 {
		f.put(n, fmt.Sprintf("host-%02d", 29-n), nil, job("/etc/crontab", 1, fmt.Sprintf("u%d", n%7), fmt.Sprintf("%d * * * *", n%8), "/bin/x"))
	}
	list, err := New(f).Groups(everywhere, api.JobQuery{})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	g := list.Items[0]
	if g.Hosts != 30 || g.Jobs != 30 || len(g.HostNames) != maxHostNames || g.HostNames[0] != "host-00" || g.HostNames[19] != "host-19" {
		t.Errorf("hosts: %+v", g)
	}
	if diff := gocmp.Diff([]string{"u0", "u1", "u2", "u3", "u4"}, g.Users); diff != "" {
		t.Error(diff)
	}
	if diff := gocmp.Diff([]string{"0 * * * *", "1 * * * *", "2 * * * *", "3 * * * *", "4 * * * *"}, g.Schedules); diff != "" {
		t.Error(diff)
	}
}

func TestIndexFollows(t *testing.T) {
	f := smallFleet()
	x := New(f)
	want := func(text string, total int) {
		t.Helper()
		list, err := x.Query(everywhere, api.JobQuery{Text: text})
		if err != nil || list.Total != total || len(list.Items) != total {
			t.Errorf("%q: %d of %d, %v; want %d", text, len(list.Items), list.Total, err, total)
		}
	}
	want("pg_dump", 2)
	id := f.put(1, "db-one", nil, job("/etc/crontab", 9, "root", "@hourly", "/bin/new"))
	x.mark(id)
	want("pg_dump", 1)
	want("host:db-one", 1)
	want("host:db-1", 0)
	f.mu.Lock()
	delete(f.hosts, id)
	f.mu.Unlock()
	x.mark(id)
	want("/bin/new", 0)

	f.broken = errors.New("the disk is gone")
	x.mark(id)
	f.put(1, "db-1", nil)
	if _, err := x.Query(everywhere, api.JobQuery{}); err == nil {
		t.Error("what could not be read was not told")
	}
	f.broken = nil
	f.put(1, "db-1", nil, job("/etc/crontab", 9, "root", "@hourly", "/bin/again"))
	want("/bin/again", 1) // it is tried again
}

// TestAgainstNaive compares random queries with the plain way of answering
// them, while hosts come, change and go, and pages are walked to the end; on
// one core or several.
func TestAgainstNaive(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		f := newFleet()
		x := New(f)
		if seed%3 > 0 {
			x.share = int(seed % 3)
		}
		for range 40 {
			for range 1 + random.IntN(5) {
				x.mark(changeHost(f, random))
			}
			q := randomQuery(random)
			if diff := gocmp.Diff(naive(f, q), walk(t, x, q)); diff != "" {
				t.Fatalf("seed %d: %+v: %s", seed, q, diff)
			}
			if diff := gocmp.Diff(naiveGroups(f, q), walkGroups(t, x, q)); diff != "" {
				t.Fatalf("seed %d: groups of %+v: %s", seed, q, diff)
			}
		}
	}
}

var (
	testWords = []string{"backup", "BACK", "/usr/bin/find", "pg_dump", "-delete", "x", "Ä"}
	testUsers = []string{"root", "Root", "www-data", "backup"}
	testFiles = []string{"/etc/crontab", "/etc/cron.d/backup", "/etc/cron.d/x"}
	testTimes = []string{"30 2 * * *", "@daily", "*/5 * * * *"}
)

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

func changeHost(f *fleetOf, random *rand.Rand) fleet.HostID {
	n := random.IntN(12)
	id := fleet.HostID(fmt.Sprintf("%032x", n))
	if random.IntN(6) == 0 {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.hosts, id)
		delete(f.jobs, id)
		return id
	}
	var jobs []fleet.Job
	for line := range random.IntN(8) {
		command := strings.Join([]string{pick(random, testWords), pick(random, testWords), fmt.Sprint(random.IntN(3))}, " ")
		one := job(pick(random, testFiles), line, pick(random, testUsers), pick(random, testTimes), command)
		one.Verdict.Runs = random.IntN(4) > 0
		if random.IntN(3) == 0 {
			one.Kind = fleet.KindTimer
		}
		jobs = append(jobs, one)
	}
	return f.put(n, pick(random, []string{"db-1", "web-1", "web-2", "backup"}), map[string]string{"n": fmt.Sprint(n % 3)}, jobs...)
}

func randomQuery(random *rand.Rand) api.JobQuery {
	q := api.JobQuery{Page: api.Page{Limit: 1 + random.IntN(7)}}
	maybe := func(set func()) {
		if random.IntN(4) == 0 {
			set()
		}
	}
	maybe(func() {
		q.Text = pick(random, []string{"ack", "b", "find pg", "ä", "root", "web", "cron.d", " 1 ", ""})
	})
	maybe(func() { q.User = pick(random, testUsers) })
	maybe(func() { q.Source = pick(random, []string{"cron", "CRON.D", "x"}) })
	maybe(func() { q.Host = pick(random, []string{"db-1", "web-1"}) })
	maybe(func() { q.Kind = fleet.KindTimer })
	maybe(func() { q.Label = "n=1" })
	maybe(func() { q.Verdict = pick(random, []string{"runs", "broken"}) })
	return q
}

// naive answers a query by asking every job.
func naive(f *fleetOf, q api.JobQuery) []api.JobView {
	jobs := []api.JobView{}
	text := strings.ToLower(strings.TrimSpace(q.Text))
	for _, host := range f.AllHosts(everywhere) {
		views := f.jobs[host.ID]
		slices.SortFunc(views, func(a, b api.JobView) int {
			return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Line, b.Line), cmp.Compare(a.ID, b.ID))
		})
		for _, j := range views {
			has := func(s, part string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(part)) }
			switch {
			case !has(j.Command, text) && !has(j.User, text) && !has(j.Source, text) && !has(j.HostName, text),
				q.User != "" && !strings.EqualFold(q.User, j.User),
				!has(j.Source, q.Source),
				q.Host != "" && q.Host != j.HostName,
				q.Kind != "" && q.Kind != j.Kind,
				q.Label != "" && host.Labels["n"] != "1",
				q.Verdict != "" && (q.Verdict == "runs") != j.Verdict.Runs:
			default:
				jobs = append(jobs, j)
			}
		}
	}
	return jobs
}

func naiveGroups(f *fleetOf, q api.JobQuery) []api.JobGroup {
	groups := map[string]*api.JobGroup{}
	hosts := map[string]map[fleet.HostID]bool{}
	for _, j := range naive(f, q) {
		g := groups[j.Fingerprint]
		if g == nil {
			g = &api.JobGroup{Fingerprint: j.Fingerprint, Command: j.Command}
			groups[j.Fingerprint], hosts[j.Fingerprint] = g, map[fleet.HostID]bool{}
		}
		g.Jobs++
		hosts[j.Fingerprint][j.Host] = true
		g.Hosts = len(hosts[j.Fingerprint])
		for list, text := range map[*[]string]string{&g.HostNames: j.HostName, &g.Schedules: j.Schedule, &g.Users: j.User} {
			if !slices.Contains(*list, text) {
				*list = append(*list, text)
				slices.Sort(*list)
			}
		}
	}
	list := []api.JobGroup{}
	for _, g := range groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b api.JobGroup) int {
		return cmp.Or(cmp.Compare(b.Hosts, a.Hosts), cmp.Compare(b.Jobs, a.Jobs), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return list
}

// walk follows the cursors of a query to the end.
func walk(t *testing.T, x *Index, q api.JobQuery) []api.JobView {
	t.Helper()
	all := []api.JobView{}
	for {
		list, err := x.Query(everywhere, q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list.Items...)
		if q.After = list.Next; q.After == "" {
			if list.Total != len(all) {
				t.Errorf("total %d of %d", list.Total, len(all))
			}
			return all
		}
	}
}

func walkGroups(t *testing.T, x *Index, q api.JobQuery) []api.JobGroup {
	t.Helper()
	all := []api.JobGroup{}
	for {
		list, err := x.Groups(everywhere, q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list.Items...)
		if q.After = list.Next; q.After == "" {
			if list.Total != len(all) {
				t.Errorf("total %d of %d", list.Total, len(all))
			}
			return all
		}
	}
}
