package main

import (
	"net/http"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// account is balanced but for the heartbeat on the host db-2.
func (f *collectorFake) account(r *http.Request) (any, error) {
	lines := []api.AccountLine{
		{Task: "data/nightly-backup", Host: hostID(1), HostName: "db-1", Due: 12, Ran: 9, OK: 7, Failed: 2, Missed: 2, Pending: 1},
		{Task: "default/heartbeat", Host: hostID(2), HostName: "db-2", Due: 1440, Ran: 1400, OK: 1400, Skipped: 30, Missed: 5, Unknown: 1, Pending: 3, Difference: 1, Since: noon.Add(-24 * time.Hour)},
	}
	var kept []api.AccountLine
	for _, line := range lines {
		if task := r.URL.Query().Get("task"); task != "" && task != string(line.Task) {
			continue
		}
		if r.URL.Query().Get("hosts") == "" {
			line.Host, line.HostName = "", ""
		}
		kept = append(kept, line)
	}
	return pageOf(kept, api.Page{}, func(line api.AccountLine) string { return string(line.Task) }), nil
}

func (f *collectorFake) proof(r *http.Request) (any, error) {
	proof := api.Proof{Accounts: 1, Due: 1440, Records: 1311, Pending: 3, Faults: []api.AccountFault{}, Index: f.index}
	if r.URL.Query().Get("host") == "" {
		proof.Difference, proof.More = 1, 4
		proof.Faults = []api.AccountFault{
			{Kind: api.FaultMissing, Task: "default/heartbeat", Host: hostID(2), HostName: "db-2", Instant: noon, Text: "it was due and nothing tells what became of it"},
			{Kind: api.FaultDoubled, Task: "default/heartbeat", Host: hostID(9), Instant: noon.Add(time.Minute), Run: fleet.RunID("01880000-0000-7000-8000-000000000000"), Text: "a record says ran, and another one tells of that instant already"},
		}
	}
	return proof, nil
}
