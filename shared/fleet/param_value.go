package fleet

import (
	"cmp"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// paramKind is what there is to know of a type.
type paramKind struct {
	wrong  func(p *Param, value string) string // why the value is none; empty: it is one
	order  func(value string) float64          // of valid ones, for Min and Max; nil: they have none
	long   bool                                // it has a pattern and a length
	listed bool                                // it has values
}

// paramKinds is every type of parameter.
var paramKinds = map[ParamType]paramKind{
	ParamText:     {wrong: wrongText, long: true},
	ParamInt:      {wrong: formed(intForm, "want a whole number in plain decimal digits"), order: number},
	ParamNumber:   {wrong: wrongNumber, order: number},
	ParamBool:     {wrong: formed(boolForm, "want true or false")},
	ParamChoice:   {wrong: wrongChoice, listed: true},
	ParamDuration: {wrong: wrongDuration, order: seconds},
	ParamPath:     {wrong: wrongPath, long: true},
	ParamHost:     {wrong: wrongHost},
}

var (
	intForm    = regexp.MustCompile(`\A(0|-?[1-9][0-9]{0,14})\z`)
	numberForm = regexp.MustCompile(`\A-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,9})?\z`)
	boolForm   = regexp.MustCompile(`\A(true|false)\z`)
	textForm   = regexp.MustCompile(`\A[A-Za-z0-9._/@:+,=-]+\z`)
	hostForm   = regexp.MustCompile(`\A[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*\z`)
)

// wrong says why the parameter cannot have the value; empty: it can.
func (p *Param) wrong(value string) string {
	kind, known := paramKinds[p.Type]
	if !known {
		return "is of a type that this version does not know: " + string(p.Type)
	}
	if reason := cmp.Or(neverInValue(value), kind.wrong(p, value)); reason != "" {
		return reason
	}
	if kind.order == nil {
		return ""
	}
	least, most := cmp.Or(p.Min, "0"), p.Max
	if p.Type == ParamDuration {
		least = cmp.Or(p.Min, "0s")
	}
	switch at := kind.order(value); {
	case at < kind.order(least):
		return "want at least " + least
	case most != "" && at > kind.order(most):
		return "want at most " + most
	}
	return ""
}

// neverInValue says what no value holds, whatever its type: what ends a line or a
// word, what cannot be seen, and what a masked secret looks like.
func neverInValue(value string) string {
	switch {
	case !utf8.ValidString(value):
		return "is not UTF-8"
	case strings.ContainsFunc(value, func(r rune) bool { return unicode.Is(unicode.C, r) || r == '\u2028' || r == '\u2029' }):
		return "holds a character that is not seen, such as the end of a line"
	case strings.Contains(value, maskedSecret):
		return "holds a masked secret"
	}
	return ""
}

// maskedSecret is how a secret begins that was masked on a host.
const maskedSecret = "<redacted:"

func formed(form *regexp.Regexp, want string) func(*Param, string) string {
	return func(_ *Param, value string) string {
		if !form.MatchString(value) {
			return want
		}
		return ""
	}
}

// wrongNumber takes no negative zero: it is not below a least value of 0, and a
// program takes it for an option.
func wrongNumber(_ *Param, value string) string {
	if !numberForm.MatchString(value) || value[0] == '-' && number(value) == 0 {
		return "want a number in plain decimal digits, such as 1.5"
	}
	return ""
}

func wrongText(p *Param, value string) string {
	if strings.HasPrefix(value, "-") {
		return "begins with -, which programs take for an option"
	}
	return p.misfit(value)
}

// misfit compares with the pattern and the length.
func (p *Param) misfit(value string) string {
	most := cmp.Or(p.MaxLength, DefaultParamLength)
	if len(value) > most {
		return fmt.Sprintf("has %d bytes, want at most %d", len(value), most)
	}
	if p.Pattern == "" {
		return formed(textForm, "want letters, digits and . _ / @ : + , = - only")(p, value)
	}
	form, err := wholePattern(p.Pattern)
	if err != nil || !form.MatchString(value) {
		return "want what matches " + p.Pattern
	}
	return ""
}

// wholePattern compiles a pattern that the whole of a text must match, first by
// itself, so that no parenthesis in it closes ours.
func wholePattern(pattern string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, err
	}
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}

func wrongChoice(p *Param, value string) string {
	if !slices.Contains(p.Values, value) {
		return "want one of " + strings.Join(p.Values, ", ")
	}
	return ""
}

func wrongDuration(_ *Param, value string) string {
	if _, err := ParseDuration(value); err != nil || value[0] < '0' || value[0] > '9' {
		return "want a duration such as 90s, 5m, 1h30m or 2d"
	}
	return ""
}

func wrongPath(p *Param, value string) string {
	if !path.IsAbs(value) || path.Clean(value) != value {
		return "want an absolute path without . and .. and doubled slashes"
	}
	return p.misfit(value)
}

func wrongHost(_ *Param, value string) string {
	address, err := netip.ParseAddr(value)
	if err == nil && address.Zone() == "" || len(value) <= 253 && hostForm.MatchString(value) {
		return ""
	}
	return "want the name of a host, or an address"
}

func number(value string) float64 {
	n, _ := strconv.ParseFloat(value, 64) // its form is right
	return n
}

func seconds(value string) float64 {
	d, _ := ParseDuration(value) // its form is right
	return time.Duration(d).Seconds()
}

// Text says in a few words what the parameter wants: "text, at most 64 bytes".
func (p *Param) Text() string {
	words := []string{string(p.Type)}
	add := func(is bool, format string, args ...any) {
		if is {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	kind := paramKinds[p.Type]
	add(len(p.Values) > 0, "one of %s", strings.Join(p.Values, ", "))
	add(p.Min != "", "at least %s", p.Min)
	add(p.Max != "", "at most %s", p.Max)
	add(p.Pattern != "", "as %s", p.Pattern)
	add(kind.long && p.MaxLength != 0, "at most %d bytes", p.MaxLength)
	return strings.Join(words, ", ")
}
