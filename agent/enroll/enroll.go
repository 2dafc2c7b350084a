package enroll

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// Request says how a machine becomes a host.
type Request struct {
	Home      Home
	Token     string   // text of a join token; empty: go on with an enrolment that waits for a person
	Addresses []string // of collectors: https://192.0.2.7:7770
	Name      string   // hostname, for the person who approves
	Readmit   bool     // the token is for the host that this machine is already

	// Waiting is told what a person compares, once, when one must approve.
	Waiting func(node, fingerprint string)

	ask time.Duration // tests ask sooner than askFirst
}

// waiting is an enrolment that a person must approve.
type waiting struct {
	Node      string   `json:"node"`
	Pin       string   `json:"pin"`
	Addresses []string `json:"addresses"`
	Readmit   bool     `json:"readmit,omitempty"`

	root *x509.Certificate // that the collector has shown
}

// How often it is asked whether a person has approved.
const (
	askFirst = 2 * time.Second
	askMost  = 15 * time.Second
)

// Run enrols this machine and returns its credentials, which are on disk then.
// It waits for a person where one must approve; when ctx ends before, a later
// Run without a token goes on.
func (r *Request) Run(ctx context.Context) (*pki.Credentials, error) {
	had, err := r.check()
	if err != nil {
		return nil, err
	}
	wait, answer, err := r.begin(ctx)
	if err != nil {
		return nil, err
	}
	if answer.State == fleet.NodePending {
		if answer, err = r.await(ctx, &wait, answer); err != nil {
			return nil, err
		}
	}
	return r.take(ctx, &wait, had, answer)
}

// check refuses to make another host of one that is a host already. It returns
// the credentials that there are.
func (r *Request) check() (*pki.Credentials, error) {
	had, err := r.Home.Load()
	if coded, is := errors.AsType[*fleet.Error](err); is && coded.Code == "not_enrolled" {
		if r.Readmit {
			return nil, err
		}
		return nil, nil
	}
	if err == nil && !r.Readmit && !r.resumesReadmission() {
		return nil, fleet.Errorf(fleet.Conflict, "this machine is host %s already", had.ID().Name).WithCode("enrolled_already").
			WithHint("to let it in again: fleetctl agent readmit %s, and here --readmit; to make another host of it, move %s away", had.ID().Name, r.Home.Identity())
	}
	return had, err
}

func (r *Request) resumesReadmission() bool {
	wait, found, err := r.kept()
	return r.Token == "" && err == nil && found && wait.Readmit
}

// begin brings the token, or takes up an enrolment that waits.
func (r *Request) begin(ctx context.Context) (wait waiting, answer api.Enrolled, err error) {
	if r.Token == "" {
		wait, found, err := r.kept()
		if err == nil && !found {
			err = fleet.Errorf(fleet.Usage, "no enrolment is under way, and no token is given").WithHint("--token-file FILE")
		}
		return wait, api.Enrolled{Node: wait.Node, State: fleet.NodePending}, err
	}
	secret, err := pki.ParseJoinSecret(r.Token)
	if err != nil {
		return wait, answer, err
	}
	key, err := r.Home.key(forEnrolment)
	if err != nil {
		return wait, answer, fmt.Errorf("make a key: %w", err)
	}
	request, err := pki.Request(key)
	if err != nil {
		return wait, answer, err
	}
	proofKey, err := r.Home.proofKey()
	if err != nil {
		return wait, answer, err
	}
	wait = waiting{Pin: secret.Pin, Addresses: r.Addresses, Readmit: r.Readmit}
	err = wait.ask(func(c *api.Client) error {
		answer, err = c.Enroll(ctx, api.Enroll{Token: secret.Text(), Request: string(request), Name: r.Name, ProofKey: proofKey})
		return err
	})
	wait.Node = answer.Node
	return wait, answer, err
}

// ask calls the collectors, who must show a root of the pin before anything is
// said to them.
func (w *waiting) ask(do func(*api.Client) error) error {
	var root atomic.Pointer[x509.Certificate]
	client, err := api.NewClient(api.Config{Addresses: w.Addresses, TLS: pki.PinnedTLS(w.Pin, root.Store)})
	if err != nil {
		return err
	}
	defer client.Close()
	err = do(client)
	w.root = root.Load()
	return err
}

