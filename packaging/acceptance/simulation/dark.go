package simulation

import (
	"time"

	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// calendars are the windows in which some tasks are not meant to run: ten minutes
// of each hour, and four hours of each night in Berlin.
var calendars = []fleet.Calendar{
	{Name: "tea", Windows: []fleet.Window{{Cron: "20 * * * *", For: fleet.Duration(10 * time.Minute)}}},
	{Name: "night", Timezone: "Europe/Berlin", Windows: []fleet.Window{{Cron: "0 23 * * *", For: fleet.Duration(4 * time.Hour)}}},
}

// darkDays is how far from the simulation's time a clock that was set may be.
const darkDays = 2

// windowsOf are the same windows, reckoned without any calendar.
func windowsOf(name string, last time.Duration) (all []checker.Window) {
	add := func(from time.Time, d time.Duration) {
		all = append(all, checker.Window{Kind: checker.Blackout, From: from, To: from.Add(d - 1)})
	}
	from, to := epoch.AddDate(0, 0, -darkDays), epoch.Add(last).AddDate(0, 0, darkDays)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err) // a Go without zones plays no simulation
	}
	switch name {
	case "tea":
		for at := from.Truncate(time.Hour); at.Before(to); at = at.Add(time.Hour) {
			add(at.Add(20*time.Minute), 10*time.Minute)
		}
	case "night":
		for at := from; at.Before(to); at = at.AddDate(0, 0, 1) {
			y, m, d := at.In(berlin).Date()
			add(time.Date(y, m, d, 23, 0, 0, 0, berlin).UTC(), 4*time.Hour)
		}
	}
	return all
}

// darken notes the windows of a task, once.
func (p *plan) darken(g *given) {
	for _, name := range g.versions[0].On.Blackout {
		for _, w := range windowsOf(name, p.host.Last) {
			w.Host, w.Task = p.host.id, g.id
			p.host.windows = append(p.host.windows, w)
		}
	}
}

// meant is a task that is not meant to run at times.
func (h *host) meant() fleet.Task {
	t := fleet.Task{On: fleet.Trigger{Every: fleet.Duration(choose(h, 3*time.Minute, 7*time.Minute)), Blackout: choose(h, []string{"tea"}, []string{"night"}, []string{"night", "tea"})}}
	return h.policies(t)
}

// starter is a task that is due when the host, or its agent, starts.
func (h *host) starter() fleet.Task {
	return fleet.Task{On: fleet.Trigger{Startup: choose(h, fleet.StartupBoot, fleet.StartupAgent)}}
}

// resting is a task whose period is counted from the end of the run before.
func (h *host) resting() fleet.Task {
	return fleet.Task{On: fleet.Trigger{Every: fleet.Duration(choose(h, time.Minute, 5*time.Minute)), AfterEnd: true}}
}
