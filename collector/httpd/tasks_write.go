package httpd

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// given is a task document as its author sent it.
type given struct {
	document []byte
	media    string
}

func parseDocument(r *request) (given, error) {
	return given{r.body, r.media}, r.query(&struct{}{})
}

// read decodes and checks the document. The bytes stay as they are.
func (s *Server) read(in given) (fleet.Task, error) {
	task, err := s.ParseTask(in.document, in.media)
	if err != nil {
		return task, err
	}
	return task, task.Validate()
}

// resolve says what a task would do, without doing it.
func (s *Server) resolve(ctx context.Context, in given) (api.Resolution, error) {
	task, err := s.read(in)
	if err != nil {
		return api.Resolution{}, err
	}
	if !scopeOf(ctx).Holds(task.ID().Namespace()) {
		return api.Resolution{}, noTask(task.ID()) // which hosts serve it is not for others to know
	}
	resolution := api.Resolution{Task: task, Changes: true}
	current, err := s.Ledger.Task(scopeOf(ctx), task.ID())
	if err == nil {
		resolution.Current = current.Generation
		resolution.Changes = !sameTask(&current.Task, &task)
	} else if fleet.KindOf(err) != fleet.NotFound {
		return resolution, err
	}
	resolution.Hosts, err = s.resolved(scopeOf(ctx), &task)
	return resolution, err
}

func sameTask(a, b *fleet.Task) bool {
	left, errLeft := json.Marshal(a)
	right, errRight := json.Marshal(b)
	return errLeft == nil && errRight == nil && bytes.Equal(left, right)
}

// whereText shows a where in one line.
func whereText(where *fleet.Where) string {
	text, err := json.Marshal(where)
	if err != nil {
		return ""
	}
	return clip(string(text))
}
