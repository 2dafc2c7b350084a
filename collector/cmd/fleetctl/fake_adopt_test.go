package main

import (
	"encoding/json"
	"net/http"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// adopt answers as a collector does whose host is of the mind that the script
// set: it hands over, refuses, or says nothing.
func (f *collectorFake) adopt(r *http.Request) (any, error) {
	var request api.AdoptRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, err
	}
	var job *fleet.Job
	var host *api.HostDetail
	for i := range f.hosts {
		for j := range f.hosts[i].Inventory.Jobs {
			if string(f.hosts[i].ID) == request.Host && f.hosts[i].Inventory.Jobs[j].ID == request.Job {
				host, job = &f.hosts[i], &f.hosts[i].Inventory.Jobs[j]
			}
		}
	}
	switch {
	case job == nil:
		return nil, fleet.Errorf(fleet.NotFound, "no job %q", request.Job)
	case job.ManagedBy != "" && !request.Force:
		return nil, fleet.Errorf(fleet.Refused, "%s manages the job and would undo it at its next run", job.ManagedBy).WithHint("take the job out there first, or use --force")
	case host.Presence != fleet.Alive:
		return nil, fleet.Errorf(fleet.Unavailable, "host %s is silent", host.Name).WithCode(api.CodeSilent)
	}
	if request.Task == "" {
		request.Task = "default/dump"
	}
	adoption := fleet.Adoption{Task: request.Task, Host: host.ID, Job: *job, State: fleet.AdoptionWanted, Force: request.Force, Reason: request.Reason, At: noon}
	answer := api.AdoptAnswer{Adoption: adoption, Document: "task: " + request.Task.Name() + "\non:\n  cron: 30 2 * * *\n", Index: f.index}
	if request.DryRun {
		answer.Diff = "--- /etc/cron.d/backup\n+++ /etc/cron.d/backup\n@@ -7 +7 @@\n-30 2 * * * postgres x\x1b[2J\n+# fleetcron adopted data/dump: 30 2 * * * postgres x\x1b[2J\n"
		return answer, nil
	}
	f.settle(&adoption, fleet.AdoptionAdopted, fleet.AdoptionRefused)
	return answer, nil
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

func (f *collectorFake) adoption(r *http.Request) (any, error) {
	id := taskOf(r)
	adoption, found := f.adoptions[id]
	if !found {
		return nil, fleet.Errorf(fleet.NotFound, "task %s was not made of a found job", id).WithHint("fleetctl unassign %s --all takes a task away", id)
	}
	return adoption, nil
}

func (f *collectorFake) release(r *http.Request) (any, error) {
	value, err := f.adoption(r)
	if err != nil {
		return nil, err
	}
	adoption := value.(fleet.Adoption)
	adoption.State = fleet.AdoptionReleasing
	answer := api.AdoptAnswer{Adoption: adoption, Index: f.index}
	f.settle(&adoption, fleet.AdoptionReleased, fleet.AdoptionStuck)
	return answer, nil
}
