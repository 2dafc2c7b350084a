package taskfile

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// reading is one document on its way to a task.
type reading struct {
	*findings
	task     fleet.Task
	sections []section
	places   map[string]position // of every field by path, and of list items by path=text
	failed   []string            // paths that are wrong already: no second complaint about them
}

// task reads a document and validates what it says.
func (f *findings) task(root *node) fleet.Task {
	r := &reading{findings: f, sections: sections, places: map[string]position{"": root.position}}
	before := len(f.problems)
	root, inShort := lengthen(root)
	document.read(r, "", root)
	if inShort {
		r.nowhere()
	}
	r.validate()
	if len(f.problems) > before {
		return fleet.Task{Name: r.task.Name, Namespace: r.task.Namespace}
	}
	return r.task
}

// fail reports one wrong field.
func (r *reading) fail(at position, path, value, format string, args ...any) {
	r.failed = append(r.failed, path)
	r.add(problem(at, nameOf(path), value, format, args...))
}

func nameOf(path string) string {
	if path == "" {
		return "document"
	}
	return path
}

// wants reports whether the node has the shape, and fails the field if not.
func (r *reading) wants(n *node, path string, want shape, example string) bool {
	if n.shape == want {
		return true
	}
	switch {
	case n.shape == refused:
		r.failed = append(r.failed, path)
	case n.shape == nothing:
		r.fail(n.position, path, "", "has no value; want %s, or leave the line out", example)
	case want == text && n.shape < list:
		r.fail(n.position, path, n.text, "is read as %s; want %s: write it in quotes, %q", n.shape, example, n.text)
	case n.shape >= list || want >= list:
		r.fail(n.position, path, n.text, "is %s; want %s", n.shape, example)
	default:
		r.fail(n.position, path, n.text, "is read as %s; want %s", n.shape, example)
	}
	return false
}

// read reads a mapping by its table.
func (s section) read(r *reading, path string, n *node) {
	if !r.wants(n, path, mapping, "a mapping of fields") {
		return
	}
	for _, p := range n.pairs {
		child := join(path, p.key.text)
		read := s.reader(p.key.text)
		if read == nil {
			r.unknown(s, child, p.key)
			continue
		}
		r.places[child] = p.value.position
		read(r, child, p.value)
	}
}

