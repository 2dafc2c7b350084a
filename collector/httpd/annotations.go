package httpd

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// shortHexParameter is the form of fingerprints and ids of findings.
var shortHexParameter = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Annotations lists what people say about commands, by fingerprint.
func (s *Server) Annotations(ctx context.Context, page api.Page) (api.List[fleet.Annotation], error) {
	var list api.List[fleet.Annotation]
	index, err := s.newer(ctx, wait(page), ledger.Annotations)
	if err != nil {
		return list, err
	}
	if page, err = openPage(page); err != nil {
		return list, err
	}
	list = s.Ledger.Annotations(scopeOf(ctx), page)
	list.Next, list.Index = sealCursor(list.Next), index
	return list, nil
}

// Annotation returns what people say about one command.
func (s *Server) Annotation(ctx context.Context, fingerprint string) (fleet.Annotation, error) {
	said, found := s.Ledger.Annotation(scopeOf(ctx), fingerprint)
	if !found {
		return said, fleet.Errorf(fleet.NotFound, "nothing is said about the command %s", fingerprint).WithHint("fleetctl annotate")
	}
	return said, nil
}

func parseAnnotation(r *request) (string, error) {
	fingerprint, err := r.path("fingerprint", shortHexParameter)
	if err != nil {
		return "", err
	}
	return fingerprint, r.query(&struct{}{})
}

// annotateIn says whose a command is and what to know about it.
type annotateIn struct {
	change
	fingerprint string
	request     api.AnnotationRequest
}

func parseAnnotate() func(*request) (annotateIn, error) {
	decoder := newDecoder[api.AnnotationRequest]()
	return func(r *request) (in annotateIn, err error) {
		if in.fingerprint, err = parseAnnotation(r); err != nil {
			return in, err
		}
		if in.change, err = r.plainChange(); err != nil {
			return in, err
		}
		in.request, err = decoder.decode(r.body)
		return in, err
	}
}

func (s *Server) annotate(ctx context.Context, in annotateIn) (fleet.Annotation, error) {
	said := fleet.Annotation{
		Fingerprint: in.fingerprint, Owner: strings.TrimSpace(in.request.Owner), Note: strings.TrimSpace(in.request.Note),
		By: in.Actor, At: time.Now().UTC(),
	}
	if err := said.Validate(); err != nil {
		return said, err
	}
	result, err := s.propose(ctx, in.change, act{"annotation.put", "command " + in.fingerprint, ""}, &ledger.PutAnnotation{Annotation: said})
	if err != nil {
		return said, err
	}
	recorded, ok := result.(fleet.Annotation)
	if !ok {
		return said, fleet.Errorf(fleet.Internal, "the ledger answered %T", result)
	}
	return recorded, nil
}
