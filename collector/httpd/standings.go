package httpd

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// maxStandings is how many tasks may stand somehow on one host.
const maxStandings = 20_000

// maxDone is how many orders a host may tell at once to be carried out.
const maxDone = 1000

var (
	phases        = []fleet.Phase{fleet.PhaseWaiting, fleet.PhaseRunning, fleet.PhaseStopping, fleet.PhaseBackoff, fleet.PhaseCrashLoop, fleet.PhaseStopped, fleet.PhaseDone}
	breakerStates = []fleet.BreakerState{fleet.BreakerClosed, fleet.BreakerOpen, fleet.BreakerHalfOpen}
	healthStates  = []fleet.HealthState{fleet.Healthy, fleet.Unhealthy}
)

// Standings lists how tasks stand on their hosts, by task and name of the host.
func (s *Server) Standings(ctx context.Context, q api.StandingQuery) (api.List[api.StandingView], error) {
	list := api.List[api.StandingView]{Items: []api.StandingView{}}
	asked, err := s.standingQuery(scopeOf(ctx), &q)
	if err != nil {
		return list, err
	}
	if list.Index, err = s.newer(ctx, wait(q.Page), ledger.Standings); err != nil {
		return list, err
	}
	if q.Page, err = openPage(q.Page); err != nil {
		return list, err
	}
	views, err := s.standing(scopeOf(ctx), &q, asked)
	if err != nil {
		return list, err
	}
	slices.SortFunc(views, func(a, b api.StandingView) int { return strings.Compare(standingKey(&a), standingKey(&b)) })
	list.Total = len(views)
	from, found := slices.BinarySearchFunc(views, q.After, func(v api.StandingView, after string) int { return strings.Compare(standingKey(&v), after) })
	if found {
		from++
	}
	end := min(from+q.Limit, len(views))
	if list.Items = append(list.Items, views[from:end]...); end < len(views) {
		list.Next = sealCursor(standingKey(&views[end-1]))
	}
	return list, nil
}

// standingKey orders standings as they come.
func standingKey(v *api.StandingView) string {
	return string(v.Task) + "\x00" + v.HostName + "\x00" + string(v.Host)
}

// standingQuery checks a query and returns which hosts are meant.
func (s *Server) standingQuery(scope fleet.Scope, q *api.StandingQuery) (choice, error) {
	if q.Task != "" {
		id, err := fleet.ParseTaskID(string(q.Task))
		if err != nil {
			return choice{}, err
		}
		if _, err := s.Ledger.Task(scope, id); err != nil {
			return choice{}, err
		}
		q.Task = id
	}
	err := cmp.Or(oneOf("phase", q.Phase, phases...), oneOf("breaker", q.Breaker, breakerStates...), oneOf("health", q.Health, healthStates...))
	if err != nil {
		return choice{}, err
	}
	return s.choose(scope, q.Host, q.Label, "")
}

// standing collects what is asked for, in no order.
func (s *Server) standing(scope fleet.Scope, q *api.StandingQuery, asked choice) ([]api.StandingView, error) {
	orders, err := s.standingOrders(scope, q)
	if err != nil {
		return nil, err
	}
	var views []api.StandingView
	for _, host := range s.Ledger.AllHosts(scope) {
		if !asked.takes(host) {
			continue
		}
		for view := range s.standsOn(scope, host, q) {
			k := onHost{view.Task, host.ID}
			view.Orders = orders[k]
			delete(orders, k)
			if wantsStanding(q, &view.Standing) {
				views = append(views, view)
			}
		}
	}
	for k, waiting := range orders {
		if host, found := s.Ledger.Host(scope, k.host); found && asked.takes(host) && wantsStanding(q, &fleet.Standing{Task: k.task}) {
			view := s.standingView(host, fleet.Standing{Task: k.task}, time.Time{})
			view.Orders = waiting
			views = append(views, view)
		}
	}
	return views, nil
}

// onHost is a task on a host.
type onHost struct {
	task fleet.TaskID
	host fleet.HostID
}

// standingOrders returns the open orders about how tasks stand.
func (s *Server) standingOrders(scope fleet.Scope, q *api.StandingQuery) (map[onHost][]fleet.Order, error) {
	all, err := s.Ledger.StandingOrders(scope)
	if err != nil {
		return nil, err
	}
	orders := map[onHost][]fleet.Order{}
	for _, order := range all {
		if q.Task == "" || q.Task == order.Task {
			k := onHost{order.Task, order.Host}
			orders[k] = append(orders[k], order)
		}
	}
	return orders, nil
}

// standsOn walks what a host said, of one task or of all.
func (s *Server) standsOn(scope fleet.Scope, host *ledger.Host, q *api.StandingQuery) func(func(api.StandingView) bool) {
	return func(yield func(api.StandingView) bool) {
		if q.Task != "" {
			if one, told, found := s.Ledger.StandsOf(scope, q.Task, host.ID); found {
				yield(s.standingView(host, one, told))
			}
			return
		}
		all, told := s.Ledger.Stands(scope, host.ID)
		for _, one := range all {
			if !yield(s.standingView(host, one, told)) {
				return
			}
		}
	}
}

