package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
	"github.com/fleetcron/fleetcron/shared/visible"
)

func newRequestsCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "requests [REQUEST]", Args: arguments(0, 1), ValidArgsFunction: p.requestArgument,
		Short: "List the changes that wait for approval, or show one",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			if len(args) == 1 {
				request, err := client.Request(ctx, args[0])
				if err != nil {
					return err
				}
				view, err := p.lookAt(ctx, client, &request)
				if err != nil {
					return err
				}
				return p.show(view, func() error { p.drawRequest(&view); return nil })
			}
			list, err := client.Requests(ctx)
			if err != nil {
				return err
			}
			return p.show(list, func() error { return drawRequests(p, list.Items) })
		}),
	}
}

func drawRequests(p *program, requests []fleet.Request) error {
	t := p.table(
		column{title: "REQUEST"}, column{title: "WHAT", shrinks: true}, column{title: "BECAUSE IT", shrinks: true}, column{title: "BY"},
		column{title: "APPROVED", right: true}, column{title: "EXPIRES"}, column{title: "REASON", shrinks: true},
	)
	for i := range requests {
		r := &requests[i]
		t.row(r.ID, r.Object, dangersText(r.Dangers), r.By.Name, fmt.Sprintf("%d of %d", len(r.Approved), r.Needs), p.instant(r.Expires), orDash(r.Reason))
	}
	return t.write(p.stdout)
}

// requestView is a request with what it says in its own, signed words.
type requestView struct {
	fleet.Request
	Says    string   `json:"says"`           // what would be
	Diff    string   `json:"diff,omitempty"` // to what stands; empty: nothing stands
	Signers []string `json:"signers"`        // whose signatures it carries
}

// lookAt reads what a request says from the bytes that were signed, and from
// nothing that a collector says beside them.
func (p *program) lookAt(ctx context.Context, client *api.Client, request *fleet.Request) (requestView, error) {
	view := requestView{Request: *request}
	e, err := seal.Parse(request.Envelope)
	if err != nil {
		return view, err
	}
	s, err := e.Statement()
	switch {
	case err != nil:
		return view, err
	case !strings.HasPrefix(e.Digest(), request.ID) || len(request.ID) < 16:
		return view, fleet.Errorf(fleet.Refused, "the collectors show another change under the id %s", request.ID).WithCode(author.CodeUntrusted)
	}
	view.Object = s.Object()
	view.Signers = p.signersOf(e)
	names, err := hostNames(ctx, client, s.Hosts)
	if err != nil {
		return view, err
	}
	if view.Says, err = statementText(s, names); err != nil || s.Task == nil {
		return view, err
	}
	stands, err := standsText(ctx, client, fleet.NewTaskID(s.Namespace, s.Name), names)
	if err == nil && stands != "" {
		view.Diff = string(diff.Diff("stands", []byte(stands), "wanted", []byte(view.Says)))
	}
	return view, err
}

// signersOf names the keys that signed, as far as this person knows them.
func (p *program) signersOf(e *seal.Envelope) []string {
	access := p.access()
	trusted, _ := access.Trusted()
	if signer, err := access.Signer(); err == nil {
		trusted = append(trusted, author.TrustedKey{Key: signer.Public(), Name: "you"})
	}
	var names []string
	for _, key := range trusted {
		if len(e.Signers([]ed25519.PublicKey{key.Key})) > 0 {
			names = append(names, seal.KeyID(key.Key)+" ("+orWord(key.Name, "trusted")+")")
		}
	}
	if unknown := len(e.Signatures) - len(names); unknown > 0 {
		names = append(names, count(unknown, "key")+" that you do not know")
	}
	return names
}

func hostNames(ctx context.Context, client *api.Client, hosts []fleet.HostID) (map[fleet.HostID]string, error) {
	names := make(map[fleet.HostID]string, len(hosts))
	for _, id := range hosts {
		host, err := client.Host(ctx, string(id))
		if err != nil && fleet.KindOf(err) != fleet.NotFound {
			return nil, err
		}
		names[id] = orWord(host.Name, "unknown")
	}
	return names, nil
}

