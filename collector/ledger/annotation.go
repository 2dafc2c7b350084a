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

// AllAnnotations returns every annotation by fingerprint: within a scope, those
// of commands that hosts within it have. The list is shared: do not change it.
func (l *Ledger) AllAnnotations(scope fleet.Scope) []*fleet.Annotation {
	l.mu.RLock()
	all := l.memory.annotations
	l.mu.RUnlock()
	if scope.All() || len(all) == 0 {
		return all
	}
	_, jobs, err := l.Contained(scope, "*")
	if err != nil {
		return nil // the file is damaged, and whoever asks for jobs hears of it
	}
	prints := map[string]bool{}
	for job := range jobs {
		prints[job.Fingerprint] = true
	}
	return filter(all, func(a *fleet.Annotation) bool { return prints[a.Fingerprint] })
}

// Annotations returns a page of the annotations, by fingerprint.
func (l *Ledger) Annotations(scope fleet.Scope, page api.Page) api.List[fleet.Annotation] {
	index, _ := l.Applied()
	all := l.AllAnnotations(scope)
	some, next := cut(all, page, func(a *fleet.Annotation) string { return a.Fingerprint })
	list := api.List[fleet.Annotation]{Items: make([]fleet.Annotation, len(some)), Next: next, Total: len(all), Index: index}
	for i, one := range some {
		list.Items[i] = *one
	}
	return list
}

// Annotation returns what people say about a command. Without an annotation
// only its fingerprint is set.
func (l *Ledger) Annotation(scope fleet.Scope, fingerprint string) (said fleet.Annotation, found bool) {
	if said, found = l.annotation(fingerprint); !found || scope.All() {
		return said, found
	}
	for _, one := range l.AllAnnotations(scope) {
		if one.Fingerprint == fingerprint {
			return said, true
		}
	}
	return fleet.Annotation{Fingerprint: fingerprint}, false
}

func (l *Ledger) annotation(fingerprint string) (said fleet.Annotation, found bool) {
	l.mu.RLock()
	all := l.memory.annotations
	l.mu.RUnlock()
	at, found := slices.BinarySearchFunc(all, fingerprint, compareAnnotation)
	if !found {
		return fleet.Annotation{Fingerprint: fingerprint}, false
	}
	return *all[at], true
}
