package policy

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// DefaultPath is where a host's policy lies.
const DefaultPath = "/etc/fleetcron/policy.yaml"

// Config is what a Gate works with.
type Config struct {
	Path     string          // of the policy file
	Dir      string          // of what the gate remembers; made when missing
	Host     fleet.Host      // this host: id, name, and labels where the policy has none
	Cluster  string          // 32 hex digits; empty: not enrolled, and nothing is taken
	Journal  fleet.JournalID // in which runs and orders are noted as done
	Known    bool            // this host has taken a plan before, so it must remember that
	Accounts string          // directory of passwd, group and shadow; empty: /etc
	// Silent reports whether a job of this host is silenced for the task; nil: none.
	Silent func(task fleet.TaskID) bool
	Log    *slog.Logger // nil: slog.Default
}

// Files of a gate.
const (
	bookName    = "book.json"
	chainName   = "audit.log"
	confirmName = "confirm"
)

// Gate judges plans, tasks and adoptions by the host's policy. Its methods may
// be called from any goroutine; Run keeps it up to date.
type Gate struct {
	config Config
	etc    accounts
	log    *slog.Logger
	chain  *chain
	news   chan struct{}
	now    time.Time // of the judgement that goes on

	mu       sync.Mutex
	policy   *Policy // nil: none counts, as problem says
	problem  string
	host     fleet.Host
	own      map[string]string // labels of agent.yaml
	book     *book
	staged   *book // what the plan that is being opened makes of the book
	changed  bool  // staged differs
	cache    map[[sha256.Size]byte]*opened
	used     map[[sha256.Size]byte]bool
	accepted map[fleet.TaskID]*acceptance
	wishes   map[fleet.TaskID]*objection // adoptions that were judged; nil: granted
	refused  []fleet.Refusal
	held     []fleet.TaskID       // that stand and are refused now
	withheld map[string]time.Time // objects that go on and are not given, since when
	settled  map[fleet.TaskID]fleet.AdoptionState
	tasks    strangers
	orders   strangers
	entries  strangers // refusals of what they bring, in the audit chain
}

// acceptance is a task that may begin.
type acceptance struct {
	digest    string    // of its statement
	expires   time.Time // zero: never
	namespace string
	word      string // that the keys must be for
	signers   []*Key
	signed    int // by how many of the policy's keys, whatever they are for
}

// New returns a gate that has read the host's policy, or knows why it counts for
// nothing, and what it took before.
func New(config Config) (*Gate, error) {
	config = config.complete()
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open policy: %w", err)
	}
	g := &Gate{
		config: config, etc: accounts{dir: config.Accounts}, log: config.Log, news: make(chan struct{}, 1),
		host: config.Host, own: config.Host.Labels, settled: map[fleet.TaskID]fleet.AdoptionState{},
		cache: map[[sha256.Size]byte]*opened{}, tasks: strangeTasks(), orders: strangeOrders(), entries: strangeWords(),
	}
	var err error
	if g.chain, err = openChain(g.file(chainName)); err != nil {
		return nil, fmt.Errorf("open policy: %w", err)
	}
	now := time.Now()
	var lost string
	if g.book, lost, err = openBook(g.file(bookName), config.Known, now); err != nil {
		g.chain.Close()
		return nil, fmt.Errorf("open policy: %w", err)
	}
	if lost != "" {
		g.log.Error("what this host did before is not known any more: nothing that is ordered once is done until a person says `fleetcron-agent policy confirm`", "file", g.file(bookName), "why", lost)
		g.tell(Entry{Action: "lost", Object: "book", Why: lost})
	}
	if g.book.Lost.IsZero() || lost != "" { // else it stands so on disk
		if err := g.book.save(g.file(bookName)); err != nil {
			g.chain.Close()
			return nil, fmt.Errorf("open policy: %w", err)
		}
	}
	g.read()
	return g, nil
}

// complete fills in what was left out.
func (c Config) complete() Config {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Accounts == "" {
		c.Accounts = "/etc"
	}
	if c.Silent == nil {
		c.Silent = func(fleet.TaskID) bool { return false }
	}
	return c
}

func (g *Gate) file(name string) string { return filepath.Join(g.config.Dir, name) }