// standsText says what stands of a task now; nothing where there is none.
func standsText(ctx context.Context, client *api.Client, id fleet.TaskID, names map[fleet.HostID]string) (string, error) {
	current, err := currentTask(ctx, client, id)
	if err != nil || current == nil {
		return "", err
	}
	if e, err := seal.Parse(current.Envelope); err == nil {
		if s, err := e.Statement(); err == nil {
			return statementText(s, names)
		}
	}
	return statementText(&seal.Statement{Kind: seal.KindTask, Namespace: id.Namespace(), Name: id.Name(), Task: &seal.Task{State: current.State, Definition: &current.Task}}, names)
}

// statementText writes a statement so that people can read and compare it.
func statementText(s *seal.Statement, names map[fleet.HostID]string) (string, error) {
	var b strings.Builder
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, visible.Line(text))
		}
	}
	line("about", s.Object())
	if s.Kind != seal.KindTask {
		line("kind", string(s.Kind))
	}
	if !s.Expires.IsZero() {
		line("counts until", s.Expires.UTC().Format("2006-01-02 15:04:05Z"))
	}
	for _, host := range s.Hosts {
		line("on host", names[host]+" ("+string(host)+")")
	}
	if o := s.Order; o != nil {
		line("order", string(o.Kind)+" of task "+s.Namespace+"/"+s.Name)
		line("run", string(o.Run))
		line("reason", o.Reason)
		line("payload", o.Payload)
		line("with", o.Params.String())
	}
	if a := s.Adopt; a != nil {
		line("takes over", placeText(a.Source, a.Line))
		if a.Force {
			line("force", "even where configuration management owns the file")
		}
	}
	if c := s.Calendar; c != nil && c.Definition == nil {
		line("calendar", "dropped")
	} else if c != nil {
		text, err := encodeYAML(c.Definition)
		b.Write(text)
		return b.String(), err
	}
	if t := s.Task; t != nil {
		line("state", string(t.State))
		if t.Definition != nil {
			text, err := canonical(*t.Definition)
			b.WriteString(text)
			return b.String(), err
		}
	}
	return b.String(), nil
}

func (p *program) drawRequest(v *requestView) {
	p.say("%s wants to change %s; it waits, because it %s", v.By.String(), v.Object, dangersText(v.Dangers))
	p.facts([]fact{
		{"reason", v.Reason, noColor}, {"signed by", strings.Join(v.Signers, ", "), noColor},
		{"approved", fmt.Sprintf("%d of %d", len(v.Approved), v.Needs), noColor}, {"expires", p.instant(v.Expires), noColor},
	})
	fmt.Fprintf(p.stdout, "\n%s", visible.Text(v.Says))
	if v.Diff != "" {
		fmt.Fprintf(p.stdout, "\n%s", visible.Text(v.Diff))
	}
}

type approveOptions struct {
	yes    bool
	reason string
}

func newApproveCommand(p *program) *cobra.Command {
	var o approveOptions
	c := &cobra.Command{
		Use: "approve REQUEST|TASK", Args: arguments(1, 1), ValidArgsFunction: p.requestArgument,
		Short:   "Sign as well what somebody else wants changed, after you saw it",
		Long:    "Sign as well what somebody else wants changed: the very bytes that were signed, which are\nshown first with the difference to what stands. With a task's name, the task as it stands gets\nyour signature too, or its end, for hosts whose policy wants two.",
		Example: "  fleetctl requests\n  fleetctl approve 3f9a0c4b21d7e865\n  fleetctl approve data/nightly-backup --yes",
		RunE: p.signing(func(ctx context.Context, client *api.Client, by *author.Author, args []string) error {
			if strings.Contains(args[0], "/") || len(args[0]) != 16 {
				return runCountersign(ctx, p, client, by, args[0], o)
			}
			return runApprove(ctx, p, client, by, args[0], o)
		}),
	}
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask: you have seen what it says")
	c.Flags().StringVar(&o.reason, "reason", "", "why, in your words; kept in the audit chain")
	return c
}

