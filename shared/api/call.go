package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// maxReply is how many bytes of a JSON reply are read.
const maxReply = 256 << 20

// call is one request, to be sent as often as it takes.
type call struct {
	method string
	path   string
	query  url.Values
	header http.Header
	body   []byte
	stream io.Reader     // instead of body: read once, so the call is tried once
	wait   time.Duration // how long the collector may hold the answer back
	open   bool          // the answer is a stream: no time-out once it began
	clock  bool          // say what time it is here
	host   bool          // a host answers, through any collector: the leader's answer is no better
}

// unreachable is why a collector did not answer at all.
type unreachable struct{ error }

// Unwrap returns the cause.
func (u unreachable) Unwrap() error { return u.error }

// busy is why a collector wants to be asked again, a little later.
type busy struct {
	error
	wait time.Duration
}

// Unwrap returns what it said.
func (b busy) Unwrap() error { return b.error }

// patience is how long a collector may want to be left alone and is asked again
// all the same, and patiently how often: who does a thousand things is slowed
// down, and who has to wait longer is told.
const (
	patience  = 2 * time.Second
	patiently = 100
)

// send returns the first answer that is no reason to ask another collector, or
// to ask again in a moment. The caller closes its body.
func (c *Client) send(ctx context.Context, call call) (*http.Response, error) {
	if call.method != http.MethodGet {
		call.header = withKey(call.header)
	}
	var last error
	for range patiently {
		reply, err := c.sendNow(ctx, call)
		later, is := errors.AsType[busy](err)
		if !is {
			return reply, err
		}
		if last = later.error; later.wait > patience || call.stream != nil || sleep(ctx, later.wait) != nil {
			break
		}
	}
	return nil, last
}

func (c *Client) sendNow(ctx context.Context, call call) (*http.Response, error) {
	for round := 0; ; round++ {
		failed := make([]error, 0, 3)
		for _, address := range c.Addresses() {
			reply, err := c.ask(ctx, address, call)
			if err == nil {
				c.prefer(address)
				c.budget.earn()
				return reply, nil
			}
			if ctx.Err() != nil {
				return nil, &fleet.Error{Kind: fleet.Unavailable, Message: "gave up waiting for an answer", Err: ctx.Err()}
			}
			if fleet.KindOf(err) != fleet.Unavailable || call.stream != nil {
				return nil, err
			}
			failed = append(failed, err)
		}
		if round+1 >= c.rounds(failed) || !c.budget.spend() {
			return nil, summary(failed)
		}
		if err := sleep(ctx, backoff(round)); err != nil {
			return nil, &fleet.Error{Kind: fleet.Unavailable, Message: "gave up waiting for an answer", Err: err}
		}
	}
}

// rounds returns how often to try: twice where nobody is there, more often
// where somebody is, who may be about to find a new leader.
func (c *Client) rounds(failed []error) int {
	for _, err := range failed {
		if _, silent := errors.AsType[unreachable](err); !silent {
			return c.config.Rounds
		}
	}
	return min(2, c.config.Rounds)
}

// backoff returns a pause of 200 ms, 800 ms, 3.2 s, 5 s …, half of it by
// chance, so that a fleet does not come back in step.
func backoff(round int) time.Duration {
	full := min(5*time.Second, 200*time.Millisecond<<(2*min(round, 8)))
	return full/2 + time.Duration(mathrand.Int64N(int64(full/2)))
}

// ask asks one collector, first for the leader's answer where that is wanted.
func (c *Client) ask(ctx context.Context, address string, call call) (*http.Response, error) {
	own := !c.config.Consistent || call.method != http.MethodGet || call.open || call.host || call.wait > 0 || call.path == PathCollectors
	if own {
		return c.attempt(ctx, address, call)
	}
	consistent := call
	consistent.query = url.Values{"consistent": {""}}
	maps.Copy(consistent.query, call.query)
	reply, err := c.attempt(ctx, address, consistent)
	if _, silent := errors.AsType[unreachable](err); err == nil || silent || fleet.KindOf(err) != fleet.Unavailable {
		return reply, err
	}
	reply, err = c.attempt(ctx, address, call)
	if err == nil {
		c.mu.Lock()
		c.stale = true
		c.mu.Unlock()
	}
	return reply, err
}

