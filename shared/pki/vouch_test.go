package pki_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

func TestAWordIsAboutOneThingAndOneSum(t *testing.T) {
	fleet := pkitest.New(t)
	c1, c2, agent, foreign := fleet.Collector("c1"), fleet.Collector("c2"), fleet.Agent(pkitest.HostID()), pkitest.New(t).Collector("c1")
	sum := bytes.Repeat([]byte{7}, 32)
	word := func(by *pki.Credentials, what string, sum []byte) []byte {
		t.Helper()
		text, err := by.Vouch(what, sum)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	good, now := word(c1, "backup", sum), time.Now()
	if id, err := c2.Vouched("backup", sum, good, now); err != nil || id != c1.ID() {
		t.Errorf("a good word is that of %s: %v", id, err)
	}
	if id, err := c2.Vouched("backup", sum, word(agent, "backup", sum), now); err != nil || id.Role != pki.RoleAgent {
		t.Errorf("an agent's word is that of %s: %v", id, err)
	}
	var parts struct {
		Chain     [][]byte `json:"chain"`
		Signature []byte   `json:"signature"`
	}
	if err := json.Unmarshal(word(agent, "backup", sum), &parts); err != nil {
		t.Fatal(err)
	}
	parts.Chain = [][]byte{c1.Chain()[0].Raw}
	passedOff, err := json.Marshal(parts)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		what string
		sum  []byte
		word []byte
		at   time.Time
	}{
		"nothing":                       {"backup", sum, nil, now},
		"no JSON":                       {"backup", sum, []byte("yes"), now},
		"no chain":                      {"backup", sum, []byte(`{"signature":"AA=="}`), now},
		"no certificate":                {"backup", sum, []byte(`{"chain":["AA=="],"signature":"AA=="}`), now},
		"another thing":                 {"ledger", sum, good, now},
		"another sum":                   {"backup", bytes.Repeat([]byte{8}, 32), good, now},
		"another cluster":               {"backup", sum, word(foreign, "backup", sum), now},
		"an agent as a collector":       {"backup", sum, passedOff, now},
		"before the certificate counts": {"backup", sum, good, now.AddDate(-1, 0, 0)},
		"after it ended":                {"backup", sum, good, now.AddDate(1, 0, 0)},
	} {
		if id, err := c2.Vouched(test.what, test.sum, test.word, test.at); err == nil {
			t.Errorf("%s: taken for the word of %s", name, id)
		}
	}
}
