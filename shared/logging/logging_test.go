package logging

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestFieldsAreNamedAlikeEverywhere(t *testing.T) {
	var out bytes.Buffer
	log, err := New(&out, Config{}, "fleetcron-agent")
	if err != nil {
		t.Fatal(err)
	}
	log.With("host", "web-1").WarnContext(WithTrace(t.Context(), "4bf92f35"), "run started", "task", "default/x", "run", "01a1", "actor", "ann")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"level": "warn", "message": "run started", "service": "fleetcron-agent", "trace_id": "4bf92f35", "host": "web-1", "task_id": "default/x", "run_id": "01a1", "actor": "ann"}
	for key, value := range want {
		if line[key] != value {
			t.Errorf("%s is %v, want %v", key, line[key], value)
		}
	}
	if _, present := line["timestamp"]; !present || len(line) != len(want)+1 {
		t.Errorf("fields of %s", out.String())
	}
}

func TestLevelAndFormat(t *testing.T) {
	var out bytes.Buffer
	log, err := New(&out, Config{Level: "error", Format: "text"}, "x")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	if out.Len() != 0 {
		t.Errorf("info was logged: %s", out.String())
	}
	for _, config := range []Config{{Level: "loud"}, {Format: "xml"}} {
		if _, err := New(&out, config, "x"); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%+v: got %v", config, err)
		}
	}
}
