package findings

import (
	"regexp"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// monitors matches what calls or writes to someone who would notice a failure:
// the addresses of monitors, and programs that log or send.
var monitors = regexp.MustCompile(`(?i)healthchecks\.io|hc-ping\.com|cronitor\.(io|link)|deadmanssnitch\.com|nosnch\.in|betteruptime\.com|betterstack\.com|/api/push/|uptimerobot\.com|sentry\.io|opsgenie\.com|pagerduty\.com|hooks\.slack\.com|pushgateway|/metrics/job/|\b(sentry-cli|logger|systemd-cat|chronic|cronic|cronwrap|mail|mailx|sendmail|mutt|runitor|healthchecks|zabbix_sender|send_nsca|amtool)\b`)

// redirects matches where the shell sends output, and what to.
var redirects = regexp.MustCompile(`(?:&|[0-9])?>>?[&|]?\s*("[^"]*"|'[^']*'|[^\s;&|<>()]+)`)

// isMute reports whether nobody would hear of a job's failure: its output goes
// to nobody who was named, to no file, and it calls no monitor. Of a timer, the
// journal and the state of its service tell; of anacron and run-parts, what
// calls them.
func isMute(job *fleet.Job) bool {
	if job.Kind != fleet.KindCron || monitors.MatchString(job.Command) {
		return false
	}
	silenced := false
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
	if strings.Contains(job.Command, "tee ") {
		return false
	}
	return silenced || job.Env["MAILTO"] == ""
}