// await asks until a person has approved.
func (r *Request) await(ctx context.Context, wait *waiting, answer api.Enrolled) (api.Enrolled, error) {
	if err := r.keep(wait); err != nil {
		return answer, fmt.Errorf("keep the enrolment: %w", err)
	}
	key, err := r.Home.key(forEnrolment)
	if err != nil {
		return answer, err
	}
	fingerprint := pki.Fingerprint(&key.PublicKey)
	if answer.Fingerprint != "" && answer.Fingerprint != fingerprint {
		return answer, fleet.Errorf(fleet.Conflict, "the collector took another key in than ours: it has fingerprint %s, ours %s", answer.Fingerprint, fingerprint).WithCode("fingerprint_mismatch")
	}
	if r.Waiting != nil {
		r.Waiting(wait.Node, fingerprint)
	}
	for pause := cmp.Or(r.ask, askFirst); ; pause = min(pause*3/2, askMost) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return answer, fleet.Errorf(fleet.Unavailable, "nobody has approved host %s yet", wait.Node).WithCode("node_pending").
				WithHint("run fleetcron-agent enroll again, without a token, to go on waiting")
		}
		err := wait.ask(func(c *api.Client) (err error) {
			answer, err = c.Enrolled(ctx, wait.Node)
			return err
		})
		switch {
		case err != nil && fleet.KindOf(err) != fleet.Unavailable && fleet.KindOf(err) != fleet.TooMany:
			return answer, errors.Join(err, r.Home.forget(r.Home.pending(), r.Home.keyOf(forEnrolment)))
		case err == nil && answer.State == fleet.NodeActive:
			return answer, nil
		case err == nil && answer.State != fleet.NodePending:
			refused := fleet.Errorf(fleet.Refused, "host %s was not let in: it is %s", wait.Node, answer.State).WithCode("node_" + string(answer.State))
			return answer, errors.Join(refused, r.Home.forget(r.Home.pending(), r.Home.keyOf(forEnrolment)))
		}
	}
}

// take keeps what the answer brings, as far as the root that was pinned says so.
func (r *Request) take(ctx context.Context, wait *waiting, had *pki.Credentials, answer api.Enrolled) (*pki.Credentials, error) {
	key, err := r.Home.key(forEnrolment)
	if err != nil {
		return nil, err
	}
	credentials, err := credentialsOf(answer, key, wait.root)
	if err != nil {
		return nil, err
	}
	if had != nil && credentials.ID() != had.ID() {
		return nil, fleet.Errorf(fleet.Conflict, "the token was for %s, and this machine is %s", credentials.ID(), had.ID()).WithCode("another_host").
			WithHint("fleetctl agent readmit %s makes one for it", had.ID().Name)
	}
	given := fleet.Host{ID: fleet.HostID(credentials.ID().Name), Name: credentials.ID().Name, Labels: answer.Labels}
	if err := given.Validate(); err != nil {
		return nil, fmt.Errorf("what the collector answered: %w", err)
	}
	if err := errors.Join(r.Home.saveLabels(answer.Labels), r.Home.saveIdentity(credentials)); err != nil {
		return nil, fmt.Errorf("save identity: %w", err)
	}
	if err := r.Home.forget(r.Home.pending(), r.Home.keyOf(forEnrolment), r.Home.keyOf(forRenewal)); err != nil {
		return nil, err
	}
	addresses := answer.Collectors
	if len(addresses) == 0 {
		addresses = wait.Addresses
	}
	if err := r.Home.saveCollectors(addresses); err != nil {
		return nil, err
	}
	return credentials, r.gossip(ctx, credentials, wait.Addresses, answer.Gossip)
}

// gossip keeps ring and ticket; where the answer brings none it asks as the host
// that it is now. That it gets none is no failure: the agent asks again.
func (r *Request) gossip(ctx context.Context, credentials *pki.Credentials, addresses []string, ticket *api.GossipTicket) error {
	if ticket == nil {
		asked, err := (Calls{Credentials: credentials, Addresses: func() []string { return addresses }}).GossipTicket(ctx)
		if err != nil {
			return nil
		}
		ticket = &asked
	}
	_, err := r.Home.saveGossip(ticket)
	return err
}

// credentialsOf puts together what a collector has signed.
func credentialsOf(answer api.Enrolled, key *ecdsa.PrivateKey, root *x509.Certificate) (*pki.Credentials, error) {
	chain, err := pki.ParseCertificates([]byte(answer.Chain))
	if err != nil {
		return nil, fmt.Errorf("the collector's answer: %w", err)
	}
	credentials, err := pki.NewCredentials(key, chain, root)
	if err != nil {
		return nil, fmt.Errorf("the collector's answer: %w", err)
	}
	if credentials.ID().Role != pki.RoleAgent || cmp.Or(answer.Node, credentials.ID().Name) != credentials.ID().Name {
		return nil, fleet.Errorf(fleet.Invalid, "the collector's answer is about host %s, its certificate of %s", answer.Node, credentials.ID())
	}
	return credentials, nil
}

// keep and kept hold an enrolment that waits.
func (r *Request) keep(wait *waiting) error {
	text, err := json.Marshal(wait)
	if err != nil {
		return err
	}
	return errors.Join(durable.Replace(r.Home.pending(), append(text, '\n')), r.Home.give(r.Home.pending()))
}

func (r *Request) kept() (wait waiting, found bool, err error) {
	text, err := os.ReadFile(r.Home.pending())
	if errors.Is(err, fs.ErrNotExist) {
		return wait, false, nil
	}
	if err != nil {
		return wait, false, err
	}
	if err := json.Unmarshal(text, &wait); err != nil || wait.Node == "" {
		return wait, false, fleet.Invalidf("file", r.Home.pending(), "cannot be read").WithHint("remove it and enrol with a new token")
	}
	return wait, true, nil
}
