package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// memory is what is few and asked often, decoded. It follows the file: it is
// read at open and changed after each commit, under the ledger's mu. What it
// points to is never changed in place.
type memory struct {
	index, term uint64
	hosts       map[fleet.HostID]*Host
	sorted      []*Host // by name, then id; replaced, not changed
	tasks       map[fleet.TaskID]*HeldTask
	listed      []*HeldTask                    // by id; replaced, not changed
	assigned    map[fleet.HostID]int           // tasks in a host's plan, of hosts that were asked about
	open        map[string]int                 // runs that have begun and not ended, by namespace
	annotations []*fleet.Annotation            // by fingerprint; replaced, not changed
	adoptions   []*fleet.Adoption              // by task; replaced, not changed
	calendars   []*fleet.CalendarRecord        // by name; replaced, not changed
	standings   map[fleet.HostID]*standingRow  // what each host said last; replaced, not changed
	stands      map[fleet.TaskID]StandingCount // what they amount to
	tokens      map[string]*fleet.Token
	nodes       map[string]*fleet.Node
	rules       map[string]*fleet.Rules
	requests    map[string]*fleet.Request
	tombstones  []tombstoneRow // of calendars, by name; replaced, not changed
	revocations []revocation   // of collectors, by id; replaced, not changed
	leaving     leaving
}

// readMemory reads memory from a file.
func readMemory(db *bbolt.DB) (memory, error) {
	fresh := memory{
		hosts: map[fleet.HostID]*Host{}, tasks: map[fleet.TaskID]*HeldTask{}, assigned: map[fleet.HostID]int{},
		open: map[string]int{}, standings: map[fleet.HostID]*standingRow{}, stands: map[fleet.TaskID]StandingCount{},
		tokens: map[string]*fleet.Token{}, nodes: map[string]*fleet.Node{}, rules: map[string]*fleet.Rules{}, requests: map[string]*fleet.Request{},
		leaving: leaving{},
	}
	err := db.View(func(tx *bbolt.Tx) error {
		r := &reader{tx: tx}
		fresh.index, fresh.term = position(r.get(inMeta, []byte("applied")))
		if err := fresh.loadTrust(r); err != nil {
			return err
		}
		if err := fresh.loadHosts(r); err != nil {
			return err
		}
		if err := fresh.countOpen(r); err != nil {
			return err
		}
		if err := fresh.loadStandings(r); err != nil {
			return err
		}
		err := eachRow(r, inAnnotations, nil, func(_ []byte, said fleet.Annotation) bool {
			fresh.annotations = append(fresh.annotations, &said) // keys come in their order
			return true
		})
		if err != nil {
			return err
		}
		err = eachRow(r, inAdoptions, nil, func(_ []byte, row fleet.Adoption) bool {
			fresh.adoptions = append(fresh.adoptions, &row)
			return true
		})
		if err != nil {
			return err
		}
		err = eachRow(r, inTasks, nil, func(_ []byte, task taskRow) bool {
			held := hold(task)
			fresh.tasks[task.Task.ID()] = held
			fresh.listed = append(fresh.listed, held) // keys come in their order
			return true
		})
		return errors.Join(err, fresh.loadLeaving(r))
	})
	return fresh, err
}

// loadTrust reads who may come in, and what waits. Hosts need their nodes.
func (m *memory) loadTrust(r *reader) error {
	return errors.Join(
		eachRow(r, inTokens, nil, func(_ []byte, token fleet.Token) bool {
			m.tokens[token.ID] = &token
			return true
		}),
		eachRow(r, inNodes, nil, func(_ []byte, row nodeRow) bool {
			m.nodes[row.ID] = &row.Node
			if len(row.Words) > 0 {
				m.revocations = append(m.revocations, revocation{row.ID, row.Words}) // keys come in their order
			}
			return true
		}),
		eachRow(r, inRules, nil, func(_ []byte, rules fleet.Rules) bool {
			m.rules[rules.Namespace] = &rules
			return true
		}),
		eachRow(r, inHeld, nil, func(_ []byte, row heldRow) bool {
			m.requests[row.ID] = &row.Request
			return true
		}),
		eachRow(r, inTombstones, nil, func(_ []byte, row tombstoneRow) bool {
			m.tombstones = append(m.tombstones, row) // keys come in their order
			return true
		}),
	)
}

// loadStandings reads the calendars and how tasks stand.
func (m *memory) loadStandings(r *reader) error {
	err := eachRow(r, inCalendars, nil, func(_ []byte, record fleet.CalendarRecord) bool {
		m.calendars = append(m.calendars, &record) // keys come in their order
		return true
	})
	if err != nil {
		return err
	}
	return eachRow(r, inStandings, nil, func(host []byte, row standingRow) bool {
		m.setStandings(fleet.HostID(host), &row)
		return true
	})
}

