package ledger

import (
	"sync"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// PutPin makes or replaces a pin. It returns the fleet.Pin. Which jobs the
// hosts contain now is said in it: Apply does not look.
type PutPin struct {
	Pin fleet.Pin `json:"pin"`
}

func (cmd *PutPin) apply(c *change) any {
	if !fleet.ValidName(cmd.Pin.Name) {
		return fleet.Invalidf("name", cmd.Pin.Name, "want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit")
	}
	c.put(inPins, key(cmd.Pin.Name), encode(cmd.Pin))
	c.notify(Pins)
	return cmd.Pin
}

// DropPin takes a pin away.
type DropPin struct {
	Name string `json:"name"`
}

func (cmd *DropPin) apply(c *change) any {
	if c.get(inPins, key(cmd.Name)) == nil {
		return noPin(cmd.Name)
	}
	c.delete(inPins, key(cmd.Name))
	c.notify(Pins)
	return nil
}

func noPin(name string) *fleet.Error {
	return fleet.Errorf(fleet.NotFound, "no pin %s", name).WithHint("fleetctl pins")
}

// Pins returns every pin by name. A pin is about hosts of any namespace, so only
// who sees all of them sees pins.
func (l *Ledger) Pins(scope fleet.Scope) (pins []fleet.Pin, err error) {
	if !scope.All() {
		return nil, nil
	}
	err = l.view(func(r *reader) error {
		return eachRow(r, inPins, nil, func(_ []byte, pin fleet.Pin) bool {
			pins = append(pins, pin)
			return true
		})
	})
	return pins, err
}

// Pin returns one pin.
func (l *Ledger) Pin(scope fleet.Scope, name string) (pin fleet.Pin, err error) {
	err = l.view(func(r *reader) error {
		if !fleet.ValidName(name) || !scope.All() {
			return noPin(name)
		}
		found := false
		if pin, found, err = row[fleet.Pin](r, inPins, key(name)); err == nil && !found {
			return noPin(name)
		}
		return err
	})
	return pin, err
}

// whose is what a pin asks of a job; of its row, a packedJob, nothing else is
// read.
type whose struct {
	User       string `cbor:"6,keyasint"`
	Command    string `cbor:"9,keyasint"`
	Print      uint64 `cbor:"22,keyasint"`
	OtherPrint string `cbor:"23,keyasint"`
}

func (w *whose) allowed() fleet.Allowed {
	return fleet.Allowed{Fingerprint: digits(w.Print, w.OtherPrint), User: w.User, Command: w.Command}
}

// contents remembers what hosts contain, as numbers, for as long as their
// reports say the same: a fleet has many jobs and few commands.
type contents struct {
	mu      sync.Mutex
	numbers map[fleet.Allowed]int
	allowed []fleet.Allowed // by number
	hosts   map[fleet.HostID]content
}

type content struct {
	hash string // of the report
	jobs []int
}

// maxContents is how many commands are remembered before all is forgotten:
// those that were edited away are among them.
const maxContents = 1 << 20

func newContents() *contents {
	return &contents{numbers: map[fleet.Allowed]int{}, hosts: map[fleet.HostID]content{}}
}

func (c *contents) number(one fleet.Allowed) int {
	number, known := c.numbers[one]
	if !known {
		number = len(c.allowed)
		c.numbers[one], c.allowed = number, append(c.allowed, one)
	}
	return number
}

// Contained returns how many jobs the hosts within the scope that the labels select have of
// each command and user. It reads little of each row, and only of hosts whose
// inventory changed since it was last asked about them.
func (l *Ledger) Contained(scope fleet.Scope, labels string) (hosts int, jobs map[fleet.Allowed]int, err error) {
	selected, err := l.labelled(scope, labels)
	if err != nil {
		return 0, nil, err
	}
	l.contents.mu.Lock()
	defer l.contents.mu.Unlock()
	if len(l.contents.allowed) > maxContents {
		fresh := newContents()
		l.contents.numbers, l.contents.allowed, l.contents.hosts = fresh.numbers, nil, fresh.hosts
	}
	counts := map[int]int{}
	for _, host := range selected {
		known := l.contents.hosts[host.ID]
		if known.hash != host.Hash {
			if known, err = l.readContent(host); err != nil {
				return 0, nil, err
			}
			l.contents.hosts[host.ID] = known
		}
		for _, number := range known.jobs {
			counts[number]++
		}
	}
	jobs = make(map[fleet.Allowed]int, len(counts))
	for number, n := range counts {
		jobs[l.contents.allowed[number]] = n
	}
	return len(selected), jobs, nil
}

// readContent reads what a host contains. It needs contents.mu.
func (l *Ledger) readContent(host *Host) (content, error) {
	read := content{hash: host.Hash}
	err := l.view(func(r *reader) (err error) {
		each(r.bucket(inJobs), prefix(string(host.ID)), nil, func(_, v []byte) bool {
			var row whose
			if err = glancing.Unmarshal(v, &row); err == nil {
				read.jobs = append(read.jobs, l.contents.number(row.allowed()))
			}
			return err == nil
		})
		return err
	})
	return read, err
}
