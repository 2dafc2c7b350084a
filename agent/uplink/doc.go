// Package uplink provides the agent's way to the collectors: what was found and
// what ran goes up, what is to run comes down, and every collector may vanish.
//
// Each of eight loops carries one thing and knows only "try, and on failure wait
// and try again":
//
//	inventory  who this host is, and its report when that changed
//	sightings  when its found jobs ran last, gathered for five minutes
//	plan       by blocking query; taken, then acknowledged as applied
//	applied    which generation of each task runs here
//	adoptions  where this host is further with them than the plan says
//	standings  how each task stands here, and the orders carried out
//	runs       the outbox in batches, each until it is acknowledged
//	asks       what only this host can answer: the output of a run, what goes on
//
// Nothing is lost by a failure: the outbox is on disk, and everything else is
// sent anew from what is true at that time. What arrives twice is applied once,
// because a record is known by its journal and its sequence.
//
// A wait after a failure is random up to a bound that doubles to 30 s. All
// loops share one budget of retries, and a knock from the gossip mesh ends all
// waits at once.
package uplink
