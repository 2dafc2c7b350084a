package httpd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/takeover"
)

// Adoptions lists the adoptions there are and were, by task.
func (s *Server) Adoptions(ctx context.Context, page api.Page) (api.List[fleet.Adoption], error) {
	list := api.List[fleet.Adoption]{Items: []fleet.Adoption{}}
	var err error
	if list.Index, err = s.newer(ctx, wait(page), ledger.Adoptions); err != nil {
		return list, err
	}
	if page, err = openPage(page); err != nil {
		return list, err
	}
	all, err := s.Ledger.Adoptions(scopeOf(ctx))
	if err != nil {
		return list, err
	}
	list.Total = len(all)
	limit := cmp.Or(page.Limit, api.DefaultPage)
	for _, one := range all {
		if string(one.Task) <= page.After {
			continue
		}
		if len(list.Items) == limit {
			list.Next = sealCursor(string(list.Items[limit-1].Task))
			break
		}
		list.Items = append(list.Items, one)
	}
	return list, nil
}

// Adoption returns the adoption that made a task.
func (s *Server) Adoption(ctx context.Context, task fleet.TaskID) (fleet.Adoption, error) {
	return s.Ledger.Adoption(scopeOf(ctx), task)
}

func (s *Server) adoption(ctx context.Context, in oneTask) (fleet.Adoption, error) {
	if _, err := s.newer(ctx, in.waiting, ledger.Adoptions); err != nil {
		return fleet.Adoption{}, err
	}
	return s.Ledger.Adoption(scopeOf(ctx), in.id)
}

// adoptIn asks for a found job to become a task.
type adoptIn struct {
	change
	request api.AdoptRequest
}

func parseAdopt() func(*request) (adoptIn, error) {
	decoder := newDecoder[api.AdoptRequest]()
	return func(r *request) (in adoptIn, err error) {
		if err = r.query(&struct{}{}); err != nil {
			return in, err
		}
		if in.change, err = r.plainChange(); err != nil {
			return in, err
		}
		in.request, err = decoder.decode(r.body)
		in.Reason = cmp.Or(in.Reason, in.request.Reason)
		if err == nil && (len(in.Reason) > 1024 || !printable(in.Reason)) {
			err = fleet.Invalidf("reason", clip(in.Reason), "want at most 1024 bytes of text")
		}
		return in, err
	}
}

// adopt says what taking a job over would do: the task that it becomes, and
// what would change on its host. It changes nothing; that takes a statement
// which a person has signed.
func (s *Server) adopt(ctx context.Context, in adoptIn) (api.AdoptAnswer, error) {
	if !in.request.DryRun {
		return api.AdoptAnswer{}, fleet.Invalidf("dry_run", "false", "jobs are adopted by a signed statement").WithHint("fleetctl adopt signs one and sends it to POST %s", api.PathSealed)
	}
	host, job, err := s.adoptable(ctx, &in.request)
	if err != nil {
		return api.AdoptAnswer{}, err
	}
	task, err := s.takeOver(&job.Job, host, &in.request)
	if err == nil && !scopeOf(ctx).Holds(task.ID().Namespace()) {
		err = noTask(task.ID()).WithHint("name a task of a namespace that is yours, with --task")
	}
	if err != nil {
		return api.AdoptAnswer{}, err
	}
	if s.FormatTask == nil {
		return api.AdoptAnswer{}, fleet.Errorf(fleet.Refused, "this collector adopts no jobs")
	}
	document, err := s.FormatTask(task)
	if err != nil {
		return api.AdoptAnswer{}, err
	}
	if len(document) > fleet.MaxTaskBytes {
		return api.AdoptAnswer{}, fleet.Errorf(fleet.TooLarge, "as a task the job has %d bytes, at most %d are taken", len(document), fleet.MaxTaskBytes)
	}
	found := job.Job
	found.Next, found.Evidence = nil, nil // they follow from the rest, or change while it does not
	wish := fleet.Adoption{Task: task.ID(), Host: host.ID, Job: found, Force: in.request.Force, By: in.Actor, Reason: in.Reason, At: time.Now().UTC()}
	return s.rehearse(ctx, wish, document)
}

