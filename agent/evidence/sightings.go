package evidence

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// keepVanished is how long what was seen of a job is kept after reports have
// ceased to name it: a file that could not be read once comes back.
const keepVanished = 48 * time.Hour

// sightings puts together what is known of the report's jobs.
func (r *round) sightings() fleet.Sightings {
	best := make([]*fleet.Evidence, len(r.jobs.list))
	for i := range r.jobs.list {
		best[i] = r.best(&r.jobs.list[i])
	}
	seen := fleet.Sightings{Since: r.since(), Jobs: make(map[fleet.JobID]fleet.Evidence)}
	for i := range r.jobs.list {
		job := &r.jobs.list[i]
		if job.Kind == fleet.KindRunParts {
			if caller, ok := r.jobs.caller(job); ok {
				best[i] = better(best[i], follows(best[caller]))
			}
		}
		if best[i] != nil {
			e := *best[i]
			e.Last, e.From, e.Result = e.Last.UTC(), clip(e.From), clip(e.Result)
			if e.Ended != nil {
				end := e.Ended.UTC()
				e.Ended = &end
			}
			seen.Jobs[job.ID] = e
		}
	}
	r.forget()
	return seen
}

// clip shortens a text to what collectors take.
func clip(text string) string {
	const most = 256
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

// best returns what the lines and what the scan say of a job's last run.
func (r *round) best(job *fleet.Job) *fleet.Evidence {
	t := r.state.Jobs[job.ID]
	told := job.Evidence
	if told != nil && told.Last.After(r.now.Add(maxFuture)) {
		told = nil
	}
	if told != nil && told.Grade != fleet.GradeStamp { // systemd forgets it at the next boot
		if t == nil {
			t = new(track)
			r.state.Jobs[job.ID] = t
		}
		if t.Last.IsZero() {
			t.Evidence = *told
		} else {
			t.Evidence = *better(&t.Evidence, told)
		}
	}
	if t == nil {
		return told
	}
	t.Listed = r.now.Truncate(time.Hour) // the state stays as it is while nothing happens
	if t.Last.IsZero() {
		return told
	}
	return better(&t.Evidence, told)
}

// follows returns what the start of a run-parts says about its programs: they
// were started, how they ended is not known.
func follows(call *fleet.Evidence) *fleet.Evidence {
	if call == nil || call.Grade == fleet.GradeStamp {
		return call
	}
	return &fleet.Evidence{Last: call.Last, Grade: fleet.GradeStarted, From: call.From}
}

// forget drops what was seen of jobs that are gone.
func (r *round) forget() {
	maps.DeleteFunc(r.state.Jobs, func(_ fleet.JobID, t *track) bool {
		return r.now.Sub(t.Listed) > keepVanished || len(r.state.Jobs) > 2*fleet.MaxReportJobs && t.Listed.Before(r.now.Truncate(time.Hour))
	})
}

// since says for each kind from when on a start would have been seen.
func (r *round) since() coverage {
	all := r.stamps()
	for _, witness := range r.state.Since {
		all = earlier(all, witness)
	}
	if at, ok := r.sinceParts(all); ok {
		all = earlier(all, coverage{fleet.KindRunParts: at})
	}
	return all
}

// stamps says since when what scans find without a log would show a start:
// anacron's stamps since the oldest of them, systemd's own word since it was
// first heard.
func (r *round) stamps() coverage {
	for i := range r.jobs.list {
		job := &r.jobs.list[i]
		if job.Evidence == nil || job.Container != "" || job.Evidence.Last.After(r.now) {
			continue
		}
		at := r.now
		switch {
		case job.Kind == fleet.KindAnacron && job.Evidence.Grade == fleet.GradeStamp:
			at = job.Evidence.Last
		case job.Kind == fleet.KindTimer && job.Evidence.Grade != fleet.GradeStamp:
		default:
			continue
		}
		if since, told := r.state.Stamps[job.Kind]; !told || at.Before(since) {
			r.state.Stamps[job.Kind] = at
		}
	}
	return maps.Clone(r.state.Stamps)
}

// sinceParts says since when the start of every program of run-parts would
// have been seen: since those that call run-parts are. Where one of them is
// started otherwise, nothing is said.
func (r *round) sinceParts(all coverage) (latest time.Time, ok bool) {
	for i := range r.jobs.list {
		part := &r.jobs.list[i]
		if part.Kind != fleet.KindRunParts || part.Container != "" || !part.Verdict.Runs {
			continue
		}
		caller, found := r.jobs.caller(part)
		if !found || r.jobs.list[caller].Unseen {
			return time.Time{}, false
		}
		at, told := all[r.jobs.list[caller].Kind]
		if !told {
			return time.Time{}, false
		}
		if ok = true; at.After(latest) {
			latest = at
		}
	}
	return latest, ok
}

// earlier joins two coverages: for each kind the earlier instant.
func earlier(a, b coverage) coverage {
	if a == nil {
		a = make(coverage, len(b))
	}
	for kind, at := range b {
		if since, told := a[kind]; !told || at.Before(since) {
			a[kind] = at
		}
	}
	return a
}

// Fill reads once and writes what was found into the report's jobs.
func Fill(ctx context.Context, config Config, report *fleet.Report) error {
	seen, err := NewReader(config).Read(ctx, report)
	for i := range report.Jobs {
		if e, ok := seen.Jobs[report.Jobs[i].ID]; ok {
			report.Jobs[i].Evidence = &e
		}
	}
	return err
}
