package policy

import (
	"maps"
	"slices"
	"strings"
)

// collectorObject begins what the book calls a collector.
const collectorObject = "collector "

// revoked hears that a collector is none any more. That is remembered for ever:
// ids are never used again.
func (p *passage) revoked(text []byte) {
	h := &hearing{claim: claimRevoked, text: text}
	if no := p.hear(h); no != nil {
		object := "a revoked collector"
		if h.sealed != nil && h.sealed.statement != nil {
			object = h.sealed.statement.Object()
		}
		p.refuse(object, h, no)
		return
	}
	p.took(h.key(), h, p.gate.book.Objects[h.key()].Gone)
}

// Revoked lists the collectors that people have signed to be none any more, by
// id. Nobody of this host is to speak to them.
func (g *Gate) Revoked() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	ids := []string{}
	for _, object := range slices.Sorted(maps.Keys(g.book.Objects)) {
		if id, is := strings.CutPrefix(object, collectorObject); is && g.book.Objects[object].Gone {
			ids = append(ids, id)
		}
	}
	return ids
}
