// Package search answers which host runs what: it finds jobs by any part of their command, host, user or source, in milliseconds, among all jobs of the fleet.
//
// An Index holds every job in memory, as numbers: each distinct command,
// source, user and schedule is kept once, and a search looks through those
// texts first and then through rows of numbers. What is shown of a job is read
// from the ledger, for one page. The index follows the ledger: a host
// that changed is marked, and whoever asks next, or Run, reads its jobs anew,
// so an answer is never older than the ledger was when it was asked for.
//
// A query's text is searched as it stands, in any case, in command, host, user
// and source. Terms within it ask about one field, with quotes around blanks:
//
//	user:root          the user, whole
//	kind:timer         the kind, whole
//	host:db-           part of the host's name, or its id
//	source:cron.d      part of the source
//	schedule:"30 2 *"  part of the schedule as written
//	owner:anna         who answers for the command, whole; none: nobody does
//	package:cron       the package that brought it, whole; none: it is of none
//	verdict:broken     runs, broken, or the code of a reason, such as file_mode
//	is:overdue         it should have started and did not
//
// Text in quotes is searched by itself, and a minus in front of a term or of
// text in quotes asks for the jobs that it does not hold for.
package search

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Source is where the jobs are kept: the ledger.
type Source interface {
	AllHosts(fleet.Scope) []*ledger.Host
	Host(fleet.Scope, fleet.HostID) (*ledger.Host, bool)
	Jobs(fleet.Scope, fleet.HostID) ([]api.JobView, error)
	Job(fleet.Scope, fleet.HostID, fleet.JobID) (api.JobView, bool, error)
	Applied() (index, term uint64)
	AllAnnotations(fleet.Scope) []*fleet.Annotation
	OnHost(func(fleet.HostID)) // calls with each host whose description or inventory changed
}

// Index finds jobs. Its methods may be called from any goroutine.
type Index struct {
	source  Source
	overdue func(fleet.HostID, fleet.JobID) bool // nil: nothing is
	share   int                                  // how many blocks one goroutine looks through, at least

	marking sync.Mutex // guards marked
	marked  map[fleet.HostID]bool
	wake    chan struct{} // something is marked

	following sync.Mutex // held while marked hosts are read and taken in, so that no older reading wins
	loaded    atomic.Bool
	readers   []func(fleet.HostID, *ledger.Host, []api.JobView)

	mu     sync.RWMutex // guards what follows
	blocks []*block     // by host name, then id
	hosts  map[fleet.HostID]*block
	words  words
}

// words are the distinct texts that rows refer to by number.
type words struct {
	commands, sources, users, schedules, prints, packages, codes *texts
}

func newWords() words {
	return words{newTexts(), newTexts(), newTexts(), newTexts(), newTexts(), newTexts(), newTexts()}
}

// everywhere is what the index itself reads; who asks it sees less.
var everywhere = fleet.ScopeOf(fleet.Everywhere)

// New returns an index over all jobs of the source, and follows it from then
// on. The jobs are read when it is first asked, or by Run.
func New(source Source) *Index {
	x := &Index{
		source: source, share: worthwhile, marked: map[fleet.HostID]bool{}, wake: make(chan struct{}, 1),
		hosts: map[fleet.HostID]*block{}, words: newWords(),
	}
	source.OnHost(x.mark)
	hosts := source.AllHosts(everywhere)
	for _, host := range hosts {
		x.mark(host.ID)
	}
	x.loaded.Store(len(hosts) == 0)
	return x
}

// OverdueBy sets what decides whether a job is overdue. It is called before the
// index is asked.
func (x *Index) OverdueBy(overdue func(fleet.HostID, fleet.JobID) bool) { x.overdue = overdue }

func (x *Index) insert(host *ledger.Host, jobs []api.JobView) {
	b := &block{id: host.ID, name: host.Name, folded: fold(host.Name), labels: host.Labels, namespaces: host.Namespaces, rows: make([]row, len(jobs)), rest: make([]rest, len(jobs))}
	for i := range jobs {
		b.rows[i], b.rest[i] = x.words.use(&jobs[i].Job)
	}
	at, _ := slices.BinarySearchFunc(x.blocks, b, compareBlocks)
	x.blocks = slices.Insert(x.blocks, at, b)
	x.hosts[host.ID] = b
}

func (x *Index) remove(id fleet.HostID) {
	b := x.hosts[id]
	if b == nil {
		return
	}
	delete(x.hosts, id)
	at, _ := slices.BinarySearchFunc(x.blocks, b, compareBlocks)
	x.blocks = slices.Delete(x.blocks, at, at+1)
	for i := range b.rows {
		x.words.release(&b.rows[i], &b.rest[i])
	}
}

// compact renumbers the texts once most of them are no longer used.
func (x *Index) compact() {
	for _, c := range []struct {
		texts **texts
		field func(*block, int) *uint32
	}{
		{&x.words.commands, func(b *block, i int) *uint32 { return &b.rows[i].command }},
		{&x.words.sources, func(b *block, i int) *uint32 { return &b.rows[i].source }},
		{&x.words.users, func(b *block, i int) *uint32 { return &b.rows[i].user }},
		{&x.words.prints, func(b *block, i int) *uint32 { return &b.rows[i].print }},
		{&x.words.schedules, func(b *block, i int) *uint32 { return &b.rest[i].schedule }},
		{&x.words.packages, func(b *block, i int) *uint32 { return &b.rest[i].pack }},
		{&x.words.codes, func(b *block, i int) *uint32 { return &b.rest[i].code }},
	} {
		if !(*c.texts).wasteful() {
			continue
		}
		fresh := newTexts()
		for _, b := range x.blocks {
			for i := range b.rows {
				number := c.field(b, i)
				*number = fresh.use((*c.texts).text(*number))
			}
		}
		*c.texts = fresh
	}
}

// block is the jobs of one host.
type block struct {
	id         fleet.HostID
	name       string
	folded     string // the name, for searching
	labels     map[string]string
	namespaces []string // whose tasks the host takes
	rows       []row    // by source, line, id
	rest       []rest
}

func compareBlocks(a, b *block) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return strings.Compare(string(a.id), string(b.id))
}

// row is what most questions ask of a job. There are many: it is kept small, so
// that few bytes are looked through.
type row struct{ command, source, user, print uint32 }

// rest is what few questions ask of a job.
type rest struct {
	id                   fleet.JobID
	schedule, pack, code uint32
	line                 int32
	kind                 int8 // in kinds; -1: another
	runs                 bool
}

func (w *words) use(job *fleet.Job) (row, rest) {
	return row{
			command: w.commands.use(job.Command), source: w.sources.use(job.Source),
			user: w.users.use(job.User), print: w.prints.use(job.Fingerprint),
		}, rest{
			id: job.ID, line: int32(job.Line), kind: int8(slices.Index(kinds, job.Kind)), runs: job.Verdict.Runs,
			schedule: w.schedules.use(job.Schedule), pack: w.packages.use(job.Package), code: w.codes.use(string(job.Verdict.Code)),
		}
}

func (w *words) release(r *row, more *rest) {
	w.commands.release(r.command)
	w.sources.release(r.source)
	w.users.release(r.user)
	w.prints.release(r.print)
	w.schedules.release(more.schedule)
	w.packages.release(more.pack)
	w.codes.release(more.code)
}
