package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/collector/replica"
	"github.com/fleetcron/fleetcron/collector/search"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
	"github.com/fleetcron/fleetcron/shared/taskfile"
)

// The fleet of the benchmark, and how many agents report at once.
const (
	fleetHosts = 10_000
	fleetJobs  = 50
	reporters  = 200
)

var roles = []string{"web", "db", "queue", "cache", "batch"}

// hostOf is the n-th host of the fleet.
func hostOf(n int) fleet.Host {
	role := roles[n%len(roles)]
	return fleet.Host{
		ID: hostID(n), Name: fmt.Sprintf("%s-%04d.eu-central.example.net", role, n), OS: "Debian GNU/Linux 13 (trixie)", Cron: "debian",
		Timezone: []string{"Europe/Berlin", "UTC"}[n/5%2], Labels: map[string]string{"role": role, "env": []string{"prod", "dev"}[n/10%2], "rack": strconv.Itoa(n / 40)},
	}
}

// reportOf is what its scan finds: 60 of 100 commands stand on all hosts of its
// role or of the fleet, the others on it alone. Most of what is shared comes of
// packages, at the minutes that packages use; what is its own starts whenever.
func reportOf(n int) fleet.Report {
	host := hostOf(n)
	report := fleet.Report{Host: host.Name, Scanned: time.Unix(1_700_000_000, 0).UTC(), Problems: []fleet.Problem{}}
	for i := range fleetJobs {
		job := fleet.Job{
			Kind: fleet.KindCron, Source: fmt.Sprintf("/etc/cron.d/part-%d", i/3), Line: 3 + i, User: []string{"root", "root", "www-data", "postgres"}[i%4],
			Schedule: fmt.Sprintf("%d %d * * *", 7*i%60, i%24), Timezone: host.Timezone, Enabled: true, Verdict: fleet.Verdict{Runs: true},
		}
		switch {
		case i < 20:
			job.Command, job.Package = fmt.Sprintf("test -x /usr/lib/package-%02d/run && /usr/lib/package-%02d/run --quiet", i, i), fmt.Sprintf("package-%02d", i)
		case i < 30:
			job.Command, job.ManagedBy = fmt.Sprintf("/opt/%s/bin/task-%02d --all >> /var/log/task-%02d.log 2>&1", roles[n%len(roles)], i, i), "ansible"
			if i%5 == 0 {
				job.Schedule = "*/10 * * * *"
			}
		default:
			job.Command = fmt.Sprintf("/srv/%s/jobs/maintain --set %d --target %s --log /var/log/maintain-%d.log", host.Name, i, host.Name, i)
			job.Schedule = fmt.Sprintf("%d %d * * %d", (n*13+i*7)%60, (n+i)%24, i%7)
		}
		job.ID, job.Fingerprint = fleet.NewJobID(job.Kind, job.Source, job.User, job.Command, 0), fleet.CommandFingerprint(job.Command)
		report.Jobs = append(report.Jobs, job)
	}
	return report
}

// house is one collector, all but gossip and web.
type house struct {
	book   *ledger.Ledger
	group  *replica.Replica
	server *httpd.Server
	web    *httptest.Server
	client *api.Client
	stop   func()
}

// open starts the collector on a directory; a new one becomes a group of one.
func open(b *testing.B, dir string) *house {
	b.Helper()
	book, err := ledger.Open(filepath.Join(dir, "ledger.db"))
	if err != nil {
		b.Fatal(err)
	}
	h := &house{book: book, group: group(b, dir, book)}
	index := search.New(book)
	if h.server, err = httpd.New(httpd.Deps{Ledger: book, Search: index, Replica: proposer{h.group}, ParseTask: taskfile.ParseOne, Authenticator: insider{}}); err != nil {
		b.Fatal(err)
	}
	index.OverdueBy(h.server.IsOverdue)
	h.web = httptest.NewServer(handlerOf(h.server))
	h.client, err = api.NewClient(api.Config{Addresses: []string{h.web.URL}, Timeout: 10 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: reporters}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = index.Run(ctx) })
	running.Go(func() { _ = h.server.Follow(ctx) })
	h.stop = func() {
		cancel()
		running.Wait()
		h.client.Close()
		h.server.Close()
		h.web.Close()
		h.group.Close()
		book.Close()
	}
	return h
}

