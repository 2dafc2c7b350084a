package discover

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/calendar"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// verdict says whether a timer starts anything, and if not, why.
func (t *timer) verdict(s *scan, u *units, enabled, never bool) fleet.Verdict {
	code, why := t.broken(s)
	switch {
	case u.account == nil && !u.every && u.idle != "":
		code, why = fleet.NoScheduler, u.idle
	case why != "":
	case t.bus != nil && t.bus.known:
		code, why = t.idleNow(u)
	case t.afterStart() && u.enabled[t.starts] == "":
		code, why = fleet.NeverDue, fmt.Sprintf("it counts from when %s ran, which nothing starts the first time", t.starts)
	case !enabled:
		code, why = fleet.Disabled, fmt.Sprintf("it is not enabled: no link pulls it in (%s enable %s)", u.control(), t.name)
	case u.idle != "":
		code, why = fleet.Disabled, u.idle
	}
	if why == "" && never && t.onlyCalendar() {
		code, why = fleet.NeverDue, "its date has been or does not exist, so it never comes again"
	}
	if why == "" {
		code = ""
	}
	return fleet.Verdict{Runs: why == "", Code: code, Why: printable(why)}
}

// idleNow says why a timer that systemd knows starts nothing now, or nothing.
func (t *timer) idleNow(u *units) (fleet.VerdictCode, string) {
	switch {
	case t.bus.active == "active":
		return "", ""
	case t.bus.active == "failed":
		return fleet.Inactive, fmt.Sprintf("it failed (%s), so it is not active (%s restart %s)", orText(t.bus.result, "no reason given"), u.control(), t.name)
	case t.link == "" && !u.transient(t.path):
		return fleet.Disabled, fmt.Sprintf("it is not enabled: no link pulls it in (%s enable --now %s)", u.control(), t.name)
	}
	return fleet.Inactive, fmt.Sprintf("it is enabled but not active: it was stopped or never started (%s start %s)", u.control(), t.name)
}

// broken says why a timer can start nothing, enabled or not, or nothing.
func (t *timer) broken(s *scan) (fleet.VerdictCode, string) {
	bad := slices.IndexFunc(t.triggers, func(one trigger) bool { return one.err != nil })
	good := slices.ContainsFunc(t.triggers, func(one trigger) bool { return one.err == nil })
	service := t.service
	switch {
	case strings.HasPrefix(t.mask, "/run/"):
		return fleet.Masked, fmt.Sprintf("it is masked until the next boot, by %s", t.mask)
	case t.mask != "":
		return fleet.Masked, fmt.Sprintf("it is masked, by %s (%s unmask %s)", t.mask, t.manager.control(), t.name)
	case !good && bad >= 0:
		return fleet.OtherwiseWrong, fmt.Sprintf("systemd refuses it: its only trigger is not valid: %v", t.triggers[bad].err)
	case !good:
		return fleet.OtherwiseWrong, "systemd refuses it: no OnCalendar= or other On…= line says when"
	case path.Ext(t.starts) != ".service":
		return "", "" // such a unit is often made by systemd itself
	case service == nil:
		return fleet.NoCommand, fmt.Sprintf("the unit it starts, %s, is nowhere", t.starts)
	case service.mask != "":
		return fleet.Masked, fmt.Sprintf("the unit it starts, %s, is masked by %s", t.starts, service.mask)
	case t.manager.account == nil && !t.manager.every && service.last("Service", "User") != "" && !isTrue(service.last("Service", "DynamicUser")) && !s.knownOrNumber(service.user()):
		return fleet.UnknownUser, fmt.Sprintf("user %q of %s is not in /etc/passwd", service.user(), t.starts)
	case service.command() == "" && len(service.all("Service", "ExecStop")) == 0 && service.last("Unit", "SuccessAction") == "":
		return fleet.OtherwiseWrong, fmt.Sprintf("systemd refuses %s: it has no ExecStart=", t.starts)
	}
	return "", ""
}

func (s *scan) knownOrNumber(user string) bool {
	return s.host.users.known(user) || strings.Trim(user, "0123456789") == "" || strings.Contains(user, "%")
}

// remarks say how much later than foretold a timer may come, what becomes of
// the times the host was off, and on what it depends.
func (t *timer) remarks(out *found, u *units, enabled bool) string {
	var says []string
	if u.aside != "" {
		says = append(says, u.aside)
	}
	if t.bus != nil && t.bus.known && !enabled {
		says = append(says, fmt.Sprintf("it was started by hand or by another unit, and is not enabled: after a boot it may be gone (%s enable %s)", u.control(), t.name))
	}
	if delay := t.span(out, "RandomizedDelaySec", 0); delay > 0 {
		says = append(says, fmt.Sprintf("a random delay of up to %s", t.last("Timer", "RandomizedDelaySec")))
	}
	if accuracy := t.span(out, "AccuracySec", time.Minute); accuracy > time.Minute {
		says = append(says, fmt.Sprintf("put off by up to %s to save wakeups", t.last("Timer", "AccuracySec")))
	}
	if t.persistent() {
		says = append(says, "missed while the host was off: made up for at boot")
	}
	if t.service != nil && t.service.last("Service", "Type") == "oneshot" && isTrue(t.service.last("Service", "RemainAfterExit")) {
		says = append(says, fmt.Sprintf("it starts %s once and not again while that counts as active (RemainAfterExit=yes)", t.starts))
	}
	for _, unit := range []*unit{t.unit, t.service} {
		if conditions := unit.conditions(); conditions != "" {
			says = append(says, "only if "+conditions)
		}
	}
	return strings.Join(says, "; ")
}

// persistent reports whether systemd keeps a stamp of the timer's last start.
func (t *timer) persistent() bool {
	return isTrue(t.last("Timer", "Persistent")) && slices.ContainsFunc(t.triggers, func(one trigger) bool { return !one.event.IsZero() })
}

// conditions are those a unit depends on, as written; nil has none.
func (u *unit) conditions() string {
	if u == nil {
		return ""
	}
	var list []string
	for _, set := range u.settings {
		if set.section != "Unit" || !strings.HasPrefix(set.key, "Condition") && !strings.HasPrefix(set.key, "Assert") {
			continue
		}
		list = slices.DeleteFunc(list, func(one string) bool { return set.value == "" && strings.HasPrefix(one, set.key+"=") })
		if set.value != "" {
			list = append(list, set.key+"="+u.expand(set.value))
		}
	}
	return strings.Join(list, " and ")
}

// span reads a time span; one that is not valid counts as not set.
func (t *timer) span(out *found, key string, otherwise time.Duration) time.Duration {
	value := t.last("Timer", key)
	if value == "" {
		return otherwise
	}
	span, err := calendar.ParseSpan(value)
	if err != nil {
		out.problem(printable(t.path), 0, key+"="+value, fmt.Sprintf("systemd passes over this line: %v", err))
		return otherwise
	}
	return span
}
