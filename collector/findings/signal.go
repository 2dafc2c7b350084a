package findings

import (
	"regexp"
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// monitors is parts of addresses that somebody watches, in lower case.
var monitors = []string{
	"healthchecks.io", "hc-ping.com", "cronitor.io", "cronitor.link", "deadmanssnitch.com", "nosnch.in", "betteruptime.com", "betterstack.com", "/api/push/",
	"uptimerobot.com", "sentry.io", "opsgenie.com", "pagerduty.com", "hooks.slack.com", "pushgateway", "/metrics/job/",
}

// senders is programs that log, or tell somebody.
var senders = map[string]bool{
	"logger": true, "systemd-cat": true, "chronic": true, "cronic": true, "cronwrap": true, "mail": true, "mailx": true, "sendmail": true, "mutt": true,
	"sentry-cli": true, "runitor": true, "zabbix_sender": true, "send_nsca": true, "amtool": true, "tee": true,
}

// tells reports whether a command calls or writes to someone who would notice.
func tells(command string) bool {
	if strings.Contains(command, "://") || strings.Contains(command, "push") {
		lower := strings.ToLower(command)
		if slices.ContainsFunc(monitors, func(address string) bool { return strings.Contains(lower, address) }) {
			return true
		}
	}
	for word := range strings.FieldsFuncSeq(command, func(r rune) bool { return strings.ContainsRune(" \t;&|(){}`\"'$=", r) }) {
		if senders[word[strings.LastIndexByte(word, '/')+1:]] {
			return true
		}
	}
	return false
}

// redirects matches where the shell sends output, and what to.
var redirects = regexp.MustCompile(`(?:&|[0-9])?>>?[&|]?\s*("[^"]*"|'[^']*'|[^\s;&|<>()]+)`)

// isMute reports whether nobody would hear of a job's failure: its output goes
// to nobody who was named, to no file, and it calls no monitor. Of a timer, the
// journal and the state of its service tell; of anacron and run-parts, what
// calls them.
func isMute(job *fleet.Job) bool {
	if job.Kind != fleet.KindCron || tells(job.Command) {
		return false
	}
	silenced := false
	if !strings.Contains(job.Command, ">") {
		return job.Env["MAILTO"] == ""
	}
	for _, match := range redirects.FindAllStringSubmatch(job.Command, -1) {
		target := strings.Trim(match[1], `"'`)
		switch {
		case target == "/dev/null":
			silenced = true
		case strings.HasPrefix(match[0], "2>&") || strings.HasPrefix(match[0], ">&") || strings.HasPrefix(match[0], "1>&"):
			// one stream to where the other goes
		default:
			return false // a log
		}
	}
	return silenced || job.Env["MAILTO"] == ""
}
