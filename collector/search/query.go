package search

import (
	"context"
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Query returns a page of the jobs within the scope that the query asks for, by host name, host
// id, source and line, and how many there are in all. A cursor stays good
// while jobs come and go.
func (x *Index) Query(scope fleet.Scope, q api.JobQuery) (api.List[api.JobView], error) {
	list := api.List[api.JobView]{Items: []api.JobView{}}
	filter, err := newFilter(scope, q)
	if err != nil {
		return list, err
	}
	after, err := parseCursor(q.After)
	if err != nil {
		return list, err
	}
	list.Index, _ = x.source.Applied()
	if err := x.CatchUp(context.Background()); err != nil {
		return list, err
	}
	page, more, total := x.find(filter, after, pageSize(q.Page))
	list.Total, list.Items = total, make([]api.JobView, 0, len(page))
	for _, ref := range page {
		job, found, err := x.source.Job(scope, ref.host, ref.job)
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
	match := f.resolve(x)
	parts := x.parts()
	pages, totals := make([][]ref, len(parts)), make([]int, len(parts))
	spread(parts, func(part int, blocks []*block) {
		pages[part], totals[part] = x.findIn(blocks, match.scan(), after, limit+1)
	})
	for part := range pages {
		page = append(page, pages[part]...)
		total += totals[part]
	}
	more = len(page) > limit
	return page[:min(limit, len(page))], more, total
}

// findIn returns the first refs after the cursor in some blocks, and how many
// rows match there.
func (x *Index) findIn(blocks []*block, s *scan, after cursor, limit int) (page []ref, total int) {
	order, last := 1, (*block)(nil) // of the block to the cursor
	s.each(blocks, func(b *block, n int) {
		if total++; len(page) == limit {
			return
		}
		if b != last && after != (cursor{}) {
			order, last = compareHosts(b, after), b
		}
		if order > 0 || order == 0 && x.cursor(b, n).compare(after) > 0 {
			page = append(page, ref{b.id, b.rest[n].id, x.cursor(b, n)})
		}
	})
	return page, total
}

func pageSize(page api.Page) int {
	if page.Limit <= 0 {
		return api.DefaultPage
	}
	return min(page.Limit, api.MaxPage)
}

// filter is a query as it was understood: terms that must all hold.
type filter struct {
	scope       fleet.Scope
	terms       []term
	exactHost   string
	labelled    bool
	label       fleet.Selector
	fingerprint string
}

// term asks for a value of a field, or for any other.
type term struct {
	*field
	value string // folded
	not   bool
}

func newFilter(scope fleet.Scope, q api.JobQuery) (*filter, error) {
	f := &filter{scope: scope, exactHost: q.Host, fingerprint: q.Fingerprint}
	if err := f.readText(q.Text); err != nil {
		return nil, err
	}
	if q.Verdict != "" && q.Verdict != "runs" && q.Verdict != "broken" {
		return nil, fleet.Invalidf("verdict", q.Verdict, "want runs or broken")
	}
	asked := [][2]string{{"user", q.User}, {"source", q.Source}, {"kind", string(q.Kind)}, {"verdict", q.Verdict}, {"owner", q.Owner}}
	if q.Overdue {
		asked = append(asked, [2]string{"is", "overdue"})
	}
	for _, one := range asked {
		if one[1] == "" {
			continue
		}
		if err := f.add(fieldOf(one[0]), one[1], false); err != nil {
			return nil, err
		}
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

// tokens cuts a text at blanks, but not within quotes that begin a word or
// follow a colon.
var tokens = regexp.MustCompile(`-?(?:[a-z_]+:)?"[^"]*"?|\S+`)

// token is a term, or a phrase in quotes, with a minus in front where it must
// not hold.
var token = regexp.MustCompile(`^(-?)(?:([a-z_]+):)?(?:"([^"]*)"?|(\S*))$`)

// readText takes the terms and the phrases in quotes out of the text; what is
// left is one phrase.
func (f *filter) readText(text string) error {
	var left []string
	from := 0
	for _, at := range tokens.FindAllStringIndex(text, -1) {
		word := text[at[0]:at[1]]
		m := token.FindStringSubmatch(word)
		if m == nil {
			continue
		}
		name, value, quoted := m[2], m[3]+m[4], strings.Contains(word, `"`) && m[4] == ""
		known := fieldOf(name)
		switch {
		case name == "" && !quoted, known == nil && plain(value):
			continue
		case known == nil:
			return fleet.Invalidf("q", name+":", "no such term: there are %s; put text with a colon in quotes", fieldNames())
		case value == "" && name != "":
			return fleet.Invalidf("q", name+":", "a value follows the colon, as in %s:x", name)
		}
		left = append(left, text[from:at[0]])
		from = at[1]
		if err := f.add(known, value, m[1] == "-"); err != nil {
			return err
		}
	}
	left = append(left, text[from:])
	for i := range left {
		left[i] = strings.TrimSpace(left[i])
	}
	left = slices.DeleteFunc(left, func(s string) bool { return s == "" })
	return f.add(fieldOf(""), strings.Join(left, " "), false)
}

// plain reports whether what follows a colon makes the word no term that
// somebody misspelt: an address, a port, nothing.
func plain(value string) bool {
	return value == "" || strings.ContainsAny(value[:1], "/:0123456789$")
}

// add adds a term; text that is empty asks for nothing.
func (f *filter) add(asked *field, value string, not bool) error {
	value = fold(value)
	if value == "" {
		return nil
	}
	if asked.check != nil {
		if err := asked.check(value); err != nil {
			return err
		}
	}
	f.terms = append(f.terms, term{asked, value, not})
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

func (x *Index) cursor(b *block, n int) cursor {
	return cursor{b.name, b.id, x.words.sources.text(b.rows[n].source), int(b.rest[n].line), b.rest[n].id}
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
