package checker

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Tally is how much happened in a history.
type Tally struct {
	Due, Ran, Skipped, Missed, Unknown, Open int // instants
	Retries                                  int // attempts beyond the first
	Probes, Samples                          int
	Reasons                                  map[fleet.Reason]int
	Windows                                  map[Kind]int
}

func newTally() Tally {
	return Tally{Reasons: map[fleet.Reason]int{}, Windows: map[Kind]int{}}
}

// count adds the instants alone.
func (t *Tally) count(o *Tally) {
	t.Due += o.Due
	t.Ran += o.Ran
	t.Skipped += o.Skipped
	t.Missed += o.Missed
	t.Unknown += o.Unknown
	t.Open += o.Open
}

func (t *Tally) add(o Tally) {
	t.count(&o)
	t.Retries += o.Retries
	t.Probes += o.Probes
	t.Samples += o.Samples
	for reason, n := range o.Reasons {
		t.Reasons[reason] += n
	}
	for kind, n := range o.Windows {
		t.Windows[kind] += n
	}
}

// String is some lines for people.
func (t Tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d due: %d ran, %d skipped, %d missed, %d unknown, %d open; %d retries, %d probes, %d samples",
		t.Due, t.Ran, t.Skipped, t.Missed, t.Unknown, t.Open, t.Retries, t.Probes, t.Samples)
	for i, reason := range slices.Sorted(maps.Keys(t.Reasons)) {
		fmt.Fprintf(&b, "%s%s %d", separator(i, "\nreasons: "), reason, t.Reasons[reason])
	}
	for i, kind := range slices.Sorted(maps.Keys(t.Windows)) {
		fmt.Fprintf(&b, "%s%s %d", separator(i, "\nwindows: "), kind, t.Windows[kind])
	}
	return b.String()
}

func separator(i int, first string) string {
	if i == 0 {
		return first
	}
	return ", "
}

// Minima is how much must have happened for a history to prove anything.
type Minima struct {
	Due, Ran, Skipped, Missed, Unknown int
	Retries, Probes, Samples           int
	Windows                            map[Kind]int
	Reasons                            map[fleet.Reason]int
}

// VoidError says that too little happened: such a history passes nothing.
type VoidError struct{ Lacking []string }

// Error names all that is lacking.
func (e *VoidError) Error() string {
	return "void, too little happened to prove anything: " + strings.Join(e.Lacking, ", ")
}

// Void returns an error where less happened than it must.
func (m *Minima) Void(t *Tally) error {
	var lacking []string
	need := func(what string, got, want int) {
		if got < want {
			lacking = append(lacking, fmt.Sprintf("%d of %d %s", got, want, what))
		}
	}
	need("due", t.Due, max(1, m.Due))
	need("ran", t.Ran, m.Ran)
	need("skipped", t.Skipped, m.Skipped)
	need("missed", t.Missed, m.Missed)
	need("unknown", t.Unknown, m.Unknown)
	need("retries", t.Retries, m.Retries)
	need("probes", t.Probes, m.Probes)
	need("samples", t.Samples, m.Samples)
	for _, kind := range slices.Sorted(maps.Keys(m.Windows)) {
		need(string(kind), t.Windows[kind], m.Windows[kind])
	}
	for _, reason := range slices.Sorted(maps.Keys(m.Reasons)) {
		need(string(reason), t.Reasons[reason], m.Reasons[reason])
	}
	if len(lacking) == 0 {
		return nil
	}
	return &VoidError{lacking}
}
