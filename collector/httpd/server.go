package httpd

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/fleetcron/fleetcron/collector/account"
	"github.com/fleetcron/fleetcron/collector/findings"
	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Replica is the raft group as the API needs it.
type Replica interface {
	// Propose carries a command out and returns its result. Refusals of the
	// ledger are errors. It works on the leader only.
	Propose(ctx context.Context, command ledger.Command) (any, error)
	// Leader returns who leads; empty: unknown.
	Leader() fleet.CollectorID
	// Status returns how this collector stands, without asking anyone.
	Status() Status
	// Verify returns nil when this collector leads and has applied every
	// command that was acknowledged before the call.
	Verify(ctx context.Context) error
	// Peers asks every member how far it is.
	Peers(ctx context.Context) []Peer
	// Join takes a member in; Leave takes one out. They work on the leader only.
	Join(ctx context.Context, join api.Join) error
	Leave(ctx context.Context, id fleet.CollectorID) error
}

// Status is how a collector stands in the raft group.
type Status struct {
	ID          fleet.CollectorID
	Leading     bool
	Term        uint64
	Applied     uint64
	Committed   uint64
	LastContact time.Duration // since the leader was heard; 0 on the leader, negative: never
}

// Peer is a member of the raft group and what it says of itself now.
type Peer struct {
	ID        fleet.CollectorID
	Raft      string // host:port
	Voter     bool
	Reachable bool
	Applied   uint64 // zero unless Reachable
	Term      uint64
}

// Search finds jobs, and reads them for all who keep something of them: a
// *search.Index that nobody has asked yet.
type Search interface {
	Query(scope fleet.Scope, query api.JobQuery) (api.List[api.JobView], error)
	Groups(scope fleet.Scope, query api.JobQuery) (api.List[api.JobGroup], error)
	// Matcher decides about jobs that the index does not hold.
	Matcher(scope fleet.Scope, query api.JobQuery) (func(*ledger.Host, *api.JobView) bool, error)
	// Share has a reader told of each host that is read.
	Share(reader func(fleet.HostID, *ledger.Host, []api.JobView))
	// CatchUp reads every host that changed before the call.
	CatchUp(ctx context.Context) error
	// Loaded reports whether the fleet is read, so that nobody has to wait.
	Loaded() bool
}

// Presence says what gossip knows of a host; empty: nothing.
type Presence interface {
	Presence(host fleet.HostID) fleet.Presence
}

// Ring is the gossip keys, of which members have copies.
type Ring interface {
	Texts() []string
	Digest() string
	Rotate(now time.Time) error // begins a rotation
}

// Check is one more component of /health. It returns what is worth knowing and
// an error while the component is down.
type Check struct {
	Name  string
	Check func(ctx context.Context) (details map[string]any, err error)
}

// Deps is what a Server is made from. Ledger, Search, Replica, ParseTask and
// Authenticator are required.
type Deps struct {
	Ledger  *ledger.Ledger
	Search  Search
	Replica Replica
	// ParseTask reads a task document of a media type.
	ParseTask func(document []byte, mediaType string) (fleet.Task, error)
	// FormatTask writes the document of a task that nobody wrote, as YAML; nil:
	// no job can be adopted.
	FormatTask func(task fleet.Task) ([]byte, error)

	// HasFinding reports whether a finding stands, so that it may be
	// acknowledged; nil: the server looks itself.
	HasFinding func(ctx context.Context, id string) (bool, error)

	// Authenticator says who calls; required, for nobody is let in unasked.
	Authenticator Authenticator
	// Sessions are the browsers that are logged in; nil: none can be.
	Sessions *identity.Sessions
	// Web is the address of the web page, for links to it; empty: the asker knows.
	Web string
	// Peers carries requests to other collectors, over the plane of peers;
	// required where there are others.
	Peers http.RoundTripper

	// Authority makes certificates and gossip tickets; nil: nobody can enrol.
	Authority *identity.Authority
	Ring      Ring            // the gossip keys; nil: there is no gossip
	Seeds     func() []string // gossip addresses of collectors; nil: none

	// Vouch says that this collector took the backup of which that is the sum;
	// nil: nobody says it, and no collector begins with the backup.
	Vouch func(sum []byte) ([]byte, error)

	Presence     Presence // nil: only calls count
	Checks       []Check
	AllowedHosts []string // names of the Host header beside the loopback ones
	Logger       *slog.Logger
	Version      string
}

// Server answers the API. Its services may be called from many goroutines.
type Server struct {
	Deps
	table    []Route
	metrics  *metrics
	calls    *calls
	desk     *desk
	packer   *packer
	agenda   *agenda
	closures closures
	findings *findings.Engine
	book     *account.Book
	sum      accountSum
	turns    turns
	limits   *limits
	remarks  remarks
	signed   signed

	life context.Context // ends with Close: whoever waits returns
	end  context.CancelFunc
}

// New returns a server. It refuses a map of routes in which one names no
// permission, and Deps in which something is missing.
func New(deps Deps) (*Server, error) {
	if deps.Ledger == nil || deps.Search == nil || deps.Replica == nil || deps.ParseTask == nil || deps.Authenticator == nil {
		return nil, errors.New("httpd: ledger, search, replica, task parser and authenticator are required")
	}
	if deps.Peers == nil {
		deps.Peers = alone{}
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		Deps: deps, calls: newCalls(), agenda: newAgenda(deps.Ledger, deps.Search), limits: newLimits(),
	}
	s.book = account.New(deps.Ledger)
	s.findings = findings.New(lookout{s})
	deps.Ledger.OnHost(s.findings.Mark)
	if s.HasFinding == nil {
		s.HasFinding = s.hasFinding
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.desk = newDesk(s.life.Done())
	s.metrics = newMetrics(s)
	s.packer = newPacker(s.Replica.Propose)
	s.table = s.routes()
	if err := checkRoutes(s.table); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// alone carries nothing: there is no other collector.
type alone struct{}

// RoundTrip says so.
func (alone) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("this collector knows no way to the others")
}

// Routes returns the whole map.
func (s *Server) Routes() []Route { return s.table }

// Close ends every wait, so that the listener can be shut down, and waits for
// what is under way to the ledger.
func (s *Server) Close() error {
	s.end()
	s.packer.close()
	return nil
}

// readHeaderLimit is how long a client may take for its headers.
const readHeaderLimit = 5 * time.Second

// NewHTTPServer returns a server with the limits that every listener of a
// collector has. Bodies and answers have no time of their own: a blocking
// query is slow on purpose.
func NewHTTPServer(addr string, handler http.Handler) *http.Server {
	return &http.Server{
		Addr: addr, Handler: handler,
		ReadHeaderTimeout: readHeaderLimit,
		IdleTimeout:       2 * time.Minute, // an agent asks again within it
		MaxHeaderBytes:    16 << 10,
	}
}