func runApprove(ctx context.Context, p *program, client *api.Client, by *author.Author, id string, o approveOptions) error {
	request, err := client.Request(ctx, id)
	if err != nil {
		return err
	}
	view, err := p.lookAt(ctx, client, &request)
	if err != nil {
		return err
	}
	if p.settings.Output.people() {
		p.drawRequest(&view)
	}
	if err := p.confirm(o.yes, "approve this", "nothing was signed"); err != nil {
		return err
	}
	answer, err := by.Approve(ctx, &request, o.reason)
	if err != nil {
		return err
	}
	return p.show(answer, func() error {
		if answer.Request != nil {
			waiting{[]fleet.Request{*answer.Request}}.note(p)
			return nil
		}
		p.say("approved: %s is done", view.Object)
		return nil
	})
}

// runCountersign adds a signature to a task that stands.
func runCountersign(ctx context.Context, p *program, client *api.Client, by *author.Author, name string, o approveOptions) error {
	id, err := fleet.ParseTaskID(name)
	if err != nil {
		return err
	}
	view, err := client.Task(ctx, id)
	if fleet.KindOf(err) == fleet.NotFound {
		view, err = retiredTask(ctx, client, id, err)
	}
	if err != nil {
		return err
	}
	e, err := seal.Parse(view.Envelope)
	if err != nil {
		return err
	}
	s, err := e.Statement()
	if err == nil && s.Object() != "task "+string(id) {
		err = fleet.Errorf(fleet.Refused, "the collectors show a statement about %s as that of task %s", s.Object(), id).WithCode(author.CodeUntrusted)
	}
	if err != nil {
		return err
	}
	text, err := statementText(s, nil)
	if err != nil {
		return err
	}
	if p.settings.Output.people() {
		fmt.Fprint(p.stdout, visible.Text(text))
		p.facts([]fact{{"signed by", strings.Join(p.signersOf(e), ", "), noColor}})
	}
	if err := p.confirm(o.yes, "sign this", "nothing was signed"); err != nil {
		return err
	}
	record, err := by.Countersign(ctx, &view.TaskRecord)
	if err != nil {
		return err
	}
	return p.show(record, func() error { p.say("task %s has your signature as well", id); return nil })
}

// retiredTask returns a task that is retired: its end may want a second signature.
func retiredTask(ctx context.Context, client *api.Client, id fleet.TaskID, otherwise error) (api.TaskView, error) {
	gone, err := collectAll(func(page api.Page) (api.List[api.TaskView], error) {
		return client.Tasks(ctx, api.TaskQuery{Page: page, Namespace: id.Namespace(), Text: id.Name(), State: fleet.TaskRetired})
	})
	if err != nil {
		return api.TaskView{}, err
	}
	at := slices.IndexFunc(gone, func(task api.TaskView) bool { return task.Task.ID() == id })
	if at < 0 {
		return api.TaskView{}, otherwise
	}
	return gone[at], nil
}

// confirm asks a person who sits there, and wants --yes of everybody else.
func (p *program) confirm(yes bool, question, otherwise string) error {
	if yes {
		return nil
	}
	refusal := fleet.Errorf(fleet.Usage, "%s", otherwise).WithHint("look at it, then say --yes")
	if !p.terminal || !p.settings.Output.people() {
		return refusal
	}
	fmt.Fprintf(p.stderr, "%s? [y/N] ", question)
	answer, _ := bufio.NewReader(p.stdin).ReadString('\n')
	if word := strings.ToLower(strings.TrimSpace(answer)); word != "y" && word != "yes" {
		return refusal
	}
	return nil
}

func newRejectCommand(p *program) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "reject REQUEST", Args: arguments(1, 1), ValidArgsFunction: p.requestArgument,
		Short: "Take away a change that waits for approval",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			if err := client.DropRequest(ctx, args[0], reason); err != nil {
				return err
			}
			return p.show(args, func() error { p.say("request %s is taken away; nothing has changed", args[0]); return nil })
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, in your words; kept in the audit chain")
	return c
}
