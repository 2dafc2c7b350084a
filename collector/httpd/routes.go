package httpd

import (
	"net/http"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// routes is the whole map. Each line: method, path, permission, whether the
// leader carries it out, what is read, the schemas of request and reply in
// openapi.yaml, and the service with the parser of its request.
func (s *Server) routes() []Route {
	const get, put, post, patch, del = http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete
	const here, leader = false, true
	return []Route{
		// what there is
		{get, api.PathOverview, ReadFleet, here, none, "", "Overview", answer(nothing, s.overview)},
		{get, api.PathHosts, ReadFleet, here, none, "", "HostList", answer(query, s.Hosts)},
		{get, api.PathHost, ReadFleet, here, none, "", "HostDetail", answer(parseHost, s.host)},
		{get, api.PathHostLoss, ReadFleet, here, none, "", "Loss", answer(parseLoss, s.Loss)},
		{get, api.PathJobs, ReadFleet, here, none, "", "JobList", answer(query, s.Jobs)},
		{get, api.PathJobGroups, ReadFleet, here, none, "", "JobGroupList", answer(query, s.JobGroups)},
		{get, api.PathTasks, ReadFleet, here, none, "", "TaskList", answer(query, s.Tasks)},
		{get, api.PathTask, ReadFleet, here, none, "", "TaskView", answer(parseTask, s.task)},
		{get, api.PathTaskHosts, ReadFleet, here, none, "", "ResolvedList", answer(parseTask, s.taskHosts)},
		{get, api.PathRuns, ReadFleet, here, none, "", "RunList", answer(query, s.Runs)},
		{get, api.PathRun, ReadFleet, here, none, "", "RunView", answer(parseRun, s.run)},
		{get, api.PathAccount, ReadFleet, here, none, "", "AccountLineList", answer(query, s.Account)},
		{get, api.PathProof, ReadFleet, here, none, "", "Proof", answer(query, s.proof)},
		{get, api.PathRunOutput, ReadOutput, here, none, "", "", s.serveOutput},
		{get, api.PathUpcoming, ReadFleet, here, none, "", "UpcomingList", answer(query, s.Upcoming)},
		{get, api.PathDensity, ReadFleet, here, none, "", "Density", answer(query, s.Density)},
		{get, api.PathCollisions, ReadFleet, here, none, "", "CollisionList", answer(query, s.Collisions)},
		{get, api.PathSpread, ReadFleet, here, none, "", "Spread", answer(query, s.Spread)},
		{get, api.PathFindings, ReadFleet, here, none, "", "FindingList", answer(query, s.Findings)},
		{get, api.PathFinding, ReadFleet, here, none, "", "Finding", answer(parseFinding, s.Finding)},
		{get, api.PathChanges, ReadFleet, here, none, "", "ChangeList", answer(query, s.Changes)},
		{get, api.PathPins, ReadFleet, here, none, "", "PinList", answer(query, s.pins)},
		{get, api.PathPin, ReadFleet, here, none, "", "PinView", answer(parsePin, s.Pin)},
		{get, api.PathAnnotations, ReadFleet, here, none, "", "AnnotationList", answer(query, s.Annotations)},
		{get, api.PathAnnotation, ReadFleet, here, none, "", "Annotation", answer(parseAnnotation, s.Annotation)},

		{get, api.PathAdoptions, ReadFleet, here, none, "", "AdoptionList", answer(query, s.Adoptions)},
		{get, api.PathAdoption, ReadFleet, here, none, "", "Adoption", answer(parseTask, s.adoption)},
		{get, api.PathStandings, ReadFleet, here, none, "", "StandingList", answer(query, s.Standings)},
		{get, api.PathCalendars, ReadFleet, here, none, "", "CalendarList", answer(query, s.calendars)},
		{get, api.PathCalendar, ReadFleet, here, none, "", "CalendarRecord", answer(parseCalendar, s.calendar)},
		{get, api.PathHostLive, ReadOutput, here, none, "", "Live", answer(parseLive, s.live)},
		{get, api.PathJobDiff, ReadOutput, here, none, "", "JobDiff", answer(parseDiff, s.jobDiff)},

		// what people change
		{post, api.PathResolve, ReadFleet, here, document, "Task", "Resolution", answer(parseDocument, s.resolve)},
		{post, api.PathTasks, WriteTasks, leader, document, "Task", "TaskRecord", answer(parsePostTask, s.putTask)},
		{put, api.PathTask, WriteTasks, leader, document, "Task", "TaskRecord", answer(parsePutTask, s.putTask)},
		{patch, api.PathTask, WriteTasks, leader, jsonBody, "TaskPatch", "TaskRecord", answer(parsePatchTask(), s.patchTask)},
		{del, api.PathTask, WriteTasks, leader, none, "", "Deleted", answer(parseDeleteTask, s.deleteTask)},
		{post, api.PathTaskRun, RunTasks, leader, jsonBody, "RunRequest", "Ordered", answer(parseRunTask(), s.runTask)},
		{post, api.PathTaskStart, RunTasks, leader, jsonBody, "RunRequest", "Ordered", answer(parseRunTask(), s.control(fleet.OrderStart))},
		{post, api.PathTaskStop, RunTasks, leader, jsonBody, "RunRequest", "Ordered", answer(parseRunTask(), s.control(fleet.OrderStop))},
		{post, api.PathTaskRestart, RunTasks, leader, jsonBody, "RunRequest", "Ordered", answer(parseRunTask(), s.control(fleet.OrderRestart))},
		{post, api.PathTaskReset, RunTasks, leader, jsonBody, "RunRequest", "Ordered", answer(parseRunTask(), s.control(fleet.OrderReset))},
		{post, api.PathEvent, RunTasks, leader, payload, "", "Ordered", answer(parseEvent, s.raise)},
		{post, api.PathTaskHook, RunTasks, leader, payload, "", "Ordered", answer(parseHook, s.hook)},
		{del, api.PathRun, RunTasks, leader, none, "", "Cancelled", answer(parseCancel, s.cancelRun)},

		{put, api.PathCalendar, WriteTasks, leader, calendar, "Calendar", "CalendarRecord", answer(parsePutCalendar, s.putCalendar)},
		{del, api.PathCalendar, WriteTasks, leader, none, "", "Receipt", answer(parseDropCalendar, s.dropCalendar)},

		{post, api.PathAdoptions, WriteTasks, leader, jsonBody, "AdoptRequest", "AdoptAnswer", answer(parseAdopt(), s.adopt)},
		{del, api.PathAdoption, WriteTasks, leader, none, "", "AdoptAnswer", answer(parseRelease, s.release)},

		// what people say about jobs
		{put, api.PathPin, WriteNotes, leader, jsonBody, "PinRequest", "Pin", answer(parsePutPin(), s.putPin)},
		{del, api.PathPin, WriteNotes, leader, none, "", "Receipt", answer(parseDropPin, s.dropPin)},
		{put, api.PathAnnotation, WriteNotes, leader, jsonBody, "AnnotationRequest", "Annotation", answer(parseAnnotate(), s.annotate)},
		{put, api.PathFindingAck, WriteNotes, leader, jsonBody, "AckRequest", "Ack", answer(parseAck(), s.ack)},
		{del, api.PathFindingAck, WriteNotes, leader, none, "", "Receipt", answer(parseDropAck, s.dropAck)},

		// who the collectors are
		{get, api.PathCollectors, ReadFleet, here, none, "", "Cluster", answer(nothing, s.cluster)},
		{post, api.PathCollectors, ManageCluster, leader, jsonBody, "Join", "Cluster", answer(parseJoin(), s.join)},
		{get, api.PathBackup, BackUp, here, none, "", "", s.serveBackup},
		{del, api.PathCollector, ManageCluster, leader, none, "", "Cluster", answer(parseLeave, s.leave)},

		// what agents say and ask
		{put, api.PathAgent, BeAgent, leader, jsonBody, "Host", "Registered", answer(parseRegister(), s.register)},
		{put, api.PathAgentReport, BeAgent, leader, report, "Report", "ReportReceipt", answer(parseReport(), s.report)},
		{put, api.PathAgentSeen, BeAgent, leader, report, "Sightings", "Receipt", answer(parseSight(), s.sight)},
		{get, api.PathAgentPlan, BeAgent, here, none, "", "Plan", answer(parsePlan, s.plan)},
		{post, api.PathAgentRuns, BeAgent, leader, jsonBody, "RunBatch", "RunReceipt", answer(parseRuns(), s.runs)},
		{put, api.PathAgentApply, BeAgent, leader, jsonBody, "Applied", "AppliedReceipt", answer(parseApplied(), s.applied)},
		{post, api.PathAgentLeases, BeAgent, leader, jsonBody, "LeaseRequest", "Lease", answer(parseLease(), s.lease)},
		{del, api.PathAgentLease, BeAgent, leader, none, "", "Returned", answer(parseReturnLease, s.returnLease)},
		{put, api.PathAgentAdopt, BeAgent, leader, report, "AdoptionWords", "Receipt", answer(parseSettle(), s.settle)},
		{put, api.PathAgentStands, BeAgent, leader, report, "Stands", "Receipt", answer(parseStand(), s.stand)},
		{get, api.PathAgentAsks, BeAgent, here, none, "", "AskList", answer(parseAsks, s.asks)},
		{post, api.PathAgentAnswer, BeAgent, here, stream, "", "Answered", s.serveAnswer},

		// how it goes
		{get, api.PathLivez, Public, here, none, "", "", s.serveLivez},
		{get, api.PathReadyz, Public, here, none, "", "", s.serveReadyz},
		{get, api.PathHealth, Public, here, none, "", "Health", s.serveHealth},
		{get, api.PathMetrics, Public, here, none, "", "", s.serveMetrics},
		{get, api.PathOpenAPI, Public, here, none, "", "", s.serveOpenAPI},
		{get, api.PathVersion, Public, here, none, "", "Version", answer(nothing, s.version)},
	}
}
