package api

import "github.com/fleetcron/fleetcron/shared/fleet"

// What agents exchange with collectors is fleet's: what runs commands on a host
// speaks of it and does not speak HTTP.
type (
	LeaseRequest  = fleet.LeaseRequest  // body of POST on leases
	RunBatch      = fleet.RunBatch      // body of POST …/runs by an agent
	RunRecord     = fleet.RunRecord     // one record of a RunBatch
	RunReceipt    = fleet.RunReceipt    // answers a RunBatch
	ReportReceipt = fleet.ReportReceipt // answers a report
	Ask           = fleet.Ask           // a question that only an agent can answer
	JobDiff       = fleet.JobDiff       // answers an ask about an adoption
	Stands        = fleet.Stands        // body of PUT …/standings by an agent
	Live          = fleet.Live          // answers an ask for what goes on
	LiveRun       = fleet.LiveRun       // a run that goes on
	Sample        = fleet.Sample        // what a run used at an instant
	LiveWaiting   = fleet.LiveWaiting   // a run that is due and has not begun
)
