package httpd

import (
	"net/http"

	"github.com/fleetcron/fleetcron/shared/api"
)

// routes is the whole map. Each line: method, path, on which planes, permission, whether the
// leader carries it out, what is read, the schemas of request and reply in
// openapi.yaml, and the service with the parser of its request.
func (s *Server) routes() []Route {
	const get, put, post, patch, del = http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete
	const here, leader = false, true
	return []Route{
		// what there is
		{get, api.PathOverview, forPeople, ReadFleet, here, none, "", "Overview", answer(nothing, s.overview)},
		{get, api.PathHosts, forPeople, ReadFleet, here, none, "", "HostList", answer(query, s.Hosts)},
		{get, api.PathHost, forPeople, ReadFleet, here, none, "", "HostDetail", answer(parseHost, s.host)},
		{get, api.PathHostLoss, forPeople, ReadFleet, here, none, "", "Loss", answer(parseLoss, s.Loss)},
		{get, api.PathJobs, forPeople, ReadFleet, here, none, "", "JobList", answer(query, s.Jobs)},
		{get, api.PathJobGroups, forPeople, ReadFleet, here, none, "", "JobGroupList", answer(query, s.JobGroups)},
		{get, api.PathTasks, forPeople, ReadFleet, here, none, "", "TaskList", answer(query, s.Tasks)},
		{get, api.PathTask, forPeople, ReadFleet, here, none, "", "TaskView", answer(parseTask, s.task)},
		{get, api.PathTaskHosts, forPeople, ReadFleet, here, none, "", "ResolvedList", answer(parseTask, s.taskHosts)},
		{get, api.PathRuns, forPeople, ReadFleet, here, none, "", "RunList", answer(query, s.Runs)},
		{get, api.PathRun, forPeople, ReadFleet, here, none, "", "RunView", answer(parseRun, s.run)},
		{get, api.PathAccount, forPeople, ReadFleet, here, none, "", "AccountLineList", answer(query, s.Account)},
		{get, api.PathProof, forPeople, ReadFleet, here, none, "", "Proof", answer(query, s.proof)},
		{get, api.PathRunOutput, forPeople, ReadOutput, here, none, "", "", s.serveOutput},
		{get, api.PathUpcoming, forPeople, ReadFleet, here, none, "", "UpcomingList", answer(query, s.Upcoming)},
		{get, api.PathDensity, forPeople, ReadFleet, here, none, "", "Density", answer(query, s.Density)},
		{get, api.PathCollisions, forPeople, ReadFleet, here, none, "", "CollisionList", answer(query, s.Collisions)},
		{get, api.PathSpread, forPeople, ReadFleet, here, none, "", "Spread", answer(query, s.Spread)},
		{get, api.PathFindings, forPeople, ReadFleet, here, none, "", "FindingList", answer(query, s.Findings)},
		{get, api.PathFinding, forPeople, ReadFleet, here, none, "", "Finding", answer(parseFinding, s.Finding)},
		{get, api.PathChanges, forPeople, ReadFleet, here, none, "", "ChangeList", answer(query, s.Changes)},
		{get, api.PathPins, forPeople, ReadFleet, here, none, "", "PinList", answer(query, s.pins)},
		{get, api.PathPin, forPeople, ReadFleet, here, none, "", "PinView", answer(parsePin, s.Pin)},
		{get, api.PathAnnotations, forPeople, ReadFleet, here, none, "", "AnnotationList", answer(query, s.Annotations)},
		{get, api.PathAnnotation, forPeople, ReadFleet, here, none, "", "Annotation", answer(parseAnnotation, s.Annotation)},

		{get, api.PathAdoptions, forPeople, ReadFleet, here, none, "", "AdoptionList", answer(query, s.Adoptions)},
		{get, api.PathAdoption, forPeople, ReadFleet, here, none, "", "Adoption", answer(parseTask, s.adoption)},
		{get, api.PathStandings, forPeople, ReadFleet, here, none, "", "StandingList", answer(query, s.Standings)},
		{get, api.PathCalendars, forPeople, ReadFleet, here, none, "", "CalendarList", answer(query, s.calendars)},
		{get, api.PathCalendar, forPeople, ReadFleet, here, none, "", "CalendarRecord", answer(parseCalendar, s.calendar)},
		{get, api.PathHostLive, forPeople, ReadOutput, here, none, "", "Live", answer(parseLive, s.live)},
		{get, api.PathJobDiff, forPeople, ReadOutput, here, none, "", "JobDiff", answer(parseDiff, s.jobDiff)},

		// what people change: all of it is signed, but for webhooks
		{post, api.PathSealed, forPeople, AnyPerson, leader, sealed, "Envelope", "Sealed", answer(parseSealed, s.submit)},
		{post, api.PathResolve, forPeople, ReadFleet, here, document, "Task", "Resolution", answer(parseDocument, s.resolve)},
		{post, api.PathAdoptions, forPeople, WriteTasks, leader, jsonBody, "AdoptRequest", "AdoptAnswer", answer(parseAdopt(), s.adopt)},
		{post, api.PathTaskHook, forPeople, ControlTasks, leader, payload, "", "Ordered", answer(parseHook, s.hook)},
		{get, api.PathEnvelope, forPeople, ReadFleet, here, none, "", "", s.serveEnvelope},
		{put, api.PathEnvelope, forPeople, Approve, leader, sealed, "Envelope", "TaskRecord", answer(parsePutEnvelope, s.putEnvelope)},

		// what waits for other people, and what asks for that
		{get, api.PathRequests, forPeople, ReadFleet, here, none, "", "RequestList", answer(query, s.requests)},
		{get, api.PathRequest, forPeople, ReadFleet, here, none, "", "Request", answer(parseNaming("request", requestParameter), s.request)},
		{del, api.PathRequest, forPeople, AnyPerson, leader, none, "", "Receipt", answer(parseNaming("request", requestParameter), s.dropRequest)},
		{post, api.PathApproval, forPeople, Approve, leader, sealed, "Envelope", "Sealed", answer(parseApproval, s.approve)},
		{get, api.PathRules, forPeople, ReadFleet, here, none, "", "RulesList", answer(query, s.rules)},
		{get, api.PathRule, forPeople, ReadFleet, here, none, "", "Rules", answer(parseNaming("namespace", namespaceParameter), s.rule)},
		{put, api.PathRule, forPeople, ManageRules, leader, jsonBody, "Rules", "Rules", answer(parseRules(), s.putRules)},
		{del, api.PathRule, forPeople, ManageRules, leader, none, "", "Receipt", answer(parseNaming("namespace", namespaceParameter), s.dropRules)},

		// who may ask, and which machines belong here
		{get, api.PathWhoAmI, forPeople, AnyPerson, here, none, "", "WhoAmI", answer(nothing, s.whoami)},
		{post, api.PathSession, forPeople, ReadFleet, here, none, "", "Session", answer(nothing, s.session)},
		{get, api.PathTokens, forPeople, ManageTokens, here, none, "", "TokenList", answer(nothing, s.tokens)},
		{post, api.PathTokens, forPeople, ManageTokens, leader, jsonBody, "NewToken", "MadeToken", answer(parseAsking[api.NewToken](), s.newToken)},
		{get, api.PathToken, forPeople, ManageTokens, here, none, "", "Token", answer(parseNaming("token", tokenParameter), s.token)},
		{del, api.PathToken, forPeople, ManageTokens, leader, none, "", "Receipt", answer(parseNaming("token", tokenParameter), s.revokeToken)},
		{get, api.PathAudit, forPeople, ReadAudit, here, none, "", "AuditList", answer(query, s.Audit)},
		{get, api.PathAuditAgent, forPeople, ReadAudit, here, none, "", "HostChainList", answer(query, s.policies)},
		{get, api.PathProofs, forPeople, ReadAudit, here, none, "", "ProofBlockList", answer(query, s.proofs)},
		{get, api.PathProofHosts, forPeople, ReadAudit, here, none, "", "ProofHostList", answer(query, s.proofHosts)},
		{get, api.PathPolicies, forPeople, ReadFleet, here, none, "", "HostChainList", answer(query, s.policies)},

		// what people say about jobs
		{put, api.PathPin, forPeople, WriteNotes, leader, jsonBody, "PinRequest", "Pin", answer(parsePutPin(), s.putPin)},
		{del, api.PathPin, forPeople, WriteNotes, leader, none, "", "Receipt", answer(parseDropPin, s.dropPin)},
		{put, api.PathAnnotation, forPeople, WriteNotes, leader, jsonBody, "AnnotationRequest", "Annotation", answer(parseAnnotate(), s.annotate)},
		{put, api.PathFindingAck, forPeople, WriteNotes, leader, jsonBody, "AckRequest", "Ack", answer(parseAck(), s.ack)},
		{del, api.PathFindingAck, forPeople, WriteNotes, leader, none, "", "Receipt", answer(parseDropAck, s.dropAck)},

		// who the collectors are
		{get, api.PathCollectors, forPeople, ReadFleet, here, none, "", "Cluster", answer(nothing, s.cluster)},
		{post, api.PathCollectors, forPeers, BeCollector, leader, jsonBody, "Join", "Cluster", answer(parseJoin(), s.join)},
		{post, api.PathRefusals, forPeers, BeCollector, leader, jsonBody, "AuditEntries", "Receipt", answer(parseRemarks(), s.recordRemarks)},
		{get, api.PathBackup, forPeople, BackUp, here, none, "", "", s.serveBackup},
		{del, api.PathCollector, forPeople, ManageCluster, leader, none, "", "Cluster", answer(parseLeave, s.leave)},

		// which machines belong to the fleet
		{get, api.PathTrust, forAnybody, Public, here, none, "", "Trust", answer(nothing, s.trust)},
		{post, api.PathEnroll, forNewcomers, Public, leader, jsonBody, "Enroll", "Enrolled", answer(parseEnroll(), s.enroll)},
		{post, api.PathCollectorSign, forPeers, Public, here, jsonBody, "Enroll", "Enrolled", answer(parseEnroll(), s.sign)},
		{get, api.PathEnrolled, forNewcomers, Public, here, none, "", "Enrolled", answer(parseNode, s.enrolled)},
		{post, api.PathAgentRenew, forAgents, BeAgent, leader, jsonBody, "Renew", "Enrolled", answer(parseRenew(), s.renew)},
		{get, api.PathGossipKey, forMembers, BeMember, here, none, "", "GossipTicket", answer(nothing, s.gossipTicket)},
		{post, api.PathGossipKey, forPeople, ManageNodes, leader, none, "", "Rotated", answer(parseRotate, s.rotate)},
		{get, api.PathJoinTokens, forPeople, ManageNodes, here, none, "", "JoinTokenList", answer(nothing, s.joinTokens)},
		{post, api.PathJoinTokens, forPeople, ManageNodes, leader, jsonBody, "NewJoinToken", "MadeJoinToken", answer(parseNewJoinToken(), s.makeJoinToken)},
		{del, api.PathJoinToken, forPeople, ManageNodes, leader, none, "", "Receipt", answer(parseDropJoinToken, s.dropJoinToken)},
		{get, api.PathNodes, forPeople, ReadFleet, here, none, "", "NodeList", answer(query, s.nodes)},
		{get, api.PathNode, forPeople, ReadFleet, here, none, "", "Node", answer(parseNode, s.node)},
		{patch, api.PathNode, forPeople, ManageNodes, leader, jsonBody, "NodeChange", "Node", answer(parseNodeChange(), s.changeNode)},

		// what agents say and ask
		{put, api.PathAgent, forAgents, BeAgent, leader, jsonBody, "Host", "Registered", answer(parseRegister(), s.register)},
		{put, api.PathAgentReport, forAgents, BeAgent, leader, report, "Report", "ReportReceipt", answer(parseReport(), s.report)},
		{put, api.PathAgentSeen, forAgents, BeAgent, leader, report, "Sightings", "Receipt", answer(parseSight(), s.sight)},
		{get, api.PathAgentPlan, forAgents, BeAgent, here, none, "", "Plan", answer(parsePlan, s.plan)},
		{post, api.PathAgentRuns, forAgents, BeAgent, leader, jsonBody, "RunBatch", "RunReceipt", answer(parseRuns(), s.runs)},
		{put, api.PathAgentApply, forAgents, BeAgent, leader, jsonBody, "Applied", "AppliedReceipt", answer(parseApplied(), s.applied)},
		{post, api.PathAgentLeases, forAgents, BeAgent, leader, jsonBody, "LeaseRequest", "Lease", answer(parseLease(), s.lease)},
		{del, api.PathAgentLease, forAgents, BeAgent, leader, none, "", "Returned", answer(parseReturnLease, s.returnLease)},
		{put, api.PathAgentAdopt, forAgents, BeAgent, leader, report, "AdoptionWords", "Receipt", answer(parseSettle(), s.settle)},
		{put, api.PathAgentStands, forAgents, BeAgent, leader, report, "Stands", "Receipt", answer(parseStand(), s.stand)},
		{put, api.PathAgentPolicy, forAgents, BeAgent, leader, report, "PolicyReport", "Receipt", answer(parsePolicy(), s.policy)},
		{post, api.PathAgentProofs, forAgents, BeAgent, leader, jsonBody, "ProofBatch", "ProofReceipt", answer(parseProofs(), s.takeProofs)},
		{get, api.PathAgentAsks, forAgents, BeAgent, here, none, "", "AskList", answer(parseAsks, s.asks)},
		{post, api.PathAgentAnswer, forAgents, BeAgent, here, stream, "", "Answered", s.serveAnswer},

		// how it goes
		{get, api.PathLivez, forPeople, Public, here, none, "", "", s.serveLivez},
		{get, api.PathReadyz, forPeople, Public, here, none, "", "", s.serveReadyz},
		{get, api.PathHealth, forPeople, ReadMetrics, here, none, "", "Health", s.serveHealth},
		{get, api.PathMetrics, forPeople, ReadMetrics, here, none, "", "", s.serveMetrics},
		{get, api.PathOpenAPI, forPeople, Public, here, none, "", "", s.serveOpenAPI},
		{get, api.PathVersion, forPeople, Public, here, none, "", "Version", answer(nothing, s.version)},
	}
}
