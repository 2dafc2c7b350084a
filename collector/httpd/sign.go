package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// sign makes the certificates of a collector for a leader that has no root key,
// where this one has it. It looks at the join token itself: another collector's
// word is not enough to make a collector.
func (s *Server) sign(ctx context.Context, in enrolling) (api.Enrolled, error) {
	now := time.Now().UTC()
	token, err := s.Ledger.CheckJoinToken(in.secret.ID, in.secret.Hash(), callerOf(ctx).Address, fleet.CollectorKind, now)
	if err != nil {
		return api.Enrolled{}, err
	}
	request, err := identity.ParseRequest([]byte(in.Request))
	if err != nil {
		return api.Enrolled{}, err
	}
	if !s.signed.first(token.ID, request.Fingerprint) {
		return api.Enrolled{}, joinTokenInvalid()
	}
	issued, err := s.issueCollector(&in, request, token.Collector, now)
	return api.Enrolled{
		Node: string(token.Collector), Cluster: s.Authority.Cluster(), State: fleet.NodePending, Fingerprint: issued.Fingerprint,
		Chain: string(issued.Chain), Intermediate: string(issued.Intermediate),
	}, err
}

// signed remembers for which key a join token was signed here. The token is used
// up by the leader, which may be bad and keep a certificate for itself. The zero
// value is ready.
type signed struct {
	mu   sync.Mutex
	keys map[string]string // fingerprint by token
}

// first reports whether no other key was signed for the token.
func (s *signed) first(token, fingerprint string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = map[string]string{}
	}
	if known := s.keys[token]; known != "" {
		return known == fingerprint
	}
	s.keys[token] = fingerprint
	return true
}

// signLimit is how long another collector may take to sign.
const signLimit = 5 * time.Second

// signedElsewhere asks the other collectors, one of which may have the root key.
func (s *Server) signedElsewhere(ctx context.Context, in *enrolling, id fleet.CollectorID) (identity.Issued, error) {
	if err := calledSo(in, id); err != nil {
		return identity.Issued{}, err
	}
	urls, err := s.peerURLs()
	if err != nil {
		return identity.Issued{}, err
	}
	body, err := json.Marshal(in.Enroll)
	if err != nil {
		return identity.Issued{}, err
	}
	path := strings.Replace(api.PathCollectorSign, "{collector}", string(id), 1)
	for peer, url := range urls {
		issued, err := s.askToSign(ctx, url.JoinPath(path).String(), body)
		if err == nil {
			return issued, nil
		}
		s.Logger.Debug("collector not signed there", "collector", id, "asked", peer, "error", err)
	}
	return identity.Issued{}, fleet.Errorf(fleet.Unavailable, "no collector that answers has the root key, and a collector's certificate is signed by the root").
		WithCode("root_key_offline").WithHint("fleetcron-collector enroll --write-request FILE, then fleetcron-collector issue where the root key is")
}

func (s *Server) askToSign(ctx context.Context, url string, body []byte) (identity.Issued, error) {
	ctx, cancel := context.WithTimeout(ctx, signLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return identity.Issued{}, err
	}
	request.Header.Set("Content-Type", api.MediaJSON)
	s.markForwarded(ctx, request.Header)
	reply, err := s.Peers.RoundTrip(request)
	if err != nil {
		return identity.Issued{}, err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(io.LimitReader(reply.Body, api.MaxBody))
	if err != nil || reply.StatusCode != http.StatusOK {
		return identity.Issued{}, errors.Join(err, fleet.Errorf(fleet.Refused, "%s: %s", reply.Status, clip(string(text))))
	}
	var signed api.Enrolled
	if err := json.Unmarshal(text, &signed); err != nil {
		return identity.Issued{}, err
	}
	chain, err := pki.ParseCertificates([]byte(signed.Chain))
	if err != nil {
		return identity.Issued{}, err
	}
	return identity.Issued{
		Serial: pki.Serial(chain[0]), Fingerprint: signed.Fingerprint, Expires: chain[0].NotAfter,
		Chain: []byte(signed.Chain), Intermediate: []byte(signed.Intermediate),
	}, nil
}
