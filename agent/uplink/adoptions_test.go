package uplink

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestWordsOfAdoptionsAreSentUntilTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.c.mu.Lock()
		w.c.down = true
		w.c.mu.Unlock()
		w.SetAdoptions([]fleet.Adoption{{Task: "a/b", State: fleet.AdoptionAdopted}})
		time.Sleep(time.Hour)
		w.SetAdoptions([]fleet.Adoption{{Task: "a/b", State: fleet.AdoptionReleased}})
		w.c.mu.Lock()
		w.c.down = false
		w.c.mu.Unlock()
		time.Sleep(time.Minute)
		w.c.mu.Lock()
		if len(w.c.words) != 1 || w.c.words[0].State != fleet.AdoptionReleased {
			t.Errorf("%+v", w.c.words)
		}
		w.c.mu.Unlock()
		w.stop()
	})
}

func TestARehearsalIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.c.asks <- api.Ask{ID: "x", Adopt: &fleet.Adoption{Task: "a/b"}}
		if answer := <-w.c.answers; !strings.Contains(answer, "cannot adopt") {
			t.Errorf("%q", answer)
		}
		w.stop()
	})
}