// rehearse asks the host what it would change.
func (s *Server) rehearse(ctx context.Context, wish fleet.Adoption, document []byte) (api.AdoptAnswer, error) {
	wish.State = fleet.AdoptionWanted
	answer := api.AdoptAnswer{Adoption: wish, Document: string(document), Index: s.ledgerIndex()}
	if _, err := s.Ledger.Task(scopeOf(ctx), wish.Task); err == nil {
		return answer, fleet.Errorf(fleet.Conflict, "task %s exists", wish.Task).WithCode(api.CodeExists).WithHint("name another one with --task")
	}
	diff, err := s.diff(ctx, &wish, false)
	if err != nil {
		return answer, err
	}
	if diff.Why != "" {
		return answer, fleet.Errorf(fleet.Refused, "the host would refuse: %s", diff.Why).WithCode("not_adoptable")
	}
	answer.Diff = diff.Diff
	return answer, nil
}

// leastPrefix is how much of a job's id must be given.
const leastPrefix = 4

// adoptable finds the job, and what speaks against it before its host is asked.
func (s *Server) adoptable(ctx context.Context, request *api.AdoptRequest) (*ledger.Host, *api.JobView, error) {
	if request.Host == "" {
		return nil, nil, fleet.Invalidf("host", "", "is missing")
	}
	host, err := s.Ledger.FindHost(scopeOf(ctx), request.Host)
	if err != nil {
		return nil, nil, err
	}
	job, err := s.findJob(scopeOf(ctx), host, request.Job)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case job.Adopted != "":
		return nil, nil, fleet.Errorf(fleet.Conflict, "task %s has adopted the job already", job.Adopted).
			WithCode(api.CodeExists).WithHint("fleetctl release %s gives it back", job.Adopted)
	case request.Force:
	case job.ManagedBy != "":
		return nil, nil, fleet.Errorf(fleet.Refused, "%s manages the job and would undo it at its next run", job.ManagedBy).
			WithCode("managed").WithHint("take the job out there first, or use --force")
	case job.Package != "":
		return nil, nil, fleet.Errorf(fleet.Refused, "the job's file belongs to package %s, whose next upgrade would ask about the change or undo it", job.Package).
			WithCode("managed").WithHint("--force does it all the same")
	}
	if s.presence(host.ID) != fleet.Alive {
		return nil, nil, fleet.Errorf(fleet.Unavailable, "host %s is silent: what stands on it now is not known, and nothing could be handed over", host.Name).
			WithCode(api.CodeSilent).WithHint("fleetctl hosts %s", host.Name)
	}
	return host, job, nil
}

// findJob returns the job of an id, or of the beginning of one.
func (s *Server) findJob(scope fleet.Scope, host *ledger.Host, id fleet.JobID) (*api.JobView, error) {
	if len(id) < leastPrefix {
		return nil, fleet.Invalidf("job", clip(string(id)), "want the id of a job, or at least its first %d digits", leastPrefix)
	}
	jobs, err := s.Ledger.Jobs(scope, host.ID)
	if err != nil {
		return nil, err
	}
	var found []*api.JobView
	for i := range jobs {
		if jobs[i].ID == id {
			return &jobs[i], nil
		}
		if strings.HasPrefix(string(jobs[i].ID), string(id)) {
			found = append(found, &jobs[i])
		}
	}
	switch len(found) {
	case 0:
		return nil, fleet.Errorf(fleet.NotFound, "host %s has no job %q", host.Name, clip(string(id))).WithHint("fleetctl jobs --host %s", host.Name)
	case 1:
		return found[0], nil
	}
	return nil, fleet.Invalidf("job", clip(string(id)), "is the beginning of %d jobs of host %s; give more digits", len(found), host.Name)
}

