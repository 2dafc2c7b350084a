package cron

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // every binary knows every zone, also in an empty container
)

// Load returns the zone of an IANA name such as Europe/Berlin or UTC. Whatever
// would depend on the machine (an empty name, Local, a path) is refused.
func Load(zone string) (*time.Location, error) {
	switch {
	case zone == "":
		return nil, fmt.Errorf("timezone is empty: name one, like Europe/Berlin or UTC")
	case strings.EqualFold(zone, "local"):
		return nil, fmt.Errorf("timezone %q differs from host to host: name one, like Europe/Berlin or UTC", zone)
	case strings.HasPrefix(zone, "right/"):
		return nil, fmt.Errorf("timezone %q counts leap seconds, which no cron does: leave out right/", zone)
	case !zoneName(zone):
		return nil, fmt.Errorf("timezone %q is not an IANA name: write it like Europe/Berlin or UTC", clip(zone))
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("timezone %q is not known: write an IANA name like Europe/Berlin or UTC", zone)
	}
	return loc, nil
}

// zoneName reports whether the text can be a zone's name rather than a path:
// parts of letters, digits, _, + and - with single slashes between.
func zoneName(zone string) bool {
	if len(zone) > 64 {
		return false
	}
	for part := range strings.SplitSeq(zone, "/") {
		if part == "" {
			return false
		}
		for i := range len(part) {
			if c := part[i]; !isAlnum(c) && c != '_' && c != '+' && c != '-' {
				return false
			}
		}
	}
	return true
}
