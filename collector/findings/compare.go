package findings

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// comparison looks over all surveys of a fleet at one instant.
type comparison struct {
	scope     fleet.Scope // whose fleet it is; zero: the whole
	hosts     []Host
	surveys   map[fleet.HostID]*survey
	pins      []fleet.Pin
	adoptions []fleet.Adoption
	policies  []api.HostChain
	owners    map[string]string // by fingerprint
	almanac   *almanac
	now       time.Time
	pace      *pace

	prints prints
	list   []found
	late   map[jobAt]time.Time
}

// jobAt names one job of the fleet.
type jobAt struct {
	host fleet.HostID
	job  fleet.JobID
}

// result is what a comparison came to.
type result struct {
	list []found // the most severe first
	late map[jobAt]time.Time
}

// compare returns every finding of the fleet.
func (c *comparison) compare() result {
	c.almanac.turn(c.now)
	c.late = map[jobAt]time.Time{}
	slices.SortFunc(c.hosts, func(a, b Host) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	for i := range c.hosts {
		host := &c.hosts[i]
		c.observed(host)
		if s := c.surveys[host.ID]; s != nil {
			c.list = append(c.list, s.own...)
			c.overdue(host, s)
		}
		c.pace.step()
	}
	c.unexpected()
	c.adopted()
	c.refused()
	c.proven()
	c.number()
	c.gather()
	c.cohorts()
	for i := range c.list {
		c.list[i].Owner = c.owners[c.list[i].Fingerprint]
	}
	slices.SortFunc(c.list, compareFindings)
	return result{c.list, c.late}
}

// identity names a finding about several hosts. Within a scope it is another one,
// about other hosts, and has acknowledgements of its own.
func (c *comparison) identity(parts ...string) string {
	if key := keyOf(c.scope); key != "" && !c.scope.All() {
		parts = append(parts, "within", key)
	}
	return identity(parts...)
}

func compareFindings(a, b found) int {
	return cmp.Or(
		cmp.Compare(rank[a.Severity], rank[b.Severity]), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.HostName, b.HostName),
		cmp.Compare(a.Host, b.Host), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Line, b.Line), cmp.Compare(a.ID, b.ID),
	)
}

func (c *comparison) add(one fleet.Finding, on ...fleet.HostID) {
	c.list = append(c.list, found{Finding: one, on: on})
}

const (
	quietLimit = 5 * time.Minute  // how long a host may be silent
	skewLimit  = 30 * time.Second // how far a clock may be off
	skewMuch   = 10 * time.Minute // that far, jobs run at another time of day
)

// observed adds what the collectors see of a host.
func (c *comparison) observed(host *Host) {
	if !host.Quiet.IsZero() && host.Presence == fleet.Silent && c.now.Sub(host.Quiet) >= quietLimit {
		one := about(fleet.FindSilentHost, host, &api.JobView{}, fmt.Sprintf("nothing was heard of its agent since %s", host.Quiet.UTC().Format(time.RFC3339)))
		one.Since = host.Quiet
		c.add(one)
	}
	if host.Skew == nil {
		return
	}
	skew := time.Duration(*host.Skew)
	if skew.Abs() < skewLimit {
		return
	}
	ahead := "ahead"
	if skew < 0 {
		ahead = "behind"
	}
	one := about(fleet.FindClockSkew, host, &api.JobView{}, fmt.Sprintf("its clock is %s %s", skew.Abs().Round(time.Second), ahead))
	if skew.Abs() >= skewMuch {
		one.Severity = fleet.Critical
	}
	c.add(one)
}

// manyLate is how many overdue jobs of one host are one finding: something is
// wrong with the host, not with each of them.
const manyLate = 5

