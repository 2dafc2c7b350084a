package httpd

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// trust says whom a client speaks to. It proves nothing: whoever has no pin
// compares it with one that came another way.
func (s *Server) trust(context.Context, struct{}) (api.Trust, error) {
	if s.Authority == nil {
		return api.Trust{}, noAuthority()
	}
	return api.Trust{Cluster: s.Authority.Cluster(), CA: s.rootPEM(), Pin: s.Authority.Pin()}, nil
}

func (s *Server) rootPEM() string { return string(pki.EncodeCertificates(s.Authority.Root())) }

func noAuthority() error {
	return fleet.Errorf(fleet.Unavailable, "this collector signs no certificates").WithCode("no_authority")
}

// enrolling is who wants to become a node, with what is left of the request
// after it was read.
type enrolling struct {
	api.Enroll
	secret pki.JoinSecret
	role   fleet.PrincipalKind
}

func parseEnroll() func(*request) (enrolling, error) {
	decoder := newDecoder[api.Enroll]()
	return func(r *request) (in enrolling, err error) {
		if err := r.query(&struct{}{}); err != nil {
			return in, err
		}
		if in.Enroll, err = decoder.decode(r.body); err != nil {
			return in, err
		}
		if len(in.Name) > 253 || !printable(in.Name) {
			return in, fleet.Invalidf("name", clip(in.Name), "want at most 253 printable characters")
		}
		if n := len(in.ProofKey); n != 0 && n != ed25519.PublicKeySize {
			return in, fleet.Invalidf("proof_key", "", "want an Ed25519 key of %d bytes, or none", ed25519.PublicKeySize)
		}
		if in.secret, err = pki.ParseJoinSecret(in.Token); err != nil {
			return in, joinTokenInvalid()
		}
		in.role = fleet.AgentKind
		if in.Intermediate != "" {
			in.role = fleet.CollectorKind
		}
		return in, nil
	}
}

// joinTokenInvalid is what the ledger says of a join token that does not count.
func joinTokenInvalid() error {
	return fleet.Errorf(fleet.Unauthenticated, "the join token does not count: it is unknown, used or expired").WithCode("join_token_invalid").
		WithHint("fleetctl enroll-token makes another")
}

// enroll makes a node of whoever brings a join token. The certificate is made
// first and counts from the moment that the ledger has used the token up for
// it: of many who bring one, one gets in.
func (s *Server) enroll(ctx context.Context, in enrolling) (api.Enrolled, error) {
	if s.Authority == nil {
		return api.Enrolled{}, noAuthority()
	}
	now := time.Now().UTC()
	caller := callerOf(ctx)
	token, err := s.Ledger.CheckJoinToken(in.secret.ID, in.secret.Hash(), caller.Address, in.role, now)
	if err != nil {
		return api.Enrolled{}, s.failedJoin(caller, err)
	}
	node, issued, err := s.candidate(ctx, &in, &token, now)
	if err != nil {
		return api.Enrolled{}, err
	}
	why := "join token " + token.ID
	if node.Name != "" {
		why += ", calls itself " + node.Name
	}
	if len(issued.extras) > 0 {
		why += "; csr_extras_ignored: " + strings.Join(issued.extras, ", ")
	}
	result, err := s.Replica.Propose(ctx, &ledger.Audited{
		At: now, By: fleet.Principal{Kind: in.role, Name: node.ID, Via: viaEnroll, Address: caller.Address},
		Action: "node.enroll", Object: string(in.role) + " " + node.ID, Why: why,
		Command: &ledger.UseJoinToken{ID: in.secret.ID, Hash: in.secret.Hash(), From: caller.Address, Node: node, Chain: issued.Chain, At: now},
	})
	if err != nil {
		return api.Enrolled{}, s.failedJoin(caller, err)
	}
	made, is := result.(fleet.Node)
	if !is {
		return api.Enrolled{}, fmt.Errorf("enrol: the ledger answered %T", result)
	}
	answer := s.enrolledNode(&made, issued.Chain)
	answer.Intermediate = string(issued.Intermediate)
	answer.Gossip, err = s.gossipFor(&made)
	return answer, err
}

// failedJoin counts a join token that does not count.
func (s *Server) failedJoin(caller *fleet.Principal, err error) error {
	if fleet.KindOf(err) == fleet.Unauthenticated {
		if wait := s.limits.failedJoin(caller.Address); wait > 0 {
			return tooOften(wait)
		}
	}
	return err
}

