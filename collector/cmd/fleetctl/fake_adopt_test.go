package main

import (
	"net/http"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// adoptable returns the job, where it can be adopted.
func (f *collectorFake) adoptable(hostID string, id fleet.JobID, force bool) (*fleet.Job, error) {
	host, err := f.host(hostID)
	if err != nil {
		return nil, err
	}
	var job *fleet.Job
	for j := range host.Inventory.Jobs {
		if host.Inventory.Jobs[j].ID == id {
			job = &host.Inventory.Jobs[j]
		}
	}
	switch {
	case job == nil:
		return nil, fleet.Errorf(fleet.NotFound, "no job %q", id)
	case job.ManagedBy != "" && !force:
		return nil, fleet.Errorf(fleet.Refused, "%s manages the job and would undo it at its next run", job.ManagedBy).WithHint("take the job out there first, or use --force")
	case host.Presence != fleet.Alive:
		return nil, fleet.Errorf(fleet.Unavailable, "host %s is silent", host.Name).WithCode(api.CodeSilent)
	}
	return job, nil
}

// adopt answers as a collector does whose host is of the mind that the script
// set: it hands over, refuses, or says nothing.
func (f *collectorFake) adopt(s *seal.Statement) (api.Sealed, error) {
	job, err := f.adoptable(string(s.Hosts[0]), s.Adopt.Job, s.Adopt.Force)
	if err != nil {
		return api.Sealed{}, err
	}
	if s.Adopt.Fingerprint != job.Fingerprint || s.Adopt.Source != job.Source || s.Adopt.Line != job.Line {
		return api.Sealed{}, fleet.Errorf(fleet.Conflict, "the job is another one by now").WithCode(api.CodeStale)
	}
	adoption := fleet.Adoption{Task: fleet.NewTaskID(s.Namespace, s.Name), Host: s.Hosts[0], Job: *job, State: fleet.AdoptionWanted, Force: s.Adopt.Force, At: noon}
	answer := adoption
	f.settle(&adoption, fleet.AdoptionAdopted, fleet.AdoptionRefused)
	return api.Sealed{Adoption: &answer, Index: f.index}, nil
}

// jobDiff says what adopting a job would change there.
func (f *collectorFake) jobDiff(r *http.Request) (any, error) {
	_, err := f.adoptable(r.PathValue("host"), fleet.JobID(r.PathValue("job")), r.URL.Query().Get("force") == "true")
	if refusal, ok := err.(*fleet.Error); ok && refusal.Kind == fleet.Refused {
		return api.JobDiff{Why: refusal.Error()}, nil
	}
	return api.JobDiff{Diff: "--- /etc/cron.d/backup\n+++ /etc/cron.d/backup\n@@ -7 +7 @@\n-30 2 * * * postgres x\x1b[2J\n+# fleetcron adopted data/dump: 30 2 * * * postgres x\x1b[2J\n"}, err
}

// settle lets the host answer, well or not, or not at all.
func (f *collectorFake) settle(adoption *fleet.Adoption, well, badly fleet.AdoptionState) {
	if f.mind == "obstinate" {
		adoption.State, adoption.Why = badly, "the line is not what it was when it was seen"
	} else if f.applied {
		adoption.State, adoption.Handed = well, noon
	}
	if f.adoptions == nil {
		f.adoptions = map[fleet.TaskID]fleet.Adoption{}
	}
	f.adoptions[adoption.Task] = *adoption
}

func (f *collectorFake) adoption(id fleet.TaskID) (fleet.Adoption, error) {
	adoption, found := f.adoptions[id]
	if !found {
		return adoption, fleet.Errorf(fleet.NotFound, "task %s was not made of a found job", id).WithHint("fleetctl unassign %s --all takes a task away", id)
	}
	return adoption, nil
}

func (f *collectorFake) release(s *seal.Statement) (api.Sealed, error) {
	adoption, err := f.adoption(fleet.NewTaskID(s.Namespace, s.Name))
	if err != nil {
		return api.Sealed{}, err
	}
	adoption.State = fleet.AdoptionReleasing
	answer := adoption
	f.settle(&adoption, fleet.AdoptionReleased, fleet.AdoptionStuck)
	return api.Sealed{Adoption: &answer, Index: f.index}, nil
}