// attempt asks one collector once. An answer that is no success is an error.
func (c *Client) attempt(ctx context.Context, address string, call call) (*http.Response, error) {
	ctx, cause := context.WithCancelCause(ctx)
	cancel := func() { cause(nil) }
	limit := time.AfterFunc(c.config.Timeout+call.wait+call.wait/16, func() { cause(errSlow) })
	if call.stream != nil {
		call.stream = &upload{call.stream, limit, c.config.Timeout}
	}
	request, err := c.request(ctx, address, call)
	if err != nil {
		limit.Stop()
		cancel()
		return nil, err
	}
	reply, err := c.http.Do(request)
	if err != nil {
		limit.Stop()
		cancel()
		if errors.Is(context.Cause(ctx), errSlow) {
			err = fmt.Errorf("no answer within %s", c.config.Timeout+call.wait)
		}
		err = bare(err)
		if why := pki.Explain(err); why != nil {
			err = why
		}
		return nil, &fleet.Error{Kind: fleet.Unavailable, Message: "collector " + address, Err: unreachable{err}}
	}
	if digest := reply.Header.Get(HeaderRing); digest != "" && c.config.Ring != nil {
		c.config.Ring(digest)
	}
	if call.open {
		limit.Stop()
	}
	reply.Body = &body{ReadCloser: reply.Body, done: func() { limit.Stop(); cancel() }}
	if reply.StatusCode >= 300 {
		defer reply.Body.Close()
		return nil, problemOf(reply)
	}
	return reply, nil
}

// errSlow ends an attempt that takes too long.
var errSlow = errors.New("too slow")

// upload is a stream on its way: the time for an answer begins at its end. It
// may be quiet for hours, as the output of a run that is followed.
type upload struct {
	io.Reader
	limit *time.Timer
	time  time.Duration
}

// Read reads on, for as long as it takes.
func (u *upload) Read(p []byte) (int, error) {
	u.limit.Stop()
	n, err := u.Reader.Read(p)
	if err != nil {
		u.limit.Reset(u.time)
	}
	return n, err
}

// Close ends a read that waits, where the stream can.
func (u *upload) Close() error {
	if closer, can := u.Reader.(io.Closer); can {
		return closer.Close()
	}
	return nil
}

// bare leaves out the method and URL that net/http puts in front of an error.
func bare(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// body ends the context of its request when it is closed, and not before.
type body struct {
	io.ReadCloser
	done func()
}

// Close closes the body and frees the request.
func (b *body) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}

func (c *Client) request(ctx context.Context, address string, call call) (*http.Request, error) {
	target := address + call.path
	if len(call.query) > 0 {
		target += "?" + call.query.Encode()
	}
	content := call.stream
	if content == nil && call.body != nil {
		content = bytes.NewReader(call.body)
	}
	request, err := http.NewRequestWithContext(ctx, call.method, target, content)
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	for name, values := range call.header {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", c.config.UserAgent)
	if request.Header.Get("Accept") == "" {
		request.Header.Set("Accept", MediaJSON)
	}
	if c.config.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.config.Token)
	}
	if call.clock {
		request.Header.Set(HeaderTime, time.Now().UTC().Format(time.RFC3339Nano))
	}
	return request, nil
}

// withKey adds the key under which a change may be repeated.
func withKey(header http.Header) http.Header {
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set(HeaderIdempotency, rand.Text())
	return header
}

// problemOf returns the error that an answer stands for.
func problemOf(reply *http.Response) error {
	media, _, _ := mime.ParseMediaType(reply.Header.Get("Content-Type"))
	text, err := io.ReadAll(io.LimitReader(reply.Body, 1<<20))
	problem := Problem{Status: reply.StatusCode}
	if err != nil || media != MediaProblem || json.Unmarshal(text, &problem) != nil {
		problem = Problem{Status: reply.StatusCode, Detail: "the answer is " + reply.Status + " and not from fleetcron"}
		return problem.Err().WithHint("is this the address of a collector's API?")
	}
	said := problem.Err()
	if seconds, err := strconv.Atoi(reply.Header.Get("Retry-After")); err == nil && said.Kind == fleet.TooMany && seconds > 0 {
		return busy{said, time.Duration(seconds) * time.Second}
	}
	return said
}