// made is a certificate and what of its request was left aside.
type made struct {
	identity.Issued
	extras []string
}

// candidate returns the node that the token would make, and its certificate
// unless a person must approve first.
func (s *Server) candidate(ctx context.Context, in *enrolling, token *fleet.JoinToken, now time.Time) (node fleet.Node, issued made, err error) {
	request, err := identity.ParseRequest([]byte(in.Request))
	if err != nil {
		return node, issued, err
	}
	issued.extras = request.Extras
	node = fleet.Node{ID: nodeID(token), Role: in.role, Name: in.Name, Fingerprint: request.Fingerprint, Enrolled: now}
	if in.role == fleet.AgentKind {
		node.ProofKey = in.ProofKey
	}
	switch {
	case in.role == fleet.CollectorKind && !s.Authority.HasRootKey():
		issued.Issued, err = s.signedElsewhere(ctx, in, token.Collector)
	case in.role == fleet.CollectorKind:
		issued.Issued, err = s.issueCollector(in, request, token.Collector, now)
	case token.Approve:
		node.Request = request.DER
		return node, issued, nil
	default:
		issued.Issued, err = s.Authority.IssueAgent(request, fleet.HostID(node.ID), now)
	}
	node.Serial, node.Expires = issued.Serial, issued.Expires
	return node, issued, err
}

// nodeID returns the id that the token names, or a new one: never one that its
// bearer chose.
func nodeID(token *fleet.JoinToken) string {
	switch {
	case token.Collector != "":
		return string(token.Collector)
	case token.Node != "":
		return string(token.Node)
	}
	id := make([]byte, 16)
	rand.Read(id) // never fails: it ends the process instead
	return hex.EncodeToString(id)
}

func (s *Server) issueCollector(in *enrolling, request identity.Request, id fleet.CollectorID, now time.Time) (identity.Issued, error) {
	if err := calledSo(in, id); err != nil {
		return identity.Issued{}, err
	}
	issuer, err := identity.ParseRequest([]byte(in.Intermediate))
	if err != nil {
		return identity.Issued{}, err
	}
	return s.Authority.IssueCollector(request, issuer, id, in.Hosts, now)
}

func calledSo(in *enrolling, id fleet.CollectorID) error {
	if in.Name == string(id) {
		return nil
	}
	return fleet.Errorf(fleet.Refused, "the join token is for collector %s, this one is called %s", id, clip(in.Name)).
		WithCode("collector_id_mismatch").WithHint("set id to %s there, or make a token for it; this one was not used", id)
}

// enrolledNode is what a machine is told of itself.
func (s *Server) enrolledNode(node *fleet.Node, chain []byte) api.Enrolled {
	return api.Enrolled{
		Node: node.ID, Cluster: s.Authority.Cluster(), State: node.State, Fingerprint: node.Fingerprint,
		Chain: string(chain), CA: s.rootPEM(), Collectors: s.collectorURLs(), Labels: node.Labels,
	}
}

// collectorURLs returns where the collectors' APIs are.
func (s *Server) collectorURLs() (urls []string) {
	known, err := s.Ledger.Collectors()
	if err != nil {
		return nil
	}
	for _, collector := range known {
		urls = append(urls, collector.API)
	}
	return urls
}

// gossipFor returns what lets an active node into gossip.
func (s *Server) gossipFor(node *fleet.Node) (*api.GossipTicket, error) {
	if node.State != fleet.NodeActive || s.Ring == nil {
		return nil, nil
	}
	ticket := api.GossipTicket{Keys: s.Ring.Texts(), Seeds: s.Seeds()}
	if node.Role == fleet.CollectorKind {
		return &ticket, nil // it has an issuer, and signs its own
	}
	var err error
	ticket.Ticket, err = s.Authority.Ticket(pki.ID{Cluster: s.Authority.Cluster(), Role: pki.RoleAgent, Name: node.ID}, node.Expires)
	return &ticket, err
}

var nodeParameter = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)

func parseNode(r *request) (string, error) {
	id, err := r.path("node", nodeParameter)
	if err != nil {
		return "", err
	}
	return id, r.query(&struct{}{})
}

// enrolled tells a machine that waits for a person whether it was approved, and
// its certificate, which is no secret. The gossip keys it fetches with that.
func (s *Server) enrolled(_ context.Context, id string) (api.Enrolled, error) {
	if s.Authority == nil {
		return api.Enrolled{}, noAuthority()
	}
	node, chain, found, err := s.Ledger.Enrolled(id)
	if err != nil || !found || node.Role != fleet.AgentKind { // nobody approves a collector, and its name can be guessed
		return api.Enrolled{}, errors.Join(err, fleet.Errorf(fleet.NotFound, "no node %s", id))
	}
	return s.enrolledNode(&node, chain), nil
}

