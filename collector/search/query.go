package search

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Query returns a page of the jobs that the query asks for, by host name, host
// id, source and line, and how many there are in all. A cursor stays good
// while jobs come and go.
func (x *Index) Query(q api.JobQuery) (api.List[api.JobView], error) {
	list := api.List[api.JobView]{Items: []api.JobView{}}
	filter, err := newFilter(q)
	if err != nil {
		return list, err
	}
	after, err := parseCursor(q.After)
	if err != nil {
		return list, err
	}
	list.Index, _ = x.source.Applied()
	if err := x.follow(); err != nil {
		return list, err
	}
	page, more, total := x.find(filter, after, pageSize(q.Page))
	list.Total = total
	for _, ref := range page {
		job, found, err := x.source.Job(ref.host, ref.job)
		if err != nil {
			return list, err
		}
		if found { // it may have gone since
			list.Items = append(list.Items, job)
		}
	}
	if more {
		list.Next = page[len(page)-1].cursor.String()
	}
	return list, nil
}

// ref names one job of a page.
type ref struct {
	host   fleet.HostID
	job    fleet.JobID
	cursor cursor
}

// find returns the refs of a page, whether more follow, and the total.
func (x *Index) find(f *filter, after cursor, limit int) (page []ref, more bool, total int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	match := f.resolve(&x.words)
	for _, b := range x.blocks {
		if !match.block(b) {
			continue
		}
		order := 1 // of the block to the cursor
		if after != (cursor{}) {
			order = compareHosts(b, after)
		}
		for i := range b.rows {
			r := &b.rows[i]
			if !match.row(r) {
				continue
			}
			total++
			if more || order < 0 || order == 0 && x.cursor(b, r).compare(after) <= 0 {
				continue
			}
			if more = len(page) == limit; !more {
				page = append(page, ref{b.id, r.id, x.cursor(b, r)})
			}
		}
	}
	return page, more, total
}

func pageSize(page api.Page) int {
	if page.Limit <= 0 {
		return api.DefaultPage
	}
	return min(page.Limit, api.MaxPage)
}

// filter is a query as it was understood.
type filter struct {
	phrase         string // folded; in any field
	host, source   []string
	user, schedule []string
	kinds          []int8 // in the table kinds
	exactHost      string
	labelled       bool
	label          fleet.Selector
	fingerprint    string
	verdict        string
}

var terms = regexp.MustCompile(`(?:^|\s)(user|host|schedule|source|kind):("[^"]*"?|\S*)`)

func newFilter(q api.JobQuery) (*filter, error) {
	f := &filter{exactHost: q.Host, fingerprint: q.Fingerprint, verdict: q.Verdict}
	if err := f.readText(q.Text); err != nil {
		return nil, err
	}
	if q.User != "" {
		f.user = append(f.user, fold(q.User))
	}
	if q.Source != "" {
		f.source = append(f.source, fold(q.Source))
	}
	if q.Kind != "" {
		if err := f.addKind(string(q.Kind)); err != nil {
			return nil, err
		}
	}
	if q.Verdict != "" && q.Verdict != "runs" && q.Verdict != "broken" {
		return nil, fleet.Invalidf("verdict", q.Verdict, "want runs or broken")
	}
	if q.Label != "" {
		selector, err := fleet.ParseSelector(q.Label)
		if err != nil {
			return nil, err
		}
		f.label, f.labelled = selector, true
	}
	return f, nil
}

// readText takes the terms out of the text; what is left is the phrase.
func (f *filter) readText(text string) error {
	var left []string
	at := 0
	for _, m := range terms.FindAllStringSubmatchIndex(text, -1) {
		left = append(left, text[at:m[0]])
		at = m[1]
		if err := f.addTerm(text[m[2]:m[3]], strings.Trim(text[m[4]:m[5]], `"`)); err != nil {
			return err
		}
	}
	left = append(left, text[at:])
	for i := range left {
		left[i] = strings.TrimSpace(left[i])
	}
	left = slices.DeleteFunc(left, func(s string) bool { return s == "" })
	f.phrase = fold(strings.Join(left, " "))
	return nil
}

func (f *filter) addTerm(name, value string) error {
	if value == "" {
		return fleet.Invalidf("q", name+":", "a value follows the colon, as in %s:x", name)
	}
	switch name {
	case "user":
		f.user = append(f.user, fold(value))
	case "host":
		f.host = append(f.host, fold(value))
	case "source":
		f.source = append(f.source, fold(value))
	case "schedule":
		f.schedule = append(f.schedule, fold(value))
	case "kind":
		return f.addKind(value)
	}
	return nil
}

// kinds is every kind that can be asked for; rows hold the place in it.
var kinds = []fleet.JobKind{fleet.KindCron, fleet.KindRunParts, fleet.KindAnacron, fleet.KindTimer, fleet.KindAt}

func (f *filter) addKind(value string) error {
	kind := slices.Index(kinds, fleet.JobKind(fold(value)))
	if kind < 0 {
		return fleet.Invalidf("kind", value, "want cron, run-parts, anacron, timer or at")
	}
	f.kinds = append(f.kinds, int8(kind))
	return nil
}

// cursor is the place of a job in the order of a list.
type cursor struct {
	name   string
	host   fleet.HostID
	source string
	line   int
	job    fleet.JobID
}

// place returns where a job stands among those of its host.
func place(job *api.JobView) cursor {
	return cursor{source: job.Source, line: job.Line, job: job.ID}
}

func (x *Index) cursor(b *block, r *row) cursor {
	return cursor{b.name, b.id, x.words.sources.text(r.source), int(r.line), r.id}
}

func (c cursor) compare(d cursor) int {
	for _, order := range [...]int{
		strings.Compare(c.name, d.name), strings.Compare(string(c.host), string(d.host)),
		strings.Compare(c.source, d.source), c.line - d.line,
	} {
		if order != 0 {
			return order
		}
	}
	return strings.Compare(string(c.job), string(d.job))
}

func compareHosts(b *block, c cursor) int {
	if order := strings.Compare(b.name, c.name); order != 0 {
		return order
	}
	return strings.Compare(string(b.id), string(c.host))
}

// String returns the cursor as it goes into a URL.
func (c cursor) String() string {
	parts := []string{c.name, string(c.host), c.source, strconv.Itoa(c.line), string(c.job)}
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(parts, "\x00")))
}

// parseCursor reads what String wrote; the empty text is the beginning.
func parseCursor(s string) (cursor, error) {
	if s == "" {
		return cursor{}, nil
	}
	wrong := fleet.Invalidf("after", s, "want the next of the page before")
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return cursor{}, wrong
	}
	parts := strings.Split(string(data), "\x00")
	if len(parts) != 5 {
		return cursor{}, wrong
	}
	line, err := strconv.Atoi(parts[3])
	if err != nil {
		return cursor{}, wrong
	}
	return cursor{parts[0], fleet.HostID(parts[1]), parts[2], line, fleet.JobID(parts[4])}, nil
}
