package main

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func newAnnotateCommand(p *program) *cobra.Command {
	var note api.AnnotationRequest
	var clear bool
	c := &cobra.Command{
		Use: "annotate FINGERPRINT|HOST:JOB", GroupID: groupFound, Args: arguments(1, 1),
		Short:             "Say whose a command is and what to know about it",
		Long:              "Say whose a command is and what to know about it, wherever it stands: what is said of one\njob is said of every job with the same command. What is not given stays as it is.",
		Example:           "  fleetctl annotate db-1:/etc/cron.d/backup:7 --owner team-data --note \"restore: see the wiki\"\n  fleetctl annotate 5f0c1d2e3a4b5c6d --clear",
		ValidArgsFunction: p.jobArgument,
	}
	c.RunE = p.asking(func(ctx context.Context, client *api.Client, args []string) error {
		given := changedFlags(c)
		switch {
		case len(given) == 0:
			return fleet.Errorf(fleet.Usage, "--owner or --note is missing: what is there to say?").WithHint("fleetctl annotate %s --owner team-data --note \"…\"; --clear takes it back", args[0])
		case clear && len(given) > 1:
			return fleet.Errorf(fleet.Usage, "--clear takes owner and note away; it stands alone")
		}
		return runAnnotate(ctx, p, client, args[0], given, note)
	})
	c.Flags().StringVar(&note.Owner, "owner", "", "who answers for it")
	c.Flags().StringVar(&note.Note, "note", "", "what to know about it")
	c.Flags().BoolVar(&clear, "clear", false, "take owner and note back")
	return c
}

func runAnnotate(ctx context.Context, p *program, client *api.Client, ref string, given []string, note api.AnnotationRequest) error {
	current, jobs, err := annotated(ctx, client, ref)
	if err != nil {
		return err
	}
	if !slices.Contains(given, "clear") {
		if !slices.Contains(given, "owner") {
			note.Owner = current.Owner
		}
		if !slices.Contains(given, "note") {
			note.Note = current.Note
		}
	}
	annotation, err := client.Annotate(ctx, current.Fingerprint, note)
	if err != nil {
		return err
	}
	return p.show(annotation, func() error {
		if note == (api.AnnotationRequest{}) {
			p.say("nothing is said any more of %s with the command %s", count(jobs, "job"), current.Fingerprint)
			return nil
		}
		p.say("said of %s with the command %s:", count(jobs, "job"), current.Fingerprint)
		p.facts([]fact{{"owner", note.Owner, noColor}, {"note", note.Note, noColor}})
		return nil
	})
}

var fingerprintPattern = regexp.MustCompile(`^[0-9a-f]{16}$`)

// annotated returns what is said of the command that a person names, and how
// many jobs there are of it.
func annotated(ctx context.Context, client *api.Client, ref string) (fleet.Annotation, int, error) {
	var annotation fleet.Annotation
	if strings.Contains(ref, ":") {
		job, err := findJob(ctx, client, ref)
		if err != nil {
			return annotation, 0, err
		}
		ref = job.Fingerprint
	}
	if !fingerprintPattern.MatchString(ref) {
		return annotation, 0, fleet.Errorf(fleet.Usage, "%q: want HOST:JOB, or the 16 digits of a fingerprint", ref).WithHint("fleetctl jobs --group -o wide lists fingerprints")
	}
	annotation.Fingerprint = ref
	jobs, err := client.Jobs(ctx, api.JobQuery{Page: api.Page{Limit: 1}, Fingerprint: ref})
	if err != nil {
		return annotation, 0, err
	}
	if len(jobs.Items) > 0 {
		annotation.Owner, annotation.Note = jobs.Items[0].Owner, jobs.Items[0].Note
		return annotation, max(jobs.Total, 1), nil
	}
	said, err := allAnnotations(ctx, client) // of a command that is gone
	for _, one := range said {
		if one.Fingerprint == ref {
			return one, 0, nil
		}
	}
	if err == nil {
		err = fleet.Errorf(fleet.NotFound, "no job has the fingerprint %s", ref).WithHint("fleetctl jobs --group -o wide lists fingerprints")
	}
	return annotation, 0, err
}

func allAnnotations(ctx context.Context, client *api.Client) ([]fleet.Annotation, error) {
	return collectAll(func(page api.Page) (api.List[fleet.Annotation], error) { return client.Annotations(ctx, page) })
}

func newAnnotationsCommand(p *program) *cobra.Command {
	var g paging
	var owner string
	c := &cobra.Command{
		Use: "annotations", GroupID: groupFound, Args: arguments(0, 0),
		Short:   "List what people say about commands",
		Example: "  fleetctl annotations --owner team-data",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			var keep func(fleet.Annotation) bool
			if owner != "" {
				keep = func(annotation fleet.Annotation) bool { return annotation.Owner == owner }
			}
			_, err := showList(p, g, func(page api.Page) (api.List[fleet.Annotation], error) {
				return client.Annotations(ctx, page)
			}, keep, func(annotations []fleet.Annotation) error {
				t := p.table(column{title: "FINGERPRINT"}, column{title: "OWNER"}, column{title: "NOTE", shrinks: true}, column{title: "BY"}, column{title: "SINCE"})
				for _, annotation := range annotations {
					t.row(annotation.Fingerprint, orDash(annotation.Owner), annotation.Note, annotation.By, p.instant(annotation.At))
				}
				return t.write(p.stdout)
			})
			return err
		}),
	}
	g.addFlags(c)
	c.Flags().StringVar(&owner, "owner", "", "only of this `owner`")
	return c
}
