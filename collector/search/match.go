package search

// match is a filter resolved against the texts there are: rows are compared by
// number.
type match struct {
	*filter
	tests []test
	print uint32
	none  bool // no row can match
}

// test is a term as it is asked of rows.
type test struct {
	holds rowTest
	not   bool
}

// resolve looks the texts up. Call it with the index locked.
func (f *filter) resolve(x *Index) *match {
	m := &match{filter: f}
	for _, asked := range f.terms {
		m.tests = append(m.tests, test{asked.rows(x, asked.value), asked.not})
	}
	if f.fingerprint != "" {
		number, known := x.words.prints.numbers[f.fingerprint]
		m.print, m.none = number, !known
	}
	return m
}

// block reports whether rows of the host can match.
func (m *match) block(b *block) bool {
	if m.none || m.exactHost != "" && m.exactHost != b.name && m.exactHost != string(b.id) {
		return false
	}
	return !m.labelled || m.label.Matches(b.labels)
}

// row reports whether the row of the block matches.
func (m *match) row(b *block, r *row) bool {
	if m.fingerprint != "" && r.print != m.print {
		return false
	}
	for i := range m.tests {
		if m.tests[i].holds(b, r) == m.tests[i].not {
			return false
		}
	}
	return true
}
