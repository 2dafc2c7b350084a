package search

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// How much of a group is listed.
const (
	maxHostNames = 20
	maxSchedules = 5
	maxUsers     = 5
)

// Groups returns a page of the commands among the jobs that the query asks
// for, those on the most hosts first, and how many there are in all. Counts
// are of the jobs asked for.
func (x *Index) Groups(scope fleet.Scope, q api.JobQuery) (api.List[api.JobGroup], error) {
	list := api.List[api.JobGroup]{Items: []api.JobGroup{}}
	filter, err := newFilter(scope, q)
	if err != nil {
		return list, err
	}
	after, err := parseRank(q.After)
	if err != nil {
		return list, err
	}
	list.Index, _ = x.source.Applied()
	if err := x.CatchUp(context.Background()); err != nil {
		return list, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	m := filter.resolve(x)
	counts := x.count(m)
	page, more, total := counts.page(x.words.prints, after, pageSize(q.Page))
	list.Total = total
	if more {
		list.Next = page[len(page)-1].String()
	}
	list.Items = append(list.Items, x.describe(m, page)...)
	return list, nil
}

// counts holds, for each fingerprint's number, how many jobs and hosts have it.
type counts struct{ jobs, hosts []uint32 }

func (x *Index) count(m *match) counts {
	parts := x.parts()
	all := make([]counts, len(parts))
	spread(parts, func(part int, blocks []*block) { all[part] = x.countIn(blocks, m.scan()) })
	for _, more := range all[1:] {
		for number, jobs := range more.jobs {
			all[0].jobs[number] += jobs
			all[0].hosts[number] += more.hosts[number]
		}
	}
	return all[0]
}

func (x *Index) countIn(blocks []*block, s *scan) counts {
	n := len(x.words.prints.texts)
	c := counts{make([]uint32, n), make([]uint32, n)}
	last := make([]uint32, n) // how many blocks there were when it was counted last
	seen, current := uint32(0), (*block)(nil)
	s.each(blocks, func(b *block, n int) {
		print := b.rows[n].print
		if b != current {
			current = b
			seen++
		}
		c.jobs[print]++
		if last[print] != seen {
			last[print] = seen
			c.hosts[print]++
		}
	})
	return c
}

// rank is the place of a group in the order of a list.
type rank struct {
	hosts, jobs uint32
	print       string
	number      uint32
}

// compare orders by most hosts, most jobs, fingerprint.
func (r rank) compare(s rank) int {
	if r.hosts != s.hosts {
		return cmp.Compare(s.hosts, r.hosts)
	}
	if r.jobs != s.jobs {
		return cmp.Compare(s.jobs, r.jobs)
	}
	return strings.Compare(r.print, s.print)
}

// page picks the first groups after a rank, in order, without sorting all.
func (c counts) page(prints *texts, after rank, limit int) (page []rank, more bool, total int) {
	var best worstFirst
	for number, jobs := range c.jobs {
		if jobs == 0 {
			continue
		}
		total++
		r := rank{c.hosts[number], jobs, prints.texts[number], uint32(number)}
		switch {
		case after.hosts > 0 && r.compare(after) <= 0:
		case len(best) < limit:
			heap.Push(&best, r)
		case r.compare(best[0]) < 0:
			best[0], more = r, true
			heap.Fix(&best, 0)
		default:
			more = true
		}
	}
	slices.SortFunc(best, rank.compare)
	return best, more, total
}

// worstFirst is a heap with the group on top that the next better one replaces.
type worstFirst []rank

func (h worstFirst) Len() int           { return len(h) }
func (h worstFirst) Less(i, j int) bool { return h[i].compare(h[j]) > 0 }
func (h worstFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push adds a group, for heap.Push.
func (h *worstFirst) Push(r any) { *h = append(*h, r.(rank)) }

// Pop removes the last group, for heap.Pop.
func (h *worstFirst) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// describe reads what the groups of a page have in common from their rows.
func (x *Index) describe(m *match, page []rank) []api.JobGroup {
	groups := make([]api.JobGroup, len(page))
	places := make([]uint32, len(x.words.prints.texts)) // in page, from 1
	for i, r := range page {
		places[r.number] = uint32(i + 1)
		groups[i] = api.JobGroup{Fingerprint: r.print, Jobs: int(r.jobs), Hosts: int(r.hosts), HostNames: []string{}}
	}
	scan := m.scan()
	for _, b := range x.blocks {
		if !m.block(b) {
			continue
		}
		for n := range b.rows {
			if place := places[b.rows[n].print]; place != 0 && scan.row(b, n) {
				x.words.describe(&groups[place-1], b, n)
			}
		}
	}
	return groups
}

func (w *words) describe(g *api.JobGroup, b *block, n int) {
	if g.Command == "" {
		g.Command = w.commands.text(b.rows[n].command)
	}
	// Blocks come in the order of their names.
	if named := len(g.HostNames); named < maxHostNames && (named == 0 || g.HostNames[named-1] != b.name) {
		g.HostNames = append(g.HostNames, b.name)
	}
	g.Schedules = addSorted(g.Schedules, w.schedules.text(b.rest[n].schedule), maxSchedules)
	g.Users = addSorted(g.Users, w.users.text(b.rows[n].user), maxUsers)
}

// addSorted adds a text to a sorted list of at most limit distinct ones.
func addSorted(list []string, text string, limit int) []string {
	at, found := slices.BinarySearch(list, text)
	if found || at == limit {
		return list
	}
	list = slices.Insert(list, at, text)
	return list[:min(len(list), limit)]
}

// String returns the rank as it goes into a URL.
func (r rank) String() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %d/%s", r.hosts, r.jobs, r.print))
}

// parseRank reads what String wrote; the empty text is the beginning.
func parseRank(s string) (r rank, err error) {
	if s == "" {
		return r, nil
	}
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		numbers, print, _ := strings.Cut(string(data), "/")
		r.print = print
		_, err = fmt.Sscanf(numbers, "%d %d", &r.hosts, &r.jobs)
	}
	if err != nil || r.hosts == 0 {
		return r, fleet.Invalidf("after", s, "want the next of the page before")
	}
	return r, nil
}
