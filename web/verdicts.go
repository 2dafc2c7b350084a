package web

import "github.com/fleetcron/fleetcron/shared/fleet"

// explained is why a scheduler ignores a job, and what makes it run.
type explained struct {
	Word   string // "the file's mode"
	Reason string // why the scheduler does so
	Remedy string // what a person does about it
}

// verdictCodes explains every reason for which a job will not run.
var verdictCodes = map[fleet.VerdictCode]explained{
	fleet.BadMode: {"the file's mode", "A scheduler that runs a file as root refuses one that somebody else may write to, and run-parts starts only what may be executed.",
		"Give the file the mode its neighbours have: 0644 for a table, 0755 for a script."},
	fleet.BadOwner: {"the file's owner", "The scheduler reads a system table only where root owns it, and a user's table only where that user does.",
		"Give the file to its rightful owner with chown."},
	fleet.BadLinks: {"the file's links", "A table with several names, or one that leads elsewhere, could be swapped by whoever owns the other end; the scheduler refuses it.",
		"Replace the link by a file of its own."},
	fleet.BadName: {"the file's name", "Names with a dot, a tilde or other signs are taken for backups and leftovers of packages, and skipped without a word.",
		"Rename the file: letters, digits, minus and underscore only."},
	fleet.FileRefused: {"another line of the file", "One line of this file is wrong, and the scheduler then takes none of its lines.",
		"Correct that line; all others come back with it."},
	fleet.NoNewline: {"the missing end of the last line", "The scheduler ignores a last line that no newline ends.",
		"Add an empty line at the end of the file."},
	fleet.Denied: {"cron.allow or cron.deny", "The user may not have a crontab on this host.",
		"Name the user in cron.allow, or remove the name from cron.deny."},
	fleet.UnknownUser: {"an unknown user", "The host has no account of that name, so the scheduler cannot become it.",
		"Make the account, or give the job to another user."},
	fleet.LockedUser: {"a locked account", "The account is locked or has expired; the host refuses to open a session for it.",
		"Unlock the account, or give the job to another user."},
	fleet.NoCommand: {"a missing command", "What the job starts does not exist on this host.",
		"Install it, correct its path, or remove the job."},
	fleet.NotExecutable: {"a command that may not be executed", "What the job starts exists, but its mode forbids executing it.",
		"Set the executable bit, or name its interpreter in the command."},
	fleet.Masked: {"a mask", "The timer is masked: nothing can start it until the mask is taken off.",
		"systemctl unmask it, if it should run."},
	fleet.Disabled: {"being switched off", "Nothing starts the timer at boot, or the line is switched off.",
		"systemctl enable --now it, if it should run."},
	fleet.Inactive: {"being inactive", "The running systemd does not have the timer active, whatever its files say.",
		"systemctl start it, and look at systemctl status for why it stopped."},
	fleet.NoScheduler: {"a missing scheduler", "What would run the job is not installed on this host.",
		"Install it, or remove the job."},
	fleet.SchedulerDown: {"a scheduler that is down", "What would run the job is installed, but not running.",
		"Start it, and enable it for the next boot."},
	fleet.NeverDue: {"a date that never comes", "No day of any year fits the schedule.",
		"Correct the day of the month or the month."},
	fleet.Unreadable: {"an unreadable file", "The scheduler cannot read the file either.",
		"Look at its mode, its links and its encoding."},
	fleet.OtherwiseWrong: {"another reason", "", ""},
}

// explain says why a job will not run; nil for one that runs.
func explain(v *fleet.Verdict) *explained {
	if v.Runs {
		return nil
	}
	found, known := verdictCodes[v.Code]
	if !known {
		found = verdictCodes[fleet.OtherwiseWrong]
	}
	return &found
}
