package httpd_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// twoTenants is a fleet of two namespaces, with one of everything in each.
func twoTenants(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	for n, namespace := range []string{"", "red", "blue"} {
		if namespace == "" {
			continue
		}
		token := h.joinToken(t, api.NewJoinToken{Namespaces: []string{namespace}})
		_, request := newKey(t)
		node := decoded[api.Enrolled](t, h.enroll(t, here, api.Enroll{Token: token.Secret, Request: request, Name: namespace}).Result(), http.StatusCreated).Node
		host := fleet.Host{ID: fleet.HostID(node), Name: "host-of-" + namespace, Labels: map[string]string{"role": namespace}, OS: "Debian", Cron: "debian", Timezone: "UTC"}
		h.propose(t, &ledger.RegisterHost{Host: host, At: time.Unix(1_700_000_000, 0).UTC()})
		report := fleet.Report{Host: host.Name, Scanned: time.Unix(1_700_000_100, 0).UTC(), Jobs: []fleet.Job{}, Problems: []fleet.Problem{}}
		command := "/usr/bin/job-of-" + namespace
		report.Jobs = append(report.Jobs, fleet.Job{ID: fleet.NewJobID(fleet.KindCron, "/etc/cron.d/x", "root", command, 0), Kind: fleet.KindCron, Source: "/etc/cron.d/x", Line: 1,
			User: "root", Schedule: "30 2 * * *", Command: command, Enabled: true, Verdict: fleet.Verdict{Why: "no such user"}, Fingerprint: fleet.CommandFingerprint(command)})
		h.propose(t, &ledger.RecordReport{Host: host.ID, Report: report, Hash: report.ContentHash(), At: time.Unix(1_700_000_200, 0).UTC()})
		taskOf(t, h.submit(t, tasked(t, `{"task":"job","namespace":"`+namespace+`","on":{"cron":"* * * * *"},"run":{"command":["/bin/task-of-`+namespace+`"]},"where":{"labels":"role=`+namespace+`"}}`, fleet.TaskEnabled), "?unmatched=allow"))
		run := newRun(n, fleet.RunRan)
		run.Task, run.Host, run.ID = fleet.NewTaskID(namespace, "job"), host.ID, fleet.RunID("run-of-"+namespace)
		h.propose(t, &ledger.RecordRuns{Batches: []ledger.HostBatch{{Host: host.ID, Journal: fleet.JournalID(strings.Repeat("ab"[n-1:n], 32)), Records: []api.RunRecord{{Sequence: 1, Run: run}}}}, At: time.Now().UTC()})
	}
	return h
}

// TestAttack26_ForeignIsUnknown asks for what is another tenant's, and for what
// is nobody's: nothing tells one answer from the other.
func TestAttack26_ForeignIsUnknown(t *testing.T) {
	h := twoTenants(t)
	blue, _ := h.ledger.FindHost(everywhere, "host-of-blue")
	foreign := strings.NewReplacer("NAMESPACE", "blue", "HOST", "host-of-blue", "ID", string(blue.ID), "RUN", "run-of-blue")
	unknown := strings.NewReplacer("NAMESPACE", "none", "HOST", "host-of-none", "ID", strings.Repeat("9", 32), "RUN", "run-of-none")
	names := strings.NewReplacer("blue", "X", "none", "X", string(blue.ID), "I", strings.Repeat("9", 32), "I")
	for _, target := range []string{
		"/v1/tasks/NAMESPACE/job", "/v1/tasks/NAMESPACE/job/hosts", "/v1/tasks/NAMESPACE/job/envelope", "/v1/runs/RUN", "/v1/runs/RUN/output",
		"/v1/hosts/HOST", "/v1/hosts/ID", "/v1/hosts/HOST/loss", "/v1/hosts/HOST/live", "/v1/hosts/HOST/jobs/1234/diff", "/v1/adoptions/NAMESPACE/job", "/v1/nodes/ID",
		"/v1/standings?task=NAMESPACE/job", "/v1/jobs?host=HOST", "/v1/tasks?host=HOST", "/v1/runs?host=HOST", "/v1/upcoming?host=HOST", "/v1/density?host=HOST",
		"/v1/collisions?host=HOST", "/v1/spread?host=HOST", "/v1/findings?host=HOST", "/v1/changes?host=HOST", "/v1/account?host=HOST", "/v1/account?task=NAMESPACE/job",
		"/v1/account/proof?task=NAMESPACE/job", "/v1/rules/NAMESPACE",
	} {
		mine := h.do(t, http.MethodGet, foreign.Replace(target), "", "Authorization", "Bearer rita:admin:red")
		nobodys := h.do(t, http.MethodGet, unknown.Replace(target), "", "Authorization", "Bearer rita:admin:red")
		if mine.StatusCode != nobodys.StatusCode || mine.StatusCode == http.StatusOK && !strings.Contains(target, "?") {
			t.Errorf("%s: %d, unknown %d", target, mine.StatusCode, nobodys.StatusCode)
		}
		if diff := cmp.Diff(names.Replace(same(t, nobodys)), names.Replace(same(t, mine))); diff != "" {
			t.Errorf("%s: %s", target, diff)
		}
	}
	statements := map[string]func(namespace string) string{
		"retire": func(n string) string { return signed(t, retired(fleet.NewTaskID(n, "job"))) },
		"run":    func(n string) string { return signed(t, ordered(fleet.OrderRun, fleet.NewTaskID(n, "job"), blue.ID)) },
		"cancel": func(n string) string {
			return signed(t, cancelled(fleet.Run{ID: fleet.RunID("run-of-" + n), Task: fleet.NewTaskID(n, "job"), Host: blue.ID}))
		},
		"release": func(n string) string { return signed(t, released(fleet.NewTaskID(n, "job"), blue.ID)) },
	}
	for name, said := range statements {
		var answers []string
		for _, namespace := range []string{"blue", "none"} {
			reply := h.do(t, http.MethodPost, api.PathSealed, said(namespace), "Content-Type", api.MediaSealed, "Authorization", "Bearer rita:operator:red")
			answers = append(answers, itoa(reply.StatusCode)+names.Replace(same(t, reply)))
		}
		if answers[0] != answers[1] || !strings.HasPrefix(answers[0], "404") {
			t.Errorf("%s: %s, unknown %s", name, answers[0], answers[1])
		}
	}
}

