package fleet

import (
	"fmt"
	"strconv"
	"strings"
)

// The bounds of what describes a parameter.
const (
	maxParamText   = 512
	maxParamValues = 100
)

// validateParams checks what the task declares, and where it uses it. A task that
// declares nothing has no placeholders: whatever it holds stands for itself.
func (t *Task) validateParams(check *checker) {
	if len(t.Params) == 0 {
		return
	}
	check.that(len(t.Params) <= MaxParams, "params", strconv.Itoa(len(t.Params)), fmt.Sprintf("want at most %d", MaxParams))
	for name, param := range sorted(t.Params) {
		check.that(paramName.MatchString(name), "params", name, paramNameWant)
		param.validate(check, "params."+name)
		check.that(param.Default != nil || t.On.Manual, "params."+name+".default", "", "is missing: a task that nobody orders needs a default of each parameter; only on.manual does without")
	}
	t.validateFilled(check)
	t.validateUnfilled(check)
}

func (p *Param) validate(check *checker, at string) {
	kind, known := paramKinds[p.Type]
	if !known {
		check.fail(at+".type", string(p.Type), "want "+orList(ParamTypes))
		return
	}
	check.that(len(p.Description) <= maxParamText && neverInValue(p.Description) == "", at+".description", "", "at most 512 bytes in one line")
	check.that(kind.order != nil || p.Min == "", at+".min", p.Min, "belongs to int, number and duration only")
	check.that(kind.order != nil || p.Max == "", at+".max", p.Max, "belongs to int, number and duration only")
	check.that(kind.long || p.Pattern == "", at+".pattern", p.Pattern, "belongs to text and path only")
	check.that(kind.long || p.MaxLength == 0, at+".max_length", strconv.Itoa(p.MaxLength), "belongs to text and path only")
	check.that(p.MaxLength >= 0 && p.MaxLength <= MaxParamBytes, at+".max_length", strconv.Itoa(p.MaxLength), fmt.Sprintf("want 1–%d", MaxParamBytes))
	check.that(kind.listed || len(p.Values) == 0, at+".values", "", "belongs to choice only")
	if kind.order != nil {
		p.validateRange(check, at, kind)
	}
	if _, err := wholePattern(p.Pattern); err != nil || len(p.Pattern) > maxParamText || neverInValue(p.Pattern) != "" {
		check.fail(at+".pattern", p.Pattern, "want a regular expression (RE2) of at most 512 bytes in one line")
		return // every value would be wrong
	}
	if kind.listed {
		p.validateValues(check, at)
	}
	if p.Default != nil {
		if reason := p.wrong(*p.Default); reason != "" {
			check.fail(at+".default", *p.Default, reason)
		}
	}
}

func (p *Param) validateRange(check *checker, at string, kind paramKind) {
	for name, bound := range map[string]string{".min": p.Min, ".max": p.Max} {
		if bound == "" {
			continue
		}
		if reason := kind.wrong(p, bound); reason != "" {
			check.fail(at+name, bound, reason)
			return
		}
	}
	if p.Max != "" {
		check.that(kind.order(p.Max) >= kind.order(p.Min), at+".max", p.Max, "is less than min, which is 0 where nothing is said")
	}
}

func (p *Param) validateValues(check *checker, at string) {
	check.that(len(p.Values) > 0 && len(p.Values) <= maxParamValues, at+".values", strconv.Itoa(len(p.Values)), "want 1–100 values to choose from")
	seen := map[string]bool{}
	for _, value := range p.Values {
		check.that(len(value) <= DefaultParamLength, at+".values", value, "at most 256 bytes")
		check.that(!seen[value], at+".values", value, "stands twice")
		if reason := neverInValue(value); reason != "" {
			check.fail(at+".values", value, reason)
		}
		seen[value] = true
	}
}

// validateFilled checks the texts in which placeholders are replaced.
func (t *Task) validateFilled(check *checker) {
	run := &t.Run
	var used bool
	for i, word := range run.Command.Argv {
		holds := t.validateText(check, "run.command", word)
		check.that(!holds || i > 0, "run.command", word, "no parameter chooses the program: write its path")
		used = used || holds
	}
	if used {
		if why := readsWords(run.Command.Argv); why != "" {
			check.fail("run.command", strings.Join(run.Command.Argv, " "), why+t.insteadUse())
		}
	}
	for name, value := range sorted(run.Env) {
		t.validateText(check, "run.env."+name, value)
	}
	if t.validateText(check, "run.stdin", run.Stdin) && (run.Command.Shell != "" || readsInput(run.Command.Argv)) {
		check.fail("run.stdin", "", "what reads it may take it for a program"+t.insteadUse())
	}
}

// insteadUse names the way that is safe.
func (t *Task) insteadUse() string {
	for name := range sorted(t.Params) {
		return "; use the environment instead: \"$FLEETCRON_" + ParamVariable(name) + "\" and so on"
	}
	return ""
}

// validateText checks one text, and reports whether it holds a placeholder.
func (t *Task) validateText(check *checker, field, text string) (holds bool) {
	check.that(!strings.Contains(text, maskedSecret), field, text, "a task with parameters holds no masked secret: give it the secret in a file that only its user can read")
	parts, err := placeholders(text)
	if err != nil {
		check.fail(field, text, err.Error())
	}
	for _, p := range parts {
		if p.name == "" {
			continue
		}
		holds = true
		if _, known := t.Params[p.name]; !known {
			check.fail(field, opening+p.name+closing, t.noParam()+"; declare it under params")
		}
	}
	return holds
}

// validateUnfilled looks for placeholders where none is replaced.
func (t *Task) validateUnfilled(check *checker) {
	if found := looksFilled.FindString(t.Run.Command.Shell); found != "" {
		check.fail("run.command", found, "no value becomes part of a text for a shell"+t.insteadUse())
	}
	look := func(field string, texts ...string) {
		for _, text := range texts {
			if found := looksFilled.FindString(text); found != "" {
				check.fail(field, found, "no parameter is filled in here, only in the words of run.command, in run.env and in run.stdin")
			}
		}
	}
	look("run.dir", t.Run.Dir)
	look("on.file", t.On.File)
	look("wait_for.command", t.WaitFor.Command...)
	look("wait_for.file", t.WaitFor.File...)
	look("wait_for.tcp", t.WaitFor.TCP...)
	look("wait_for.http", t.WaitFor.HTTP...)
	look("wait_for.unit", t.WaitFor.Unit...)
	look("health.exec", t.Health.Exec...)
	look("health.http", t.Health.HTTP)
	look("health.tcp", t.Health.TCP)
}

// orList writes "text, int or bool".
func orList[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, word := range list {
		words[i] = string(word)
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
