package search

import (
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
)

// Matcher returns what decides whether the query asks for a job, for jobs that
// the index does not hold: those of the past. At, Changed and the page are not
// looked at.
func (x *Index) Matcher(q api.JobQuery) (func(*ledger.Host, *api.JobView) bool, error) {
	f, err := newFilter(q)
	if err != nil {
		return nil, err
	}
	return func(host *ledger.Host, job *api.JobView) bool {
		return f.asksHost(host) && f.asksJob(host, job) && owned(q.Owner, job.Owner)
	}, nil
}

// owned reports whether the owner is the one that is asked for.
func owned(asked, owner string) bool {
	return asked == "" || asked == "none" && owner == "" || strings.EqualFold(asked, owner)
}

func (f *filter) asksHost(host *ledger.Host) bool {
	if f.exactHost != "" && f.exactHost != host.Name && f.exactHost != string(host.ID) {
		return false
	}
	name := fold(host.Name)
	for _, text := range f.host {
		if !strings.Contains(name, text) && text != string(host.ID) {
			return false
		}
	}
	return !f.labelled || f.label.Matches(host.Labels)
}

func (f *filter) asksJob(host *ledger.Host, job *api.JobView) bool {
	source, user := fold(job.Source), fold(job.User)
	contains := func(text string, parts []string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
	}
	kind := int8(slices.Index(kinds, job.Kind))
	switch {
	case f.phrase != "" && !f.phraseIn(host, job, source, user),
		!contains(source, f.source),
		slices.ContainsFunc(f.user, func(text string) bool { return text != user }),
		!contains(fold(job.Schedule), f.schedule),
		f.fingerprint != "" && f.fingerprint != job.Fingerprint,
		f.verdict != "" && job.Verdict.Runs != (f.verdict == "runs"),
		slices.ContainsFunc(f.kinds, func(asked int8) bool { return asked != kind }):
		return false
	}
	return true
}

func (f *filter) phraseIn(host *ledger.Host, job *api.JobView, source, user string) bool {
	for _, text := range []string{fold(job.Command), source, user, fold(host.Name)} {
		if strings.Contains(text, f.phrase) {
			return true
		}
	}
	return false
}
