package fleet

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Param is a value that whoever orders a run of a task may choose. The command
// gets it as FLEETCRON_PARAM_ and the name in upper case, and wherever {{name}}
// stands in a word of run.command, in run.env or in run.stdin. It never becomes
// part of a text that a shell reads.
type Param struct {
	Type        ParamType `json:"type"`
	Description string    `json:"description,omitempty"`
	// Default is what counts where nobody says otherwise; nil: it must be said.
	Default *string `json:"default,omitempty"`
	Min     string  `json:"min,omitempty"` // of int, number and duration; empty: 0
	Max     string  `json:"max,omitempty"` // of int, number and duration; empty: no bound
	// Pattern is an RE2 expression that the whole value matches: of text and path;
	// empty: letters, digits and . _ / @ : + , = -
	Pattern   string   `json:"pattern,omitempty"`
	Values    []string `json:"values,omitempty"`     // of choice: one of these
	MaxLength int      `json:"max_length,omitempty"` // of text and path, in bytes; zero: DefaultParamLength
}

// ParamType says what a value of a parameter may be.
type ParamType string

// The types of parameters.
const (
	ParamText     ParamType = "text"     // does not begin with -
	ParamInt      ParamType = "int"      // decimal digits; negative only where Min is
	ParamNumber   ParamType = "number"   // such as 1.5; negative only where Min is
	ParamBool     ParamType = "bool"     // true or false
	ParamChoice   ParamType = "choice"   // one of Values
	ParamDuration ParamType = "duration" // such as 90s, 5m, 1h30m or 2d
	ParamPath     ParamType = "path"     // absolute, without . and .. and doubled slashes
	ParamHost     ParamType = "host"     // the name of a host, or an address
)

// ParamTypes lists every type.
var ParamTypes = []ParamType{ParamText, ParamInt, ParamNumber, ParamBool, ParamChoice, ParamDuration, ParamPath, ParamHost}

// The bounds of parameters.
const (
	MaxParams          = 32      // of one task
	MaxParamBytes      = 4 << 10 // of names and values that one order says
	DefaultParamLength = 256     // of a value, in bytes
)

// Params are values of parameters by their names, as an order says them: what
// has its default is not in it.
type Params map[string]string

// UnmarshalJSON reads names and texts, and nothing else.
func (p *Params) UnmarshalJSON(text []byte) error {
	var values map[string]*string
	if err := json.Unmarshal(text, &values); err != nil || values == nil {
		return Invalidf("params", "", "want names and texts, such as {\"site\": \"shop\"}")
	}
	*p = make(Params, len(values))
	for name, value := range values {
		if value == nil {
			return Invalidf("params."+name, "", "has no value")
		}
		(*p)[name] = *value
	}
	return nil
}

// String returns the values as fleetctl takes them: "days=7 site=shop".
func (p Params) String() string {
	words := make([]string, 0, len(p))
	for name, value := range sorted(p) {
		words = append(words, Command{Argv: []string{name + "=" + value}}.String())
	}
	return strings.Join(words, " ")
}

// Validate reports what no values may be, whatever the task.
func (p Params) Validate() error {
	var check checker
	p.validate(&check)
	return check.err()
}

func (p Params) validate(check *checker) {
	check.that(len(p) <= MaxParams, "params", "", fmt.Sprintf("at most %d", MaxParams))
	size := 0
	for name, value := range sorted(p) {
		size += len(name) + len(value)
		check.that(paramName.MatchString(name), "params", name, paramNameWant)
		if reason := neverInValue(value); reason != "" {
			check.fail("params."+name, value, reason)
		}
	}
	check.that(size <= MaxParamBytes, "params", "", "at most 4 KiB, names and values together")
}

var paramName = regexp.MustCompile(`\A[a-z][a-z0-9_]{0,31}\z`)

const paramNameWant = "want a name of 1–32 of a-z 0-9 _ that begins with a letter"

// ParamVariable returns the name of the environment variable that holds the
// parameter's value, without FLEETCRON_ before it.
func ParamVariable(name string) string { return "PARAM_" + strings.ToUpper(name) }

// Values returns the value of every parameter of the task: the given one, or its
// default. The error is Invalid and names every parameter that is unknown, that is
// missing, or whose value does not fit.
func (t *Task) Values(given Params) (Params, error) {
	var check checker
	given.validate(&check)
	for name, value := range sorted(given) {
		if param, known := t.Params[name]; !known {
			check.fail("params."+name, value, t.noParam())
		} else if reason := param.wrong(value); reason != "" {
			check.fail("params."+name, value, reason)
		}
	}
	values := make(Params, len(t.Params))
	for name, param := range sorted(t.Params) {
		value, said := given[name]
		switch {
		case said:
			values[name] = value
		case param.Default != nil:
			values[name] = *param.Default
		default:
			check.fail("params."+name, "", "must be given: "+param.Text())
		}
	}
	if err := check.err(); err != nil {
		return nil, err
	}
	return values, nil
}

// noParam says which parameters there are.
func (t *Task) noParam() string {
	if len(t.Params) == 0 {
		return "task " + string(t.ID()) + " has no parameters"
	}
	return "is no parameter of the task; there are " + strings.Join(slices.Sorted(maps.Keys(t.Params)), ", ")
}

// Filled returns what the task runs with these values: every placeholder replaced,
// as many words as before. A task without parameters runs what it says.
func (t *Task) Filled(given Params) (Execute, error) {
	run := t.Run
	values, err := t.Values(given)
	if err != nil || len(t.Params) == 0 {
		return run, err
	}
	if run.Command.Argv != nil {
		run.Command.Argv = slices.Clone(run.Command.Argv)
		for i, word := range run.Command.Argv {
			run.Command.Argv[i] = fill(word, values)
		}
	}
	run.Env = maps.Clone(run.Env)
	for name, value := range run.Env {
		run.Env[name] = fill(value, values)
	}
	run.Stdin = fill(run.Stdin, values)
	var check checker
	run.validate(&check) // it became too long
	texts := append(slices.Collect(maps.Values(run.Env)), run.Stdin)
	check.that(!slices.ContainsFunc(append(texts, run.Command.Argv...), func(text string) bool { return strings.Contains(text, maskedSecret) }),
		"params", given.String(), "in their places they make a masked secret")
	if len(check.fields) > 0 {
		return t.Run, check.err()
	}
	return run, nil
}

// Open reports of each word of run.command whether it holds a placeholder whose
// value somebody has still to say.
func (t *Task) Open() []bool {
	open := make([]bool, len(t.Run.Command.Argv))
	for i, word := range t.Run.Command.Argv {
		parts, _ := placeholders(word)
		open[i] = len(t.Params) > 0 && slices.ContainsFunc(parts, func(p part) bool { return p.name != "" && t.Params[p.name].Default == nil })
	}
	return open
}

// WithDefaults returns what the task runs where nobody says a value. Placeholders
// without a default stay as they are written.
func (t *Task) WithDefaults() Execute {
	values := Params{}
	for name, param := range t.Params {
		if param.Default != nil {
			values[name] = *param.Default
		}
	}
	run := t.Run
	run.Command.Argv = slices.Clone(run.Command.Argv)
	for i, word := range run.Command.Argv {
		run.Command.Argv[i] = fill(word, values)
	}
	return run
}
