package taskfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestTheExamplesAreTasks reads every example as a host of the fleet would, and
// what is written of it again.
func TestTheExamplesAreTasks(t *testing.T) {
	dir := filepath.Join("..", "..", "packaging", "examples")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	tasks := 0
	for _, file := range files {
		doc, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		media := "application/yaml"
		if filepath.Ext(file.Name()) == ".json" {
			media = "application/json"
		}
		found, err := Parse(doc, media)
		if err != nil {
			t.Errorf("%s: %v", file.Name(), err)
		}
		for _, task := range found {
			tasks++
			if err := task.Validate(); err != nil {
				t.Errorf("%s: %s: %v", file.Name(), task.Name, err)
			}
			text, err := Format(task)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseOne(text, "application/yaml"); err != nil {
				t.Errorf("%s: %s, written again: %v", file.Name(), task.Name, err)
			}
		}
	}
	if tasks < 10 {
		t.Errorf("only %d tasks found", tasks)
	}
}

// TestTheExamplesAreOneFleet: a person applies them all at once.
func TestTheExamplesAreOneFleet(t *testing.T) {
	dir := filepath.Join("..", "..", "packaging", "examples")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	from := map[fleet.TaskID]string{}
	for _, file := range files {
		doc, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found, err := Parse(doc, "application/yaml") // which JSON is as well
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range found {
			if other, twice := from[task.ID()]; twice {
				t.Errorf("%s and %s both have %s", other, file.Name(), task.ID())
			}
			from[task.ID()] = file.Name()
		}
	}
}