func (s *Server) standingView(host *ledger.Host, one fleet.Standing, told time.Time) api.StandingView {
	return api.StandingView{Standing: one, Host: host.ID, HostName: host.Name, Presence: s.presence(host.ID), Told: told}
}

func wantsStanding(q *api.StandingQuery, one *fleet.Standing) bool {
	switch {
	case q.Task != "" && q.Task != one.Task,
		q.Namespace != "" && q.Namespace != one.Task.Namespace(),
		q.Phase != "" && q.Phase != one.Phase,
		q.Breaker != "" && q.Breaker != one.Breaker,
		q.Health != "" && q.Health != one.Health:
		return false
	}
	return !q.Bad || one.Phase == fleet.PhaseCrashLoop || one.Health == fleet.Unhealthy || one.Breaker == fleet.BreakerOpen
}

// standIn is how tasks stand on a host, by its own word.
type standIn struct {
	host   fleet.HostID
	stands api.Stands
}

func parseStand() func(*request) (standIn, error) {
	decoder := newDecoder[api.Stands]()
	return func(r *request) (in standIn, err error) {
		in.host, in.stands, err = parseAgent(r, decoder)
		return in, err
	}
}

// stand records the word of a host, unless it is what it said before.
func (s *Server) stand(ctx context.Context, in standIn) (receipt, error) {
	standings, err := soundStandings(in.stands.Standings)
	if err != nil {
		return receipt{}, err
	}
	if len(in.stands.Done) > maxDone {
		return receipt{}, fleet.Errorf(fleet.TooLarge, "%d orders, at most %d are taken", len(in.stands.Done), maxDone)
	}
	settled, err := s.Ledger.Settled(in.host, standings, in.stands.Done)
	if _, known := s.Ledger.Host(everywhere, in.host); err == nil && !(settled && known) {
		_, err = s.Replica.Propose(ctx, &ledger.RecordStandings{Host: in.host, At: time.Now().UTC(), Standings: standings, Done: in.stands.Done})
	}
	return s.done(err)
}

// soundStandings returns what a host said in the order of tasks, texts cut to
// their bounds, or what of it cannot be.
func soundStandings(said []fleet.Standing) ([]fleet.Standing, error) {
	if len(said) > maxStandings {
		return nil, fleet.Errorf(fleet.TooLarge, "%d standings, at most %d are taken", len(said), maxStandings)
	}
	sound := slices.Clone(said)
	slices.SortFunc(sound, func(a, b fleet.Standing) int { return cmp.Compare(a.Task, b.Task) })
	for i := range sound {
		one := &sound[i]
		if _, err := fleet.ParseTaskID(string(one.Task)); err != nil {
			return nil, err
		}
		if i > 0 && sound[i-1].Task == one.Task {
			return nil, fleet.Invalidf("standings", string(one.Task), "stands there twice")
		}
		if !one.Since.IsZero() && !compact.Plausible(&one.Since) || one.At != nil && !compact.Plausible(one.At) {
			return nil, fleet.Invalidf("standings", string(one.Task), "an instant of it is out of range")
		}
		err := cmp.Or(oneOf("phase", one.Phase, phases...), oneOf("breaker", one.Breaker, breakerStates...), oneOf("health", one.Health, healthStates...))
		if err != nil {
			return nil, err
		}
		one.Since = one.Since.UTC()
		one.Detail, one.HealthDetail = cutText(one.Detail, maxDetail), cutText(one.HealthDetail, maxDetail)
	}
	return sound, nil
}

// standingSum is how all tasks stand on all hosts together.
func (s *Server) standingSum() ledger.StandingCount {
	sum := ledger.StandingCount{Phases: map[fleet.Phase]int{}}
	for _, one := range s.Ledger.AllStandingCounts(everywhere) {
		for phase, n := range one.Phases {
			sum.Phases[phase] += n
		}
		sum.Restarts += one.Restarts
		sum.Unhealthy += one.Unhealthy
		sum.Breakers += one.Breakers
	}
	return sum
}

// maxNamed is how many tasks /health names.
const maxNamed = 20

// checkDaemons tells how the commands that are kept up fare. That some of them
// do not is no reason why this collector would be down.
func (s *Server) checkDaemons(context.Context) (map[string]any, error) {
	sum := s.standingSum()
	details := map[string]any{"unhealthy": sum.Unhealthy, "breakers_open": sum.Breakers}
	for phase, n := range sum.Phases {
		details[string(phase)] = n
	}
	var bad []fleet.TaskID
	for task, one := range s.Ledger.AllStandingCounts(everywhere) {
		if one.Unhealthy > 0 || one.Phases[fleet.PhaseCrashLoop] > 0 {
			bad = append(bad, task)
		}
	}
	if slices.Sort(bad); len(bad) > 0 {
		details["tasks"] = bad[:min(len(bad), maxNamed)]
	}
	return details, nil
}
