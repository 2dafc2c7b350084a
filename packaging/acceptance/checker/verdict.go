package checker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Invariant is the number of a promise in the reliability notes.
type Invariant string

// The invariants that are checked here.
const (
	Exhaustive Invariant = "I1"  // every due instant has exactly one outcome
	AtMostOnce Invariant = "I2"  // an attempt starts at most once, an occurrence as often as it may
	Truthful   Invariant = "I3"  // what the record says is what the probe saw
	OnTime     Invariant = "I4"  // a run starts in time
	Nothing    Invariant = "I5"  // nothing runs that was not due
	Explained  Invariant = "I6"  // each skip, miss and unknown has a cause that was there
	Matched    Invariant = "I7"  // starts match instants, whatever names they carry
	Apart      Invariant = "I8"  // runs that may not overlap do not
	Fenced     Invariant = "I9"  // no more at once in the fleet than allowed, each with a fence of its own
	Delivered  Invariant = "I11" // every record of a journal arrives, and counts once
	OneDaemon  Invariant = "I13" // one instance, and gaps no longer than the backoff
	Heals      Invariant = "I15" // afterwards everything runs again
	Balanced   Invariant = "I16" // due = ran + skipped + missed + unknown + pending, at all times
	Clean      Invariant = "I17" // nothing is left over
)

// Violation is one promise that was broken.
type Violation struct {
	Invariant Invariant
	Task      fleet.TaskID
	Host      fleet.HostID
	At        time.Time // the instant in question; zero: none
	Evidence  string
}

// String is one line for people.
func (v Violation) String() string {
	at := ""
	if !v.At.IsZero() {
		at = " " + v.At.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprintf("%s %s on %.8s%s: %s", v.Invariant, v.Task, v.Host, at, v.Evidence)
}

// most is how many violations of one invariant are kept; all are counted.
const most = 20

// Verdict is what a check found.
type Verdict struct {
	Violations []Violation
	Broken     map[Invariant]int // all violations, the kept ones and the others
	Compared   map[Invariant]int // how many things were looked at
	Absent     map[Invariant]string
	Tally      Tally
}

func (v *Verdict) violate(found Violation) {
	if v.Broken[found.Invariant]++; v.Broken[found.Invariant] <= most {
		v.Violations = append(v.Violations, found)
	}
}

// Add takes the verdict over another history in, as if both were one.
func (v *Verdict) Add(other Verdict) {
	if v.Broken == nil {
		*v = newVerdict()
		maps.Copy(v.Absent, other.Absent)
	}
	for _, found := range other.Violations {
		if v.Broken[found.Invariant]+1 <= most {
			v.Violations = append(v.Violations, found)
		}
	}
	for invariant, n := range other.Broken {
		v.Broken[invariant] += n
	}
	for invariant, n := range other.Compared {
		v.Compared[invariant] += n
		if n > 0 {
			delete(v.Absent, invariant)
		}
	}
	v.Tally.add(other.Tally)
}

// Only is the verdict over one invariant.
func (v *Verdict) Only(invariant Invariant) Verdict {
	one := newVerdict()
	for _, found := range v.Violations {
		if found.Invariant == invariant {
			one.Violations = append(one.Violations, found)
		}
	}
	if n := v.Broken[invariant]; n > 0 {
		one.Broken[invariant] = n
	}
	if n := v.Compared[invariant]; n > 0 {
		one.Compared[invariant] = n
	}
	return one
}

func newVerdict() Verdict {
	return Verdict{Broken: map[Invariant]int{}, Compared: map[Invariant]int{}, Absent: map[Invariant]string{}, Tally: newTally()}
}

// Holds reports whether no promise was broken.
func (v *Verdict) Holds() bool { return len(v.Broken) == 0 }

// String tells the whole verdict.
func (v Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", v.Tally)
	for _, i := range slices.SortedFunc(maps.Keys(v.Compared), byNumber) {
		fmt.Fprintf(&b, "%-4s %d compared, %d violations\n", i, v.Compared[i], v.Broken[i])
	}
	for _, i := range slices.SortedFunc(maps.Keys(v.Absent), byNumber) {
		fmt.Fprintf(&b, "%-4s not checked: %s\n", i, v.Absent[i])
	}
	for _, found := range v.Violations {
		fmt.Fprintln(&b, found)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func byNumber(a, b Invariant) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}
