package api

import (
	"net/url"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Headers of the contract.
const (
	HeaderIndex       = "X-Fleetcron-Index"        // ledger index the answer was read at
	HeaderLastContact = "X-Fleetcron-Last-Contact" // milliseconds since this collector heard the leader; 0 on the leader
	HeaderIdempotency = "Idempotency-Key"
	HeaderRequestID   = "X-Request-Id"
	HeaderForwarded   = "X-Fleetcron-Forwarded" // set by a collector that passes a request on; guards against loops
	HeaderReason      = "X-Fleetcron-Reason"    // why a change is made, in its author's words
	HeaderPrincipal   = "X-Fleetcron-Principal" // who asked the collector that passes a request on: JSON, believed of a collector alone
	HeaderSource      = "X-Fleetcron-Source"    // of output: SourceHost or SourceRecord
	HeaderDropped     = "X-Fleetcron-Dropped"   // bytes of the output that its quota cut
	HeaderRing        = "X-Fleetcron-Ring"      // digest of the gossip keys, in answers to agents: another one than theirs has them ask for the keys
	HeaderTime        = "X-Fleetcron-Time"      // an agent's clock as it asks, RFC 3339 with nanoseconds
)

// Media types of the contract.
const (
	MediaJSON    = "application/json"
	MediaYAML    = "application/yaml"
	MediaProblem = "application/problem+json"
	MediaOutput  = "application/octet-stream"

	MediaCalendar = "text/calendar"                              // iCalendar, RFC 5545
	MediaSealed   = "application/vnd.fleetcron.envelope.v1+json" // an envelope of package seal
)

// Where output came from.
const (
	SourceHost   = "host"   // the agent sent it: all that the host kept
	SourceRecord = "record" // the host is silent: the last bytes, from the run's record
)

// Paths of the contract; {…} is a path parameter.
const (
	PathHosts         = "/v1/hosts"
	PathHost          = "/v1/hosts/{host}" // an id or a name
	PathJobs          = "/v1/jobs"
	PathJobGroups     = "/v1/jobs/groups"
	PathTasks         = "/v1/tasks"
	PathTask          = "/v1/tasks/{namespace}/{name}"
	PathTaskHosts     = "/v1/tasks/{namespace}/{name}/hosts"
	PathTaskHook      = "/v1/hooks/{namespace}/{name}"
	PathResolve       = "/v1/resolve"
	PathRuns          = "/v1/runs"
	PathRun           = "/v1/runs/{run}"
	PathRunOutput     = "/v1/runs/{run}/output"
	PathUpcoming      = "/v1/upcoming"
	PathDensity       = "/v1/density"
	PathCollisions    = "/v1/collisions"
	PathSpread        = "/v1/spread"
	PathChanges       = "/v1/changes"
	PathFindings      = "/v1/findings"
	PathFinding       = "/v1/findings/{finding}"
	PathFindingAck    = "/v1/findings/{finding}/ack"
	PathPins          = "/v1/pins"
	PathPin           = "/v1/pins/{pin}"
	PathAnnotations   = "/v1/annotations"
	PathAnnotation    = "/v1/annotations/{fingerprint}"
	PathAdoptions     = "/v1/adoptions"
	PathAdoption      = "/v1/adoptions/{namespace}/{name}" // of the task
	PathJobDiff       = "/v1/hosts/{host}/jobs/{job}/diff" // what adopting it would change there
	PathStandings     = "/v1/standings"
	PathCalendars     = "/v1/calendars"
	PathCalendar      = "/v1/calendars/{calendar}"
	PathHostLive      = "/v1/hosts/{host}/live"
	PathHostLoss      = "/v1/hosts/{host}/loss"
	PathCollectors    = "/v1/collectors"
	PathCollector     = "/v1/collectors/{collector}"
	PathCollectorSign = "/v1/collectors/{collector}/certificate" // where the root key is, for a leader that has none
	PathBackup        = "/v1/backup"
	PathAgent         = "/v1/agents/{host}" // agents only, from here …
	PathAgentReport   = "/v1/agents/{host}/report"
	PathAgentSeen     = "/v1/agents/{host}/sightings"
	PathAgentAdopt    = "/v1/agents/{host}/adoptions"
	PathAgentLeases   = "/v1/agents/{host}/leases"
	PathAgentLease    = "/v1/agents/{host}/leases/{run}"
	PathAgentPlan     = "/v1/agents/{host}/plan"
	PathAgentRuns     = "/v1/agents/{host}/runs"
	PathAgentApply    = "/v1/agents/{host}/applied"
	PathAgentStands   = "/v1/agents/{host}/standings"
	PathAgentAsks     = "/v1/agents/{host}/asks"
	PathAgentAnswer   = "/v1/agents/{host}/asks/{ask}" // … to here
	PathAgentPolicy   = "/v1/agents/{host}/policy"     // what its policy says and refuses, and its audit head
	PathAgentProofs   = "/v1/agents/{host}/proofs"     // what it signed of its runs
	PathAgentRenew    = "/v1/agents/{host}/certificate"
	PathEnroll        = "/v1/enroll"        // the plane of those who have no certificate yet
	PathEnrolled      = "/v1/enroll/{node}" // whether a person has approved
	PathTokens        = "/v1/tokens"
	PathToken         = "/v1/tokens/{token}"
	PathJoinTokens    = "/v1/join-tokens"
	PathJoinToken     = "/v1/join-tokens/{token}"
	PathNodes         = "/v1/nodes"
	PathNode          = "/v1/nodes/{node}" // patch: approve, suspend, revoke, readmit
	PathRules         = "/v1/rules"        // of namespaces
	PathRule          = "/v1/rules/{namespace}"
	PathRequests      = "/v1/requests"
	PathRequest       = "/v1/requests/{request}"
	PathApproval      = "/v1/requests/{request}/approval"
	PathEnvelope      = "/v1/tasks/{namespace}/{name}/envelope" // with every signature; put adds one
	PathSealed        = "/v1/sealed"                            // every sealed change comes in here
	PathAudit         = "/v1/audit"
	PathAuditAgent    = "/v1/audit/hosts"    // the heads that hosts reported
	PathRefusals      = "/v1/audit/refusals" // post: a collector tells the leader whom it refused
	PathProofs        = "/v1/proofs"         // what hosts signed of their runs
	PathProofHosts    = "/v1/proofs/hosts"   // how far each host's chain is, and its keys
	PathPolicies      = "/v1/policies"       // what hosts say of their policies, and what they refuse
	PathGossipKey     = "/v1/gossip-key"     // post: rotate
	PathSession       = "/v1/sessions"       // post: a link that logs a browser in, once
	PathTrust         = "/v1/trust"          // cluster id, CA certificate and pin; nobody is asked who they are
	PathWhoAmI        = "/v1/whoami"
	PathLivez         = "/livez"
	PathReadyz        = "/readyz"
	PathHealth        = "/health"
	PathMetrics       = "/metrics"
	PathOpenAPI       = "/openapi.yaml"
	PathVersion       = "/version"
	PathOverview      = "/v1/overview"
)

// HostPath returns the path of one host.
func HostPath(host string) string { return PathHosts + "/" + url.PathEscape(host) }

// TaskPath returns the path of one task.
func TaskPath(id fleet.TaskID) string {
	return PathTasks + "/" + url.PathEscape(id.Namespace()) + "/" + url.PathEscape(id.Name())
}

// RunPath returns the path of one run.
func RunPath(id fleet.RunID) string { return PathRuns + "/" + url.PathEscape(string(id)) }

// AgentPath returns the path under which one agent reports.
func AgentPath(id fleet.HostID) string { return "/v1/agents/" + url.PathEscape(string(id)) }
