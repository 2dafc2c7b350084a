package ledger

import (
	"cmp"
	"slices"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// PutAnnotation records what people say about a command, wherever it stands.
// It returns the fleet.Annotation. One that says nothing takes the old one back.
type PutAnnotation struct {
	Annotation fleet.Annotation `json:"annotation"`
}

func (cmd *PutAnnotation) apply(c *change) any {
	said := cmd.Annotation
	if !keyable(said.Fingerprint) {
		return fleet.Invalidf("fingerprint", said.Fingerprint, "want 1–%d bytes", maxKeyPart)
	}
	k := key(said.Fingerprint)
	if said.Owner == "" && said.Note == "" {
		if c.get(inAnnotations, k) == nil {
			return said
		}
		c.delete(inAnnotations, k)
	} else {
		c.put(inAnnotations, k, encode(said))
	}
	c.notify(Annotations, Jobs)
	c.after(func(l *Ledger) { l.memory.annotate(&said) })
	return said
}

func compareAnnotation(a *fleet.Annotation, fingerprint string) int {
	return cmp.Compare(a.Fingerprint, fingerprint)
}

func (m *memory) annotate(said *fleet.Annotation) {
	next := slices.Clone(m.annotations)
	at, found := slices.BinarySearchFunc(next, said.Fingerprint, compareAnnotation)
	empty := said.Owner == "" && said.Note == ""
	switch {
	case found && empty:
		next = slices.Delete(next, at, at+1)
	case found:
		next[at] = said
	case !empty:
		next = slices.Insert(next, at, said)
	}
	if m.annotations = next; len(next) == 0 {
		m.annotations = nil
	}
}

// AllAnnotations returns every annotation by fingerprint. The list is shared:
// do not change it.
func (l *Ledger) AllAnnotations() []*fleet.Annotation {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.memory.annotations
}

// Annotations returns a page of the annotations, by fingerprint.
func (l *Ledger) Annotations(page api.Page) api.List[fleet.Annotation] {
	index, _ := l.Applied()
	all := l.AllAnnotations()
	some, next := cut(all, page, func(a *fleet.Annotation) string { return a.Fingerprint })
	list := api.List[fleet.Annotation]{Items: make([]fleet.Annotation, len(some)), Next: next, Total: len(all), Index: index}
	for i, one := range some {
		list.Items[i] = *one
	}
	return list
}

// Annotation returns what people say about a command. Without an annotation
// only its fingerprint is set.
func (l *Ledger) Annotation(fingerprint string) (said fleet.Annotation, found bool) {
	all := l.AllAnnotations()
	at, found := slices.BinarySearchFunc(all, fingerprint, compareAnnotation)
	if !found {
		return fleet.Annotation{Fingerprint: fingerprint}, false
	}
	return *all[at], true
}
