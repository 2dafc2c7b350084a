package web

import (
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// What the page of a job shows of each list; the rest is a link away.
const (
	shownElsewhere  = 8
	shownJobChanges = 10
	shownComing     = 5

	around = 5 * time.Minute // before and after its next instant: what else runs then
)

// jobPage is everything about one found job.
type jobPage struct {
	Job       api.JobView
	Host      api.HostView
	Gone      bool        // it is no longer there; Job is how it was last
	Became    fleet.JobID // the id it has now, where its command was edited; empty: none other
	Schedule  schedule
	Coming    []time.Time
	Verdict   *explained
	Findings  []fleet.Finding
	Elsewhere []api.JobView // the same command, on other hosts or twice here
	Others    int           // how many there are of those
	Changes   []change
	Adoption  *fleet.Adoption
}

func (s *site) job(v *visit) (view, error) {
	if _, err := v.listing(v.URL.EscapedPath()); err != nil {
		return view{}, err
	}
	detail, err := s.src.Host(v.Context(), v.PathValue("id"))
	if err != nil {
		return view{}, err
	}
	body := &jobPage{Host: detail.HostView}
	id := fleet.JobID(v.PathValue("job"))
	for _, part := range []func() error{
		func() error { return s.jobHistory(v, body, id) },
		func() error { return s.jobItself(v, body, &detail, id) },
		func() error { return s.jobElsewhere(v, body) },
		func() error { return s.jobFindings(v, body) },
		func() error { return s.jobAdoption(v, body) },
	} {
		if err := part(); err != nil {
			return view{}, err
		}
	}
	body.Schedule = jobSchedule(&body.Job.Job, body.Dialect())
	body.Verdict = explain(&body.Job.Verdict)
	if !body.Gone {
		body.Coming = comingOf(&body.Job.Job, body.Dialect(), v.now, shownComing)
	}
	return view{Title: clip(body.Job.Command, 60) + " on " + body.Host.Name, Body: body}, nil
}

// jobHistory reads what changed about the job, the newest first.
func (s *site) jobHistory(v *visit, body *jobPage, id fleet.JobID) error {
	list, err := s.src.Changes(v.Context(), api.ChangeQuery{Host: string(body.Host.ID), Job: id, Page: api.Page{Limit: shownJobChanges}})
	body.Changes = changesOf(list.Items)
	return err
}

// jobItself finds the job among those of its host, or else as it was last.
func (s *site) jobItself(v *visit, body *jobPage, host *api.HostDetail, id fleet.JobID) error {
	i := slices.IndexFunc(host.Inventory.Jobs, func(j fleet.Job) bool { return j.ID == id })
	if i < 0 {
		return body.formerly(id)
	}
	job := host.Inventory.Jobs[i]
	body.Job = api.JobView{Job: job, Host: host.ID, HostName: host.Name}
	list, err := s.src.Jobs(v.Context(), api.JobQuery{Host: string(host.ID), Fingerprint: job.Fingerprint, Page: api.Page{Limit: api.MaxPage}})
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(list.Items, func(j api.JobView) bool { return j.ID == id }); i >= 0 {
		body.Job = list.Items[i]
	}
	return nil
}

// formerly takes the job from its newest change.
func (j *jobPage) formerly(id fleet.JobID) error {
	if len(j.Changes) == 0 || j.Changes[0].Now() == nil {
		return fleet.Errorf(fleet.NotFound, "host %s has no job %s, and had none", j.Host.Name, clip(string(id), 40)).WithHint("fleetctl jobs --host %s", shellWord(j.Host.Name, string(j.Host.ID)))
	}
	newest := &j.Changes[0]
	j.Gone = true
	j.Job = api.JobView{Job: *newest.Now(), Host: j.Host.ID, HostName: j.Host.Name}
	if newest.After != nil && newest.Job != id {
		j.Became = newest.Job
	}
	return nil
}

// jobElsewhere reads where else the same command stands.
func (s *site) jobElsewhere(v *visit, body *jobPage) error {
	if body.Job.Fingerprint == "" {
		return nil
	}
	list, err := s.src.Jobs(v.Context(), api.JobQuery{Fingerprint: body.Job.Fingerprint, Page: api.Page{Limit: shownElsewhere + 1}})
	if err != nil {
		return err
	}
	itself := func(j api.JobView) bool { return j.Host == body.Host.ID && j.ID == body.Job.ID }
	body.Others = max(list.Total, len(list.Items))
	if !body.Gone {
		body.Others--
	}
	body.Elsewhere = slices.DeleteFunc(list.Items, itself)
	body.Elsewhere = body.Elsewhere[:min(shownElsewhere, len(body.Elsewhere))]
	return nil
}

// jobFindings reads what is wrong with the job, acknowledged or not.
func (s *site) jobFindings(v *visit, body *jobPage) error {
	list, err := s.src.Findings(v.Context(), api.FindingQuery{Host: string(body.Host.ID), Job: body.Job.ID, Acked: "all", Page: api.Page{Limit: api.MaxPage}})
	body.Findings = list.Items
	return err
}

// jobAdoption reads how the job became a task, where it did.
func (s *site) jobAdoption(v *visit, body *jobPage) (err error) {
	if body.Job.Adopted != "" {
		body.Adoption, err = s.adoption(v, body.Job.Adopted)
	}
	return err
}

// Dialect says by whose rules the schedule is read.
func (j *jobPage) Dialect() string {
	if j.Job.Dialect != "" {
		return j.Job.Dialect
	}
	return j.Host.Cron
}

// AlikeURL returns the address of all jobs with the same command.
func (j *jobPage) AlikeURL() string {
	return "/jobs?" + url.Values{"fingerprint": {j.Job.Fingerprint}}.Encode()
}

// HistoryURL returns the address of all that changed about it.
func (j *jobPage) HistoryURL() string { return jobHistoryURL(j.Host.ID, j.Job.ID) }

// ThenURL returns the address of what runs around the job's next instant;
// empty where that is not known.
func (j *jobPage) ThenURL() string { return j.then("") }

// ThenHereURL is ThenURL of the job's own host.
func (j *jobPage) ThenHereURL() string { return j.then(string(j.Host.ID)) }

func (j *jobPage) then(host string) string {
	if len(j.Coming) == 0 {
		return ""
	}
	return windowURL(j.Coming[0].Add(-around), j.Coming[0].Add(around), host, "")
}

// Name is the job as fleetctl takes it.
func (j *jobPage) Name() string {
	return shellWord(j.Host.Name, string(j.Host.ID)) + ":" + shellWord(string(j.Job.ID), "JOB")
}

// Commands are what a person may copy to a shell; the page itself changes
// nothing.
func (j *jobPage) Commands() []option {
	out := []option{{"Say whose it is and what to know of it", `fleetctl annotate ` + j.Name() + ` --owner team --note "what to know"`}}
	switch {
	case j.Gone:
		return nil
	case j.Job.Adopted != "":
		return append(out, option{"Give it back to the host's own scheduler", "fleetctl release " + string(j.Job.Adopted)})
	}
	return append(out,
		option{"See what adopting it would change, to the byte", "fleetctl adopt " + j.Name() + " --dry-run"},
		option{"Adopt it: make it a task and silence this line", "fleetctl adopt " + j.Name()})
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// shellWord returns word where a shell takes it as it stands, so that what
// people copy does what they read; otherwise the other word.
func shellWord(word, otherwise string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return otherwise
}
