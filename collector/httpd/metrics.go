package httpd

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// metrics is what /metrics tells. Labels take their values from closed lists
// only, so that nobody outside can make series.
type metrics struct {
	registry *prometheus.Registry
	handler  http.Handler

	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
	records  *prometheus.CounterVec
	refused  prometheus.Counter
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fleetcron_http_requests_total", Help: "Requests answered, by method, route and status."}, []string{"method", "route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fleetcron_http_request_duration_seconds", Help: "Time to answer, the wait of blocking queries included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 30, 300}}, []string{"method", "route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "fleetcron_http_requests_in_flight", Help: "Requests being answered, blocking queries included."}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fleetcron_run_records_total", Help: "Run records that agents delivered here and that were acknowledged, by the state they tell; what was delivered twice counts twice."}, []string{"state"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fleetcron_run_records_refused_total", Help: "Run records that could not be true."}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.inFlight, m.records, m.refused, ledgerCollector{s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return m
}

func (s *Server) serveMetrics(w http.ResponseWriter, r *request) error {
	s.metrics.handler.ServeHTTP(w, r.Request)
	return nil
}

func (m *metrics) countRuns(records []api.RunRecord, receipt ledger.Receipt) {
	for i := range records {
		if _, known := fleet.RunMoves[records[i].Run.State]; known {
			m.records.WithLabelValues(string(records[i].Run.State)).Inc()
		}
	}
	m.refused.Add(float64(receipt.Refused))
}

// ledgerCollector reads the state of ledger and raft group when it is asked.
type ledgerCollector struct{ s *Server }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("fleetcron_"+name, help, labels, nil)
}

var (
	descHosts     = describe("hosts", "Hosts known, by presence.", "presence")
	descJobs      = describe("jobs", "Jobs found.")
	descBroken    = describe("jobs_broken", "Jobs found that their host's scheduler will not run.")
	descProblems  = describe("problems", "Lines and files that scans could not take as they stand.")
	descTasks     = describe("tasks", "Tasks given, by state.", "state")
	descOpen      = describe("runs_open", "Runs without an outcome.")
	descDue       = describe("occurrences_due", "Instants that were due by schedules and orders.")
	descOutcomes  = describe("occurrences_total", "Instants by what became of them.", "state")
	descFailed    = describe("occurrences_failed_total", "Instants whose command ran and failed.")
	descPending   = describe("occurrences_pending", "Instants that were due and have no outcome yet.")
	descAccount   = describe("occurrences_difference", "Instants that were due and are neither pending nor have an outcome; anything but 0 is a fault.")
	descRetried   = describe("attempts_retried_total", "Attempts after the first ones of their occurrences.")
	descPhases    = describe("daemons", "Commands that are kept up, on each host, by phase.", "phase")
	descRestarts  = describe("daemon_restarts", "Restarts that hosts count of them now: since they were given, started by a person or up for long.")
	descUnhealthy = describe("daemons_unhealthy", "Commands that are kept up and whose probes fail.")
	descBreakers  = describe("breakers_open", "Breakers that are open or half-open, on each host.")
	descIndex     = describe("ledger_index", "Index of the last entry applied.")
	descTerm      = describe("raft_term", "Current term.")
	descApplied   = describe("raft_applied_index", "Last entry handed to the ledger.")
	descCommitted = describe("raft_committed_index", "Last entry known to be committed.")
	descLeading   = describe("raft_leading", "1 on the leader.")
	descLeader    = describe("raft_leader_known", "1 while a leader is known.")
	descContact   = describe("raft_last_contact_seconds", "Time since the leader was heard; 0 on the leader.")
	descBuild     = describe("build_info", "Always 1; the version is in the label.", "version")
)

// Describe says what Collect will tell.
func (c ledgerCollector) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		descHosts, descJobs, descBroken, descProblems, descTasks, descOpen, descIndex, descTerm,
		descRetried, descPhases, descRestarts, descUnhealthy, descBreakers, descDue, descOutcomes, descFailed, descPending, descAccount, descApplied, descCommitted, descLeading, descLeader, descContact, descBuild,
	} {
		out <- desc
	}
}

// Collect reads everything anew.
func (c ledgerCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for presence, count := range c.s.countPresence(everywhere) {
		gauge(descHosts, float64(count), string(presence))
	}
	totals := c.s.Ledger.Totals(everywhere)
	gauge(descJobs, float64(totals.Jobs))
	gauge(descBroken, float64(totals.Broken))
	gauge(descProblems, float64(totals.Problems))
	gauge(descTasks, float64(totals.Tasks-totals.Paused), string(fleet.TaskEnabled))
	gauge(descTasks, float64(totals.Paused), string(fleet.TaskPaused))
	gauge(descOpen, float64(totals.Open))
	if sum, known := c.s.accountSum(); known {
		gauge(descDue, float64(sum.Due))
		gauge(descPending, float64(sum.Pending))
		gauge(descAccount, float64(sum.Difference))
		out <- prometheus.MustNewConstMetric(descFailed, prometheus.CounterValue, float64(sum.Failed))
		out <- prometheus.MustNewConstMetric(descRetried, prometheus.CounterValue, float64(sum.Retried))
		for state, n := range map[fleet.RunState]int{fleet.RunRan: sum.Ran, fleet.RunSkipped: sum.Skipped, fleet.RunMissed: sum.Missed, fleet.RunUnknown: sum.Unknown} {
			out <- prometheus.MustNewConstMetric(descOutcomes, prometheus.CounterValue, float64(n), string(state))
		}
	}
	c.stands(gauge)
	index, _ := c.s.Ledger.Applied()
	gauge(descIndex, float64(index))
	status := c.s.Replica.Status()
	gauge(descTerm, float64(status.Term))
	gauge(descApplied, float64(status.Applied))
	gauge(descCommitted, float64(status.Committed))
	gauge(descLeading, truth(status.Leading))
	gauge(descLeader, truth(c.s.Replica.Leader() != ""))
	gauge(descContact, max(0, status.LastContact.Seconds()))
	gauge(descBuild, 1, c.s.Version)
}

// stands tells how tasks stand on their hosts, all together.
func (c ledgerCollector) stands(gauge func(*prometheus.Desc, float64, ...string)) {
	sum := c.s.standingSum()
	for _, phase := range phases {
		gauge(descPhases, float64(sum.Phases[phase]), string(phase))
	}
	gauge(descRestarts, float64(sum.Restarts))
	gauge(descUnhealthy, float64(sum.Unhealthy))
	gauge(descBreakers, float64(sum.Breakers))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
