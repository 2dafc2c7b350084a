package httpd

import (
	"context"
	"crypto/rand"
	"io"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// pollGap is how long after its last poll an agent still counts as polling.
	pollGap = 15 * time.Second
	// answerLimit is how long an agent may take to begin to answer.
	answerLimit = 10 * time.Second
	// asksPerHost is how many may wait for one agent.
	asksPerHost = 32
)

// desk is where those who want something that only an agent has, and the
// agents, meet. It is in memory: a question is not worth more than the asker's
// patience.
type desk struct {
	done <-chan struct{} // the server closes

	mu    sync.Mutex
	hosts map[fleet.HostID]*counter
}

// counter is one agent's place at the desk.
type counter struct {
	open    map[string]*ask
	polls   int       // under way
	last    time.Time // when the last poll ended
	arrived chan struct{}
}

// ask is one question.
type ask struct {
	api.Ask
	taken    bool
	answered chan answered // holds one
	gone     chan struct{} // closed when the asker has had enough or went away
}

// answered is the answer as it comes in.
type answered struct {
	output  io.Reader
	dropped int64
	alive   func()       // called before each read; bounds how long the agent may be quiet
	stop    func()       // breaks a read off
	end     chan<- error // takes what became of it, once
}

func newDesk(done <-chan struct{}) *desk {
	return &desk{done: done, hosts: map[fleet.HostID]*counter{}}
}

// at returns the host's counter. It needs mu.
func (d *desk) at(host fleet.HostID) *counter {
	c := d.hosts[host]
	if c == nil {
		c = &counter{open: map[string]*ask{}, arrived: make(chan struct{})}
		d.hosts[host] = c
	}
	return c
}

// polls reports whether the agent looks for questions here.
func (d *desk) polls(host fleet.HostID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.hosts[host]
	return c != nil && (c.polls > 0 || time.Since(c.last) < pollGap)
}

// put lays a question down for the agent.
func (d *desk) put(host fleet.HostID, question api.Ask) (*ask, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.at(host)
	if len(c.open) >= asksPerHost {
		return nil, fleet.Errorf(fleet.Unavailable, "%d questions wait for this host already", len(c.open)).WithCode(api.CodeTooMany)
	}
	question.ID = rand.Text()
	one := &ask{Ask: question, answered: make(chan answered, 1), gone: make(chan struct{})}
	c.open[question.ID] = one
	close(c.arrived)
	c.arrived = make(chan struct{})
	return one, nil
}

// drop takes a question away.
func (d *desk) drop(host fleet.HostID, one *ask) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.at(host).open, one.ID)
	close(one.gone)
}

// take returns the questions that the agent has not seen, and waits for one
// until the limit.
func (d *desk) take(ctx context.Context, host fleet.HostID, limit time.Duration) []api.Ask {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	defer d.poll(host)()
	for {
		asks, arrived := d.untaken(host)
		if len(asks) > 0 {
			return asks
		}
		select {
		case <-arrived:
		case <-timer.C:
			return asks
		case <-d.done:
			return asks
		case <-ctx.Done():
			return asks
		}
	}
}

// poll notes that the agent looks, and returns what notes the end of it.
func (d *desk) poll(host fleet.HostID) (end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.at(host)
	c.polls++
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		c.polls--
		c.last = time.Now()
	}
}

func (d *desk) untaken(host fleet.HostID) (asks []api.Ask, arrived <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.at(host)
	asks = []api.Ask{}
	for _, one := range c.open {
		if !one.taken {
			one.taken = true
			asks = append(asks, one.Ask)
		}
	}
	return asks, c.arrived
}

// find returns an open question.
func (d *desk) find(host fleet.HostID, id string) (*ask, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.hosts[host]
	if c == nil {
		return nil, false
	}
	one, found := c.open[id]
	return one, found
}
