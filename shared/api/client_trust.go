package api

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// SubmitOptions says how a sealed change is meant.
type SubmitOptions struct {
	// IfIndex is the Index of the version that is replaced; zero: there must be
	// none; nil: whatever there is.
	IfIndex   *uint64
	Unmatched bool   // accept a task that matches no known host
	Queue     bool   // of an order: accept hosts that are silent now
	Reason    string // why, in its author's words
}

// Submit brings a sealed change. The answer is what it became, or the request
// that waits for other people.
func (c *Client) Submit(ctx context.Context, envelope *seal.Envelope, options SubmitOptions) (Sealed, error) {
	request := call{
		method: http.MethodPost, path: PathSealed, body: envelope.Marshal(), query: url.Values{},
		header: sealedHeader(options.IfIndex, options.Reason),
	}
	if options.Unmatched {
		request.query.Set("unmatched", "allow")
	}
	if options.Queue {
		request.query.Set("queue", "allow")
	}
	value, _, err := read[Sealed](ctx, c, request)
	return value, err
}

// sealedHeader is of a change whose body is an envelope.
func sealedHeader(ifIndex *uint64, reason string) http.Header {
	header := conditionHeader(ifIndex, reason)
	header.Set("Content-Type", MediaSealed)
	return header
}

// conditionHeader is as of SubmitOptions.
func conditionHeader(ifIndex *uint64, reason string) http.Header {
	header := changeHeader(ifIndex, reason)
	switch {
	case ifIndex == nil:
		header.Del("If-Match") // "*" would want that there is one
	case *ifIndex == 0:
		header.Del("If-Match")
		header.Set("If-None-Match", "*")
	}
	return header
}

// Trust says whose fleet it is. Nobody is asked who they are.
func (c *Client) Trust(ctx context.Context) (Trust, error) {
	return get[Trust](ctx, c, PathTrust, nil)
}

// WhoAmI says who the collectors take the caller for.
func (c *Client) WhoAmI(ctx context.Context) (WhoAmI, error) {
	return get[WhoAmI](ctx, c, PathWhoAmI, nil)
}

// Session makes a link that logs a browser in.
func (c *Client) Session(ctx context.Context) (Session, error) {
	return change[Session](ctx, c, call{method: http.MethodPost, path: PathSession}, nil)
}

// Tokens lists the tokens of people.
func (c *Client) Tokens(ctx context.Context) (List[fleet.Token], error) {
	return get[List[fleet.Token]](ctx, c, PathTokens, nil)
}

// MakeToken makes a token; its secret is told this once.
func (c *Client) MakeToken(ctx context.Context, token NewToken) (MadeToken, error) {
	return change[MadeToken](ctx, c, call{method: http.MethodPost, path: PathTokens}, token)
}

// RevokeToken ends a token at once.
func (c *Client) RevokeToken(ctx context.Context, id, reason string) error {
	return c.drop(ctx, PathTokens+"/"+url.PathEscape(id), nil, reason)
}

// JoinTokens lists the join tokens that count.
func (c *Client) JoinTokens(ctx context.Context) (List[fleet.JoinToken], error) {
	return get[List[fleet.JoinToken]](ctx, c, PathJoinTokens, nil)
}

// MakeJoinToken makes a join token; its secret is told this once.
func (c *Client) MakeJoinToken(ctx context.Context, token NewJoinToken) (MadeJoinToken, error) {
	return change[MadeJoinToken](ctx, c, call{method: http.MethodPost, path: PathJoinTokens}, token)
}

// DropJoinToken withdraws a join token.
func (c *Client) DropJoinToken(ctx context.Context, id string) error {
	return c.drop(ctx, PathJoinTokens+"/"+url.PathEscape(id), nil, "")
}

// Nodes lists the machines that were enrolled.
func (c *Client) Nodes(ctx context.Context, page Page) (List[fleet.Node], error) {
	return list[fleet.Node](ctx, c, PathNodes, page, page)
}

// Node returns one machine by its id.
func (c *Client) Node(ctx context.Context, id string) (fleet.Node, error) {
	return get[fleet.Node](ctx, c, nodePath(id), nil)
}

// ChangeNode approves, suspends, revokes or lifts the suspension of a machine.
func (c *Client) ChangeNode(ctx context.Context, id string, to NodeChange) (fleet.Node, error) {
	return change[fleet.Node](ctx, c, call{method: http.MethodPatch, path: nodePath(id), header: changeHeader(nil, to.Reason)}, to)
}

func nodePath(id string) string { return PathNodes + "/" + url.PathEscape(id) }

// Rules lists what namespaces ask of those who change them.
func (c *Client) Rules(ctx context.Context) (List[fleet.Rules], error) {
	return get[List[fleet.Rules]](ctx, c, PathRules, nil)
}

// PutRules makes or replaces the rules of a namespace. ifIndex is as of SubmitOptions.
func (c *Client) PutRules(ctx context.Context, rules fleet.Rules, ifIndex *uint64, reason string) (fleet.Rules, error) {
	return change[fleet.Rules](ctx, c, call{method: http.MethodPut, path: rulePath(rules.Namespace), header: conditionHeader(ifIndex, reason)}, rules)
}

