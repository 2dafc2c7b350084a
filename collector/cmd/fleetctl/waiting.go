package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// waiting ends a command whose change waits for other people. It is no failure:
// fleetctl says who must approve it, and ends with 0.
type waiting struct{ requests []fleet.Request }

func (w waiting) Error() string { return count(len(w.requests), "change") + " waiting for approval" }

// done returns the answer to a change that was carried out, and waiting where it
// was not yet.
func done(answer api.Sealed, err error) (api.Sealed, error) {
	if err == nil && answer.Request != nil {
		err = waiting{[]fleet.Request{*answer.Request}}
	}
	return answer, err
}

// take adds the request that an error stands for, and reports whether it is one.
func (w *waiting) take(err error) bool {
	one, ok := errors.AsType[waiting](err)
	w.requests = append(w.requests, one.requests...)
	return ok
}

// tell shows the requests.
func (w waiting) tell(p *program) error {
	if len(w.requests) == 1 {
		return p.show(w.requests[0], func() error { w.note(p); return nil })
	}
	return p.show(w.requests, func() error { w.note(p); return nil })
}

// note says of each request who must do what.
func (w waiting) note(p *program) {
	for i := range w.requests {
		request := &w.requests[i]
		p.say("nothing has changed yet: %s waits for %s, because it %s", request.Object, people(request.Needs-len(request.Approved)), dangersText(request.Dangers))
		p.say("they see and approve it until %s with: fleetctl approve %s", p.instant(request.Expires), request.ID)
	}
}

func people(n int) string {
	if n == 1 {
		return "the approval of another person"
	}
	return "the approvals of " + strconv.Itoa(n) + " other people"
}

// dangerWords says what each danger is, after "it".
var dangerWords = map[fleet.Danger]string{
	fleet.DangerRoot:       "runs as root",
	fleet.DangerShell:      "runs a shell",
	fleet.DangerEverywhere: "runs everywhere",
	fleet.DangerOneShot:    "runs at once",
	fleet.DangerAdoption:   "takes a found job over or gives it back",
}

func dangersText(dangers []fleet.Danger) string {
	words := make([]string, len(dangers))
	for i, danger := range dangers {
		if words[i] = dangerWords[danger]; words[i] == "" {
			words[i] = "is " + string(danger)
		}
	}
	if len(words) == 0 {
		return "is of a namespace that asks for it"
	}
	return strings.Join(words, " and ")
}
