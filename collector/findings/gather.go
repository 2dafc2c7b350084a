package findings

import (
	"cmp"
	"fmt"
	"slices"
	"time"
	"unique"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	newFor   = 7 * 24 * time.Hour // how long a job is a newcomer
	settling = 10 * time.Minute   // after its first report a host may still be set up
	// stampede is how many hosts must do the same at one instant to be told of.
	stampede = 20
	// stride is how many commands are one step of the work.
	stride = 256
)

// holder is one job of one host.
type holder struct {
	host *Host
	row  *row
}

// gathered is every kind that is told once for a command, with the rows that
// it is about. rest, where it is not nil, tells of a host what it alone has.
var gathered = []struct {
	kind    fleet.FindingKind
	about   func(c *comparison, h holder) bool
	summary func(first holder, where string) string
	rest    func(jobs int) string
}{
	{fleet.FindSecret, func(_ *comparison, h holder) bool { return h.row.is(secret) },
		func(_ holder, where string) string { return "a secret stands in its command or environment" + where }, nil},
	{fleet.FindNewcomer, (*comparison).newcomer,
		func(first holder, where string) string {
			return fmt.Sprintf("first seen at %s%s, and nobody answers for it", time.Unix(first.row.since, 0).UTC().Format(time.RFC3339), where)
		}, nil},
	{fleet.FindNoOwner, func(c *comparison, h holder) bool { return !c.answered(h.row) && !c.newcomer(h) },
		func(_ holder, where string) string {
			return "no package, configuration management or person answers for it" + where
		},
		func(jobs int) string { return count(jobs, "job") + " of its own that nobody answers for" }},
	{fleet.FindNoSignal, func(_ *comparison, h holder) bool { return h.row.is(mute) },
		func(_ holder, where string) string { return "nobody would hear of its failure" + where },
		func(jobs int) string { return count(jobs, "job") + " of its own whose failure nobody would hear of" }},
}

// answered reports whether anyone answers for a job.
func (c *comparison) answered(r *row) bool {
	return r.is(answered) || c.owners[r.print.Value()] != ""
}

// newcomer reports whether a job came lately, after its host was first seen,
// and nobody answers for it.
func (c *comparison) newcomer(h holder) bool {
	since := time.Unix(h.row.since, 0)
	first := c.surveys[h.host.ID].first
	if h.host.FirstSeen.After(first) {
		first = h.host.FirstSeen
	}
	return !c.answered(h.row) && c.now.Sub(since) < newFor && since.Sub(first) > settling
}

// prints is the jobs of the fleet by command: those of number n, host by host,
// are holders[starts[n]:starts[n+1]].
type prints struct {
	holders []holder
	starts  []int
}

// of returns the jobs of a command.
func (p *prints) of(number int32) []holder {
	return p.holders[p.starts[number]:p.starts[number+1]]
}

// number gives every command a number and sorts the jobs of the fleet by it.
func (c *comparison) number() {
	numbers, counts := map[text]int32{}, []int{}
	c.eachRow(func(h holder) {
		number, known := numbers[h.row.print]
		if !known {
			number = int32(len(counts))
			numbers[h.row.print] = number
			counts = append(counts, 0)
		}
		h.row.number = number
		counts[number]++
	})
	c.prints = prints{starts: make([]int, len(counts)+1)}
	for number, n := range counts {
		c.prints.starts[number+1] = c.prints.starts[number] + n
	}
	c.prints.holders = make([]holder, c.prints.starts[len(counts)])
	next := slices.Clone(c.prints.starts)
	c.eachRow(func(h holder) {
		c.prints.holders[next[h.row.number]] = h
		next[h.row.number]++
	})
}

// eachRow visits every job with a command, host by host.
func (c *comparison) eachRow(visit func(holder)) {
	for i := range c.hosts {
		host := &c.hosts[i]
		s := c.surveys[host.ID]
		if s == nil {
			continue
		}
		for j := range s.rows {
			if r := &s.rows[j]; r.print.Value() != "" {
				visit(holder{host, r})
			}
		}
		c.pace.step()
	}
}

// gather adds what is told once for a command, however many hosts have it.
func (c *comparison) gather() {
	alone := make([]map[*Host][]holder, len(gathered))
	for i := range alone {
		alone[i] = map[*Host][]holder{}
	}
	var own []holder
	for number := range int32(len(c.prints.starts) - 1) {
		holders := c.prints.of(number)
		for i, kind := range gathered {
			own = own[:0]
			for _, h := range holders {
				if kind.about(c, h) {
					own = append(own, h)
				}
			}
			switch {
			case len(own) == 0:
			case kind.rest != nil && own[0].host == own[len(own)-1].host:
				alone[i][own[0].host] = append(alone[i][own[0].host], own...)
			default:
				c.command(kind.kind, own, hostsOf(own), kind.summary)
			}
		}
		c.everywhere(holders)
		c.dst(holders)
		if number%stride == 0 {
			c.pace.step()
		}
	}
	for i, kind := range gathered {
		for host, own := range alone[i] {
			c.rest(kind.kind, host, own, kind.rest)
			c.pace.step()
		}
	}
}