// takeOver returns the task for a job, under a name that is free.
func (s *Server) takeOver(job *fleet.Job, host *ledger.Host, request *api.AdoptRequest) (fleet.Task, error) {
	id := request.Task
	if id != "" {
		var err error
		if id, err = fleet.ParseTaskID(string(id)); err != nil {
			return fleet.Task{}, err
		}
	}
	task, err := takeover.Adopt(job, &host.Host, id, request.Schedule)
	if err != nil {
		return task, err
	}
	where := job.Source
	if job.Line > 0 {
		where = fmt.Sprintf("%s line %d", job.Source, job.Line)
	}
	task.Description = strings.Map(harmless, fmt.Sprintf("adopted from %s:%s", host.Name, where))
	base := task.Name
	for n := 2; request.Task == "" && s.isGiven(everywhere, task.ID()); n++ {
		task.Name = fmt.Sprintf("%s-%d", base, n)
	}
	return task, nil
}

func harmless(r rune) rune {
	if r < ' ' || r == 0x7f || r == 0xfffd {
		return '?'
	}
	return r
}

func (s *Server) isGiven(scope fleet.Scope, id fleet.TaskID) bool {
	_, err := s.Ledger.Task(scope, id)
	return err == nil
}

// settleIn is how far a host is with its adoptions.
type settleIn struct {
	host  fleet.HostID
	words []fleet.Adoption
}

func parseSettle() func(*request) (settleIn, error) {
	decoder := newDecoder[[]fleet.Adoption]()
	return func(r *request) (in settleIn, err error) {
		in.host, in.words, err = parseAgent(r, decoder)
		return in, err
	}
}

// maxWords is how many adoptions a host may settle at once.
const maxWords = 1000

// settle records what a host says of its adoptions.
func (s *Server) settle(ctx context.Context, in settleIn) (receipt, error) {
	if len(in.words) > maxWords {
		return receipt{}, fleet.Errorf(fleet.TooLarge, "%d adoptions, at most %d are taken", len(in.words), maxWords)
	}
	said := make([]fleet.Adoption, len(in.words))
	for i, word := range in.words {
		if err := mustBe(in.host, word.Host); err != nil {
			return receipt{}, err
		}
		for field, at := range map[string]time.Time{"handed": word.Handed, "asked": word.Asked} {
			if !at.IsZero() && !compact.Plausible(&at) {
				return receipt{}, fleet.Invalidf(field, at.UTC().Format(time.RFC3339), "is out of range")
			}
		}
		said[i] = fleet.Adoption{Task: word.Task, Asked: word.Asked.UTC(), State: word.State, Why: cutText(word.Why, maxDetail), Handed: word.Handed.UTC()}
	}
	if _, err := s.Replica.Propose(ctx, &ledger.SettleAdoptions{Host: in.host, Adoptions: said, At: time.Now().UTC()}); err != nil {
		return receipt{}, err
	}
	index, _ := s.Ledger.Applied()
	return receipt{Index: index}, nil
}

var jobParameter = regexp.MustCompile(`^[0-9a-f]{4,64}$`)

// diffIn asks what adopting a job would change.
type diffIn struct {
	host   string
	job    fleet.JobID
	passed bool
	Task   fleet.TaskID `query:"task"`
	Force  bool         `query:"force"`
}

func parseDiff(r *request) (in diffIn, err error) {
	if in.host, err = r.path("host", hostParameter); err != nil {
		return in, err
	}
	id, err := r.path("job", jobParameter)
	if err != nil {
		return in, err
	}
	in.job, in.passed = fleet.JobID(id), r.Header.Get(api.HeaderForwarded) != ""
	return in, r.query(&in)
}

// jobDiff answers what adopting a job would change on its host.
func (s *Server) jobDiff(ctx context.Context, in diffIn) (api.JobDiff, error) {
	host, err := s.Ledger.FindHost(scopeOf(ctx), in.host)
	if err != nil {
		return api.JobDiff{}, err
	}
	job, err := s.findJob(scopeOf(ctx), host, in.job)
	if err != nil {
		return api.JobDiff{}, err
	}
	task, err := s.takeOver(&job.Job, host, &api.AdoptRequest{Task: in.Task, Schedule: "0 0 * * *"})
	if refusal, ok := errors.AsType[*fleet.Error](err); ok && refusal.Kind == fleet.Refused {
		return api.JobDiff{Why: refusal.Error()}, nil
	}
	if err != nil {
		return api.JobDiff{}, err
	}
	return s.diff(ctx, &fleet.Adoption{Task: task.ID(), Host: host.ID, Job: job.Job, Force: in.Force}, in.passed)
}
