package web

import (
	"net/url"
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// rowsPerPage is how many rows a list shows at once.
const rowsPerPage = 50

// maxTrail bounds how many cursors an address carries for the way back.
const maxTrail = 60

// filter is one thing a list can be narrowed by; its name is the parameter of
// the address that holds it.
type filter struct {
	Name    string
	Label   string
	Hint    string // an example, for a field to type in
	Options []option
	Tabs    bool // the options stand as a row of links above the list
	Hidden  bool // no field of its own: set by links, cleared by its chip
	Rare    bool // its field stands behind "More filters"

	Value string
}

// option is one value that a filter may have.
type option struct{ Value, Word string }

// Type says how the filter is drawn.
func (f filter) Type() string {
	switch {
	case f.Hidden:
		return "hidden"
	case f.Tabs:
		return "tabs"
	case f.Options != nil:
		return "choice"
	}
	return "text"
}

// word is how a person reads the filter's value.
func (f filter) word() string {
	for _, o := range f.Options {
		if o.Value == f.Value {
			return o.Word
		}
	}
	return f.Value
}

// listing is the state of a list: where it is, what narrows it, which page of
// it is shown. All of it stands in the address.
type listing struct {
	Path    string
	Anchor  string // "#found": where on the page the list begins
	Filters []filter
	After   string   // cursor of the page shown; empty: the first
	Trail   []string // cursors of the pages before it, without the first page's
	Next    string   // cursor of the next page; empty: there is none
	Total   int      // of all pages; -1: not counted
	Shown   int      // rows on this page
}

// listing reads the state of a list from the address. A parameter that is no
// filter, and a value that is none of a filter's options, is an error.
func (v *visit) listing(path string, filters ...filter) (*listing, error) {
	l := &listing{Path: path, Filters: filters}
	query, err := url.ParseQuery(v.URL.RawQuery)
	if err != nil {
		return nil, fleet.Invalidf("address", clip(v.URL.RawQuery, 80), "cannot be read: %v", err)
	}
	for name, values := range query {
		i := slices.IndexFunc(filters, func(f filter) bool { return f.Name == name })
		switch {
		case name == "after":
			l.After = values[0]
		case name == "back":
			l.Trail = values
		case i < 0:
			return nil, unknownFilter(name)
		default:
			filters[i].Value = strings.TrimSpace(values[0])
		}
	}
	for _, f := range filters {
		if err := f.check(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (f filter) check() error {
	if len(f.Value) > 500 {
		return fleet.Invalidf(f.Name, clip(f.Value, 40), "is longer than 500 bytes")
	}
	if f.Options == nil || f.Value == "" {
		return nil
	}
	var words []string
	for _, o := range f.Options {
		if o.Value == f.Value {
			return nil
		}
		if o.Value != "" {
			words = append(words, o.Value)
		}
	}
	return fleet.Invalidf(f.Name, f.Value, "want %s", strings.Join(words, ", "))
}

// value returns the value of a filter; empty where it does not narrow.
func (l *listing) value(name string) string {
	for _, f := range l.Filters {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// shows notes what the Source returned.
func (l *listing) shows(rows, total int, next string) {
	l.Shown, l.Total, l.Next = rows, total, next
}

// address returns the list's address with its filters, changed by the pairs.
func (l *listing) address(after string, trail []string, pairs ...string) string {
	query := url.Values{}
	for _, f := range l.Filters {
		if f.Value != "" {
			query.Set(f.Name, f.Value)
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if query.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			query.Del(pairs[i])
		}
	}
	if after != "" {
		query.Set("after", after)
	}
	if len(trail) > 0 {
		query["back"] = trail
	}
	if len(query) == 0 {
		return l.Path + l.Anchor
	}
	return l.Path + "?" + query.Encode() + l.Anchor
}

// NextURL returns the address of the next page; empty on the last.
func (l *listing) NextURL() string {
	if l.Next == "" {
		return ""
	}
	trail := l.Trail
	if l.After != "" {
		trail = append(slices.Clone(trail), l.After)
	}
	return l.address(l.Next, trail[max(0, len(trail)-maxTrail):])
}

// PreviousURL returns the address of the page before; empty on the first.
func (l *listing) PreviousURL() string {
	if l.After == "" {
		return ""
	}
	if n := len(l.Trail); n > 0 {
		return l.address(l.Trail[n-1], l.Trail[:n-1])
	}
	return l.address("", nil)
}

// FirstURL returns the address of the first page; empty on the first two.
func (l *listing) FirstURL() string {
	if len(l.Trail) == 0 {
		return ""
	}
	return l.address("", nil)
}

// Page returns the number of the page shown, from 1.
func (l *listing) Page() int {
	if l.After == "" {
		return 1
	}
	return len(l.Trail) + 2
}

// With returns the address of the first page with one filter set or, for an
// empty value, cleared.
func (l *listing) With(name, value string) string { return l.address("", nil, name, value) }

// ClearURL returns the address without any filter.
func (l *listing) ClearURL() string { return l.Path + l.Anchor }

// chip is one filter in force and the way out of it.
type chip struct{ Label, Value, URL string }

// Chips lists the filters in force, but those that tabs show already.
func (l *listing) Chips() []chip {
	var chips []chip
	for _, f := range l.Filters {
		if f.Value != "" && !f.Tabs {
			chips = append(chips, chip{f.Label, f.word(), l.With(f.Name, "")})
		}
	}
	return chips
}

// Rare lists the filters behind "More filters".
func (l *listing) Rare() []filter {
	var rare []filter
	for _, f := range l.Filters {
		if f.Rare {
			rare = append(rare, f)
		}
	}
	return rare
}

// RareSet reports whether one of those narrows the list.
func (l *listing) RareSet() bool {
	return slices.ContainsFunc(l.Filters, func(f filter) bool { return f.Rare && f.Value != "" })
}

// Filtered reports whether anything narrows the list.
func (l *listing) Filtered() bool {
	return slices.ContainsFunc(l.Filters, func(f filter) bool { return f.Value != "" })
}
