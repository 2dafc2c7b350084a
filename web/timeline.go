package web

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	dayMinutes = 24 * 60 // the width of a lane, in its own units

	// dayBehind is how much of the day shown is past, where nobody says from
	// when on.
	dayBehind = 3 * time.Hour

	dayMarks = 8 // on the axis

	markWidth = 4 // the least, so that one start is seen
	markGap   = 2 // marks closer than this are one

	shownLanes  = 12 // on the page of a host
	maxDayPages = 20 // bounds how much of a busy host's day is read
)

// lane is one job or task of a host over a day.
type lane struct {
	Task    fleet.TaskID // empty: a found job
	Job     fleet.JobID
	Host    fleet.HostID
	Command string
	User    string
	Marks   []mark
	Failed  []mark // runs that failed or were missed
	Starts  int
	First   time.Time
	Last    time.Time
	label   string
}

// mark is one start, or several too close to be told apart, in minutes from
// the beginning of the day.
type mark struct {
	X, Width int
	Title    string
}

// Given reports whether it is a task.
func (l *lane) Given() bool { return l.Task != "" }

// URL returns the address of the job or the task.
func (l *lane) URL() string {
	if l.Given() {
		return taskURL(l.Task)
	}
	return jobURL(l.Host, l.Job)
}

// Label says in one line what the lane shows.
func (l *lane) Label() string { return l.label }

// day is 24 hours of a host, a lane for each job and task that starts in it.
type day struct {
	From    time.Time
	Until   time.Time
	Lanes   []lane
	Starts  int
	NowX    int       // -1: now lies outside
	Through time.Time // where the reading stopped; zero where the day is whole
	Hours   []hourMark
}

// hourMark is an hour on the axis.
type hourMark struct {
	X    int
	At   time.Time
	Word string
	Day  string // on the first, and on the first of another day
}

// dayFrom returns where the day begins that a page shows of its own accord.
func dayFrom(now time.Time) time.Time { return now.UTC().Truncate(time.Hour).Add(-dayBehind) }

// day reads what starts on a host within 24 hours, and what failed there.
func (s *site) day(v *visit, host fleet.HostID, from time.Time) (*day, []api.Upcoming, error) {
	query := api.UpcomingQuery{Host: string(host), From: from, Until: from.Add(24 * time.Hour), Page: api.Page{Limit: api.MaxPage}}
	items, complete, err := s.read(v, query, maxDayPages)
	if err != nil {
		return nil, nil, err
	}
	failed, err := s.src.Runs(v.Context(), api.RunQuery{Host: string(host), Failed: true, Since: from, Until: query.Until, Page: api.Page{Limit: api.MaxPage}})
	if err != nil {
		return nil, nil, err
	}
	return newDay(items, failed.Items, complete, from, v.now), items, nil
}

func newDay(items []api.Upcoming, failed []api.RunView, complete bool, from, now time.Time) *day {
	d := &day{From: from, Until: from.Add(24 * time.Hour), Starts: len(items), NowX: -1}
	if now.After(d.From) && now.Before(d.Until) {
		d.NowX = d.minute(now)
	}
	if !complete && len(items) > 0 {
		d.Through = items[len(items)-1].At
	}
	type key struct {
		task fleet.TaskID
		job  fleet.JobID
	}
	place := map[key]int{}
	for i := range items {
		item := &items[i]
		k := key{item.Task, item.Job}
		at, seen := place[k]
		if !seen {
			at = len(d.Lanes)
			place[k] = at
			d.Lanes = append(d.Lanes, lane{Task: item.Task, Job: item.Job, Host: item.Host, Command: item.Command, User: item.User, First: item.At})
		}
		d.Lanes[at].take(item.At, d.minute(item.At))
	}
	for i := range failed {
		run := &failed[i]
		if at, seen := place[key{task: run.Task}]; seen {
			title := fmt.Sprintf("%s UTC: %s", run.Due.UTC().Format("15:04"), runStatus(&run.Run).Word)
			d.Lanes[at].Failed = append(d.Lanes[at].Failed, mark{d.minute(run.Due), markWidth, title})
		}
	}
	for i := range d.Lanes {
		d.Lanes[i].describe()
	}
	slices.SortStableFunc(d.Lanes, func(a, b lane) int {
		return cmp.Or(cmp.Compare(a.Starts, b.Starts), a.First.Compare(b.First), cmp.Compare(a.Command, b.Command))
	})
	d.axis()
	return d
}

