package taskfile

import (
	"slices"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// short maps the words of a task in short, as other schedulers spell it, to
// the fields that are meant: {"id": "x", "cron_expr": "0 2 * * *", "command": "…"}.
var short = map[string]string{
	"id": "task", "taskId": "task", "cron_expr": "on.cron", "cron": "on.cron", "command": "run.command",
}

// lengthen returns a task in short as the mapping it stands for, and whether
// it was one: a flat mapping that says its name, its expression and its
// command in short words, and none of them in the long way.
func lengthen(root *node) (*node, bool) {
	if root.shape != mapping {
		return root, false
	}
	said := map[string]bool{}
	for _, p := range root.pairs {
		meant, known := short[p.key.text]
		if slices.Contains([]string{"task", "on", "run"}, p.key.text) || known && said[meant] {
			return root, false
		}
		said[meant] = known
	}
	if !said["task"] || !said["on.cron"] || !said["run.command"] {
		return root, false
	}
	long := &node{position: root.position, shape: mapping}
	for _, p := range root.pairs {
		if meant, known := short[p.key.text]; known {
			p = p.renamed(meant)
		}
		long.pairs = append(long.pairs, p)
	}
	return long, true
}

// renamed returns the pair under its full name, each section a mapping.
func (p pair) renamed(path string) pair {
	key := func(name string) *node { return &node{position: p.key.position, shape: text, text: name} }
	if section := sectionOf(path); section != "" {
		inner := &node{position: p.value.position, shape: mapping, pairs: []pair{{key(fieldOf(path)), p.value}}}
		return pair{key(section), inner}
	}
	return pair{key(path), p.value}
}

// nowhere makes a task in short that names no host one that is known and runs
// nowhere until it is assigned: nobody asked for it to run everywhere.
func (r *reading) nowhere() {
	if _, said := r.places["where"]; !said {
		r.task.Where = fleet.Where{Pick: fleet.PickNone}
	}
}