// Close ends the gate; what it told its chain is on disk then.
func (g *Gate) Close() error { return g.chain.Close() }

// SetHost takes in another name or other labels of this host.
func (g *Gate) SetHost(host fleet.Host) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if host.Name == g.host.Name && maps.Equal(host.Labels, g.own) {
		return
	}
	g.host, g.own = host, host.Labels
	g.host.Labels = g.labels()
	g.poke()
}

// Labels returns the host's labels: the policy's go before those of agent.yaml.
func (g *Gate) Labels() map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.labels()
}

func (g *Gate) labels() map[string]string {
	if g.policy == nil || len(g.policy.Labels) == 0 {
		return g.own
	}
	all := maps.Clone(g.own)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, g.policy.Labels)
	return all
}

// Changed receives when plans have to be opened again, because the policy is
// another, or the host is, or because a person confirmed.
func (g *Gate) Changed() <-chan struct{} { return g.news }

func (g *Gate) poke() {
	select {
	case g.news <- struct{}{}:
	default:
	}
}

// read takes the policy file in and reports whether it says another thing.
func (g *Gate) read() bool {
	policy, err := Load(g.config.Path)
	if err != nil && g.policy != nil { // it may be written at this very moment
		time.Sleep(writeTime)
		policy, err = Load(g.config.Path)
	}
	problem := ""
	if err != nil {
		problem = err.Error()
		if os.IsNotExist(err) {
			problem = g.config.Path + " does not exist: fleetcron-agent policy init writes one"
		}
	}
	was := digestOf(g.policy)
	if digestOf(policy) == was && problem == g.problem && (g.policy != nil || g.problem != "") {
		return false
	}
	g.policy, g.problem = policy, problem
	g.host.Labels = g.labels()
	clear(g.cache) // of signatures by other keys
	if policy == nil {
		g.log.Error("policy ignored, this host only reports", "file", g.config.Path, "why", problem)
	} else {
		g.log.Info("policy taken in", "file", g.config.Path, "execute", policy.Execute, "keys", len(policy.Keys), "digest", policy.Digest)
	}
	g.tell(Entry{Action: "policy", Object: g.config.Path, Why: problem, Digest: digestOf(policy)})
	return true
}

func digestOf(p *Policy) string {
	if p == nil {
		return ""
	}
	return p.Digest
}

// tell adds to the audit chain. Who cannot write it any more says so and goes
// on: tasks do not stop because of that.
func (g *Gate) tell(e Entry) {
	if e.At = time.Now(); g.chain == nil {
		return
	}
	if err := g.chain.add(e); err != nil {
		g.log.Error("audit entry not written", "action", e.Action, "object", e.Object, "error", err)
	}
}

// Note tells the audit chain what was done: begun by order, for example.
func (g *Gate) Note(action, object, why string) {
	g.tell(Entry{Action: action, Object: object, Why: why})
}

// Settled tells the audit chain which jobs were adopted and given back.
func (g *Gate) Settled(words []fleet.Adoption) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range words {
		if w := &words[i]; g.settled[w.Task] != w.State {
			g.settled[w.Task] = w.State
			g.tell(Entry{Action: string(w.State), Object: "task " + string(w.Task), Why: w.Why})
		}
	}
}

// latest is the time that is believed: a clock that was set back is not.
func (g *Gate) latest() time.Time {
	if g.now.Before(g.book.Seen) {
		return g.book.Seen
	}
	return g.now
}

// setBack reports whether the clock shows less than it has shown.
func (g *Gate) setBack() bool { return g.now.Add(setBack).Before(g.book.Seen) }

// silent reports whether a job of this host is silenced for the task.
func (g *Gate) silent(task fleet.TaskID) bool { return g.config.Silent(task) }

// tooSoon refuses what makes a task run too soon after it was last made to.
func (g *Gate) tooSoon(task fleet.TaskID, run bool) *objection {
	if !run {
		return nil
	}
	if every, last := g.policy.Every, g.staged.Ran[task]; every > 0 && !last.IsZero() && g.latest().Before(last.Add(every)) {
		return &objection{codeRate, fmt.Sprintf("a run was ordered at %s, and the policy wants %s between two", last.Format(time.RFC3339), fleet.Duration(every)), g.policy.line("orders.every")}
	}
	g.staged.Ran[task] = g.latest().UTC()
	g.changed = true
	return nil
}

