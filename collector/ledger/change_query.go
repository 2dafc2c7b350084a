package ledger

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Changes returns a page of what changed about found jobs, the newest first.
// Since and Until bound when it was recorded (Until excluded). With a Job, it
// and what it was and became under other ids are followed. Total is -1, and a
// page may have fewer items than asked for and still a Next.
func (l *Ledger) Changes(scope fleet.Scope, q api.ChangeQuery) (api.List[api.ChangeView], error) {
	list := api.List[api.ChangeView]{Items: []api.ChangeView{}, Total: -1}
	s := changeSearch{ChangeQuery: q, scope: scope, ledger: l, text: strings.ToLower(q.Text), what: bitOf(q.What), left: maxVisits}
	var err error
	if q.Host != "" {
		if s.host, err = l.FindHost(scope, q.Host); err != nil {
			return list, err
		}
	}
	if q.Label != "" {
		selector, err := fleet.ParseSelector(q.Label)
		if err != nil {
			return list, err
		}
		s.label = &selector
	}
	if q.After != "" {
		if s.from, err = openSpot(q.After); err != nil {
			return list, err
		}
	}
	err = l.view(func(r *reader) error {
		list.Index = r.index()
		s.reader = r
		if q.Job != "" && s.host != nil {
			if s.ids, err = r.chain(string(s.host.ID), q.Job); err != nil {
				return err
			}
		}
		return s.page(&list)
	})
	return list, err
}

// changeSearch looks for changes within one transaction.
type changeSearch struct {
	api.ChangeQuery
	scope  fleet.Scope
	ledger *Ledger
	reader *reader
	host   *Host
	label  *fleet.Selector
	ids    map[fleet.JobID]bool // nil: every job
	text   string
	what   whats
	from   spot // where the last page ended
	left   int  // entries that may still be looked at
}

// spot is the place of one change: its row, and where it stands in it.
type spot struct {
	key   []byte // of changes: instant and host
	place int
}

func (s spot) String() string {
	return base64.RawURLEncoding.EncodeToString(s.key) + "." + strconv.Itoa(s.place)
}

func openSpot(cursor string) (s spot, err error) {
	wrong := fleet.Invalidf("after", "", "want the next of the page before")
	row, at, found := strings.Cut(cursor, ".")
	if s.key, err = base64.RawURLEncoding.DecodeString(row); err != nil || !found || len(s.key) <= 8 {
		return s, wrong
	}
	if s.place, err = strconv.Atoi(at); err != nil {
		return s, wrong
	}
	return s, nil
}

// page walks the rows backwards: those of the host, or all that the scope sees.
func (s *changeSearch) page(list *api.List[api.ChangeView]) (err error) {
	if s.host == nil && !s.scope.All() {
		return s.pageOf(s.ledger.AllHosts(s.scope), list)
	}
	b, own := inChanges, []byte(nil)
	if s.host != nil {
		b, own = inChangesByHost, prefix(string(s.host.ID))
	}
	eachBack(s.reader.bucket(b), own, s.start(own), func(k, _ []byte) bool {
		row := k
		if s.host != nil {
			row = append(bytes.Clone(k[len(own):]), s.host.ID...)
		}
		if !s.Since.IsZero() && number(row[:8]) < nanosOf(s.Since) {
			return false
		}
		var more bool
		more, err = s.row(row, list)
		return more && err == nil
	})
	return err
}

// pageOf walks the rows of some hosts backwards, in the order that all have.
func (s *changeSearch) pageOf(hosts []*Host, list *api.List[api.ChangeView]) (err error) {
	owns := make([][]byte, len(hosts))
	for i, host := range hosts {
		owns[i] = prefix(string(host.ID))
	}
	before := func(own []byte) []byte {
		var end []byte
		if !s.Until.IsZero() {
			end = bigEndian(nanosOf(s.Until))
		}
		if s.from.key != nil { // the row itself too: it may hold more
			at := number(s.from.key[:8])
			if bytes.Compare(own[:len(own)-1], s.from.key[8:]) <= 0 {
				at++
			}
			if last := bigEndian(at); end == nil || bytes.Compare(last, end) < 0 {
				end = last
			}
		}
		if end == nil {
			return nil
		}
		return append(bytes.Clone(own), end...)
	}
	s.reader.eachBackOf(inChangesByHost, owns, before, func(own, rest []byte) bool {
		if !s.Since.IsZero() && number(rest) < nanosOf(s.Since) {
			return false
		}
		var more bool
		more, err = s.row(append(bytes.Clone(rest), own[:len(own)-1]...), list)
		return more && err == nil
	})
	return err
}

// nanosOf returns the instant as keys have it; one before 1970 is the first.
func nanosOf(t time.Time) uint64 {
	switch {
	case t.Year() < 1970:
		return 0
	case t.Year() > 2200:
		return 1 << 63
	}
	return uint64(t.UnixNano())
}

