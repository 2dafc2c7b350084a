// Package fleet provides the words of fleetcron: every noun that the agent,
// the collector, the web page and fleetctl speak about, and the rules that
// make one valid.
//
// Found things are jobs, given things are tasks; the two never mix.
//
//	Host        a machine with an agent
//	Job         a scheduled job found on a host; fleetcron did not put it there
//	Report      everything one scan of one host found: jobs and problems
//	Task        a command fleetcron is given, with trigger, targets and limits
//	Assignment  a task on a host, at one generation
//	Plan        all assignments and orders of one host
//	Order       a person's wish to run a task now, or to cancel a run
//	Occurrence  one due instant of a task in one scope
//	Run         what became of an occurrence: one record, one outcome
//
// The package is pure: it reads no clock, no file and no network, and imports
// only the schedule reader beside it.
package fleet
