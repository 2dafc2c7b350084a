package search

import (
	"slices"
	"strings"
)

// match is a filter resolved against the texts there are: rows are compared by
// number. A nil set asks nothing.
type match struct {
	*filter
	inCommand, inSource, inUser set // of the phrase; any of them suffices
	sources, users, schedules   set
	print                       uint32
	none                        bool // no row can match
	phraseInHost                bool // the block at hand has the phrase in its name
}

// resolve looks the texts up. Call it with the index locked.
func (f *filter) resolve(w *words) *match {
	m := &match{filter: f}
	if f.phrase != "" {
		m.inCommand = w.commands.containing(f.phrase)
		m.inSource = w.sources.containing(f.phrase)
		m.inUser = w.users.containing(f.phrase)
	}
	m.sources = all(f.source, w.sources.containing)
	m.users = all(f.user, w.users.equal)
	m.schedules = all(f.schedule, w.schedules.containing)
	if f.fingerprint != "" {
		number, known := w.prints.numbers[f.fingerprint]
		m.print, m.none = number, !known
	}
	return m
}

// all returns what every one of the texts finds; nil for no text.
func all(texts []string, find func(string) set) (both set) {
	for _, text := range texts {
		found := find(text)
		for i := range both {
			found[i] &= both[i]
		}
		both = found
	}
	return both
}

// block reports whether rows of the host can match, and prepares for them.
func (m *match) block(b *block) bool {
	if m.none || m.exactHost != "" && m.exactHost != b.name && m.exactHost != string(b.id) {
		return false
	}
	for _, text := range m.host {
		if !strings.Contains(b.folded, text) && text != string(b.id) {
			return false
		}
	}
	if m.labelled && !m.label.Matches(b.labels) {
		return false
	}
	m.phraseInHost = m.phrase == "" || strings.Contains(b.folded, m.phrase)
	return true
}

// row reports whether the row of the block at hand matches.
func (m *match) row(r *row) bool {
	switch {
	case !m.phraseInHost && !m.inCommand.has(r.command) && !m.inSource.has(r.source) && !m.inUser.has(r.user),
		m.sources != nil && !m.sources.has(r.source),
		m.users != nil && !m.users.has(r.user),
		m.schedules != nil && !m.schedules.has(r.schedule),
		m.fingerprint != "" && r.print != m.print,
		m.verdict != "" && r.runs != (m.verdict == "runs"):
		return false
	}
	return !slices.ContainsFunc(m.kinds, func(kind int8) bool { return kind != r.kind })
}
