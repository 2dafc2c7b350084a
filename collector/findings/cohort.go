package findings

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	cohortLeast = 5  // hosts of a kind
	nearlyAll   = 80 // percent of them
	fewAlone    = 10 // percent of them may have something that the others lack
)

// cohort is the hosts that share a label.
type cohort struct {
	label string
	hosts []*Host
}

// share is how many hosts of a cohort have a command.
type share struct {
	*cohort
	have int
}

// better reports whether it says more than another share of the same command:
// the greater one, then that of more hosts.
func (s share) better(than share) bool {
	if than.cohort == nil {
		return true
	}
	a, b := s.have*len(than.hosts), than.have*len(s.hosts)
	return cmp.Or(cmp.Compare(a, b), cmp.Compare(len(s.hosts), len(than.hosts)), cmp.Compare(than.label, s.label)) > 0
}

// lacking is a command and a host: one that lacks it, or one that alone has it.
type lacking struct {
	number int32
	host   *Host
}

// cohorts adds hosts that lack what nearly all of their kind have, and those
// that have what none of their kind has. Where several labels say so, one speaks.
func (c *comparison) cohorts() {
	lacks, alone := map[lacking]share{}, map[lacking]share{}
	keep := func(in map[lacking]share, k lacking, s share) {
		if s.better(in[k]) {
			in[k] = s
		}
	}
	tally := newTally(len(c.prints.starts) - 1)
	for _, co := range c.cohortsOf() {
		tally.count(c, co)
		for _, number := range tally.common(len(co.hosts)) {
			if c.prints.shipped(number) {
				continue
			}
			for _, host := range c.without(co, number) {
				keep(lacks, lacking{number, host}, share{co, int(tally.hosts[number])})
			}
		}
		for _, k := range tally.strangers(c, co) {
			keep(alone, k, share{co, 1})
		}
	}
	groups := map[*cohort]map[int32][]*Host{}
	shares := map[*cohort]map[int32]int{}
	for k, s := range lacks {
		if groups[s.cohort] == nil {
			groups[s.cohort], shares[s.cohort] = map[int32][]*Host{}, map[int32]int{}
		}
		groups[s.cohort][k.number] = append(groups[s.cohort][k.number], k.host)
		shares[s.cohort][k.number] = s.have
	}
	for co, numbers := range groups {
		for number, hosts := range numbers {
			c.lack(share{co, shares[co][number]}, number, hosts)
		}
	}
	for k, s := range alone {
		c.alone(k, s)
	}
}

// shipped reports whether a package brought the command to some host.
func (p *prints) shipped(number int32) bool {
	return slices.ContainsFunc(p.of(number), func(h holder) bool { return h.row.is(shipped) })
}

// alone adds what only one host of a cohort has.
func (c *comparison) alone(k lacking, s share) {
	for _, h := range c.prints.of(k.number) {
		if h.host == k.host {
			view := h.row.view()
			one := about(fleet.FindOutlier, k.host, view, fmt.Sprintf("of the %d hosts of %s only %s has it", len(s.hosts), s.label, k.host.Name))
			one.Fix = fixHistory(k.host.Name, view)
			c.add(one)
			return
		}
	}
}

// lack adds what some hosts of a cohort are without.
func (c *comparison) lack(s share, number int32, hosts []*Host) {
	slices.SortFunc(hosts, func(a, b *Host) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	view := c.prints.of(number)[0].row.view()
	view.ID, view.Source, view.Line = "", "", 0
	one := about(fleet.FindOutlier, hosts[0], view, fmt.Sprintf("%d of %d hosts of %s have it, %s %s not", s.have, len(s.hosts), s.label, listed(names(hosts)), does(len(hosts))))
	one.ID = c.identity(string(fleet.FindOutlier), s.label, view.Fingerprint)
	if len(hosts) > 1 {
		c.list = append(c.list, several(one, hosts))
		return
	}
	c.add(one)
}

// cohortsOf returns the cohorts there are, by label.
func (c *comparison) cohortsOf() []*cohort {
	all := map[string]*cohort{}
	for i := range c.hosts {
		host := &c.hosts[i]
		if c.surveys[host.ID] == nil || host.Reported.IsZero() {
			continue // it has not told what it has
		}
		for key, value := range host.Labels {
			label := key + "=" + value
			if all[label] == nil {
				all[label] = &cohort{label: label}
			}
			all[label].hosts = append(all[label].hosts, host)
		}
	}
	var list []*cohort
	for _, label := range slices.Sorted(maps.Keys(all)) {
		if len(all[label].hosts) >= cohortLeast {
			list = append(list, all[label])
		}
	}
	return list
}

// compared reports whether hosts of a kind are expected to share the job.
func (r *row) compared() bool {
	return r.print.Value() != "" && r.kind != fleet.KindAt && r.container.Value() == ""
}

// without returns the hosts of a cohort that do not have a command.
func (c *comparison) without(co *cohort, number int32) []*Host {
	var hosts []*Host
	for _, host := range co.hosts {
		if !slices.ContainsFunc(c.surveys[host.ID].rows, func(r row) bool { return r.number == number && r.compared() }) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// tally counts, for one cohort after the other, how many of its hosts have each
// command.
type tally struct {
	hosts []int32 // by number of the command
	last  []*Host
	seen  []int32 // the numbers that were counted
}

func newTally(commands int) *tally {
	return &tally{hosts: make([]int32, commands), last: make([]*Host, commands)}
}

func (t *tally) count(c *comparison, co *cohort) {
	for _, number := range t.seen {
		t.hosts[number], t.last[number] = 0, nil
	}
	t.seen = t.seen[:0]
	for _, host := range co.hosts {
		c.pace.step()
		rows := c.surveys[host.ID].rows
		for i := range rows {
			number := rows[i].number
			if !rows[i].compared() || t.last[number] == host {
				continue
			}
			if t.hosts[number] == 0 {
				t.seen = append(t.seen, number)
			}
			t.hosts[number], t.last[number] = t.hosts[number]+1, host
		}
	}
}

// common returns the commands that nearly all of that many hosts have.
func (t *tally) common(of int) (numbers []int32) {
	for _, number := range t.seen {
		if n := int(t.hosts[number]); n < of && n*100 >= nearlyAll*of {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

// strangers returns the commands that only one host has and nobody answers
// for, unless many hosts of the cohort have some such: then they are no kind.
func (t *tally) strangers(c *comparison, co *cohort) (found []lacking) {
	with := map[*Host]bool{}
	for _, number := range t.seen {
		if t.hosts[number] != 1 {
			continue
		}
		host := t.last[number]
		if with[host] = true; len(with) > 1 && len(with)*100 > fewAlone*len(co.hosts) {
			return nil
		}
		answers := slices.ContainsFunc(c.prints.of(number), func(h holder) bool { return h.host == host && c.answered(h.row) })
		if !answers {
			found = append(found, lacking{number, host})
		}
	}
	return found
}
