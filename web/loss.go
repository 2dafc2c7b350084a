package web

import (
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// lossPage answers what would stop if a host were gone.
type lossPage struct {
	*listing // of its jobs
	Host     api.HostView
	Jobs     []api.LossJob // of this page
	Tasks    []api.LossTask
	Lost     int // jobs that nothing else runs
	Kept     int // jobs that go on elsewhere
	Orphaned int // tasks that no other host has
}

func (s *site) loss(v *visit) (view, error) {
	l, err := v.listing(hostURL(fleet.HostID(v.PathValue("id")))+"/loss",
		filter{Name: "show", Label: "Show", Tabs: true, Options: []option{{"", "What stops for good"}, {"all", "All jobs"}}},
	)
	if err != nil {
		return view{}, err
	}
	loss, err := s.src.Loss(v.Context(), v.PathValue("id"))
	if err != nil {
		return view{}, err
	}
	body := &lossPage{listing: l, Host: loss.Host, Tasks: loss.Tasks}
	var shown []api.LossJob
	for _, job := range loss.Jobs {
		if len(job.Elsewhere) > 0 {
			body.Kept++
		} else {
			body.Lost++
		}
		if len(job.Elsewhere) == 0 || l.value("show") == "all" {
			shown = append(shown, job)
		}
	}
	for _, task := range loss.Tasks {
		if task.Hosts == 0 {
			body.Orphaned++
		}
	}
	rows, err := l.cut(len(shown))
	if err != nil {
		return view{}, err
	}
	body.Jobs = shown[rows[0]:rows[1]]
	return view{Title: "If " + body.Host.Name + " were gone", Body: body}, nil
}
