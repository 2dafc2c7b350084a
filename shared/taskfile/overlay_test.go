package taskfile

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const overlaid = `task: nightly
namespace: data
on: {cron: "30 2 * * *", timezone: Europe/Berlin}
run: {command: [/bin/backup, --all], user: backup, env: {LEVEL: full, A: "1"}}
where: {labels: role=db, hosts: [db-1]}
limits: {timeout: 30m, nice: 5}
---
task: other
on: {manual: true}
run: {command: [/bin/true]}
where: {labels: "*"}
`

func TestOverlayChangesWhatItNames(t *testing.T) {
	for _, test := range []struct {
		name, overlay string
		change        func(*fleet.Task)
	}{
		{"nothing", "task: nightly\nnamespace: data\n", func(*fleet.Task) {}},
		{"a limit", "task: nightly\nnamespace: data\nlimits: {timeout: 5m}\n", func(t *fleet.Task) { t.Limits.Timeout = fleet.Duration(5 * time.Minute) }},
		{"environment by name", "task: nightly\nnamespace: data\nrun: {env: {LEVEL: small}}\n", func(t *fleet.Task) { t.Run.Env["LEVEL"] = "small" }},
		{"another trigger", "task: nightly\nnamespace: data\non: {every: 1h}\n", func(t *fleet.Task) { t.On = fleet.Trigger{Every: fleet.Duration(time.Hour)} }},
		{"a part of the trigger", "task: nightly\nnamespace: data\non: {timezone: UTC}\n", func(t *fleet.Task) { t.On.Timezone = "UTC" }},
		{"where as a whole", "task: nightly\nnamespace: data\nwhere: {labels: env=dev}\n", func(t *fleet.Task) { t.Where = fleet.Where{Labels: "env=dev"} }},
		{"a command for the shell", "task: nightly\nnamespace: data\nrun: {command: 'a | b'}\n", func(t *fleet.Task) { t.Run.Command = fleet.Command{Shell: "a | b"} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			base, err := Split([]byte(overlaid), "application/yaml")
			if err != nil {
				t.Fatal(err)
			}
			again, _ := Split([]byte(overlaid), "application/yaml")
			changed, _ := Split([]byte(overlaid), "application/yaml")
			want := changed[0].Task
			test.change(&want)
			got, err := Overlay(base, []byte(test.overlay), "application/yaml")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got[0].Task, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if read, err := ParseOne(got[0].Bytes, "application/yaml"); err != nil || cmp.Diff(want, read, cmpopts.EquateEmpty()) != "" {
				t.Errorf("its bytes say %+v, %v", read, err)
			}
			if diff := cmp.Diff(again[1].Task, got[1].Task); diff != "" {
				t.Errorf("the other task changed: %s", diff)
			}
			if diff := cmp.Diff(again[0].Task, base[0].Task); diff != "" {
				t.Errorf("the base changed: %s", diff)
			}
		})
	}
}

func TestOverlayMistakes(t *testing.T) {
	base, err := Split([]byte(overlaid), "application/yaml")
	if err != nil {
		t.Fatal(err)
	}
	for overlay, want := range map[string]string{
		"task: nightly\n": "line 1, column 1: task \"default/nightly\": is no task of the files",
		"task: nightly\nnamespace: data\nlimits: {timeout: soon}\n":  "line 3",
		"task: nightly\nnamespace: data\ncolour: red\n":              "line 3, column 1: colour",
		"task: nightly\nnamespace: data\non: {cron: '61 * * * *'}\n": "on.cron",
		"task: other\nowner: a\n---\ntask: other\nowner: b\n":        "is defined twice",
		"limits: {nice: 1}\n":                               "is no task of the files",
		"task: other\non: {cron: '* * * * *', every: 5m}\n": "exactly one",
	} {
		if got, err := Overlay(base, []byte(overlay), "application/yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", overlay, got, err, want)
		}
	}
}
