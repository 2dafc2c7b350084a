package fleet

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// shortHex is the form of job ids, fingerprints and ids of findings.
var shortHex = regexp.MustCompile(`^[0-9a-f]{16}$`)

// ValidShortID reports whether s has the form of a job id, a fingerprint or the
// id of a finding: 16 lower-case hex digits.
func ValidShortID(s string) bool { return shortHex.MatchString(s) }

var jobKinds = []JobKind{KindCron, KindRunParts, KindAnacron, KindTimer, KindAt}

// Validate reports every field of s that is wrong.
func (s *Sightings) Validate() error {
	var check checker
	check.that(len(s.Jobs) <= MaxReportJobs, "jobs", "", "at most 20000 jobs")
	for kind, since := range sorted(s.Since) {
		check.that(slices.Contains(jobKinds, kind), "since", clipped(string(kind)), "want cron, run-parts, anacron, timer or at")
		check.that(storable(since), "since."+clipped(string(kind)), "", "want an instant between 1970 and 2200")
	}
	for id, seen := range sorted(s.Jobs) {
		field := "jobs." + clipped(string(id))
		check.that(ValidShortID(string(id)), field, "", "want a job's id of 16 lower-case hex digits")
		check.that(storable(seen.Last), field+".last", "", "want an instant between 1970 and 2200")
		check.that(seen.Ended == nil || storable(*seen.Ended), field+".ended", "", "want an instant between 1970 and 2200")
		check.that(slices.Contains([]string{GradeStarted, GradeEnded, GradeStamp}, seen.Grade), field+".grade", clipped(seen.Grade), "want started, ended or stamp")
		check.that(len(seen.From) <= 256, field+".from", clipped(seen.From), "at most 256 bytes")
		check.that(len(seen.Result) <= 256, field+".result", clipped(seen.Result), "at most 256 bytes")
		if len(check.fields) >= 20 {
			break // one mistake, many times
		}
	}
	return check.err()
}

// Limits of what people say.
const (
	MaxAllowed     = 20_000 // jobs of a pin
	maxOwner       = 100
	maxNote        = 2000
	maxAckReason   = 500
	maxAllowedText = 4096
)

// Validate reports every field of p that is wrong.
func (p *Pin) Validate() error {
	var check checker
	check.that(ValidName(p.Name), "name", clipped(p.Name), "want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit")
	_, err := ParseSelector(p.Labels)
	check.that(err == nil, "labels", clipped(p.Labels), "want key=value, key!=value, key or !key joined by commas, or * for every host")
	check.that(len(p.Allow) <= MaxAllowed, "allow", "", "at most 20000 jobs; pin a smaller group of hosts")
	for _, allowed := range p.Allow {
		check.that(ValidShortID(allowed.Fingerprint), "allow.fingerprint", clipped(allowed.Fingerprint), "want 16 lower-case hex digits")
		check.that(allowed.User != "" && len(allowed.User) <= 256 && plain(allowed.User), "allow.user", clipped(allowed.User), "want the user of the job")
		check.that(len(allowed.Command) <= maxAllowedText, "allow.command", clipped(allowed.Command), "at most 4096 bytes; it is only for people")
		if len(check.fields) >= 20 {
			break // one mistake, many times
		}
	}
	return check.err()
}

// Validate reports every field of a that is wrong.
func (a *Annotation) Validate() error {
	var check checker
	check.that(ValidShortID(a.Fingerprint), "fingerprint", clipped(a.Fingerprint), "want 16 lower-case hex digits, as fleetctl jobs -o wide shows them")
	check.that(len(a.Owner) <= maxOwner && plain(a.Owner) && !strings.ContainsRune(a.Owner, '\n'), "owner", clipped(a.Owner), "want at most 100 bytes of text on one line")
	check.that(len(a.Note) <= maxNote && plain(a.Note), "note", clipped(a.Note), "want at most 2000 bytes of text")
	return check.err()
}

// Validate reports every field of a that is wrong. An acknowledgement that
// expired before it was given is.
func (a *Ack) Validate() error {
	var check checker
	check.that(ValidShortID(a.Finding), "finding", clipped(a.Finding), "want 16 lower-case hex digits")
	check.that(strings.TrimSpace(a.Reason) != "" && len(a.Reason) <= maxAckReason && plain(a.Reason), "reason", clipped(a.Reason), "say in 1–500 bytes why it may stand")
	if !a.Expires.IsZero() {
		check.that(storable(a.Expires) && a.Expires.After(a.At), "expires", a.Expires.Format(time.RFC3339), "must be to come, and before 2200")
	}
	return check.err()
}

// storable reports whether every room can keep the instant.
func storable(t time.Time) bool { return t.Year() > 1970 && t.Year() <= 2200 }

// plain reports whether s is text that a terminal may show as it is.
func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
	})
}

// clipped shortens a wrong value before it is shown.
func clipped(s string) string {
	if len(s) <= 80 {
		return s
	}
	return strings.ToValidUTF8(s[:80], "") + "…"
}