func (d *day) minute(at time.Time) int { return int(at.Sub(d.From) / time.Minute) }

// take adds one start: to the last mark, where it touches that.
func (l *lane) take(at time.Time, minute int) {
	l.Starts++
	l.Last = at
	x := min(minute, dayMinutes-markWidth)
	if n := len(l.Marks); n > 0 {
		last := &l.Marks[n-1]
		if end := last.X + last.Width; x <= end+markGap {
			last.Width = max(last.Width, x+markWidth-last.X)
			return
		}
	}
	l.Marks = append(l.Marks, mark{X: x, Width: markWidth, Title: at.UTC().Format("15:04") + " UTC"})
}

// describe says in words what the marks show.
func (l *lane) describe() {
	l.label = count(l.Starts, "start")
	if l.Starts == 1 {
		l.label += " at " + l.First.UTC().Format("15:04") + " UTC"
		return
	}
	l.label += fmt.Sprintf(", first %s, last %s UTC", l.First.UTC().Format("15:04"), l.Last.UTC().Format("15:04"))
	if n := len(l.Failed); n > 0 {
		l.label += ", " + number(n) + " failed or missed"
	}
}

// axis marks every third hour from the beginning on.
func (d *day) axis() {
	for n := range dayMarks {
		at := d.From.Add(time.Duration(n) * 24 * time.Hour / dayMarks).UTC()
		m := hourMark{X: n * dayMinutes / dayMarks, At: at, Word: at.Format("15:04")}
		if n == 0 || at.Day() != d.Hours[n-1].At.Day() {
			m.Day = at.Format("2 Jan")
		}
		d.Hours = append(d.Hours, m)
	}
}

// Top returns the day with at most n lanes: those that start least often,
// which are the ones that a person asks about.
func (d *day) Top(n int) *day {
	short := *d
	short.Lanes = d.Lanes[:min(n, len(d.Lanes))]
	return &short
}

// dayPage is the timeline of a host.
type dayPage struct {
	*listing
	Host api.HostView
	Day  *day
}

func (s *site) timeline(v *visit) (view, error) {
	l, err := v.listing(hostURL(fleet.HostID(v.PathValue("id")))+"/timeline",
		filter{Name: "from", Label: "Day from", Hint: "2026-11-20 or 24h"},
	)
	if err != nil {
		return view{}, err
	}
	detail, err := s.src.Host(v.Context(), v.PathValue("id"))
	if err != nil {
		return view{}, err
	}
	from, err := l.instant("from", v.now)
	if err != nil {
		return view{}, err
	}
	if from.IsZero() {
		from = dayFrom(v.now)
	}
	d, _, err := s.day(v, detail.ID, from)
	if err != nil {
		return view{}, err
	}
	rows, err := l.cut(len(d.Lanes))
	if err != nil {
		return view{}, err
	}
	d.Lanes = d.Lanes[rows[0]:rows[1]]
	return view{Title: "Timeline of " + detail.Name, Body: &dayPage{l, detail.HostView, d}}, nil
}

// BeforeURL returns the address of the day before.
func (p *dayPage) BeforeURL() string {
	return p.With("from", p.Day.From.AddDate(0, 0, -1).Format(time.RFC3339))
}

// AfterURL returns the address of the day after.
func (p *dayPage) AfterURL() string { return p.With("from", p.Day.Until.Format(time.RFC3339)) }
