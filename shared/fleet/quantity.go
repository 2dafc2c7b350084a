package fleet

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration written as people write it: "90s", "5m", "1h30m",
// and "2d" for two days of 24 hours.
type Duration time.Duration

// ParseDuration reads a duration; it is never negative.
func ParseDuration(s string) (Duration, error) {
	text, days := s, time.Duration(0)
	if head, tail, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(head, 10, 16)
		if err != nil {
			return 0, Invalidf("duration", s, "want a duration such as 90s, 5m, 1h30m or 2d")
		}
		text, days = tail, time.Duration(n)*24*time.Hour
		if text == "" {
			return Duration(days), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || days+d < 0 { // less than zero: more than there is room for
		return 0, Invalidf("duration", s, "want a duration such as 90s, 5m, 1h30m or 2d")
	}
	return Duration(days + d), nil
}

// String writes the duration without zero parts: "5m", not "5m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes the form that UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration as people write it.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// Offset is how far a clock is ahead of another, negative where it is behind:
// "1.5s", "-2m3s".
type Offset time.Duration

// String writes the offset as Go does.
func (o Offset) String() string { return time.Duration(o).String() }

// MarshalText writes the form that UnmarshalText reads.
func (o Offset) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads an offset.
func (o *Offset) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return Invalidf("offset", string(text), "want an offset such as 1.5s or -2m3s")
	}
	*o = Offset(d)
	return nil
}

// Bytes is a size, written "10MB" (decimal) or "2GiB" (binary).
type Bytes int64

var byteUnits = []struct {
	suffix string
	size   Bytes
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// ParseBytes reads a size with its unit; a bare number counts bytes.
func ParseBytes(s string) (Bytes, error) {
	number, unit := s, Bytes(1)
	for _, u := range byteUnits {
		if head, found := strings.CutSuffix(s, u.suffix); found {
			number, unit = strings.TrimSpace(head), u.size
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 53)
	if err != nil || Bytes(n) > (1<<62)/unit {
		return 0, Invalidf("size", s, "want a size such as 512KiB, 10MB or 2GiB")
	}
	return Bytes(n) * unit, nil
}

// String writes the largest unit that divides the size.
func (b Bytes) String() string {
	best := Bytes(1)
	suffix := "B"
	for _, u := range byteUnits {
		if b != 0 && b%u.size == 0 && u.size > best {
			best, suffix = u.size, u.suffix
		}
	}
	return strconv.FormatInt(int64(b/best), 10) + suffix
}

// MarshalText writes the form that UnmarshalText reads.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads a size with its unit.
func (b *Bytes) UnmarshalText(text []byte) error {
	parsed, err := ParseBytes(string(text))
	if err != nil {
		return err
	}
	*b = parsed
	return nil
}

// Command is what a task runs: a list is executed as it stands, a string is
// given to /bin/sh -c. Exactly one of the two is set.
type Command struct {
	Argv  []string
	Shell string
}

// IsZero reports whether neither form is set.
func (c Command) IsZero() bool { return len(c.Argv) == 0 && c.Shell == "" }

// String returns the command as a person would type it, for display only.
func (c Command) String() string {
	if c.Shell != "" {
		return c.Shell
	}
	words := make([]string, len(c.Argv))
	for i, word := range c.Argv {
		words[i] = word
		if word == "" || strings.ContainsAny(word, " \t\n\"'\\$`*?[]{}()<>|&;#~") {
			words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// MarshalJSON writes a list or a string.
func (c Command) MarshalJSON() ([]byte, error) {
	if c.Shell != "" {
		return json.Marshal(c.Shell)
	}
	return json.Marshal(c.Argv)
}

// UnmarshalJSON reads a list or a string.
func (c *Command) UnmarshalJSON(text []byte) error {
	*c = Command{}
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, &c.Shell)
	}
	if err := json.Unmarshal(text, &c.Argv); err != nil {
		return Invalidf("run.command", string(text), "want a list of words, or one string for the shell")
	}
	return nil
}
