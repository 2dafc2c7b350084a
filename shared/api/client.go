package api

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Config says whom a Client speaks to and how. Only Addresses must be set.
type Config struct {
	Addresses []string            // of collectors: "https://192.0.2.7:7770" or "192.0.2.7:7770"; any of them will do
	TLS       *tls.Config         // whom to believe and whom to show, of package pki; nil: only http:// on this machine can be spoken
	Token     string              // sent as a bearer token; empty: none
	UserAgent string              // empty: "fleetcron"
	Timeout   time.Duration       // of one attempt, beside the time a blocking query waits; zero: 10s
	Rounds    int                 // how often all addresses are tried; zero: 4, long enough for an election
	Transport http.RoundTripper   // instead of one made of TLS
	Ring      func(digest string) // told of HeaderRing in each answer that has it; must return at once; nil: nobody is

	// Consistent has the leader answer what is read, so that a change is seen
	// whichever collector took it. While nobody leads any collector answers,
	// and Stale reports true.
	Consistent bool
}

// Client speaks the HTTP contract with whichever collector answers. It keeps
// to the one that answered last, tries the others when that one fails, and
// repeats a whole round after a pause. Everything it repeats is safe to
// repeat: reads, and changes under an Idempotency-Key. It is safe for
// concurrent use.
type Client struct {
	config Config
	http   *http.Client
	budget budget

	mu        sync.Mutex
	stale     bool
	addresses []string
	preferred int // index in addresses of the one that answered last
}

// NewClient returns a client. It is a Usage error to name no address, or one
// that is none.
func NewClient(config Config) (*Client, error) {
	if config.Timeout == 0 {
		config.Timeout = 10 * time.Second
	}
	if config.Rounds == 0 {
		config.Rounds = 4
	}
	if config.UserAgent == "" {
		config.UserAgent = "fleetcron"
	}
	if config.Transport == nil {
		config.Transport = &http.Transport{
			TLSClientConfig: config.TLS, TLSHandshakeTimeout: config.Timeout,
			MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		}
	}
	c := &Client{config: config, budget: budget{tokens: budgetSize}}
	c.http = &http.Client{
		Transport:     config.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if err := c.SetAddresses(config.Addresses); err != nil {
		return nil, err
	}
	return c, nil
}

// SetAddresses replaces the collectors to speak to. On an error nothing changes.
func (c *Client) SetAddresses(addresses []string) error {
	normal := make([]string, 0, len(addresses))
	for _, address := range addresses {
		base, err := c.normalAddress(address)
		if err != nil {
			return err
		}
		if !slices.Contains(normal, base) {
			normal = append(normal, base)
		}
	}
	if len(normal) == 0 {
		return &fleet.Error{Kind: fleet.Usage, Message: "no collector is named", Hint: "name one, such as https://192.0.2.7:7770"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	current := ""
	if len(c.addresses) > 0 {
		current = c.addresses[c.preferred]
	}
	c.addresses = normal
	if c.preferred = slices.Index(normal, current); c.preferred < 0 {
		c.preferred = rand.IntN(len(normal)) // so that a fleet spreads over its collectors
	}
	return nil
}

// Addresses returns the collectors spoken to, the preferred one first.
func (c *Client) Addresses() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Concat(c.addresses[c.preferred:], c.addresses[:c.preferred])
}

// Close ends the connections that wait for reuse.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Stale reports whether an answer came from a collector that knew no leader
// although Consistent was asked for: it may lack the last changes.
func (c *Client) Stale() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stale
}

// prefer makes the address the one to try first.
func (c *Client) prefer(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.addresses, address); i >= 0 {
		c.preferred = i
	}
}

// normalAddress returns scheme://host:port.
func (c *Client) normalAddress(address string) (string, error) {
	text := address
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	wrong := err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != ""
	if wrong {
		return "", wrongAddress(address, "want an address such as https://192.0.2.7:7770")
	}
	if u.Scheme == "http" && (c.config.TLS != nil || c.config.Token != "" && !loopback(u.Hostname())) {
		return "", wrongAddress(address, "collectors speak TLS only: want https://")
	}
	if ip, err := netip.ParseAddr(u.Host); err == nil && ip.Is6() {
		u.Host = "[" + u.Host + "]"
	}
	return u.Scheme + "://" + u.Host, nil
}

func wrongAddress(address, reason string) error {
	return &fleet.Error{Kind: fleet.Usage, Fields: []fleet.FieldError{{Field: "collector", Value: address, Reason: reason}}}
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// budgetSize is how many rounds may be repeated in a row before successes have
// to earn more.
const budgetSize = 10

// budget bounds how much a client adds to the load of collectors that are in
// trouble already: ten calls that succeed pay for one repeated round.
type budget struct {
	mu     sync.Mutex
	tokens float64
}

func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(budgetSize, b.tokens+0.1)
}

func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