// Report says what the policy says, and what stands refused.
func (g *Gate) Report() fleet.PolicyReport {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := fleet.PolicyReport{Problem: g.problem, Refused: slices.Clone(g.refused), At: time.Now().UTC()}
	r.AuditSeq, r.AuditHead = g.chain.last()
	if p := g.policy; p != nil {
		r.Execute, r.Digest, r.TwoPerson = p.Execute, p.Digest, p.TwoPerson
		for i := range p.Keys {
			r.Keys = append(r.Keys, seal.KeyID(p.Keys[i].Public))
		}
	}
	return r
}

const (
	// writeTime is how long an editor may take to write a file in its place.
	writeTime = 50 * time.Millisecond
	// lookEvery is how often the policy file is looked at: accounts and
	// directories on the way to it give no notice either.
	lookEvery = 2 * time.Second
	// askEvery is how often what is refused is judged again: a user may be there
	// by now, or the time have come.
	askEvery = time.Minute
	// rememberEvery is how often the clock is written down.
	rememberEvery = 10 * time.Minute
)

// Run takes in what changes on disk until ctx ends.
func (g *Gate) Run(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	asked, looked := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		g.mu.Lock()
		changed := g.read()
		changed = g.ended(looked, time.Now()) || changed
		changed = g.dropped() || changed
		looked = time.Now()
		if g.confirmed() || changed || len(g.refused)+len(g.withheld) > 0 && time.Since(asked) >= askEvery {
			asked = time.Now()
			g.poke()
		}
		g.remember()
		g.mu.Unlock()
		if err := g.chain.sync(); err != nil {
			g.log.Error("audit chain not on disk", "error", err)
		}
	}
}

// ended reports whether in that time a key began or ceased to count, or
// something that was taken expired.
func (g *Gate) ended(after, now time.Time) bool {
	within := func(t time.Time) bool { return t.After(after) && !t.After(now) }
	if g.policy != nil && slices.ContainsFunc(g.policy.Keys, func(k Key) bool { return within(k.NotBefore) || within(k.NotAfter) }) {
		return true
	}
	for _, a := range g.accepted {
		if within(a.expires) {
			return true
		}
	}
	return false
}

// remember writes the clock down, so that it is known when it is set back.
func (g *Gate) remember() {
	now := time.Now().UTC()
	if now.Sub(g.book.Seen) < rememberEvery {
		return
	}
	next := g.book.copy()
	next.Seen = now
	if err := next.save(g.file(bookName)); err != nil {
		g.log.Error("book of the policy not written", "error", err)
		return
	}
	g.book = next
}

// Confirm is a person's word, for the gate of that directory, that what is
// ordered once may be done again, and that the clock is right.
func Confirm(dir string) error {
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return fleet.Errorf(fleet.NotFound, "no agent has run with %s", dir).WithHint("start it with fleetcron-agent run, or name its configuration with --config")
	}
	return replace(filepath.Join(dir, confirmName), []byte(time.Now().UTC().Format(time.RFC3339Nano)+"\n"))
}

// confirmed takes a person's word in.
func (g *Gate) confirmed() bool {
	name := g.file(confirmName)
	if _, err := os.Lstat(name); err != nil {
		return false
	}
	now := time.Now().UTC()
	was := !g.book.Lost.IsZero() || now.Before(g.book.Seen)
	if was {
		next := g.book.copy()
		next.Lost, next.Since, next.Seen = time.Time{}, now, now
		if err := next.save(g.file(bookName)); err != nil {
			g.log.Error("book of the policy not written", "error", err)
			return false
		}
		g.book = next
		g.tell(Entry{Action: "confirmed", Object: "book", Why: "what is ordered once from now on is done"})
		g.log.Warn("a person confirmed: what is ordered once from now on is done")
	}
	if err := os.Remove(name); err != nil {
		g.log.Error("word of a person not removed", "file", name, "error", err)
	}
	return was
}
