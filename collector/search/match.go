package search

import (
	"runtime"
	"sync"
)

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
	rows rowTests
	not  bool
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

// scan is a match as one goroutine asks it.
type scan struct {
	*match
	holds []rowTest // of tests
}

func (m *match) scan() *scan {
	s := &scan{m, make([]rowTest, len(m.tests))}
	for i := range m.tests {
		s.holds[i] = m.tests[i].rows()
	}
	return s
}

// each visits the rows of blocks that match, in their order.
func (s *scan) each(blocks []*block, visit func(b *block, n int)) {
	for _, b := range blocks {
		if !s.block(b) {
			continue
		}
		for n := range b.rows {
			if s.row(b, n) {
				visit(b, n)
			}
		}
	}
}

// block reports whether rows of the host can match.
func (m *match) block(b *block) bool {
	if m.none || !m.scope.Meets(b.namespaces) || m.exactHost != "" && m.exactHost != b.name && m.exactHost != string(b.id) {
		return false
	}
	return !m.labelled || m.label.Matches(b.labels)
}

// row reports whether the n-th row of the block matches.
func (s *scan) row(b *block, n int) bool {
	if s.fingerprint != "" && b.rows[n].print != s.print {
		return false
	}
	for i, holds := range s.holds {
		if holds(b, n) == s.tests[i].not {
			return false
		}
	}
	return true
}

// worthwhile is how many blocks are worth a goroutine of their own.
const worthwhile = 500

// parts cuts the blocks into parts that follow each other, one for each core.
func (x *Index) parts() [][]*block {
	parts := make([][]*block, max(1, min(runtime.GOMAXPROCS(0), len(x.blocks)/x.share)))
	for i := range parts {
		parts[i] = x.blocks[i*len(x.blocks)/len(parts) : (i+1)*len(x.blocks)/len(parts)]
	}
	return parts
}

// spread calls fn for each part at once.
func spread(parts [][]*block, fn func(part int, blocks []*block)) {
	var wait sync.WaitGroup
	for part, blocks := range parts[1:] {
		wait.Go(func() { fn(part+1, blocks) })
	}
	fn(0, parts[0])
	wait.Wait()
}
