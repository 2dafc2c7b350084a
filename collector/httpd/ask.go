package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// maxAnswer is how much of an agent's answer to a short question is read.
const maxAnswer = 8 << 20

// diff asks the host what an adoption would change.
func (s *Server) diff(ctx context.Context, wish *fleet.Adoption, passed bool) (api.JobDiff, error) {
	query := api.Values(diffIn{Task: wish.Task, Force: wish.Force})
	text, err := s.askHost(ctx, wish.Host, api.Ask{Adopt: wish}, passed, "jobs/"+string(wish.Job.ID)+"/diff", query)
	if err != nil {
		return api.JobDiff{}, err
	}
	return readAnswer[api.JobDiff](text)
}

// askHost asks the host itself, here if it polls here, else through the
// collector that it polls, unless another one has asked this one. There the
// question is asked by a GET of way below the host's path.
func (s *Server) askHost(ctx context.Context, host fleet.HostID, question api.Ask, passed bool, way string, query url.Values) ([]byte, error) {
	if s.desk.polls(host) {
		return s.askShort(ctx, host, question)
	}
	if passed {
		return nil, quietHost(host)
	}
	peers, err := s.peerURLs()
	if err != nil {
		return nil, err
	}
	for _, target := range peers {
		address := target.JoinPath(api.HostPath(string(host)), way)
		address.RawQuery = query.Encode()
		if text, err := s.askThere(ctx, address); err == nil {
			return text, nil
		}
	}
	return nil, quietHost(host)
}

func quietHost(host fleet.HostID) error {
	return fleet.Errorf(fleet.Unavailable, "host %s does not answer", host).WithCode(api.CodeSilent).WithHint("fleetctl hosts")
}

// readAnswer reads what an agent answered.
func readAnswer[T any](text []byte) (answer T, err error) {
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, &fleet.Error{Kind: fleet.Unavailable, Code: api.CodeSilent, Message: "the host's answer cannot be read: its agent may be older than this collector", Err: err}
	}
	return answer, nil
}

// askShort lays a question down for the agent and reads the answer whole.
func (s *Server) askShort(ctx context.Context, host fleet.HostID, question api.Ask) ([]byte, error) {
	one, err := s.desk.put(host, question)
	if err != nil {
		return nil, err
	}
	defer s.desk.drop(host, one)
	limit := time.NewTimer(answerLimit)
	defer limit.Stop()
	select {
	case answer := <-one.answered:
		answer.alive()
		text, err := io.ReadAll(io.LimitReader(answer.output, maxAnswer))
		answer.end <- err
		if err != nil {
			return nil, &fleet.Error{Kind: fleet.Unavailable, Message: "the host's answer broke off", Err: err}
		}
		return text, nil
	case <-limit.C:
		return nil, quietHost(host)
	case <-s.life.Done():
		return nil, quietHost(host)
	case <-ctx.Done():
		return nil, &fleet.Error{Kind: fleet.Unavailable, Message: "the caller went away", Err: ctx.Err()}
	}
}

// askThere asks another collector to ask the host.
func (s *Server) askThere(ctx context.Context, address *url.URL) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	s.markForwarded(ctx, request.Header)
	reply, err := s.Peers.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(io.LimitReader(reply.Body, maxAnswer))
	if err == nil && reply.StatusCode != http.StatusOK {
		err = errors.New(reply.Status)
	}
	return text, err
}
