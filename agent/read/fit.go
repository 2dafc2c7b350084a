package read

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// reportRoom is how many bytes of jobs and problems a report may hold, as it
// is sent. A larger one would be refused as a whole, and with it all news.
const reportRoom = fleet.MaxReportBody - 256<<10

// fit leaves out of a report what it has no room for, of those first who take
// the most: nobody who fills it hides the jobs of others.
func fit(report *fleet.Report, room int) {
	if roughly(report) <= room {
		return
	}
	takers := make(map[string]*taker)
	jobs := make([]size, len(report.Jobs))
	total := 0
	for i := range report.Jobs {
		jobs[i] = measure(takers, takerOf(&report.Jobs[i]), report.Jobs[i])
		total += jobs[i].bytes
	}
	problems := make([]size, len(report.Problems))
	for i := range report.Problems {
		problems[i] = measure(takers, "problems of "+sourceOf(report.Problems[i].Source), report.Problems[i])
		total += problems[i].bytes
	}
	if total <= room {
		return
	}
	most := level(takers, room)
	n := 0
	report.Jobs = slices.DeleteFunc(report.Jobs, func(fleet.Job) bool { n++; return !jobs[n-1].fits(most) })
	n = 0
	report.Problems = slices.DeleteFunc(report.Problems, func(fleet.Problem) bool { n++; return !problems[n-1].fits(most) })
	says := told(takers)
	report.Problems = append(report.Problems[:min(len(report.Problems), fleet.MaxReportProblems-len(says))], says...)
}

// told says who takes more than there is room for.
func told(takers map[string]*taker) []fleet.Problem {
	const most = 100
	var list []fleet.Problem
	for _, t := range takers {
		if t.left > 0 {
			list = append(list, fleet.Problem{Source: "/", Reason: fmt.Sprintf("%d %s are left out: a report has at most %s", t.left, clip(t.name), fleet.Bytes(fleet.MaxReportBody))})
		}
	}
	slices.SortFunc(list, func(a, b fleet.Problem) int { return cmp.Compare(a.Reason, b.Reason) })
	return list[:min(len(list), most)]
}

func clip(name string) string { return strings.ToValidUTF8(name[:min(len(name), 200)], "") }

// taker is who takes room in a report.
type taker struct {
	name  string
	bytes int // that are wanted
	used  int // of what was let through
	left  int // how many were left out
}

// size is what one job or problem takes, and of whose room.
type size struct {
	bytes int
	of    *taker
}

// fits lets one through while its taker has room.
func (s size) fits(most int) bool {
	if s.of.used+s.bytes > most {
		s.of.left++
		return false
	}
	s.of.used += s.bytes
	return true
}

func measure(takers map[string]*taker, name string, value any) size {
	text, _ := json.Marshal(value) // which cannot fail: strings, numbers and maps of strings
	t := takers[name]
	if t == nil {
		t = &taker{name: name}
		takers[name] = t
	}
	t.bytes += len(text) + 1
	return size{len(text) + 1, t}
}

// level is how much each may take so that all have room.
func level(takers map[string]*taker, room int) int {
	var wants []int
	for _, t := range takers {
		wants = append(wants, t.bytes)
	}
	slices.Sort(wants)
	for i, want := range wants {
		share := room / (len(wants) - i)
		if want > share {
			return share
		}
		room -= want
	}
	return room
}

// takerOf is whose a job is: a container's, or a user's.
func takerOf(job *fleet.Job) string {
	if job.Container != "" {
		return "jobs of container " + job.Container
	}
	return "jobs of user " + job.User
}

// sourceOf is a source, or the container it is in.
func sourceOf(source string) string {
	if inside, ok := strings.CutPrefix(source, "container:"); ok {
		label, _, _ := strings.Cut(inside, ":")
		return "container " + label
	}
	return source
}

// roughly is more than a report takes as it is sent.
func roughly(report *fleet.Report) int {
	const escaped, fields = 6, 1000 // a byte may take six; names, ids and instants
	bytes := 0
	for i := range report.Jobs {
		job := &report.Jobs[i]
		n := len(job.Source) + len(job.User) + len(job.Schedule) + len(job.Command) + len(job.Verdict.Why) + len(job.ManagedBy) + len(job.Package) + len(job.Container)
		for name, value := range job.Env {
			n += len(name) + len(value) + 6
		}
		for _, risk := range job.Risks {
			n += len(risk.Why) + 40
		}
		bytes += n*escaped + fields + 40*len(job.Next)
	}
	for _, p := range report.Problems {
		bytes += (len(p.Source)+len(p.Text)+len(p.Reason))*escaped + 100
	}
	return bytes
}
