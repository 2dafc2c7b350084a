package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/blackout"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

func newCalendarsCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "calendars", GroupID: groupGiven, Args: arguments(0, 0),
		Short:   "List the calendars in whose windows tasks are not due",
		Example: "  fleetctl calendars",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			return runCalendars(ctx, p, client)
		}),
	}
}

func runCalendars(ctx context.Context, p *program, client *api.Client) error {
	list, err := client.Calendars(ctx)
	if err != nil {
		return err
	}
	return p.show(list, func() error {
		t := p.table(
			column{title: "CALENDAR"}, column{title: "WINDOWS", right: true}, column{title: "NOW"}, column{title: "NEXT"}, column{title: "DESCRIPTION", shrinks: true},
			column{title: "CHANGED", wide: true}, column{title: "BY", wide: true},
		)
		for i := range list.Items {
			record := &list.Items[i]
			now, next := covered(p, &record.Calendar)
			t.row(record.Name, strconv.Itoa(len(record.Windows)), now, next, record.Description, p.instant(record.Changed), record.ChangedBy)
		}
		if err := t.write(p.stdout); err != nil {
			return err
		}
		if len(list.Items) == 0 {
			p.note("there are no calendars; fleetctl calendar put NAME -f FILE makes one")
		}
		return nil
	})
}

// covered says until when a window is open now, and when the next one opens.
func covered(p *program, calendar *fleet.Calendar) (now, next string) {
	windows, err := blackout.New(*calendar)
	if err != nil { // a newer collector took it
		return "-", "-"
	}
	now, next = "open", "-"
	if until, _, ok := windows.Covers(p.now()); ok {
		now = "closed until " + p.exact(until)
	}
	if from, ok := windows.Next(p.now()); ok {
		next = p.exact(from)
	}
	return now, next
}

func newCalendarCommand(p *program) *cobra.Command {
	c := &cobra.Command{
		Use: "calendar", GroupID: groupGiven,
		Short:   "Make, show or drop a calendar in whose windows tasks are not due",
		Long:    "Make, show or drop a calendar. A task that names calendars under on.blackout is not due in their\nwindows: what would be due there is skipped, and the account says so. A file is YAML, JSON or\niCalendar (.ics).",
		Example: "  fleetctl calendar put year-end -f year-end.yaml\n  fleetctl calendar put holidays -f holidays.ics\n  fleetctl calendar show year-end",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fleet.Errorf(fleet.Usage, "calendar does not take %q; there are calendar drop, put, show", args[0]).WithHint("fleetctl calendar --help")
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newCalendarPut(p), newCalendarShow(p), newCalendarDrop(p))
	return c
}

func newCalendarPut(p *program) *cobra.Command {
	var file, reason string
	c := &cobra.Command{
		Use: "put NAME -f FILE", Args: arguments(1, 1), DisableFlagsInUseLine: true,
		Short:             "Make or replace a calendar",
		Example:           "  fleetctl calendar put year-end -f year-end.yaml",
		ValidArgsFunction: p.calendarArgument,
		RunE: p.signing(func(ctx context.Context, _ *api.Client, by *author.Author, args []string) error {
			calendar, document, media, err := p.readCalendar(args[0], file)
			if err != nil {
				return err
			}
			answer, err := done(by.Calendar(ctx, calendar, document, media, author.Options{Reason: reason}))
			if err != nil {
				return err
			}
			record := fleet.CalendarRecord{Calendar: calendar, Index: answer.Index}
			if answer.Calendar != nil {
				record = *answer.Calendar
			}
			return p.show(record, func() error {
				now, next := covered(p, &record.Calendar)
				p.say("calendar %s has %s; now %s, the next opens %s", record.Name, count(len(record.Windows), "window"), now, next)
				return nil
			})
		}),
	}
	c.Flags().StringVarP(&file, "file", "f", "", "read this `file`: YAML, JSON or iCalendar; - is standard input, as YAML or JSON")
	c.Flags().StringVar(&reason, "reason", "", "why, in your words; kept with the change")
	return c
}

// calendarMedia maps the end of a file's name to how it is read.
var calendarMedia = map[string]string{".ics": api.MediaCalendar, ".json": api.MediaJSON, ".yaml": api.MediaYAML, ".yml": api.MediaYAML}

// maxCalendarFile is how much of a calendar's file is read.
const maxCalendarFile = 1 << 20