// overdue adds the jobs of a host that should have started.
func (c *comparison) overdue(host *Host, s *survey) {
	type late struct {
		row *row
		at  time.Time
	}
	var all []late
	for i := range s.rows {
		if at, is := s.rows[i].overdue(host, c.almanac, c.now); is {
			all = append(all, late{&s.rows[i], at})
			c.late[jobAt{host.ID, s.rows[i].job}] = at
		}
	}
	if len(all) >= manyLate {
		earliest := slices.MinFunc(all, func(a, b late) int { return a.at.Compare(b.at) })
		one := about(fleet.FindOverdue, host, &api.JobView{}, fmt.Sprintf("%d jobs should have started and did not, the first at %s: %s; …", len(all), earliest.at.Format(time.RFC3339), brief(earliest.row.command.Value())))
		one.Severity, one.Since = fleet.Critical, earliest.at
		one.Fix = fmt.Sprintf("fleetctl jobs --host %s --overdue", quote(host.Name))
		jobs := make([]fleet.JobID, len(all))
		for i := range all {
			jobs[i] = all[i].row.job
		}
		c.list = append(c.list, found{Finding: one, jobs: jobs})
		return
	}
	for _, one := range all {
		c.add(c.lateJob(host, one.row, one.at))
	}
}

func (c *comparison) lateJob(host *Host, r *row, at time.Time) fleet.Finding {
	missed := r.missed(at, c.almanac, c.now)
	summary := fmt.Sprintf("should have started at %s and did not", at.Format(time.RFC3339))
	if missed > 1 {
		summary = fmt.Sprintf("should have started %d times since %s and did not", missed, at.Format(time.RFC3339))
	}
	one := about(fleet.FindOverdue, host, r.view(), summary)
	one.Since = at
	if missed >= 3 && c.now.Sub(at) >= 24*time.Hour {
		one.Severity = fleet.Critical
	}
	return one
}

// view returns what a row knows of its job.
func (r *row) view() *api.JobView {
	when := r.when.Value()
	return &api.JobView{Job: fleet.Job{
		ID: r.job, Kind: r.kind, Source: r.source.Value(), Line: int(r.line), User: r.user.Value(), Command: r.command.Value(),
		Fingerprint: r.print.Value(), Schedule: when.Schedule, Timezone: when.Zone,
	}}
}

// unexpected adds the jobs that the pins do not allow.
func (c *comparison) unexpected() {
	for i := range c.pins {
		pin := &c.pins[i]
		selector, err := fleet.ParseSelector(pin.Labels)
		if err != nil {
			continue // it was valid when it was given
		}
		allowed := map[fleet.Allowed]bool{}
		for _, one := range pin.Allow {
			allowed[fleet.Allowed{Fingerprint: one.Fingerprint, User: one.User}] = true
		}
		for h := range c.hosts {
			host := &c.hosts[h]
			s := c.surveys[host.ID]
			if s == nil || !selector.Matches(host.Labels) {
				continue
			}
			for j := range s.rows {
				r := &s.rows[j]
				if allowed[fleet.Allowed{Fingerprint: r.print.Value(), User: r.user.Value()}] {
					continue
				}
				one := about(fleet.FindUnexpected, host, r.view(), fmt.Sprintf("pin %s does not allow it on %s", pin.Name, host.Name), pin.Name)
				one.Since = time.Unix(r.since, 0).UTC()
				c.add(one)
			}
		}
	}
}

// patience is how long a host may take to answer an adoption.
const patience = time.Hour

// refused adds what hosts refuse to run of what was given to them: one finding
// for each thing, and one for a policy that counts for nothing while tasks wait.
func (c *comparison) refused() {
	at := map[fleet.HostID]*Host{}
	for i := range c.hosts {
		at[c.hosts[i].ID] = &c.hosts[i]
	}
	for i := range c.policies {
		said := &c.policies[i]
		host := at[said.Host]
		switch {
		case host == nil || len(said.Refused) == 0:
		case said.Problem != "":
			one := about(fleet.FindRefused, host, &api.JobView{}, fmt.Sprintf("it runs nothing of the %d tasks and orders that were given to it: %s", len(said.Refused), said.Problem), "policy")
			c.add(one)
		default:
			for _, refusal := range said.Refused {
				c.add(about(fleet.FindRefused, host, &api.JobView{}, refusalText(&refusal), refusal.Object))
			}
		}
	}
}

