package search

import (
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// field is something that a term asks about.
type field struct {
	name string
	// check refuses values that cannot be meant; nil: any may be.
	check func(value string) error
	// holds reports whether a job that the index does not hold has the value.
	holds func(value string, host *ledger.Host, job *api.JobView) bool
	// rows resolves the value against the texts there are.
	rows func(x *Index, value string) rowTests
}

// rowTest reports whether the n-th row of a block has a value. It belongs to one
// goroutine of one query, and rowTests makes one for each.
type (
	rowTest  func(b *block, n int) bool
	rowTests func() rowTest
)

// stateless is a test that all goroutines share.
func stateless(test rowTest) rowTests { return func() rowTest { return test } }

// fields is everything that a term can ask about. The first has no name: it is
// asked by text as it stands.
var fields = []field{
	{"", nil, phraseOf, phraseRows},
	{"user", nil, func(value string, _ *ledger.Host, job *api.JobView) bool { return fold(job.User) == value },
		func(x *Index, value string) rowTests {
			found := x.words.users.equal(value)
			return stateless(func(b *block, n int) bool { return found.has(b.rows[n].user) })
		}},
	{"host", nil, func(value string, host *ledger.Host, _ *api.JobView) bool {
		return strings.Contains(fold(host.Name), value) || value == string(host.ID)
	}, hostRows},
	{"schedule", nil, func(value string, _ *ledger.Host, job *api.JobView) bool {
		return strings.Contains(fold(job.Schedule), value)
	},
		func(x *Index, value string) rowTests {
			found := x.words.schedules.containing(value)
			return stateless(func(b *block, n int) bool { return found.has(b.rest[n].schedule) })
		}},
	{"source", nil, func(value string, _ *ledger.Host, job *api.JobView) bool {
		return strings.Contains(fold(job.Source), value)
	},
		func(x *Index, value string) rowTests {
			found := x.words.sources.containing(value)
			return stateless(func(b *block, n int) bool { return found.has(b.rows[n].source) })
		}},
	{"kind", checkKind, func(value string, _ *ledger.Host, job *api.JobView) bool { return string(job.Kind) == value },
		func(_ *Index, value string) rowTests {
			kind := int8(slices.Index(kinds, fleet.JobKind(value)))
			return stateless(func(b *block, n int) bool { return b.rest[n].kind == kind })
		}},
	{"owner", nil, func(value string, _ *ledger.Host, job *api.JobView) bool {
		return value == nobody && job.Owner == "" || job.Owner != "" && fold(job.Owner) == value
	}, ownerRows},
	{"verdict", nil, func(value string, _ *ledger.Host, job *api.JobView) bool {
		return verdictIs(value, job.Verdict.Runs, string(job.Verdict.Code))
	}, verdictRows},
	{"package", nil, func(value string, _ *ledger.Host, job *api.JobView) bool {
		return value == nobody && job.Package == "" || job.Package != "" && fold(job.Package) == value
	},
		func(x *Index, value string) rowTests {
			if value == nobody {
				value = ""
			}
			found := x.words.packages.equal(value)
			return stateless(func(b *block, n int) bool { return found.has(b.rest[n].pack) })
		}},
	{"is", checkIs, func(_ string, _ *ledger.Host, job *api.JobView) bool { return job.Overdue != nil },
		func(x *Index, _ string) rowTests {
			return stateless(func(b *block, n int) bool { return x.overdue != nil && x.overdue(b.id, b.rest[n].id) })
		}},
}

// nobody asks for jobs without an owner, or without a package.
const nobody = "none"

// fieldOf returns the field of a name; nil, where there is none.
func fieldOf(name string) *field {
	at := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	if at < 0 {
		return nil
	}
	return &fields[at]
}

// fieldNames lists the names as they are written.
func fieldNames() string {
	var names []string
	for _, f := range fields[1:] {
		names = append(names, f.name+":")
	}
	return strings.Join(names, " ")
}

// kinds is every kind that can be asked for; rows hold the place in it.
var kinds = []fleet.JobKind{fleet.KindCron, fleet.KindRunParts, fleet.KindAnacron, fleet.KindTimer, fleet.KindAt}

func checkKind(value string) error {
	if !slices.Contains(kinds, fleet.JobKind(value)) {
		return fleet.Invalidf("kind", value, "want cron, run-parts, anacron, timer or at")
	}
	return nil
}

func checkIs(value string) error {
	if value != "overdue" {
		return fleet.Invalidf("q", "is:"+value, "want is:overdue")
	}
	return nil
}

// phraseOf looks in command, source, user and host name.
func phraseOf(value string, host *ledger.Host, job *api.JobView) bool {
	for _, text := range []string{job.Command, job.Source, job.User, host.Name} {
		if strings.Contains(fold(text), value) {
			return true
		}
	}
	return false
}

func phraseRows(x *Index, value string) rowTests {
	commands, sources, users := x.words.commands.containing(value), x.words.sources.containing(value), x.words.users.containing(value)
	return func() rowTest {
		var last *block
		var hits []bool
		return func(b *block, n int) bool {
			if b != last { // all rows of a block at once: this is what takes the time
				last, hits = b, slices.Grow(hits[:0], len(b.rows))[:len(b.rows)]
				inHost := strings.Contains(b.folded, value)
				for i := range b.rows {
					r := &b.rows[i]
					hits[i] = inHost || commands.has(r.command) || sources.has(r.source) || users.has(r.user)
				}
			}
			return hits[n]
		}
	}
}

func hostRows(_ *Index, value string) rowTests {
	return func() rowTest {
		named := perHost(func(b *block) bool { return strings.Contains(b.folded, value) || value == string(b.id) })
		return func(b *block, _ int) bool { return named(b) }
	}
}

// perHost asks once for all rows of a block in a row.
func perHost(ask func(*block) bool) func(*block) bool {
	var last *block
	var answer bool
	return func(b *block) bool {
		if b != last {
			last, answer = b, ask(b)
		}
		return answer
	}
}

// ownerRows asks who answers for commands now: annotations change without a
// change of any host.
func ownerRows(x *Index, value string) rowTests {
	found := newSet(len(x.words.prints.texts))
	for _, said := range x.source.AllAnnotations(everywhere) {
		if said.Owner == "" || value != nobody && fold(said.Owner) != value {
			continue
		}
		if number, known := x.words.prints.numbers[said.Fingerprint]; known {
			found.add(number)
		}
	}
	return stateless(func(b *block, n int) bool { return found.has(b.rows[n].print) != (value == nobody) })
}

func verdictIs(value string, runs bool, code string) bool {
	switch value {
	case "runs":
		return runs
	case "broken":
		return !runs
	}
	return !runs && code == value
}

func verdictRows(x *Index, value string) rowTests {
	found := x.words.codes.equal(value)
	return stateless(func(b *block, n int) bool {
		switch value {
		case "runs", "broken":
			return b.rest[n].runs == (value == "runs")
		}
		return !b.rest[n].runs && found.has(b.rest[n].code)
	})
}
