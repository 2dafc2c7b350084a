package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

// jobDetail is everything about one found job.
type jobDetail struct {
	api.JobView
	Findings  []fleet.Finding  `json:"findings"`
	History   []api.ChangeView `json:"history"`   // the newest first
	Elsewhere []api.JobView    `json:"elsewhere"` // the same command
}

// How much of what surrounds a job is shown with it.
const (
	maxJobChanges   = 5
	maxJobElsewhere = 10
)

func runJob(ctx context.Context, p *program, client *api.Client, ref string) error {
	job, err := findJob(ctx, client, ref)
	if err != nil {
		return err
	}
	detail := jobDetail{JobView: job, Elsewhere: []api.JobView{}}
	detail.Findings, err = collectAll(func(page api.Page) (api.List[fleet.Finding], error) {
		list, err := client.Findings(ctx, api.FindingQuery{Page: page, Host: string(job.Host), Job: job.ID, Acked: "all"})
		return list.List, err
	})
	if err != nil {
		return err
	}
	changes, err := client.Changes(ctx, api.ChangeQuery{Page: api.Page{Limit: maxJobChanges}, Host: string(job.Host), Job: job.ID})
	if err != nil {
		return err
	}
	detail.History = changes.Items
	same, err := client.Jobs(ctx, api.JobQuery{Page: api.Page{Limit: maxJobElsewhere + 1}, Fingerprint: job.Fingerprint})
	if err != nil {
		return err
	}
	for _, other := range same.Items {
		if other.Host != job.Host || other.ID != job.ID {
			detail.Elsewhere = append(detail.Elsewhere, other)
		}
	}
	elsewhere := same.Total - 1
	return p.show(detail, func() error { return drawJob(p, &detail, elsewhere) })
}

func drawJob(p *program, job *jobDetail, elsewhere int) error {
	p.say("%s  %s", jobRef(job.HostName, job.ID), job.Command)
	fmt.Fprintln(p.stdout)
	p.facts(jobFacts(p, &job.JobView))
	if len(job.Risks)+len(job.Findings) > 0 {
		p.heading("to look at")
		drawConcerns(p, job)
	}
	if len(job.History) > 0 {
		p.heading("changes, the newest first")
		for i := range job.History {
			drawChange(p, &job.History[i], false)
		}
	}
	if job.Verdict.Runs && job.Adopted == "" {
		defer p.note("fleetctl adopt %s --dry-run shows what it takes to make a task of it", shellWord(jobRef(job.HostName, job.ID)))
	}
	if len(job.Elsewhere) > 0 {
		p.heading(fmt.Sprintf("the same command elsewhere, %s", count(elsewhere, "time")))
		if err := drawElsewhere(p, job.Elsewhere); err != nil {
			return err
		}
		if elsewhere > len(job.Elsewhere) {
			p.note("%d more: fleetctl jobs --fingerprint %s", elsewhere-len(job.Elsewhere), job.Fingerprint)
		}
	}
	return nil
}

// heading begins a section of an answer of several.
func (p *program) heading(text string) {
	fmt.Fprintln(p.stdout)
	p.say("%s:", text)
}

// fact is one thing that is known of what is shown; it is left out where its
// text is empty.
type fact struct {
	name, text string
	hue        color
}

// facts writes one line for each fact, the texts below each other.
func (p *program) facts(facts []fact) {
	width := 0
	for _, f := range facts {
		if f.text != "" {
			width = max(width, textWidth(f.name))
		}
	}
	for _, f := range facts {
		if f.text == "" {
			continue
		}
		text := visible.Line(f.text)
		if p.settings.color {
			text = f.hue.paint(text)
		}
		fmt.Fprintf(p.stdout, "  %s%s  %s\n", f.name, strings.Repeat(" ", width-textWidth(f.name)), text)
	}
}