// DropRules takes the rules of a namespace away.
func (c *Client) DropRules(ctx context.Context, namespace string, ifIndex *uint64, reason string) error {
	return c.drop(ctx, rulePath(namespace), ifIndex, reason)
}

func rulePath(namespace string) string { return PathRules + "/" + url.PathEscape(namespace) }

// Requests lists the changes that wait for other people.
func (c *Client) Requests(ctx context.Context) (List[fleet.Request], error) {
	return get[List[fleet.Request]](ctx, c, PathRequests, nil)
}

// Request returns one change that waits.
func (c *Client) Request(ctx context.Context, id string) (fleet.Request, error) {
	return get[fleet.Request](ctx, c, requestPath(id), nil)
}

// Approve adds the signature that the envelope has more than the request of that
// Index. The answer is what the change became, or the request that still waits.
func (c *Client) Approve(ctx context.Context, id string, index uint64, envelope *seal.Envelope, reason string) (Sealed, error) {
	value, _, err := read[Sealed](ctx, c, call{
		method: http.MethodPost, path: requestPath(id) + "/approval", body: envelope.Marshal(), header: sealedHeader(&index, reason),
	})
	return value, err
}

// DropRequest withdraws a change that waits.
func (c *Client) DropRequest(ctx context.Context, id, reason string) error {
	return c.drop(ctx, requestPath(id), nil, reason)
}

func requestPath(id string) string { return PathRequests + "/" + url.PathEscape(id) }

// Countersign adds the signature that the envelope has more than the statement
// of a task that stands.
func (c *Client) Countersign(ctx context.Context, task fleet.TaskID, index uint64, envelope *seal.Envelope) (fleet.TaskRecord, error) {
	value, _, err := read[fleet.TaskRecord](ctx, c, call{
		method: http.MethodPut, path: TaskPath(task) + "/envelope", body: envelope.Marshal(), header: sealedHeader(&index, ""),
	})
	return value, err
}

// Audit lists links of the audit chain.
func (c *Client) Audit(ctx context.Context, q AuditQuery) (List[fleet.AuditEntry], error) {
	return list[fleet.AuditEntry](ctx, c, PathAudit, q, q.Page)
}

// Chain walks the whole audit chain from its first link on.
func (c *Client) Chain(ctx context.Context) iter.Seq2[fleet.AuditEntry, error] {
	return func(yield func(fleet.AuditEntry, error) bool) {
		q := AuditQuery{Page: Page{Limit: MaxPage}}
		for {
			page, err := c.Audit(ctx, q)
			if err != nil {
				yield(fleet.AuditEntry{}, err)
				return
			}
			for _, entry := range page.Items {
				if !yield(entry, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			q.After = page.Next
		}
	}
}

// HostChains lists the heads of the chains that hosts keep of themselves.
func (c *Client) HostChains(ctx context.Context) (List[HostChain], error) {
	return get[List[HostChain]](ctx, c, PathAuditAgent, nil)
}

// Policies lists what hosts say of their policies, and what they refuse.
func (c *Client) Policies(ctx context.Context) (List[HostChain], error) {
	return get[List[HostChain]](ctx, c, PathPolicies, nil)
}

// RotateGossipKey gives the fleet another gossip key; members learn it by and by.
func (c *Client) RotateGossipKey(ctx context.Context) error {
	_, err := change[json.RawMessage](ctx, c, call{method: http.MethodPost, path: PathGossipKey}, nil)
	return err
}

// GossipTicket returns the gossip keys and the caller's own ticket.
func (c *Client) GossipTicket(ctx context.Context) (GossipTicket, error) {
	return get[GossipTicket](ctx, c, PathGossipKey, nil)
}

// Enroll asks for a certificate with a join token.
func (c *Client) Enroll(ctx context.Context, request Enroll) (Enrolled, error) {
	return change[Enrolled](ctx, c, call{method: http.MethodPost, path: PathEnroll}, request)
}

// Enrolled returns how far the enrolment of a node is.
func (c *Client) Enrolled(ctx context.Context, node string) (Enrolled, error) {
	return get[Enrolled](ctx, c, PathEnroll+"/"+url.PathEscape(node), nil)
}

// Renew asks for the next certificate of an agent.
func (c *Client) Renew(ctx context.Context, host fleet.HostID, request Renew) (Enrolled, error) {
	return change[Enrolled](ctx, c, call{method: http.MethodPost, path: AgentPath(host) + "/certificate"}, request)
}

// JobDiff says what adopting a found job as a task would change on its host.
func (c *Client) JobDiff(ctx context.Context, host string, job fleet.JobID, task fleet.TaskID, force bool) (JobDiff, error) {
	query := url.Values{}
	if task != "" {
		query.Set("task", string(task))
	}
	if force {
		query.Set("force", strconv.FormatBool(force))
	}
	return ofHost[JobDiff](ctx, c, HostPath(host)+"/jobs/"+url.PathEscape(string(job))+"/diff", query)
}

// drop takes something away. ifIndex nil takes whatever version there is.
func (c *Client) drop(ctx context.Context, path string, ifIndex *uint64, reason string) error {
	_, _, err := read[json.RawMessage](ctx, c, call{method: http.MethodDelete, path: path, header: changeHeader(ifIndex, reason)})
	return err
}
