package crontab

import "github.com/fleetcron/fleetcron/shared/cron"

// dialect is what one daemon does its own way.
type dialect struct {
	read func(*parser) // reads one entry: vixie's words or busybox's

	refuse     bool // one bad line refuses the whole file
	emptyValue bool // "A=" is a setting
	unquoted   bool // a quoted value is trimmed and stripped of quotes once more
	options    bool // a leading "-" and the command's "-n" are options
	userFirst  bool // a user is taken up to the next blank, past the line's end; its blanks stay with the command
	noCommand  bool // a job may have no command

	maxSetting  int  // bytes of an environment line that are looked at; 0: all
	maxCommand  int  // bytes of a command
	tooLong     bool // a longer command is an error, not cut
	maxLine     int  // the first line number at which an entry refuses the file
	maxEntries  int  // jobs and bad lines of a user's table; more refuse it
	maxSettings int  // settings of a user's table; more refuse it
	maxGarbage  int  // bytes of comments and blanks in a row
	maxOthers   int  // entries read of a table that is not root's
	maxRoots    int  // entries read of root's table
}

// kernelArgument is what Linux takes as one argument of a program.
const kernelArgument = 128<<10 - 1

// dialects is every daemon there is. The numbers are from their sources.
var dialects = map[cron.Dialect]*dialect{
	cron.Debian: {
		read:       (*parser).vixie,
		refuse:     true,
		unquoted:   true,
		userFirst:  true,
		noCommand:  true,
		maxSetting: 998,
		maxCommand: 998,
		tooLong:    true,
		maxLine:    10_004,
	},
	cron.Cronie: {
		read:        (*parser).vixie,
		emptyValue:  true,
		options:     true,
		maxSetting:  kernelArgument,
		maxCommand:  kernelArgument,
		maxEntries:  10_000,
		maxSettings: 1_000,
		maxGarbage:  32_768,
	},
	cron.Busybox: {
		read:       (*parser).busybox,
		maxCommand: kernelArgument,
		maxOthers:  255,
		maxRoots:   65_534,
	},
}

// dialectOf returns the row of a dialect, Debian's for one that is no daemon's.
func dialectOf(d cron.Dialect) *dialect {
	if row, ok := dialects[d]; ok {
		return row
	}
	return dialects[cron.Debian]
}