// renewal asks for the next certificate of a host.
type renewal struct {
	host fleet.HostID
	api.Renew
}

func parseRenew() func(*request) (renewal, error) {
	decoder := newDecoder[api.Renew]()
	return func(r *request) (in renewal, err error) {
		if in.host, in.Renew, err = parseAgent(r, decoder); err != nil {
			return in, err
		}
		if in.Serial != r.exchange.caller.Token { // also where another collector passes it on, that has not looked
			return in, fleet.Invalidf("serial", clip(in.Serial), "is not that of the certificate of this connection")
		}
		return in, nil
	}
}

// renew makes the next certificate of a host. Two renewals of one certificate
// with different keys mean that two machines use one identity: the ledger then
// suspends it.
func (s *Server) renew(ctx context.Context, in renewal) (api.Enrolled, error) {
	if s.Authority == nil {
		return api.Enrolled{}, noAuthority()
	}
	now := time.Now().UTC()
	request, err := identity.ParseRequest([]byte(in.Request))
	if err != nil {
		return api.Enrolled{}, err
	}
	issued, err := s.Authority.IssueAgent(request, in.host, now)
	if err != nil {
		return api.Enrolled{}, err
	}
	result, err := s.Replica.Propose(ctx, &ledger.Audited{
		At: now, By: *callerOf(ctx), Action: "node.renew", Object: "agent " + string(in.host),
		Command: &ledger.RenewNode{
			ID: string(in.host), Before: in.Serial, Serial: issued.Serial, Fingerprint: issued.Fingerprint, Expires: issued.Expires, At: now,
		},
	})
	if err != nil {
		return api.Enrolled{}, err
	}
	node, is := result.(fleet.Node)
	if !is {
		return api.Enrolled{}, fmt.Errorf("renew: the ledger answered %T", result)
	}
	answer := s.enrolledNode(&node, issued.Chain)
	answer.Gossip, err = s.gossipFor(&node)
	return answer, err
}

// gossipTicket gives a member the ring, and a host its ticket.
func (s *Server) gossipTicket(ctx context.Context, _ struct{}) (api.GossipTicket, error) {
	caller := callerOf(ctx)
	node, err := s.Ledger.Node(everywhere, caller.Name)
	if caller.Kind == fleet.CollectorKind {
		node, err = fleet.Node{Role: fleet.CollectorKind, State: fleet.NodeActive}, nil // the root vouches for it
	}
	if err != nil {
		return api.GossipTicket{}, err
	}
	ticket, err := s.gossipFor(&node)
	if ticket == nil {
		return api.GossipTicket{}, errors.Join(err, fleet.Errorf(fleet.Unavailable, "this collector has no gossip"))
	}
	return *ticket, err
}

// rotated answers a rotation of the gossip key.
type rotated struct {
	Ring string `json:"ring"` // digest of the keys
}

func parseRotate(r *request) (change, error) {
	if err := r.query(&struct{}{}); err != nil {
		return change{}, err
	}
	return r.plainChange()
}

// rotate begins a rotation of the gossip key; the leader carries it on. The ring
// is no part of the ledger, so the entry of the chain comes first: where it cannot
// be written, nothing is rotated.
func (s *Server) rotate(ctx context.Context, in change) (rotated, error) {
	if s.Ring == nil {
		return rotated{}, fleet.Errorf(fleet.Unavailable, "this collector has no gossip")
	}
	now := time.Now().UTC()
	entry := fleet.AuditEntry{At: now, By: *callerOf(ctx), Action: "gossip.rotate", Object: "gossip key", Decision: ledger.AuditDone, Why: in.Reason}
	note := func() error {
		_, err := s.Replica.Propose(ctx, &ledger.RecordRefusals{Entries: []fleet.AuditEntry{entry}})
		return err
	}
	if err := note(); err != nil {
		return rotated{}, err
	}
	if err := s.Ring.Rotate(now); err != nil {
		entry.Decision, entry.Code, entry.Why = ledger.AuditRefused, api.ProblemOf(err).Code, err.Error()
		if unwritten := note(); unwritten != nil {
			err = errors.Join(err, unwritten)
		}
		return rotated{}, err
	}
	return rotated{s.Ring.Digest()}, nil
}
