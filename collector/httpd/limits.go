package httpd

import (
	"cmp"
	"net/netip"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// failuresPerMinute is how often an address may fail to say who it is, and
	// how often one token may be got wrong from one address.
	failuresPerMinute = 10
	// joinFailuresPerMinute is how often an address may show a join token that
	// does not count: a rack of machines may be set up with an old one.
	joinFailuresPerMinute = 60
	// callsPerSecond is how many requests an agent may make on end, and
	// callsAtOnce how many it may make at once before that counts. An agent at
	// work makes a few in a minute; one that comes back with a journal of weeks
	// makes some dozens in a second.
	callsPerSecond = 50
	callsAtOnce    = 200
	// tokenCallsPerSecond and tokenCallsAtOnce are the same of a person's token.
	// Whoever applies a repository of a thousand tasks is held up for seconds; a
	// token in the hands of a script that went mad, or of a thief, holds up nobody
	// else.
	tokenCallsPerSecond = 100
	tokenCallsAtOnce    = 1000
	// bytesPerSecond is how much an agent may send on end, and bytesAtOnce how
	// much at once before that counts: what it reports is kept by every
	// collector, and is in memory several times meanwhile.
	bytesPerSecond = 512 << 10
	bytesAtOnce    = 64 << 20
	// mostRemembered bounds how many addresses and agents are remembered; who
	// was quiet longest is forgotten first.
	mostRemembered = 20_000
)

// limits keeps those who ask too often from keeping others waiting.
type limits struct {
	mu       sync.Mutex
	failures map[failure]*bucket
	joins    map[netip.Prefix]*bucket
	agents   map[string]*bucket
	tokens   map[string]*bucket // of people
	bytes    map[string]*bucket // of agents, too
}

// failure is who failed to say who it is.
type failure struct {
	from  netip.Prefix
	token string // id of the token; empty: of any, or of none
}

// bucket holds what may still be done at an instant, and fills up again.
type bucket struct {
	left float64
	at   time.Time
}

func newLimits() *limits {
	return &limits{failures: map[failure]*bucket{}, joins: map[netip.Prefix]*bucket{}, agents: map[string]*bucket{}, tokens: map[string]*bucket{}, bytes: map[string]*bucket{}}
}

// take takes one out of the bucket and returns how long to wait for the next
// if it is empty.
func (b *bucket) take(now time.Time, perSecond, most float64) time.Duration {
	return b.takeMany(now, 1, perSecond, most)
}

func (b *bucket) takeMany(now time.Time, many, perSecond, most float64) time.Duration {
	b.fill(now, perSecond, most)
	if b.left >= many {
		b.left -= many
		return 0
	}
	return time.Duration((many - b.left) / perSecond * float64(time.Second))
}

func (b *bucket) fill(now time.Time, perSecond, most float64) {
	b.left, b.at = min(most, b.left+now.Sub(b.at).Seconds()*perSecond), now
}

func (b *bucket) until(perSecond float64) time.Duration {
	return time.Duration((1 - b.left) / perSecond * float64(time.Second))
}

const perSecondOfMinute = failuresPerMinute / 60.0

// blocked returns how long the address has to wait before it may name the token
// again.
func (l *limits) blocked(from netip.Addr, token string) time.Duration {
	if token == "" {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.failures[failure{block(from), token}]
	if b == nil {
		return 0
	}
	if b.fill(time.Now(), perSecondOfMinute, failuresPerMinute); b.left >= 1 {
		return 0
	}
	return b.until(perSecondOfMinute)
}

// failed notes that the address did not say who it is, and returns how long it
// has to wait where that happened too often. One token got wrong is the
// business of its own; who brings a good one is never held up by it.
func (l *limits) failed(from netip.Addr, token string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	wait := bucketOf(l.failures, failure{block(from), ""}, failuresPerMinute, now).take(now, perSecondOfMinute, failuresPerMinute)
	if token != "" {
		wait = max(wait, bucketOf(l.failures, failure{block(from), token}, failuresPerMinute, now).take(now, perSecondOfMinute, failuresPerMinute))
	}
	return wait
}

// failedJoin notes that the address showed a join token that does not count.
func (l *limits) failedJoin(from netip.Addr) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	return bucketOf(l.joins, block(from), joinFailuresPerMinute, now).take(now, joinFailuresPerMinute/60.0, joinFailuresPerMinute)
}

// calls refuses an agent, or a person's token, that asks too often.
func (l *limits) calls(caller *fleet.Principal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var wait time.Duration
	switch {
	case caller.Kind == fleet.AgentKind && caller.Via == viaAgent:
		wait = bucketOf(l.agents, caller.Name, callsAtOnce, now).take(now, callsPerSecond, callsAtOnce)
	case caller.Kind == fleet.PersonKind && caller.Via == viaAPI:
		wait = bucketOf(l.tokens, cmp.Or(caller.Token, caller.Name), tokenCallsAtOnce, now).take(now, tokenCallsPerSecond, tokenCallsAtOnce)
	}
	if wait > 0 {
		return tooOften(wait)
	}
	return nil
}

// body refuses an agent that sends too much. A body whose size nobody says
// counts as the largest.
func (l *limits) body(caller *fleet.Principal, size int64, content content) error {
	if caller.Kind != fleet.AgentKind || caller.Via != viaAgent || content == none || content == stream {
		return nil
	}
	if size < 0 {
		size = contents[content].limit
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if wait := bucketOf(l.bytes, caller.Name, bytesAtOnce, now).takeMany(now, float64(size), bytesPerSecond, bytesAtOnce); wait > 0 {
		return tooOften(wait)
	}
	return nil
}

// bucketOf returns the bucket of a key, a full one if it has none.
func bucketOf[K comparable](all map[K]*bucket, key K, most float64, now time.Time) *bucket {
	b := all[key]
	if b == nil {
		if len(all) >= mostRemembered {
			forgetQuiet(all, now)
		}
		b = &bucket{most, now}
		all[key] = b
	}
	return b
}

// forgetQuiet makes room: who was quiet for a minute has a full bucket again,
// and if nobody was, the half that was quiet longest goes.
func forgetQuiet[K comparable](all map[K]*bucket, now time.Time) {
	for age := time.Minute; len(all) >= mostRemembered; age /= 2 {
		for key, b := range all {
			if now.Sub(b.at) >= age {
				delete(all, key)
			}
		}
	}
}

// block returns what counts as one address: of IPv6 the 64 bits that one
// network has.
func block(from netip.Addr) netip.Prefix {
	bits := 32
	if from.Is6() {
		bits = 64
	}
	prefix, err := from.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// tooFast says how long to wait.
type tooFast struct{ wait time.Duration }

// Error says it.
func (t *tooFast) Error() string { return "wait " + t.wait.Round(time.Second).String() }

// seconds returns the wait in whole seconds, at least one.
func (t *tooFast) seconds() int { return int(max(1, (t.wait+time.Second-1)/time.Second)) }

func tooOften(wait time.Duration) error {
	return &fleet.Error{Kind: fleet.TooMany, Message: "asked too often", Err: &tooFast{wait}}
}