// readCalendar reads a calendar's file; the name on the command line counts.
func (p *program) readCalendar(name, file string) (calendar fleet.Calendar, document []byte, media string, err error) {
	if !fleet.ValidName(name) {
		return calendar, nil, "", fleet.Errorf(fleet.Usage, "calendar %q: want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit", name)
	}
	var source io.Reader
	media = api.MediaYAML // which JSON is, too
	switch file {
	case "":
		return calendar, nil, "", fleet.Errorf(fleet.Usage, "-f is missing: which file says when %s has windows?", name).WithHint("fleetctl calendar put %s -f FILE", name)
	case "-":
		source = p.stdin
	default:
		opened, err := os.Open(file)
		if err != nil {
			return calendar, nil, "", fleet.Errorf(fleet.Usage, "%v", err)
		}
		defer opened.Close()
		source = opened
		if known, ok := calendarMedia[strings.ToLower(filepath.Ext(file))]; ok {
			media = known
		}
	}
	document, err = io.ReadAll(io.LimitReader(source, maxCalendarFile+1))
	if err != nil {
		return calendar, nil, "", fleet.Errorf(fleet.Usage, "%v", err)
	}
	if strings.HasPrefix(string(document), "BEGIN:VCALENDAR") {
		media = api.MediaCalendar
	}
	calendar, err = blackout.Parse(document, media)
	if err != nil {
		return calendar, nil, "", err
	}
	if calendar.Name != "" && calendar.Name != name {
		return calendar, nil, "", fleet.Errorf(fleet.Usage, "the file is about calendar %s, not %s", calendar.Name, name).WithHint("fleetctl calendar put %s -f %s", calendar.Name, shellWord(file))
	}
	calendar.Name = name
	_, err = blackout.New(calendar)
	return calendar, document, media, err
}

func newCalendarShow(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Args: arguments(1, 1),
		Short:             "Show the windows of a calendar",
		Example:           "  fleetctl calendar show year-end",
		ValidArgsFunction: p.calendarArgument,
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			record, err := client.Calendar(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(record, func() error { return drawCalendar(p, &record) })
		}),
	}
}

func drawCalendar(p *program, record *fleet.CalendarRecord) error {
	now, next := covered(p, &record.Calendar)
	p.say("%s: %s", record.Name, orDash(record.Description))
	p.facts([]fact{
		{"zone", orWord(record.Timezone, "UTC"), noColor}, {"now", now, noColor}, {"next", next, noColor},
		{"changed", p.instant(record.Changed), noColor}, {"by", record.ChangedBy, noColor},
	})
	t := p.table(column{title: "FROM"}, column{title: "FOR"}, column{title: "AGAIN"}, column{title: "WHY", shrinks: true})
	for i := range record.Windows {
		w := &record.Windows[i]
		from, lasts, again := "-", w.For.String(), orWord(w.Cron, w.Rule)
		if w.From != nil {
			from = p.exact(*w.From)
		}
		if w.To != nil {
			lasts = "until " + p.exact(*w.To)
		}
		if w.Cron != "" {
			again = "cron " + w.Cron
		}
		t.row(from, lasts, orDash(again), w.Summary)
	}
	return t.write(p.stdout)
}

func newCalendarDrop(p *program) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "drop NAME", Args: arguments(1, 1),
		Short:             "Remove a calendar that no task names",
		Example:           "  fleetctl calendar drop year-end",
		ValidArgsFunction: p.calendarArgument,
		RunE: p.signing(func(ctx context.Context, client *api.Client, by *author.Author, args []string) error {
			record, err := client.Calendar(ctx, args[0])
			if err == nil {
				_, err = done(by.DropCalendar(ctx, args[0], author.Options{IfIndex: &record.Index, Reason: reason}))
			}
			if err != nil {
				return err
			}
			return p.show(record, func() error {
				p.say("calendar %s is gone", record.Name)
				return nil
			})
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, in your words; kept with the change")
	return c
}

func (p *program) calendarArgument(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.calendarNames(c, args, typed)
}

func (p *program) calendarNames(c *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return p.ask(c, func(ctx context.Context, client *api.Client) []string {
		list, err := client.Calendars(ctx)
		if err != nil {
			return nil
		}
		var names []string
		for i := range list.Items {
			if name := list.Items[i].Name; strings.HasPrefix(name, typed) {
				names = append(names, name+"\t"+visible.Line(list.Items[i].Description))
			}
		}
		return names
	})
}