// TestAttack27_ListsAndCountsAreOfTheCaller walks every list: nothing of the
// other tenant is in it, in none of its forms, and nothing of it is counted.
func TestAttack27_ListsAndCountsAreOfTheCaller(t *testing.T) {
	h := twoTenants(t)
	later := time.Now().UTC().Add(2 * time.Hour).Format(time.RFC3339)
	for _, target := range []string{
		api.PathOverview, api.PathHosts, api.PathJobs, api.PathJobs + "?q=job-of", api.PathJobGroups, api.PathTasks, api.PathTasks + "?namespace=blue", api.PathRuns, api.PathRuns + "?failed",
		api.PathUpcoming + "?until=" + later, api.PathDensity, api.PathCollisions + "?least=1", api.PathSpread, api.PathFindings, api.PathChanges, api.PathAccount, api.PathAccount + "?hosts=true", api.PathProof,
		api.PathStandings, api.PathAdoptions, api.PathNodes, api.PathPolicies, api.PathRequests, api.PathRules, api.PathPins, api.PathAnnotations,
		api.PathTasks + "?namespace=*", api.PathRuns + "?namespace=*", api.PathJobs + "?at=" + time.Now().UTC().Add(-time.Minute).Format(time.RFC3339), api.PathTokens,
	} {
		whole := text(t, h.do(t, http.MethodGet, target, ""))
		got := text(t, h.do(t, http.MethodGet, target, "", "Authorization", "Bearer rita:admin:red"))
		blue, _ := h.ledger.FindHost(everywhere, "host-of-blue")
		if strings.Contains(got, "blue") || strings.Contains(got, string(blue.ID)) {
			t.Errorf("%s tells of the other tenant: %s", target, got)
		}
		if counts := regexp.MustCompile(`"total":(\d+)`); counts.MatchString(whole) && strings.Contains(whole, "blue") && !strings.Contains(target, "collisions") {
			if all, mine := counts.FindStringSubmatch(whole)[1], counts.FindStringSubmatch(got)[1]; all == mine && all != "-1" {
				t.Errorf("%s counts %s for both", target, all)
			}
		}
		for _, nobody := range []string{"nina:viewer:none", "nina:viewer:re", "nina:viewer:red-2"} {
			if nothing := text(t, h.do(t, http.MethodGet, target, "", "Authorization", "Bearer "+nobody)); strings.Contains(nothing, "of-") {
				t.Errorf("%s tells %s: %s", target, nobody, nothing)
			}
		}
	}
	overview := decoded[api.Overview](t, h.do(t, http.MethodGet, api.PathOverview, "", "Authorization", "Bearer rita:viewer:red"), http.StatusOK)
	if overview.Hosts != 1 || overview.Jobs != 1 || overview.Tasks != 1 {
		t.Errorf("the overview counts %+v", overview)
	}
	mine := decoded[api.List[api.HostView]](t, h.do(t, http.MethodGet, api.PathHosts, "", "Authorization", "Bearer rita:viewer:red"), http.StatusOK)
	if len(mine.Items) != 1 || mine.Items[0].Name != "host-of-red" {
		t.Errorf("hosts %+v", mine.Items)
	}
}

func TestAttack28_NoRoleMayNothing(t *testing.T) {
	h := newHouse(t)
	for _, route := range h.Routes() {
		if !route.On(pki.PlaneOperator) || route.Permission == httpd.Public || route.Permission == httpd.AnyPerson {
			continue
		}
		for _, who := range []string{"nina::*", "nina:owner:*"} {
			if reply := h.do(t, route.Method, filled(route.Path), "", "Authorization", "Bearer "+who); reply.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s as %s: %d", route.Method, route.Path, who, reply.StatusCode)
			}
		}
	}
}

// TestAttack30_ANamespaceIsItsWholeName: rights on backup are none on
// backup-prod, nor the other way round.
func TestAttack30_ANamespaceIsItsWholeName(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	for namespace, others := range map[string][]string{"backup": {"backup-prod", "backu", "backup.x"}, "backup-prod": {"backup", "prod"}} {
		document := strings.Replace(backup, `"namespace":"data"`, `"namespace":"`+namespace+`"`, 1)
		for _, other := range others {
			reply := h.give(t, document, "Authorization", "Bearer olga:operator:"+other)
			if reply.StatusCode != http.StatusNotFound && reply.StatusCode != http.StatusForbidden {
				t.Errorf("%s by somebody of %s: %d", namespace, other, reply.StatusCode)
			}
		}
		taskOf(t, h.give(t, document, "Authorization", "Bearer olga:operator:"+namespace))
	}
}
