package discover

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

// WriteTable writes a report for people: the jobs that run, the next one
// first; those that do not, each with its reason; and the problems. Text that
// was found is shown so that it cannot steer a terminal.
func WriteTable(w io.Writer, report fleet.Report) error {
	var running, idle []fleet.Job
	for _, job := range report.Jobs {
		if job.Verdict.Runs {
			running = append(running, job)
		} else {
			idle = append(idle, job)
		}
	}
	slices.SortStableFunc(running, func(a, b fleet.Job) int { return soonest(a).Compare(soonest(b)) })
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s, %s, %s  scanned %s\n", visible.Line(report.Host), count(len(running), "job"),
		count(len(idle), "job")+" that cannot run", count(len(report.Problems), "problem"), report.Scanned.UTC().Format("2006-01-02 15:04 MST"))

	rows := [][]string{{"NEXT", "SCHEDULE", "USER", "COMMAND", "SOURCE"}}
	for _, job := range running {
		rows = append(rows, []string{when(job), visible.Line(job.Schedule), visible.Line(job.User), cut(visible.Line(job.Command), 60), position(job.Source, job.Line)})
	}
	section(&b, "", rows, len(running))
	rows = [][]string{{"SCHEDULE", "USER", "COMMAND", "SOURCE", "WHY"}}
	for _, job := range idle {
		rows = append(rows, []string{visible.Line(job.Schedule), visible.Line(job.User), cut(visible.Line(job.Command), 40), position(job.Source, job.Line), visible.Line(job.Verdict.Why)})
	}
	section(&b, "Cannot run", rows, len(idle))
	rows = [][]string{{"SOURCE", "PROBLEM", "LINE"}}
	for _, p := range report.Problems {
		rows = append(rows, []string{position(p.Source, p.Line), visible.Line(p.Reason), cut(visible.Line(p.Text), 60)})
	}
	section(&b, "Problems", rows, len(report.Problems))
	_, err := io.WriteString(w, b.String())
	return err
}

// section writes a title and aligned rows, the first of them the head.
func section(b *strings.Builder, title string, rows [][]string, n int) {
	if n == 0 {
		return
	}
	b.WriteByte('\n')
	if title != "" {
		b.WriteString(title + "\n")
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// soonest is the next instant of a job; one that has none comes last.
func soonest(job fleet.Job) time.Time {
	if len(job.Next) > 0 {
		return job.Next[0]
	}
	return time.Unix(1<<40, 0)
}

// when tells a job's next instant on its own clock.
func when(job fleet.Job) string {
	switch {
	case len(job.Next) > 0:
		location, err := cron.Load(job.Timezone)
		if err != nil {
			location = time.UTC
		}
		text := job.Next[0].In(location).Format("Mon 2006-01-02 15:04 MST")
		if strings.HasSuffix(job.Verdict.Why, estimated) {
			return "≈ " + text
		}
		return text
	case job.Schedule == "@reboot":
		return "at boot"
	case strings.Contains(job.Schedule, "~"):
		return "in its window"
	}
	return "not known"
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func position(source string, line int) string {
	if line == 0 {
		return visible.Line(source)
	}
	return fmt.Sprintf("%s:%d", visible.Line(source), line)
}

// cut shortens a text to so many characters.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
