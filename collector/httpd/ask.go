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
const maxAnswer = 1 << 20

// diff asks the host itself, here if it polls here, else through the collector
// that it polls, unless another one has asked this one.
func (s *Server) diff(ctx context.Context, wish *fleet.Adoption, passed bool) (api.JobDiff, error) {
	if s.desk.polls(wish.Host) {
		text, err := s.askShort(ctx, wish.Host, api.Ask{Adopt: wish})
		if err != nil {
			return api.JobDiff{}, err
		}
		return readDiff(text)
	}
	if passed {
		return api.JobDiff{}, quietHost(wish.Host)
	}
	peers, err := s.peerURLs()
	if err != nil {
		return api.JobDiff{}, err
	}
	for _, target := range peers {
		if diff, err := s.diffThere(ctx, target, wish); err == nil {
			return diff, nil
		}
	}
	return api.JobDiff{}, quietHost(wish.Host)
}

func quietHost(host fleet.HostID) error {
	return fleet.Errorf(fleet.Unavailable, "host %s does not answer", host).WithCode(api.CodeSilent).WithHint("fleetctl hosts")
}

func readDiff(text []byte) (api.JobDiff, error) {
	var diff api.JobDiff
	if err := json.Unmarshal(text, &diff); err != nil {
		return diff, &fleet.Error{Kind: fleet.Unavailable, Code: api.CodeSilent, Message: "the host's answer cannot be read: its agent may be older than this collector", Err: err}
	}
	return diff, nil
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

// diffThere asks another collector to ask the host.
func (s *Server) diffThere(ctx context.Context, target *url.URL, wish *fleet.Adoption) (api.JobDiff, error) {
	address := target.JoinPath(api.HostPath(string(wish.Host)), "jobs", string(wish.Job.ID), "diff")
	address.RawQuery = api.Values(diffIn{Task: wish.Task, Force: wish.Force}).Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return api.JobDiff{}, err
	}
	s.markForwarded(request.Header, exchangeOf(ctx))
	reply, err := s.peers.RoundTrip(request)
	if err != nil {
		return api.JobDiff{}, err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(io.LimitReader(reply.Body, maxAnswer))
	if err == nil && reply.StatusCode != http.StatusOK {
		err = errors.New(reply.Status)
	}
	if err != nil {
		return api.JobDiff{}, err
	}
	return readDiff(text)
}
