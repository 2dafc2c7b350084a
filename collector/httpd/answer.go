package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// answer joins the parser of a request and the service that answers it.
func answer[In, Out any](parse func(*request) (In, error), service func(context.Context, In) (Out, error)) handler {
	return func(w http.ResponseWriter, r *request) error {
		in, err := parse(r)
		if err != nil {
			return err
		}
		out, err := service(r.Context(), in)
		if err != nil {
			return err
		}
		return writeReply(w, r, out)
	}
}

// nothing parses a request that says nothing beyond its path.
func nothing(r *request) (struct{}, error) {
	var in struct{}
	return in, r.query(&in)
}

// query parses a request that says everything in its URL parameters.
func query[Q any](r *request) (Q, error) {
	var q Q
	return q, r.query(&q)
}

// writeReply writes a service's answer with its version and its age.
func writeReply(w http.ResponseWriter, r *request, out any) error {
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	status := http.StatusOK
	header := w.Header()
	switch value := out.(type) {
	case api.Enrolled:
		if r.Method == http.MethodPost && value.State == fleet.NodeActive {
			status = http.StatusCreated
		}
	case api.TaskView:
		header.Set("ETag", api.ETag(value.Index))
	case fleet.CalendarRecord:
		header.Set("ETag", api.ETag(value.Index))
	case fleet.Rules:
		header.Set("ETag", api.ETag(value.Index))
	case fleet.Request:
		header.Set("ETag", api.ETag(value.Index))
	case api.Sealed:
		if value.Request != nil {
			status = http.StatusAccepted
		}
	case fleet.TaskRecord:
		header.Set("ETag", api.ETag(value.Index))
	}
	if r.exchange.applied != nil {
		note(r.Context(), r.exchange.applied())
	}
	if index := r.exchange.index; index > 0 {
		header.Set(api.HeaderIndex, strconv.FormatUint(index, 10))
	}
	writeBody(w, status, api.MediaJSON, append(text, '\n'))
	return nil
}

// writeBody writes a whole body. A client that went away is no error of ours.
func writeBody(w http.ResponseWriter, status int, media string, text []byte) {
	header := w.Header()
	header.Set("Content-Type", media)
	header.Set("Content-Length", strconv.Itoa(len(text)))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime)) // a test's recorder has none
	w.WriteHeader(status)
	_, _ = bytes.NewReader(text).WriteTo(w)
}

// writeProblem writes an error as RFC 9457 has it.
func writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	problem := api.ProblemOf(err)
	if ex := exchangeOf(r.Context()); ex != nil {
		problem.RequestID = ex.id
	}
	if problem.Status == http.StatusServiceUnavailable || problem.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	challenge(w.Header(), err)
	text, err := json.Marshal(problem)
	if err != nil {
		text = []byte(`{"status":500,"code":"internal"}`) // never: a Problem holds only strings and numbers
	}
	w.Header().Del("Location")
	w.Header().Del("ETag")
	writeBody(w, problem.Status, api.MediaProblem, append(text, '\n'))
}

// fresh says how old the answer is.
func (s *Server) fresh(w http.ResponseWriter) {
	status := s.Replica.Status()
	index, _ := s.Ledger.Applied()
	w.Header().Set(api.HeaderIndex, strconv.FormatUint(index, 10))
	switch {
	case status.Leading:
		w.Header().Set(api.HeaderLastContact, "0")
	case status.LastContact >= 0:
		w.Header().Set(api.HeaderLastContact, strconv.FormatInt(int64(status.LastContact/time.Millisecond), 10))
	}
}