// refusalText says what the host makes of what it was given, or is given no more.
func refusalText(refusal *fleet.Refusal) string {
	if refusal.Code == fleet.RefusalWithheld {
		return fmt.Sprintf("%s is withheld from it: %s", refusal.Object, refusal.Why)
	}
	return fmt.Sprintf("it refuses %s: %s", refusal.Object, refusal.String())
}

// proven adds hosts that sign with a key that nobody vouched for.
func (c *comparison) proven() {
	for i := range c.hosts {
		host := &c.hosts[i]
		if host.Proofs == nil {
			continue
		}
		for j, key := range host.Proofs.Keys {
			if j > 0 && key.How == proof.Told {
				one := about(fleet.FindProof, host, &api.JobView{}, fmt.Sprintf("it signs its proofs with key %s, and was known by %s", key.Fingerprint, host.Proofs.Keys[0].Fingerprint), key.Fingerprint)
				one.Since = key.Since
				c.add(one)
			}
		}
	}
}

// adopted adds adoptions that are stuck, and lines that came back.
func (c *comparison) adopted() {
	at := map[fleet.HostID]*Host{}
	for i := range c.hosts {
		at[c.hosts[i].ID] = &c.hosts[i]
	}
	for i := range c.adoptions {
		adoption := &c.adoptions[i]
		host := at[adoption.Host]
		if host == nil {
			continue
		}
		job := &api.JobView{Job: adoption.Job, Adopted: adoption.Task}
		say := func(severity fleet.Severity, format string, args ...any) {
			one := about(fleet.FindAdoption, host, job, fmt.Sprintf(format, args...), string(adoption.Task), string(adoption.State))
			one.Severity, one.Since = severity, adoption.At
			c.add(one)
		}
		switch waited := c.now.Sub(adoption.At); {
		case adoption.State == fleet.AdoptionStuck:
			say(fleet.Critical, "its release is stuck: %s", adoption.Why)
		case adoption.State == fleet.AdoptionRefused:
			say(fleet.Notice, "the host refused the adoption: %s", adoption.Why)
		case (adoption.State == fleet.AdoptionWanted || adoption.State == fleet.AdoptionReleasing) && waited > patience:
			say(fleet.Warning, "the host has not answered for %s", waited.Truncate(time.Minute))
		case adoption.State == fleet.AdoptionAdopted && waited > quietLimit && c.back(adoption):
			say(fleet.Critical, "the adopted line is back in %s, so that it runs beside task %s", adoption.Job.Source, adoption.Task)
		}
	}
}

// back reports whether the line of an adopted job would run again.
func (c *comparison) back(adoption *fleet.Adoption) bool {
	s := c.surveys[adoption.Host]
	return s != nil && slices.ContainsFunc(s.rows, func(r row) bool {
		return r.is(stands) && r.print.Value() == adoption.Job.Fingerprint && r.user.Value() == adoption.Job.User && r.source.Value() == adoption.Job.Source
	})
}

// names returns the names of hosts, sorted, at most 20.
func names(hosts []*Host) []string {
	var list []string
	for _, host := range hosts {
		list = append(list, host.Name)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return list[:min(len(list), 20)]
}

func ids(hosts []*Host) []fleet.HostID {
	list := make([]fleet.HostID, len(hosts))
	for i, host := range hosts {
		list[i] = host.ID
	}
	return list
}

// several turns a finding about one host into one about many.
func several(one fleet.Finding, hosts []*Host) found {
	one.Host, one.HostName, one.Job, one.Source, one.Line = "", "", "", "", 0
	one.Hosts = names(hosts)
	return found{Finding: one, on: ids(hosts)}
}

// listed names some of many.
func listed(all []string) string {
	if len(all) <= 3 {
		return strings.Join(all, ", ")
	}
	return strings.Join(all[:3], ", ") + fmt.Sprintf(" and %d more", len(all)-3)
}