// summary says why no collector helped: one sentence about all of them.
func summary(failed []error) error {
	silent := 0
	var answer *fleet.Error
	for _, err := range failed {
		if _, ok := errors.AsType[unreachable](err); ok {
			silent++
		} else if e, ok := errors.AsType[*fleet.Error](err); ok {
			answer = e
		}
	}
	if answer == nil {
		answer = mistrust(failed)
	}
	of := strconv.Itoa(silent) + " of " + strconv.Itoa(len(failed)) + " collectors unreachable"
	switch {
	case answer == nil && len(failed) == 1:
		return &fleet.Error{Kind: fleet.Unavailable, Code: "unreachable", Message: "the collector does not answer", Err: failed[0],
			Hint: "is it running? if it listens elsewhere, say so in the configuration"}
	case answer == nil:
		return &fleet.Error{Kind: fleet.Unavailable, Code: "unreachable", Message: "no collector answers (" + of + ")", Err: failed[0],
			Hint: "are they running? if they listen elsewhere, say so in the configuration"}
	case answer.Code == CodeNoLeader || answer.Code == CodeNotLeader:
		return &fleet.Error{Kind: fleet.Unavailable, Code: CodeNoLeader, Message: "no leader (" + of + ")", Hint: "fleetctl collectors"}
	default:
		return answer
	}
}

// mistrust returns why a collector and we do not know each other, where that is
// why none helped: to try again is no use.
func mistrust(failed []error) *fleet.Error {
	for _, err := range failed {
		if peer, ok := errors.AsType[*pki.PeerError](err); ok {
			return &fleet.Error{Kind: fleet.Refused, Code: peer.Code, Message: "no connection", Err: err, Hint: peer.Hint}
		}
	}
	return nil
}

// read sends a call and decodes the JSON answer. Fields that this version does
// not know are ignored: the collector may be newer.
func read[T any](ctx context.Context, c *Client, call call) (T, http.Header, error) {
	var value T
	reply, err := c.send(ctx, call)
	if err != nil {
		return value, nil, err
	}
	defer reply.Body.Close()
	if err := json.NewDecoder(io.LimitReader(reply.Body, maxReply)).Decode(&value); err != nil {
		return value, nil, &fleet.Error{Kind: fleet.Unavailable, Message: "the answer to " + call.method + " " + call.path + " broke off", Err: err}
	}
	return value, reply.Header, nil
}

// get reads one thing.
func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	value, _, err := read[T](ctx, c, call{method: http.MethodGet, path: path, query: query})
	return value, err
}

// ofHost is get of what the host itself answers.
func ofHost[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	value, _, err := read[T](ctx, c, call{method: http.MethodGet, path: path, query: query, host: true})
	return value, err
}

// list reads a page, and waits for it where the page says so.
func list[T any](ctx context.Context, c *Client, path string, query any, page Page) (List[T], error) {
	value, _, err := read[List[T]](ctx, c, call{method: http.MethodGet, path: path, query: Values(query), wait: page.wait()})
	return value, err
}

// wait returns how long the collector may hold the page back.
func (p Page) wait() time.Duration {
	switch {
	case p.Index == 0:
		return 0
	case p.Wait == 0:
		return DefaultWait
	default:
		return min(MaxWait, time.Duration(p.Wait))
	}
}

// change sends a change whose body is JSON and decodes the answer into T.
func change[T any](ctx context.Context, c *Client, call call, content any) (T, error) {
	if content != nil {
		text, err := json.Marshal(content)
		if err != nil {
			var none T
			return none, fmt.Errorf("encode %s: %w", strings.TrimPrefix(call.path, "/v1/"), err)
		}
		call.body = text
		call.header = call.header.Clone()
		if call.header == nil {
			call.header = http.Header{}
		}
		call.header.Set("Content-Type", MediaJSON)
	}
	value, _, err := read[T](ctx, c, call)
	return value, err
}
