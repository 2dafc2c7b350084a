package ledger

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAHostHearsOfEachWordAboutATaskThatLeftIt: the first one may be signed by
// somebody whom it does not trust, so that it goes on and waits for the next.
func TestAHostHearsOfEachWordAboutATaskThatLeftIt(t *testing.T) {
	for name, left := range map[string]func(*bench){
		"it was moved":              func(l *bench) { l.must(sealed("a", "role=x", 2)) },
		"its node serves less":      func(l *bench) { l.enrol(1, "data") },
		"it has another label":      func(l *bench) { l.must(&RegisterHost{Host: testHost(1), At: noon}) },
		"it was retired":            func(l *bench) { l.must(ended("a", 2)) },
		"it came to speak too late": func(l *bench) { l.must(sealed("a", "role=x", 2)) },
	} {
		for _, restarts := range []bool{false, true} {
			l := newLedger(t)
			l.enrol(1, "default")
			l.must(&RegisterHost{Host: testHost(1, "os", "linux"), At: noon})
			l.must(sealed("a", "os=linux", 1))
			has := &RecordApplied{Applied: fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"default/a": 1}, At: noon}}
			late := name == "it came to speak too late"
			if plan, _ := l.Plan(everywhere, hostID(1)); len(plan.Assignments) != 1 {
				t.Fatalf("%+v", plan)
			}
			if !late {
				l.must(has)
			}
			left(l)
			if late {
				l.must(has)
			}
			has.Applied.At = noon.Add(time.Second) // what it has of another namespace it says again
			l.must(has)
			if restarts {
				l.reopen()
			}
			_, news := l.Watch(PlanOf(hostID(1)))
			if name == "it was retired" {
				l.must(sealed("a", "role=x", 3))
			} else {
				l.must(ended("a", 3))
			}
			select {
			case <-news:
			default:
				t.Errorf("%s, restarts %v: the host does not hear of the next word", name, restarts)
			}
			l.must(&RecordApplied{Applied: fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{}, At: noon.Add(time.Minute)}})
			if n := len(l.memory.leaving); n != 0 {
				t.Errorf("%s: %d hosts are remembered that have nothing more of it", name, n)
			}
		}
	}
}

// TestEveryHostHearsAfterARestart: what each of them said is read again.
func TestEveryHostHearsAfterARestart(t *testing.T) {
	l := newLedger(t)
	for n := 1; n <= 3; n++ {
		l.enrol(n, "default")
		l.must(&RegisterHost{Host: testHost(n, "os", "linux"), At: noon})
	}
	l.must(sealed("a", "os=linux", 1))
	for n := 1; n <= 3; n++ {
		l.must(&RecordApplied{Applied: fleet.Applied{Host: hostID(n), Generations: map[fleet.TaskID]uint64{"default/a": 1}, At: noon}})
	}
	l.must(sealed("a", "role=x", 2))
	l.reopen()
	var news []<-chan struct{}
	for n := 1; n <= 3; n++ {
		_, changed := l.Watch(PlanOf(hostID(n)))
		news = append(news, changed)
	}
	l.must(ended("a", 3))
	for n, changed := range news {
		select {
		case <-changed:
		default:
			t.Errorf("host %d does not hear of the next word", n+1)
		}
	}
}