func (s section) reader(name string) func(*reading, string, *node) {
	for _, field := range s.fields {
		if field.name == name {
			return field.read
		}
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func texts[T ~string](target func(*fleet.Task) *T) func(*reading, string, *node) {
	return func(r *reading, path string, n *node) {
		if !r.wants(n, path, text, "text") {
			return
		}
		if n.text == "" {
			r.fail(n.position, path, "", "is empty; write a value or leave the line out")
			return
		}
		*target(&r.task) = T(n.text)
	}
}

func truths(target func(*fleet.Task) *bool) func(*reading, string, *node) {
	return func(r *reading, path string, n *node) {
		if r.wants(n, path, truth, "true or false") {
			*target(&r.task) = strings.EqualFold(n.text, "true")
		}
	}
}

func wholes(target func(*fleet.Task) *int) func(*reading, string, *node) {
	return func(r *reading, path string, n *node) {
		if !r.wants(n, path, whole, "a whole number") {
			return
		}
		value, err := strconv.Atoi(n.text)
		if err != nil || strconv.Itoa(value) != n.text {
			r.fail(n.position, path, n.text, "want a whole number in plain decimal digits")
			return
		}
		*target(&r.task) = value
	}
}

func durations(target func(*fleet.Task) *fleet.Duration) func(*reading, string, *node) {
	return func(r *reading, path string, n *node) {
		if n.shape == whole || n.shape == number {
			r.fail(n.position, path, n.text, "has no unit; want a duration such as 90s, 5m, 1h30m or 2d")
			return
		}
		if !r.wants(n, path, text, "a duration such as 90s, 5m, 1h30m or 2d") {
			return
		}
		value, err := fleet.ParseDuration(n.text)
		if err != nil {
			r.fail(n.position, path, n.text, "%s", reasonOf(err))
			return
		}
		*target(&r.task) = value
	}
}

func instants(target func(*fleet.Task) **time.Time) func(*reading, string, *node) {
	return func(r *reading, path string, n *node) {
		if n.shape != instant && !r.wants(n, path, text, "an instant such as 2026-12-01T02:00:00Z") {
			return
		}
		var value time.Time
		if err := value.UnmarshalText([]byte(n.text)); err != nil {
			r.fail(n.position, path, n.text, "want an instant with date, time and zone, such as 2026-12-01T02:00:00Z or 2026-12-01T03:00:00+01:00")
			return
		}
		value = value.UTC()
		*target(&r.task) = &value
	}
}

// list calls read for every item, or fails the field.
func (r *reading) list(path string, n *node, example string, read func(item *node)) {
	if !r.wants(n, path, list, example) {
		return
	}
	if len(n.items) == 0 {
		r.fail(n.position, path, "", "is an empty list; name something or leave the line out")
	}
	for _, item := range n.items {
		if r.wants(item, path, text, "text") {
			r.places[path+"="+item.text] = item.position
			read(item)
		}
	}
}

func readCommand(r *reading, path string, n *node) {
	if n.shape == text {
		r.task.Run.Command = fleet.Command{Shell: n.text}
		if n.text == "" {
			r.fail(n.position, path, "", "is empty")
		}
		return
	}
	var words []string
	r.list(path, n, "a list of words, or one text for the shell", func(item *node) { words = append(words, item.text) })
	r.task.Run.Command = fleet.Command{Argv: words}
}

func readEnv(r *reading, path string, n *node) {
	if !r.wants(n, path, mapping, "a mapping of names to text") {
		return
	}
	for _, p := range n.pairs {
		child := join(path, p.key.text)
		r.places[child] = p.value.position
		r.places[path+"="+p.key.text] = p.key.position
		if !r.wants(p.value, child, text, "text") {
			continue
		}
		if r.task.Run.Env == nil {
			r.task.Run.Env = make(map[string]string, len(n.pairs))
		}
		r.task.Run.Env[p.key.text] = p.value.text
	}
}

func readHosts(r *reading, path string, n *node) {
	r.list(path, n, `a list of host names, such as [db-1, "web-*"]`, func(item *node) {
		r.task.Where.Hosts = append(r.task.Where.Hosts, item.text)
	})
}

func readNetworks(r *reading, path string, n *node) {
	r.list(path, n, "a list of address ranges, such as [10.0.0.0/8]", func(item *node) {
		prefix, err := netip.ParsePrefix(item.text)
		if err != nil {
			var one netip.Addr
			if one, err = netip.ParseAddr(item.text); err == nil {
				prefix, err = one.Prefix(one.BitLen())
			}
		}
		if err != nil {
			r.fail(item.position, path, item.text, "want an address range such as 10.0.0.0/8, or one address such as 10.1.2.3")
			return
		}
		r.task.Where.Networks = append(r.task.Where.Networks, prefix)
	})
}

// readPick takes the numbers too: Validate says why they are refused.
func readPick(r *reading, path string, n *node) {
	if n.shape == whole || r.wants(n, path, text, "all") {
		r.task.Where.Pick = fleet.Pick(n.text)
	}
}

func sizes(target func(*fleet.Task) *fleet.Bytes) func(*reading, string, *node) {
	return func(r *reading, path string, n *node) {
		const example = "a size with its unit, such as 512KiB, 10MB or 2GiB"
		if n.shape == whole || n.shape == number {
			r.fail(n.position, path, n.text, "has no unit; want %s", example)
			return
		}
		if !r.wants(n, path, text, example) {
			return
		}
		size, err := fleet.ParseBytes(n.text)
		if err != nil || strings.Trim(n.text, "0123456789") == "" {
			r.fail(n.position, path, n.text, "want %s", example)
			return
		}
		*target(&r.task) = size
	}
}

// numbers reads a number that need not be whole.
func numbers(target func(*fleet.Task) *float64) func(*reading, string, *node) {
	return func(r *reading, path string, n *node) {
		if n.shape != whole && !r.wants(n, path, number, "a number such as 1.5") {
			return
		}
		value, err := strconv.ParseFloat(n.text, 64)
		if err != nil || strings.Trim(n.text, "0123456789.") != "" {
			r.fail(n.position, path, n.text, "want a number in plain decimal digits, such as 1.5")
			return
		}
		*target(&r.task) = value
	}
}

// names reads a list of texts.
func names(target func(*fleet.Task) *[]string, example string) func(*reading, string, *node) {
	return func(r *reading, path string, n *node) {
		r.list(path, n, "a list of texts, such as "+example, func(item *node) {
			*target(&r.task) = append(*target(&r.task), item.text)
		})
	}
}

// readStartup takes true and false too: Validate says why they are refused.
func readStartup(r *reading, path string, n *node) {
	if n.shape == truth || r.wants(n, path, text, "boot or agent") {
		r.task.On.Startup = fleet.Startup(n.text)
	}
}

// readRetryOn takes exit codes as numbers and as text.
func readRetryOn(r *reading, path string, n *node) {
	const example = "a list such as [75, SIGTERM, timeout]"
	if !r.wants(n, path, list, example) {
		return
	}
	if len(n.items) == 0 {
		r.fail(n.position, path, "", "is an empty list; name something or leave the line out")
	}
	for _, item := range n.items {
		if item.shape == whole || r.wants(item, path, text, example) {
			r.places[path+"="+item.text] = item.position
			r.task.Retry.On = append(r.task.Retry.On, item.text)
		}
	}
}

func readGiveUp(r *reading, path string, n *node) {
	const example = "so many starts within a time, such as 10/1h"
	if n.shape != whole && !r.wants(n, path, text, example) {
		return
	}
	if err := r.task.Restart.GiveUp.UnmarshalText([]byte(n.text)); err != nil || n.text == "" {
		r.fail(n.position, path, n.text, "want %s", example)
	}
}

func readRlimits(r *reading, path string, n *node) {
	if !r.wants(n, path, mapping, "a mapping of names to numbers, such as nofile: 1024") {
		return
	}
	for _, p := range n.pairs {
		child := join(path, p.key.text)
		r.places[child] = p.value.position
		r.places[path+"="+p.key.text] = p.key.position
		if !r.wants(p.value, child, whole, "a whole number") {
			continue
		}
		value, err := strconv.ParseUint(p.value.text, 10, 63)
		if err != nil {
			r.fail(p.value.position, child, p.value.text, "want a whole number in plain decimal digits")
			continue
		}
		if r.task.Limits.Rlimits == nil {
			r.task.Limits.Rlimits = make(map[string]uint64, len(n.pairs))
		}
		r.task.Limits.Rlimits[p.key.text] = value
	}
}