// author returns somebody who signs for the cluster.
func (h *house) author(b *testing.B) *author.Author {
	b.Helper()
	cluster, _, err := h.book.Cluster()
	if err != nil {
		b.Fatal(err)
	}
	key, err := seal.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	return author.New(h.client, cluster.ID, key)
}

// report has every host register, if it is new, and report.
func (h *house) report(b *testing.B, register bool) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range reporters {
		wg.Go(func() {
			for n := int(next.Add(1) - 1); n < fleetHosts; n = int(next.Add(1) - 1) {
				if register {
					if err := h.client.Register(b.Context(), hostOf(n)); err != nil {
						b.Error(err)
						return
					}
				}
				report := reportOf(n)
				if _, err := h.client.Report(b.Context(), hostID(n), &report); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// memory returns the resident memory of this process, in MiB: its own, and
// what it has mapped of files.
func memory(b *testing.B) (own, mapped float64) {
	b.Helper()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	field := func(name string) float64 {
		_, rest, _ := bytes.Cut(status, []byte(name+":"))
		kilobytes, err := strconv.Atoi(strings.Fields(string(rest))[0])
		if err != nil {
			b.Fatal(err)
		}
		return float64(kilobytes) / 1024
	}
	return field("RssAnon"), field("RssFile")
}

// times asks again and again and returns the median and the 99th percentile,
// in milliseconds.
func times(b *testing.B, n int, ask func(i int) error) (median, p99 float64) {
	b.Helper()
	var took []float64
	for i := range n {
		begun := time.Now()
		if err := ask(i); err != nil {
			b.Fatal(err)
		}
		took = append(took, float64(time.Since(begun).Microseconds())/1000)
	}
	slices.Sort(took)
	return took[n/2], took[n*99/100]
}

// targets is what is promised of a fleet of that size, on two cores that
// nobody else uses.
var targets = []struct {
	name  string
	most  float64
	means string
}{
	{"resident-MiB", 1024, "memory, own and mapped"},
	{"find-p99-ms", 20, "find, the slowest of a hundred"},
	{"when-ms", 200, "when, over two hours"},
	{"cold-ready-s", 10, "from cold to ready: find and when are answered"},
	{"again-entries", 0, "raft entries of reports that say nothing new"},
}

// measured are the figures of one round, by their names.
type measured map[string]float64

// report tells each figure, and beside those that are promised the promise.
// The load says what else the machine was doing.
func (m measured) report(b *testing.B) {
	b.Helper()
	for name, figure := range m {
		b.ReportMetric(figure, name)
	}
	load(b)
	for _, target := range targets {
		verdict := "met"
		if m[target.name] > target.most {
			verdict = "MISSED"
		}
		b.Logf("%-6s %8.1f of at most %6.0f %-14s %s", verdict, m[target.name], target.most, target.name, target.means)
	}
}

// BenchmarkFleet has 10,000 hosts of 50 jobs each report to one collector,
// through HTTP, raft and the ledger, and starts it again; then it asks about
// the fleet: while the findings are first looked for (survey-), and afterwards.
// Figures of time are those of the clock, so read them with the load; cold-cpu-s
// is what the start takes of the cores, and find-cpu-ms one question with its
// asker.
func BenchmarkFleet(b *testing.B) {
	for b.Loop() {
		dir, m := b.TempDir(), measured{}
		h := open(b, dir)
		begun := time.Now()
		h.report(b, true)
		m["report-s"] = time.Since(begun).Seconds()
		before, _ := h.book.Applied()
		begun = time.Now()
		h.report(b, false)
		after, _ := h.book.Applied()
		m["again-s"], m["again-entries"] = time.Since(begun).Seconds(), float64(after-before)
		h.stop()
		h.book, h.group, h.server = nil, nil, nil
		debug.FreeOSMemory()

		begun, spent := time.Now(), processorTime(b)
		h = open(b, dir)
		h.ready(b)
		m["cold-ready-s"], m["cold-cpu-s"] = time.Since(begun).Seconds(), (processorTime(b) - spent).Seconds()
		_, m["survey-find-p99-ms"] = h.find(b)
		list, err := h.client.Findings(b.Context(), api.FindingQuery{})
		if err != nil {
			b.Fatal(err)
		}
		m["cold-findings-s"], m["findings"] = time.Since(begun).Seconds(), float64(list.Total)
		h.ask(b, m)
		m["own-MiB"], m["mapped-MiB"] = memory(b)
		m["resident-MiB"] = m["own-MiB"] + m["mapped-MiB"]
		h.stop()
		m.report(b)
	}
}

// ready waits until the collector says that it is ready.
func (h *house) ready(b *testing.B) {
	b.Helper()
	for {
		reply, err := http.Get(h.web.URL + api.PathReadyz)
		if err != nil {
			b.Fatal(err)
		}
		reply.Body.Close()
		if reply.StatusCode == http.StatusOK {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// processorTime returns what this process took of the cores so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// finds is how often find asks.
const finds = 300

// find asks for jobs by texts of every kind.
func (h *house) find(b *testing.B) (median, p99 float64) {
	b.Helper()
	texts := []string{"maintain --set 31", "package-07", "user:postgres host:db-", "web-0005", "a", "no such thing anywhere", "-user:root kind:cron", `verdict:broken`, "owner:none queue"}
	return times(b, finds, func(i int) error {
		_, err := h.client.Jobs(b.Context(), api.JobQuery{Text: texts[i%len(texts)]})
		return err
	})
}

// ask asks the questions about the fleet.
func (h *house) ask(b *testing.B, m measured) {
	b.Helper()
	ctx := b.Context()
	spent := processorTime(b)
	m["find-p50-ms"], m["find-p99-ms"] = h.find(b)
	m["find-cpu-ms"] = (processorTime(b) - spent).Seconds() * 1000 / finds
	from := time.Date(2030, 1, 7, 2, 0, 0, 0, time.UTC)
	window := api.UpcomingQuery{From: from, Until: from.Add(2 * time.Hour)}
	for name, change := range map[string]func(*api.UpcomingQuery){
		"when": func(*api.UpcomingQuery) {}, "when-label": func(q *api.UpcomingQuery) { q.Label = "role=db" }, "when-text": func(q *api.UpcomingQuery) { q.Text = "maintain" },
	} {
		q := window
		change(&q)
		median, _ := times(b, 9, func(int) error {
			list, err := h.client.Upcoming(ctx, q)
			if err == nil && list.Total < 1000 {
				err = fmt.Errorf("%s: %d starts in all", name, list.Total)
			}
			return err
		})
		m[name+"-ms"] = median
	}
	begun := time.Now()
	if _, err := h.client.Density(ctx, api.DensityQuery{From: from}); err != nil {
		b.Fatal(err)
	}
	m["density-first-ms"] = float64(time.Since(begun).Milliseconds())
	for name, ask := range map[string]func() error{
		"density":    func() error { _, err := h.client.Density(ctx, api.DensityQuery{From: from}); return err },
		"collisions": func() error { _, err := h.client.Collisions(ctx, api.CollisionQuery{From: from}); return err },
		"spread": func() error {
			_, err := h.client.Spread(ctx, api.SpreadQuery{From: from, Label: "role=db"})
			return err
		},
		"loss":     func() error { _, err := h.client.Loss(ctx, string(hostID(17))); return err },
		"findings": func() error { _, err := h.client.Findings(ctx, api.FindingQuery{}); return err },
	} {
		median, _ := times(b, 5, func(int) error { return ask() })
		m[name+"-ms"] = median
	}
}

// group starts a raft group of one in a directory, or goes on with it.
func group(b *testing.B, dir string, book *ledger.Ledger) *replica.Replica {
	b.Helper()
	r, err := replica.Open(replica.Config{ID: "c1", Dir: filepath.Join(dir, "raft"), Bind: "127.0.0.1:17771", Ledger: book, Logger: slog.New(slog.DiscardHandler), Credentials: certified(b)})
	if err != nil {
		b.Fatal(err)
	}
	if applied, _ := book.Applied(); applied == 0 {
		if err := r.Bootstrap([]replica.Member{{ID: "c1", Address: r.Address(), Voter: true}}); err != nil {
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	leads := errors.New("it leads")
	if err := r.WhileLeading(ctx, func(context.Context) error { return leads }); !errors.Is(err, leads) {
		b.Fatalf("no leader: %v", err)
	}
	return r
}
