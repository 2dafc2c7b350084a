package fleet_test

import (
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"pgregory.net/rapid"
)

// TestNoNumberIsAnOption: whatever is taken for a number, an int or a duration whose
// least is not below 0 begins with a digit, and so does a host and a path with
// none of what begins an option.
func TestNoNumberIsAnOption(t *testing.T) {
	kinds := []fleet.ParamType{fleet.ParamInt, fleet.ParamNumber, fleet.ParamDuration, fleet.ParamPath, fleet.ParamHost, fleet.ParamText, fleet.ParamBool}
	taken := map[fleet.ParamType]bool{}
	some := []string{"-0", "-0.0", "0", "1.5", "90s", "1h 30m", "-1s", "::1", "fe80::1%-x", "/srv", "true"}
	try := func(fatal func(string, ...any), value string) {
		for _, kind := range kinds {
			task := clearing()
			task.Params["site"] = fleet.Param{Type: kind}
			values, err := task.Values(fleet.Params{"site": value})
			if err != nil {
				continue
			}
			taken[kind] = true
			if strings.HasPrefix(values["site"], "-") || strings.ContainsAny(values["site"], " \t%") {
				fatal("%q is taken for a %s", value, kind)
			}
		}
	}
	for _, value := range some {
		try(t.Errorf, value)
	}
	rapid.Check(t, func(t *rapid.T) { try(t.Fatalf, rapid.StringMatching(`[-+]?[0-9a-z/ .:%]{1,6}`).Draw(t, "value")) })
	for _, kind := range kinds {
		if !taken[kind] {
			t.Errorf("no %s was tried", kind)
		}
	}
}

// TestAPatternIsShown: it stands in what people read, so nothing in it that a
// terminal obeys.
func TestAPatternIsShown(t *testing.T) {
	for _, pattern := range []string{"a\x1b[2Jb", "a\nb", "a\u202eb"} {
		task := clearing()
		task.Params["site"] = fleet.Param{Type: fleet.ParamText, Pattern: pattern}
		if err := task.Validate(); err == nil {
			t.Errorf("%q is taken for a pattern", pattern)
		}
	}
}

// TestNoValuesMakeASecret: two of them, side by side, are not what a host fills a
// secret in for.
func TestNoValuesMakeASecret(t *testing.T) {
	task := clearing()
	task.Params["site"], task.Params["word"] = fleet.Param{Type: fleet.ParamText, Pattern: ".*"}, fleet.Param{Type: fleet.ParamText, Pattern: ".*"}
	for name, spoil := range map[string]func(*fleet.Task){
		"word":  func(t *fleet.Task) { t.Run.Command.Argv = []string{"/bin/x", "{{site}}{{word}}"} },
		"env":   func(t *fleet.Task) { t.Run.Env = map[string]string{"A": "{{site}}{{word}}"} },
		"input": func(t *fleet.Task) { t.Run.Stdin = "{{site}}{{word}}" },
	} {
		task := task
		spoil(&task)
		if _, err := task.Filled(fleet.Params{"site": "<redac", "word": "ted:1>"}); err == nil {
			t.Errorf("%s: it became one", name)
		}
	}
}
