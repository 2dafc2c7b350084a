package taskfile

import (
	"errors"
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// validate adds what fleet says of the task as a whole, at the place of each
// field. What is wrong already is not complained about twice.
func (r *reading) validate() {
	e, ok := errors.AsType[*fleet.Error](r.task.Validate())
	if !ok {
		return
	}
	if _, numbered := r.task.Where.Pick.Number(); numbered {
		r.suggest("not supported by this version: use pick: all, or name one host")
	}
	failed := slices.Clone(r.failed)
	for _, p := range e.Fields {
		if !slices.ContainsFunc(failed, func(path string) bool { return within(path, p.Field) || within(p.Field, path) }) {
			at := r.place(p)
			r.add(problem(at, p.Field, p.Value, "%s", p.Reason))
		}
	}
}

// within reports whether path is outer or lies in it.
func within(path, outer string) bool {
	return path == outer || outer == "" || strings.HasPrefix(path, outer+".")
}

// place finds where a field stands: the item of that value, the field, or the
// closest mapping around it that is there.
func (r *reading) place(p fleet.FieldError) position {
	if at, known := r.places[p.Field+"="+p.Value]; known {
		return at
	}
	for path := p.Field; path != ""; path = path[:max(0, strings.LastIndexByte(path, '.'))] {
		if at, known := r.places[path]; known {
			return at
		}
	}
	return r.places[""]
}

// unknown reports a field that is not in the table, with what may be meant.
func (r *reading) unknown(s section, path string, key *node) {
	if later[path] {
		r.fail(key.position, path, "", "is not supported by this version")
		r.suggest("not supported by this version: leave %s out", path)
		return
	}
	meant := r.meaning(s, key.text)
	switch {
	case meant == "":
		r.fail(key.position, path, "", "is no field; want one of %s", strings.Join(s.names(), ", "))
	case sectionOf(meant) == s.name:
		r.fail(key.position, path, "", "is no field; did you mean %s?", fieldOf(meant))
	case sectionOf(meant) == "":
		r.fail(key.position, path, "", "is no field here; did you mean %s, one level further out?", meant)
	default:
		r.fail(key.position, path, "", "is no field here; did you mean %s under %s?", fieldOf(meant), sectionOf(meant))
	}
	if meant != "" {
		r.failed = append(r.failed, meant)
	}
}

func sectionOf(path string) string { return path[:max(0, strings.LastIndexByte(path, '.'))] }
func fieldOf(path string) string   { return path[strings.LastIndexByte(path, '.')+1:] }

func (s section) names() []string {
	names := make([]string, len(s.fields))
	for i, field := range s.fields {
		names[i] = field.name
	}
	return names
}

// meaning guesses the path of the field that was meant, or returns "".
func (r *reading) meaning(here section, name string) string {
	folded := strings.ReplaceAll(strings.ToLower(name), "-", "_")
	if near, ok := nearest(folded, here.names()); ok {
		return join(here.name, near)
	}
	for _, s := range r.sections {
		if slices.Contains(s.names(), folded) || later[join(s.name, folded)] {
			return join(s.name, folded)
		}
	}
	return otherWords[folded]
}

// nearest returns the candidate that is one or two slips away from the word:
// at most one for each three letters.
func nearest(word string, candidates []string) (string, bool) {
	if len(word) > 32 {
		return "", false
	}
	best, least := "", 1+min(2, (len(word)+1)/3)
	for _, candidate := range candidates {
		if slips := distance(word, candidate); slips < least {
			best, least = candidate, slips
		}
	}
	return best, best != ""
}

// distance counts the letters to insert, delete, replace or swap with the next
// that turn a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
