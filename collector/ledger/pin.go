package ledger

import (
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

// Pins returns every pin by name.
func (l *Ledger) Pins() (pins []fleet.Pin, err error) {
	err = l.view(func(r *reader) error {
		return eachRow(r, inPins, nil, func(_ []byte, pin fleet.Pin) bool {
			pins = append(pins, pin)
			return true
		})
	})
	return pins, err
}

// Pin returns one pin.
func (l *Ledger) Pin(name string) (pin fleet.Pin, err error) {
	err = l.view(func(r *reader) error {
		if !fleet.ValidName(name) {
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

// whose is what a pin asks of a job; of its row nothing else is read.
type whose struct {
	Job fleet.Allowed `json:"job"`
}

// Contained returns how many jobs the hosts that the labels select have of
// each command and user. It reads all their rows, but little of each.
func (l *Ledger) Contained(labels string) (hosts int, jobs map[fleet.Allowed]int, err error) {
	selector, err := fleet.ParseSelector(labels)
	if err != nil {
		return 0, nil, err
	}
	jobs = map[fleet.Allowed]int{}
	for _, host := range l.AllHosts() {
		if !selector.Matches(host.Labels) {
			continue
		}
		hosts++
		err := l.view(func(r *reader) (err error) {
			each(r.bucket(inJobs), prefix(string(host.ID)), nil, func(_, v []byte) bool {
				var row whose
				if err = glancing.Unmarshal(v, &row); err == nil {
					jobs[row.Job]++
				}
				return err == nil
			})
			return err
		})
		if err != nil {
			return hosts, nil, err
		}
	}
	return hosts, jobs, nil
}