// countOpen counts the runs that go on.
func (m *memory) countOpen(r *reader) (err error) {
	each(r.bucket(inRunsOpen), nil, nil, func(id, _ []byte) bool {
		var found compact.Run
		found, _, err = row[compact.Run](r, inRuns, id)
		run := found.Whole()
		m.addOpen(run.Task.Namespace(), opens(&run))
		return err == nil
	})
	return err
}

func (m *memory) addOpen(namespace string, more int) {
	if m.open[namespace] += more; m.open[namespace] == 0 {
		delete(m.open, namespace)
	}
}

// remember replaces memory and wakes everyone.
func (l *Ledger) remember(fresh memory) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.memory = fresh
	l.notifyAll(fresh.index)
}

func (m *memory) loadHosts(r *reader) error {
	err := eachRow(r, inHosts, nil, func(_ []byte, row hostRow) bool {
		host := &Host{Host: row.Host, FirstSeen: row.FirstSeen, Changed: row.Changed}
		host.enrolled(m.nodes[string(row.Host.ID)])
		m.hosts[row.Host.ID] = host
		return true
	})
	if err != nil {
		return err
	}
	m.sorted = slices.SortedFunc(maps.Values(m.hosts), byName)
	var stray []byte
	err = eachRow(r, inReports, nil, func(k []byte, report reportRow) bool {
		host := m.hosts[fleet.HostID(k)]
		if host == nil {
			stray = k
			return false
		}
		host.setReport(report)
		return true
	})
	if stray != nil {
		return fmt.Errorf("a report of host %q, which is not there", stray)
	}
	if err != nil {
		return err
	}
	return eachRow(r, inCoverage, nil, func(k []byte, since map[fleet.JobKind]time.Time) bool {
		if host := m.hosts[fleet.HostID(k)]; host != nil {
			host.Since = since
		}
		return true
	})
}

// HeldTask is a task in memory, ready to be matched with hosts. It is shared:
// do not change it.
type HeldTask struct {
	taskRow
	on func(*fleet.Host) bool
}

func hold(row taskRow) *HeldTask { return &HeldTask{row, row.Task.Where.Matcher()} }

// RunsOn reports whether the task is for the host: its Where matches, and the
// host serves its namespace.
func (t *HeldTask) RunsOn(host *Host) bool {
	return t.on(&host.Host) && host.Serves(t.Task.ID().Namespace())
}

func (t *HeldTask) compare(id fleet.TaskID) int { return cmp.Compare(t.Task.ID(), id) }

func (m *memory) putTask(task *HeldTask) {
	id := task.Task.ID()
	next := slices.Clone(m.listed)
	if at, found := slices.BinarySearchFunc(next, id, (*HeldTask).compare); found {
		next[at] = task
	} else {
		next = slices.Insert(next, at, task)
	}
	m.listed, m.tasks[id] = next, task
}

// matches reports whether the task is in the host's plan. No task is in none.
func (t *HeldTask) matches(host *Host) bool { return t != nil && t.given() && t.RunsOn(host) }

func byName(a, b *Host) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}

func (m *memory) putHost(host *Host) {
	next := slices.Clone(m.sorted)
	if old := m.hosts[host.ID]; old != nil {
		if at, found := slices.BinarySearchFunc(next, old, byName); found {
			next = slices.Delete(next, at, at+1)
		}
	}
	at, _ := slices.BinarySearchFunc(next, host, byName)
	m.sorted = slices.Insert(next, at, host)
	m.hosts[host.ID] = host
}

func (m *memory) setReport(id fleet.HostID, report reportRow) {
	host := *m.hosts[id]
	host.setReport(report)
	m.putHost(&host)
}

func (m *memory) setSince(id fleet.HostID, since map[fleet.JobKind]time.Time) {
	host := *m.hosts[id]
	host.Since = since
	m.putHost(&host)
}

func (h *Host) setReport(r reportRow) {
	h.Reported, h.Scanned, h.Hash = r.Recorded, r.Scanned, r.Hash
	h.Jobs, h.Broken, h.Problems = r.Jobs, r.Broken, r.Problems
}

func (h *Host) report() reportRow {
	return reportRow{Scanned: h.Scanned, Recorded: h.Reported, Hash: h.Hash, Jobs: h.Jobs, Broken: h.Broken, Problems: h.Problems}
}

// sorted walks the keys of a map in their order: what Apply does must not
// depend on the order of a map.
func sorted[K cmp.Ordered, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}