func jobFacts(p *program, job *api.JobView) []fact {
	runs := runsText(job)
	hue := paintState(runs)
	if why := whyText(p, job); why != "" {
		runs += ": " + why
	}
	facts := []fact{
		{"runs", runs, hue},
		{"overdue", overdueText(p, job), red},
		{"schedule", scheduleText(job), noColor},
		{"next", nextText(p, job), noColor},
		{"last", evidenceText(p, job.Evidence), noColor},
		{"user", job.User, noColor},
		{"found in", placeText(job.Source, job.Line) + " (" + string(job.Kind) + ")", noColor},
		{"container", job.Container, noColor},
	}
	for _, name := range slices.Sorted(maps.Keys(job.Env)) {
		facts = append(facts, fact{"environment", name + "=" + job.Env[name], noColor})
	}
	return append(facts,
		fact{"owner", job.Owner, noColor},
		fact{"note", job.Note, noColor},
		fact{"package", job.Package, noColor},
		fact{"managed by", job.ManagedBy, noColor},
		fact{"first seen", p.instant(job.FirstSeen), noColor},
		fact{"changed", p.instant(job.Changed), noColor},
		fact{"fingerprint", job.Fingerprint, noColor},
	)
}

// scheduleText writes a schedule as it stands, and in words where it is one of
// cron's.
func scheduleText(job *api.JobView) string {
	text := job.Schedule
	if job.Kind == fleet.KindCron || job.Kind == fleet.KindRunParts {
		if schedule, err := dialectOf(job.Dialect).Parse(job.Schedule); err == nil {
			text += " (" + schedule.Describe() + ")"
		}
	}
	if job.Timezone != "" {
		text += " " + job.Timezone
	}
	return text
}

// dialectOf returns the reading that a job's schedule has on its host.
func dialectOf(name string) cron.Dialect {
	for _, dialect := range []cron.Dialect{cron.Cronie, cron.Busybox} {
		if name == dialect.String() {
			return dialect
		}
	}
	return cron.Debian
}

func nextText(p *program, job *api.JobView) string {
	now := p.now()
	next := slices.DeleteFunc(slices.Clone(job.Next), now.After)
	if len(next) == 0 || !job.Verdict.Runs {
		return ""
	}
	return p.instants(next[:min(3, len(next))])
}

// evidenceText says what the host tells of the last run.
func evidenceText(p *program, evidence *fleet.Evidence) string {
	if evidence == nil {
		return "nothing on its host tells of a run"
	}
	text := map[string]string{
		fleet.GradeStarted: "started ", fleet.GradeEnded: "started ", fleet.GradeStamp: "left a stamp of ",
	}[evidence.Grade] + p.instant(evidence.Last)
	if evidence.Ended != nil {
		text += ", ended " + p.instant(*evidence.Ended)
	}
	if evidence.Result != "" {
		text += ": " + evidence.Result
	}
	return text + " (" + evidence.From + ")"
}

// drawConcerns lists findings about a job, and risks that no finding has yet.
func drawConcerns(p *program, job *jobDetail) {
	told := map[fleet.FindingKind]bool{}
	for i := range job.Findings {
		finding := &job.Findings[i]
		told[finding.Kind] = true
		acked := ""
		if finding.Ack != nil {
			acked = " (acknowledged by " + finding.Ack.By + ")"
		}
		fmt.Fprintf(p.stdout, "  %s  %s%s\n", p.severity(finding.Severity), visible.Line(finding.Summary), visible.Line(acked))
		p.say("    fleetctl findings show %s", finding.ID)
	}
	for _, risk := range job.Risks {
		if !told[risk.Kind] {
			p.say("  %s: %s", risk.Kind, risk.Why)
		}
	}
}

func drawElsewhere(p *program, jobs []api.JobView) error {
	t := p.table(column{title: "JOB"}, column{title: "USER"}, column{title: "SCHEDULE"}, column{title: "RUNS", paint: paintState}, column{title: "SOURCE", shrinks: true})
	for i := range jobs {
		job := &jobs[i]
		t.row(jobRef(job.HostName, job.ID), job.User, job.Schedule, runsText(job), foundIn(&job.Job))
	}
	return t.write(p.stdout)
}
