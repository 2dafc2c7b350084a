package httpd

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Pins lists the pins by name, with what each finds now.
func (s *Server) Pins(ctx context.Context) (api.List[api.PinView], error) {
	return s.pins(ctx, waiting{})
}

func (s *Server) pins(ctx context.Context, in waiting) (api.List[api.PinView], error) {
	list := api.List[api.PinView]{Items: []api.PinView{}}
	var err error
	if list.Index, err = s.newer(ctx, in, ledger.Pins, ledger.Jobs, ledger.Hosts); err != nil {
		return list, err
	}
	pins, err := s.Ledger.Pins(scopeOf(ctx))
	if err != nil {
		return list, err
	}
	list.Total = len(pins)
	for _, pin := range pins {
		view, err := s.pinView(scopeOf(ctx), pin)
		if err != nil {
			return list, err
		}
		list.Items = append(list.Items, view)
	}
	return list, nil
}

// Pin returns one pin.
func (s *Server) Pin(ctx context.Context, name string) (api.PinView, error) {
	pin, err := s.Ledger.Pin(scopeOf(ctx), name)
	if err != nil {
		return api.PinView{}, err
	}
	return s.pinView(scopeOf(ctx), pin)
}

// pinView counts what the pin's hosts have that it does not allow.
func (s *Server) pinView(scope fleet.Scope, pin fleet.Pin) (view api.PinView, err error) {
	view.Pin = pin
	hosts, jobs, err := s.Ledger.Contained(scope, pin.Labels)
	if err != nil {
		return view, err
	}
	view.Hosts = hosts
	allowed := make(map[fleet.Allowed]bool, len(pin.Allow))
	for _, one := range pin.Allow {
		allowed[bare(one)] = true
	}
	for one, n := range jobs {
		if !allowed[bare(one)] {
			view.Unexpected += n
		}
	}
	return view, nil
}

// bare leaves out what is only for people.
func bare(a fleet.Allowed) fleet.Allowed {
	a.Command = ""
	return a
}

func parsePin(r *request) (string, error) {
	name, err := r.path("pin", nameParameter)
	if err != nil {
		return "", err
	}
	return name, r.query(&struct{}{})
}

// pinIn asks for a pin to be put or dropped.
type pinIn struct {
	change
	name    string
	request api.PinRequest
}

func parsePutPin() func(*request) (pinIn, error) {
	decoder := newDecoder[api.PinRequest]()
	return func(r *request) (in pinIn, err error) {
		if in, err = parseDropPin(r); err != nil {
			return in, err
		}
		in.request, err = decoder.decode(r.body)
		return in, err
	}
}

func parseDropPin(r *request) (in pinIn, err error) {
	if in.name, err = parsePin(r); err != nil {
		return in, err
	}
	in.change, err = r.plainChange()
	return in, err
}

// plainChange reads a change of something that has no versions.
func (r *request) plainChange() (change, error) {
	c, err := r.change()
	if err == nil && c.If.Given && !c.If.Any {
		err = fleet.Invalidf("If-Match", "", "this has no versions; leave it out")
	}
	return c, err
}

// putPin resolves what a pin without a list allows before it is proposed, so
// that the hosts are looked at once.
func (s *Server) putPin(ctx context.Context, in pinIn) (fleet.Pin, error) {
	pin := fleet.Pin{Name: in.name, Labels: in.request.Labels, Allow: in.request.Allow, By: in.Actor, Reason: in.Reason, At: time.Now().UTC()}
	if err := pin.Validate(); err != nil {
		return pin, err
	}
	if pin.Allow == nil {
		var err error
		if pin.Allow, err = s.contained(scopeOf(ctx), pin.Labels); err != nil {
			return pin, err
		}
		if err := pin.Validate(); err != nil {
			return pin, err
		}
	}
	result, err := s.propose(ctx, in.change, act{"pin.put", "pin " + in.name, ""}, &ledger.PutPin{Pin: pin})
	if err != nil {
		return pin, err
	}
	put, ok := result.(fleet.Pin)
	if !ok {
		return pin, fleet.Errorf(fleet.Internal, "the ledger answered %T", result)
	}
	return put, nil
}

// maxAllowedText is how much of a command a pin shows.
const maxAllowedText = 200

// contained lists what the hosts have now, by command and user.
func (s *Server) contained(scope fleet.Scope, labels string) ([]fleet.Allowed, error) {
	hosts, jobs, err := s.Ledger.Contained(scope, labels)
	if err != nil {
		return nil, err
	}
	if hosts == 0 {
		return nil, fleet.Invalidf("labels", clip(labels), "matches no host, so there is nothing to allow").WithHint("see fleetctl hosts --label")
	}
	texts := map[fleet.Allowed]string{}
	for one := range jobs {
		if text, known := texts[bare(one)]; !known || one.Command < text {
			texts[bare(one)] = one.Command
		}
	}
	allow := make([]fleet.Allowed, 0, len(texts))
	for one, text := range texts {
		one.Command = clipTo(text, maxAllowedText)
		allow = append(allow, one)
	}
	slices.SortFunc(allow, func(a, b fleet.Allowed) int {
		return cmp.Or(cmp.Compare(a.Command, b.Command), cmp.Compare(a.Fingerprint, b.Fingerprint), cmp.Compare(a.User, b.User))
	})
	return allow, nil
}

func (s *Server) dropPin(ctx context.Context, in pinIn) (receipt, error) {
	_, err := s.propose(ctx, in.change, act{"pin.drop", "pin " + in.name, ""}, &ledger.DropPin{Name: in.name})
	return s.done(err)
}
