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
	AllHosts() []*ledger.Host
	Host(fleet.HostID) (*ledger.Host, bool)
	Jobs(fleet.HostID) ([]api.JobView, error)
	Job(fleet.HostID, fleet.JobID) (api.JobView, bool, error)
	Applied() (index, term uint64)
	AllAnnotations() []*fleet.Annotation
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

// New returns an index over all jobs of the source, and follows it from then
// on. The jobs are read when it is first asked, or by Run.
func New(source Source) *Index {
	x := &Index{
		source: source, share: worthwhile, marked: map[fleet.HostID]bool{}, wake: make(chan struct{}, 1),
		hosts: map[fleet.HostID]*block{}, words: newWords(),
	}
	source.OnHost(x.mark)
	hosts := source.AllHosts()
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
	b := &block{id: host.ID, name: host.Name, folded: fold(host.Name), labels: host.Labels, rows: make([]row, len(jobs))}
	for i := range jobs {
		b.rows[i] = x.words.row(&jobs[i].Job)
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
		x.words.release(&b.rows[i])
	}
}

// compact renumbers the texts once most of them are no longer used.
func (x *Index) compact() {
	for _, c := range []struct {
		texts **texts
		field func(*row) *uint32
	}{
		{&x.words.commands, func(r *row) *uint32 { return &r.command }},
		{&x.words.sources, func(r *row) *uint32 { return &r.source }},
		{&x.words.users, func(r *row) *uint32 { return &r.user }},
		{&x.words.schedules, func(r *row) *uint32 { return &r.schedule }},
		{&x.words.prints, func(r *row) *uint32 { return &r.print }},
		{&x.words.packages, func(r *row) *uint32 { return &r.pack }},
		{&x.words.codes, func(r *row) *uint32 { return &r.code }},
	} {
		if !(*c.texts).wasteful() {
			continue
		}
		fresh := newTexts()
		for _, b := range x.blocks {
			for i := range b.rows {
				number := c.field(&b.rows[i])
				*number = fresh.use((*c.texts).text(*number))
			}
		}
		*c.texts = fresh
	}
}

// block is the jobs of one host.
type block struct {
	id     fleet.HostID
	name   string
	folded string // the name, for searching
	labels map[string]string
	rows   []row // by source, line, id
}

func compareBlocks(a, b *block) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return strings.Compare(string(a.id), string(b.id))
}

// row is one job.
type row struct {
	id                                     fleet.JobID
	command, source, user, schedule, print uint32
	pack, code                             uint32
	line                                   int32
	kind                                   int8 // in kinds; -1: another
	runs                                   bool
}

func (w *words) row(job *fleet.Job) row {
	return row{
		id: job.ID, line: int32(job.Line), kind: int8(slices.Index(kinds, job.Kind)), runs: job.Verdict.Runs,
		command: w.commands.use(job.Command), source: w.sources.use(job.Source), user: w.users.use(job.User),
		schedule: w.schedules.use(job.Schedule), print: w.prints.use(job.Fingerprint),
		pack: w.packages.use(job.Package), code: w.codes.use(string(job.Verdict.Code)),
	}
}

func (w *words) release(r *row) {
	w.commands.release(r.command)
	w.sources.release(r.source)
	w.users.release(r.user)
	w.schedules.release(r.schedule)
	w.prints.release(r.print)
	w.packages.release(r.pack)
	w.codes.release(r.code)
}
