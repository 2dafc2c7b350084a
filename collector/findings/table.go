package findings

import (
	"fmt"
	"path"
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// entry is what is said of a kind of finding wherever it occurs.
type entry struct {
	severity fleet.Severity
	explain  string // why it matters, and what follows
	// fix is the command to try next. It is asked with the host and the job, as
	// far as the finding has one.
	fix func(host string, job *api.JobView) string
}

// table is every kind of finding there is. What is special about one finding
// stands in its summary; a rule may raise or lower the severity.
var table = map[fleet.FindingKind]entry{
	fleet.FindIgnored:    {fleet.Warning, "The scheduler of the host passes over this job without telling anyone, so its work is not done.", fixIgnored},
	fleet.FindProblem:    {fleet.Notice, "What cannot be read as it stands is passed over, and what its author meant does not happen.", fixLook},
	fleet.FindPercent:    {fleet.Warning, `cron ends a command at the first % and feeds the rest to its standard input, one line for each further %. Write \% where a percent sign is meant.`, fixShow},
	fleet.FindPath:       {fleet.Warning, "cron starts jobs with a PATH of its own, mostly /usr/bin:/bin. A command that is not on it fails at every start.", fixShow},
	fleet.FindWritable:   {fleet.Critical, "Whoever can write the file, or a directory above it, chooses what the job's user runs next. If that user is root, so is he.", fixWritable},
	fleet.FindExposed:    {fleet.Warning, "Everyone with an account on the host can read the secret in this file.", fixExposed},
	fleet.FindSecret:     {fleet.Notice, "A secret in a command shows in the list of processes while it runs, and in every copy of the file. Let the command read it from a file of its own user.", fixFind},
	fleet.FindOverdue:    {fleet.Warning, "By its schedule it should have started, the host would have seen it, and it did not.", fixHistory},
	fleet.FindFailed:     {fleet.Warning, "Its last run did not do what it should.", fixFailed},
	fleet.FindStale:      {fleet.Warning, "Jobs are shown as they were when this could last be read; what changed since is not known.", fixLook},
	fleet.FindUnexpected: {fleet.Warning, "The pin lists what may run on these hosts, and this is not on it: forgotten, or not wanted.", fixHistory},
	fleet.FindNewcomer:   {fleet.Notice, "It came lately, and no package, configuration management or person answers for it.", fixHistory},
	fleet.FindTwice:      {fleet.Warning, "The same command starts twice at the same time; what is not written for that gets in its own way.", fixFind},
	fleet.FindEverywhere: {fleet.Notice, "What all of them use at that instant, a server, a disk array or a link, gets the load of all at once.", fixSpread},
	fleet.FindOutlier:    {fleet.Notice, "Hosts that do the same work mostly run the same jobs; the one that differs was often forgotten, or changed by hand.", fixFind},
	fleet.FindOrphan:     {fleet.Warning, "Who it was for is gone: it is a leftover, or somebody misses it.", fixOrphan},
	fleet.FindNoOwner:    {fleet.Notice, "When it fails or is in the way, nobody knows whom to ask.", fixOwner},
	fleet.FindCollision:  {fleet.Notice, "They compete for processor, memory and disk, and each takes longer than alone.", fixSpread},
	fleet.FindDST:        {fleet.Notice, "On the day on which the clock changes its work is left out, or done twice.", fixDST},
	fleet.FindNoSignal:   {fleet.Notice, "It has no MAILTO that gets its output, no log and no monitor URL: nobody hears of a failure.", fixAdopt},
	fleet.FindClockSkew:  {fleet.Warning, "Jobs start at the wrong time, certificates fail, and instants of this host cannot be compared with others. The collector that the host asks compares the clocks, and no other tells of it.", fixClock},
	fleet.FindSilentHost: {fleet.Warning, "What is shown of it is as old as that. Its jobs may run, or the host may be down.", fixSilent},
	fleet.FindRefused:    {fleet.Critical, "The host does not run what was given to it: its own policy, which no collector can change, does not allow it, or the signature is not one that it trusts. Its instants are missed. If nobody changed the task or the policy, somebody may have changed what the collectors keep.", fixRefused},
	fleet.FindProof:      {fleet.Warning, "What the host says became of its runs is signed with another key than it was known by, and nobody enrolled it anew. Its state was lost, or somebody else signs for it.", fixProof},
	fleet.FindAdoption:   {fleet.Warning, "Until it is settled, look which of the two runs: the line on the host, or the task.", fixAdoption},
}

// rank orders severities, the most severe first.
var rank = map[fleet.Severity]int{fleet.Critical: 0, fleet.Warning: 1, fleet.Notice: 2}

// quote makes a text one word of a shell.
func quote(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%=,", r)
	}
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// on says where a command of the shell is to be given.
func on(host, format string, args ...any) string {
	return fmt.Sprintf(format, args...) + "  # on " + host
}

func fixShow(host string, job *api.JobView) string {
	return fmt.Sprintf("fleetctl jobs --host %s --source %s", quote(host), quote(job.Source))
}

func fixLook(host string, job *api.JobView) string { return on(host, "ls -l %s", quote(job.Source)) }

func fixHistory(host string, job *api.JobView) string {
	return fmt.Sprintf("fleetctl history %s:%s", quote(host), job.ID)
}

func fixFind(host string, job *api.JobView) string {
	if job.Fingerprint == "" {
		return "fleetctl jobs --host " + quote(host)
	}
	return "fleetctl jobs --fingerprint " + job.Fingerprint
}

func fixOwner(host string, job *api.JobView) string {
	if job.Fingerprint == "" {
		return fmt.Sprintf("fleetctl jobs --host %s --owner none", quote(host))
	}
	return fmt.Sprintf("fleetctl annotate %s --owner TEAM", job.Fingerprint)
}

func fixAdopt(host string, job *api.JobView) string {
	if job.ID == "" {
		return fixFind(host, job)
	}
	return fmt.Sprintf("fleetctl adopt %s:%s --dry-run", quote(host), job.ID)
}

func fixDST(host string, job *api.JobView) string {
	return fmt.Sprintf("fleetctl next %s --tz %s", quote(job.Schedule), quote(job.Timezone))
}

func fixSpread(host string, _ *api.JobView) string {
	if host == "" {
		return "fleetctl when --spread"
	}
	return "fleetctl when --spread --host " + quote(host)
}

func fixClock(host string, _ *api.JobView) string { return on(host, "timedatectl timesync-status") }

func fixSilent(host string, _ *api.JobView) string {
	return on(host, "systemctl status fleetcron-agent")
}

func fixRefused(host string, _ *api.JobView) string { return "fleetctl policies " + quote(host) }

func fixProof(host string, _ *api.JobView) string { return on(host, "fleetcron-agent proofs") }

func fixAdoption(host string, job *api.JobView) string {
	if job.Adopted == "" {
		return "fleetctl jobs --host " + quote(host)
	}
	return "fleetctl release " + string(job.Adopted)
}

func fixFailed(host string, job *api.JobView) string {
	if job.Kind == fleet.KindTimer {
		return on(host, "journalctl -u %s -n 50", quote(serviceOf(job)))
	}
	return on(host, "journalctl -t CRON -t CROND -n 50")
}

func fixExposed(host string, job *api.JobView) string {
	return on(host, "chmod o-r %s", quote(job.Source))
}

// fixWritable names the program that the job starts, and where it is not told,
// its file.
func fixWritable(host string, job *api.JobView) string {
	return on(host, "namei -l %s", quote(programOf(job)))
}

func fixOrphan(host string, job *api.JobView) string {
	if strings.HasPrefix(job.Source, "/var/spool/") && job.Kind == fleet.KindCron {
		return on(host, "mv %s /root/", quote(job.Source))
	}
	return on(host, "ls -l %s", quote(job.Source))
}

// programOf returns the path that a command begins with, or the job's source.
func programOf(job *api.JobView) string {
	for word := range strings.FieldsSeq(job.Command) {
		if strings.HasPrefix(word, "/") {
			return strings.TrimRight(word, ";&|")
		}
	}
	return job.Source
}

// serviceOf returns the unit that a timer most likely starts.
func serviceOf(job *api.JobView) string {
	return strings.TrimSuffix(path.Base(job.Source), ".timer") + ".service"
}

// daemonOf returns the unit of a host's cron.
func daemonOf(dialect string) string {
	if dialect == cron.Debian.String() {
		return "cron"
	}
	return "crond"
}