// hostsOf returns the hosts of jobs, each once, by name.
func hostsOf(holders []holder) []*Host {
	var hosts []*Host
	for _, h := range holders {
		if len(hosts) == 0 || hosts[len(hosts)-1] != h.host {
			hosts = append(hosts, h.host)
		}
	}
	return hosts
}

// command adds a finding about a command, on one host or many.
func (c *comparison) command(kind fleet.FindingKind, own []holder, hosts []*Host, summary func(holder, string) string, parts ...string) {
	first := own[0]
	where := ""
	if len(hosts) > 1 {
		where = fmt.Sprintf(" on %d hosts", len(hosts))
	}
	one := about(kind, first.host, first.row.view(), summary(first, where))
	one.ID = c.identity(append([]string{string(kind), first.row.print.Value()}, parts...)...) // the same on however many hosts
	if kind == fleet.FindNewcomer {
		one.Since = time.Unix(first.row.since, 0).UTC()
	}
	if len(hosts) > 1 {
		more := several(one, hosts)
		if kind == fleet.FindNewcomer {
			more.Fix = fixFind("", first.row.view())
		}
		c.list = append(c.list, more)
		return
	}
	c.add(one)
}

// rest adds a finding about what one host alone has.
func (c *comparison) rest(kind fleet.FindingKind, host *Host, own []holder, summary func(int) string) {
	slices.SortFunc(own, func(a, b holder) int {
		return cmp.Or(cmp.Compare(a.row.source.Value(), b.row.source.Value()), cmp.Compare(a.row.line, b.row.line), cmp.Compare(a.row.job, b.row.job))
	})
	if len(own) == 1 {
		c.add(about(kind, host, own[0].row.view(), singly[kind]))
		return
	}
	var commands []string
	jobs := make([]fleet.JobID, len(own))
	for i, h := range own {
		commands = append(commands, brief(h.row.command.Value()))
		jobs[i] = h.row.job
	}
	c.list = append(c.list, found{Finding: about(kind, host, &api.JobView{}, summary(len(own))+": "+listed(commands)), jobs: jobs})
}

// singly is the summary where one job alone is meant.
var singly = map[fleet.FindingKind]string{
	fleet.FindNoOwner:  "no package, configuration management or person answers for it",
	fleet.FindNoSignal: "nobody would hear of its failure",
}

// everywhere adds a command that many hosts start at the same instant, for
// each schedule of it. What starts more often than once an hour is light, and
// what a package brought is spread by its makers, or cannot be moved by us.
func (c *comparison) everywhere(holders []holder) {
	if len(holders) < stampede {
		return
	}
	whens := map[unique.Handle[When]][]holder{}
	for _, h := range holders {
		if h.row.is(runs|seldom) && !h.row.is(shipped) && !h.row.is(scattered) && !h.row.is(adopted) && h.row.kind != fleet.KindAnacron {
			whens[h.row.when] = append(whens[h.row.when], h)
		}
	}
	for when, own := range whens {
		hosts := hostsOf(own)
		if len(hosts) < stampede {
			continue
		}
		w := when.Value()
		next, _ := c.almanac.page(w).clock.Next(c.now)
		c.command(fleet.FindEverywhere, own, hosts, func(_ holder, where string) string {
			return fmt.Sprintf("starts at the same instant%s, next at %s", where, next.Format(time.RFC3339))
		}, w.Schedule, w.Zone)
		last := &c.list[len(c.list)-1]
		last.Fix = fixSpread("", nil)
	}
}

// dst adds a command that a change of the clock skips or doubles.
func (c *comparison) dst(holders []holder) {
	var whens map[unique.Handle[When]][]holder
	for _, h := range holders {
		if h.row.is(shifts) {
			if whens == nil {
				whens = map[unique.Handle[When]][]holder{}
			}
			whens[h.row.when] = append(whens[h.row.when], h)
		}
	}
	for when, own := range whens {
		w := when.Value()
		does := c.almanac.dstOf(w)
		c.command(fleet.FindDST, own, hostsOf(own), func(_ holder, where string) string {
			switch {
			case does.doubled.IsZero():
				return fmt.Sprintf("the change of the clock in %s at %s skips it%s", w.Zone, does.skipped.UTC().Format(time.RFC3339), where)
			case does.skipped.IsZero():
				return fmt.Sprintf("the change of the clock in %s at %s starts it twice%s", w.Zone, does.doubled.UTC().Format(time.RFC3339), where)
			}
			return fmt.Sprintf("the changes of the clock in %s skip it at %s and start it twice at %s%s", w.Zone,
				does.skipped.UTC().Format(time.RFC3339), does.doubled.UTC().Format(time.RFC3339), where)
		}, w.Schedule, w.Zone, string(w.Rules))
	}
}