// start returns the key before which the page begins; nil: at the end.
func (s *changeSearch) start(own []byte) []byte {
	var before []byte
	if !s.Until.IsZero() {
		before = bigEndian(nanosOf(s.Until))
	}
	if s.from.key != nil { // the row itself too: it may hold more
		last := append(bytes.Clone(s.from.key), 0)
		if s.host != nil {
			last = bigEndian(number(s.from.key[:8]) + 1)
		}
		if before == nil || bytes.Compare(last, before) < 0 {
			before = last
		}
	}
	if before == nil {
		return nil
	}
	return append(bytes.Clone(own), before...)
}

// row adds what the query asks for of one row, and reports whether to go on.
func (s *changeSearch) row(k []byte, list *api.List[api.ChangeView]) (more bool, err error) {
	host, known := s.ledger.Host(s.scope, fleet.HostID(k[8:]))
	if !known || s.label != nil && !s.label.Matches(host.Labels) {
		if s.left <= 0 {
			list.Next = s.from.String()
			return false, nil
		}
		s.left--
		s.from = spot{bytes.Clone(k), fleet.MaxReportJobs * 2} // behind all of the row
		return true, nil
	}
	entries, _, err := row[[]changed](s.reader, inChanges, k)
	if err != nil {
		return false, err
	}
	first := 0
	if bytes.Equal(k, s.from.key) {
		first = s.from.place + 1
	}
	limit := pageSize(s.Page)
	for i := first; i < len(entries); i++ {
		if len(list.Items) == limit || s.left <= 0 {
			list.Next = s.from.String()
			return false, nil
		}
		s.left--
		s.from = spot{bytes.Clone(k), i}
		if err := s.take(host, k, &entries[i], list); err != nil {
			return false, err
		}
	}
	return true, nil
}

// take adds the change when it is asked for.
func (s *changeSearch) take(host *Host, k []byte, entry *changed, list *api.List[api.ChangeView]) error {
	if s.what != 0 && entry.What&s.what == 0 || s.ids != nil && !s.ids[entry.Job] && !s.ids[entry.Was] {
		return nil
	}
	view := api.ChangeView{HostName: host.Name, Change: fleet.Change{
		Host: host.ID, Job: entry.Job, Seen: time.Unix(0, int64(number(k[:8]))).UTC(), What: entry.What.kinds(),
	}}
	var err error
	if was := entry.before(); was != "" {
		if view.Before, err = s.reader.jobUntil(string(host.ID), was, k[:8]); err != nil {
			return err
		}
	}
	if entry.What&vanished == 0 {
		if view.After, err = s.reader.jobFrom(string(host.ID), entry.Job, view.Seen); err != nil {
			return err
		}
	}
	if s.mentions(view.Before) || s.mentions(view.After) {
		list.Items = append(list.Items, view)
	}
	return nil
}

func (s *changeSearch) mentions(job *fleet.Job) bool {
	return s.text == "" || job != nil && strings.Contains(strings.ToLower(job.Command), s.text)
}

// jobUntil returns the job as it was until the instant; nil: it is forgotten.
func (r *reader) jobUntil(host string, job fleet.JobID, until []byte) (*fleet.Job, error) {
	var found []byte
	own := prefix(host, string(job))
	eachBack(r.bucket(inVersions), own, append(bytes.Clone(own), until...), func(_, v []byte) bool {
		if bytes.Equal(v[:8], until) {
			found = v[8:]
		}
		return false
	})
	return oldJob(found)
}

// oldJob reads the job of a version; nil: there is none.
func oldJob(version []byte) (*fleet.Job, error) {
	if version == nil {
		return nil, nil
	}
	row, err := decode[jobRow](version)
	return &row.Job, err
}

// jobFrom returns the job as it was from the instant on; nil: it is forgotten.
func (r *reader) jobFrom(host string, job fleet.JobID, from time.Time) (*fleet.Job, error) {
	now, found, err := row[jobRow](r, inJobs, key(host, string(job)))
	if err != nil {
		return nil, err
	}
	if found && now.Changed.Equal(from) {
		return &now.Job, nil
	}
	if v := r.get(inVersions, versionKey(host, job, from)); v != nil {
		return oldJob(v[8:])
	}
	return nil, nil
}

// chain returns the ids that a job had and got, as far as the newest rows of
// its host tell.
func (r *reader) chain(host string, job fleet.JobID) (ids map[fleet.JobID]bool, err error) {
	links := map[fleet.JobID][]fleet.JobID{}
	own, left := prefix(host), maxVisits
	eachBack(r.bucket(inChangesByHost), own, nil, func(k, linked []byte) bool {
		if left--; linked[0] != 0 {
			var entries []changed
			entries, _, err = row[[]changed](r, inChanges, append(bytes.Clone(k[len(own):]), host...))
			for _, e := range entries {
				if e.Was != "" {
					links[e.Was], links[e.Job] = append(links[e.Was], e.Job), append(links[e.Job], e.Was)
				}
			}
		}
		return left > 0 && err == nil
	})
	ids = map[fleet.JobID]bool{job: true}
	for open := []fleet.JobID{job}; len(open) > 0; open = open[1:] {
		for _, next := range links[open[0]] {
			if !ids[next] {
				ids[next], open = true, append(open, next)
			}
		}
	}
	return ids, err
}
