package web

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// severities are the pictures of severities, the most urgent first in
// severityOrder.
var severities = map[fleet.Severity]status{
	fleet.Critical: {"bad", "critical", "bad"},
	fleet.Warning:  {"warn", "warning", "warn"},
	fleet.Notice:   {"notice", "notice", "idle"},
}

var severityOrder = []fleet.Severity{fleet.Critical, fleet.Warning, fleet.Notice}

func severityStatus(s fleet.Severity) status { return orUnknown(severities, s) }

// findingKinds are the words for what may be wrong, in the order of a choice.
var findingKinds = []option{
	{"", "Any kind"},
	{string(fleet.FindIgnored), "will not run"},
	{string(fleet.FindOverdue), "overdue"},
	{string(fleet.FindFailed), "last run failed"},
	{string(fleet.FindWritable), "others can write what root runs"},
	{string(fleet.FindExposed), "others can read a secret"},
	{string(fleet.FindSecret), "secret in a command"},
	{string(fleet.FindUnexpected), "not allowed by a pin"},
	{string(fleet.FindNewcomer), "newcomer"},
	{string(fleet.FindPercent), "unescaped %"},
	{string(fleet.FindPath), "not on its PATH"},
	{string(fleet.FindProblem), "unreadable line"},
	{string(fleet.FindStale), "source unreadable"},
	{string(fleet.FindTwice), "twice on one host"},
	{string(fleet.FindEverywhere), "everywhere at once"},
	{string(fleet.FindOutlier), "unlike its kind"},
	{string(fleet.FindCollision), "collision"},
	{string(fleet.FindOrphan), "orphan"},
	{string(fleet.FindNoOwner), "nobody answers for it"},
	{string(fleet.FindNoSignal), "no signal of failure"},
	{string(fleet.FindRefused), "refused by the host's policy"},
	{string(fleet.FindDST), "change of the clock"},
	{string(fleet.FindClockSkew), "clock is off"},
	{string(fleet.FindSilentHost), "silent host"},
	{string(fleet.FindProof), "signed with another key"},
	{string(fleet.FindAdoption), "adoption"},
}

// findingWord says in a few words what sort of finding it is.
func findingWord(kind fleet.FindingKind) string { return wordOf(findingKinds, string(kind)) }

// wordOf returns the word of a value; the value itself where it has none.
func wordOf(options []option, value string) string {
	for _, o := range options {
		if o.Value == value {
			return o.Word
		}
	}
	return value
}

// findingList is the page of what a person should look at.
type findingList struct {
	*listing
	Items     []fleet.Finding
	Counts    []severityCount
	Evaluated time.Time
}

// severityCount is how many findings of one severity there are.
type severityCount struct {
	Status status
	Count  int
	URL    string
	Note   string
}

// severityNotes say what a severity means.
var severityNotes = map[fleet.Severity]string{
	fleet.Critical: "work is not done, or others can take over root",
	fleet.Warning:  "wrong, or soon to be",
	fleet.Notice:   "worth knowing",
}

// countsOf lists what there is of each severity, the most urgent first.
func countsOf(counts map[fleet.Severity]int, address func(fleet.Severity) string) []severityCount {
	var out []severityCount
	for _, severity := range severityOrder {
		out = append(out, severityCount{severityStatus(severity), counts[severity], address(severity), severityNotes[severity]})
	}
	return out
}

func (s *site) findings(v *visit) (view, error) {
	l, err := v.listing("/findings",
		filter{Name: "severity", Label: "Severity", Tabs: true, Options: []option{
			{"", "All"}, {string(fleet.Warning), "Warning and worse"}, {string(fleet.Critical), "Critical"},
		}},
		filter{Name: "acked", Label: "Acknowledged", Tabs: true, Options: []option{{"", "Open"}, {"only", "Acknowledged"}, {"all", "Both"}}},
		filter{Name: "q", Label: "Text", Hint: "backup"},
		filter{Name: "kind", Label: "Kind", Options: findingKinds},
		filter{Name: "host", Label: "Host", Hint: "db-1"},
		filter{Name: "label", Label: "Labels", Hint: "role=db"},
		filter{Name: "owner", Label: "Owner", Hint: "team-data"},
	)
	if err != nil {
		return view{}, err
	}
	list, err := s.src.Findings(v.Context(), api.FindingQuery{
		Page: api.Page{After: l.After, Limit: rowsPerPage}, Text: l.value("q"), Host: l.value("host"), Label: l.value("label"),
		Owner: l.value("owner"), Kind: fleet.FindingKind(l.value("kind")), Severity: fleet.Severity(l.value("severity")), Acked: l.value("acked"),
	})
	if err != nil {
		return view{}, err
	}
	l.shows(len(list.Items), list.Total, list.Next)
	body := &findingList{listing: l, Items: list.Items, Evaluated: list.Evaluated}
	body.Counts = countsOf(list.Counts, func(severity fleet.Severity) string {
		if severity == fleet.Notice {
			return l.With("severity", "")
		}
		return l.With("severity", string(severity))
	})
	return view{Title: "Findings", Body: body}, nil
}

// openFindings reads what is wrong with one host and nobody has acknowledged.
func (s *site) openFindings(v *visit, host fleet.HostID, limit int) (api.FindingList, error) {
	return s.src.Findings(v.Context(), api.FindingQuery{Host: string(host), Page: api.Page{Limit: limit}})
}
