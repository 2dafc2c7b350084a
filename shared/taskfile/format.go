package taskfile

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Format writes the canonical file of a task: the fields in the order of the
// table, two blanks of indentation, instants in UTC, nothing that stands for a
// default. Parse of it gives the same task. The error is about text that no
// file can hold, which Validate would have refused.
func Format(task fleet.Task) ([]byte, error) {
	w := &writer{}
	root := w.mapping(func(m *block) {
		m.text("task", task.Name)
		m.text("namespace", task.Namespace)
		m.text("owner", task.Owner)
		m.text("description", task.Description)
		m.mapping("on", func(m *block) { writeTrigger(m, &task.On) })
		m.mapping("run", func(m *block) { writeRun(m, &task.Run) })
		m.mapping("where", func(m *block) { writeWhere(m, &task.Where) })
		m.mapping("limits", func(m *block) { writeLimits(m, &task.Limits) })
	})
	if w.err != nil {
		return nil, w.err
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return nil, fmt.Errorf("format task: %w", err)
	}
	return out.Bytes(), encoder.Close()
}

func writeTrigger(m *block, on *fleet.Trigger) {
	m.text("cron", on.Cron)
	m.duration("every", on.Every)
	m.instant("anchor", on.Anchor)
	m.instant("at", on.At)
	m.text("event", on.Event)
	m.text("file", on.File)
	m.truth("webhook", on.Webhook)
	m.truth("manual", on.Manual)
	m.truth("daemon", on.Daemon)
	m.text("timezone", on.Timezone)
	m.duration("spread", on.Spread)
	m.duration("deadline", on.Deadline)
	m.instant("starts", on.Starts)
	m.instant("ends", on.Ends)
	m.mapping("missed", func(m *block) {
		m.text("policy", string(on.Missed.Policy))
		m.duration("within", on.Missed.Within)
	})
}

func writeRun(m *block, run *fleet.Execute) {
	if run.Command.Shell != "" {
		m.text("command", run.Command.Shell)
	} else {
		m.list("command", run.Command.Argv)
	}
	m.text("user", run.User)
	m.text("dir", run.Dir)
	m.mapping("env", func(m *block) {
		for _, name := range slices.Sorted(maps.Keys(run.Env)) {
			m.put(name, m.w.text(run.Env[name]))
		}
	})
	m.text("stdin", run.Stdin)
}

func writeWhere(m *block, where *fleet.Where) {
	m.text("labels", where.Labels)
	m.list("hosts", where.Hosts)
	networks := make([]string, len(where.Networks))
	for i, network := range where.Networks {
		networks[i] = network.String()
	}
	m.list("networks", networks)
	m.text("pick", string(where.Pick))
}

func writeLimits(m *block, limits *fleet.Limits) {
	m.duration("timeout", limits.Timeout)
	m.duration("grace", limits.Grace)
	m.text("overlap", string(limits.Overlap))
	m.whole("per_host", limits.PerHost)
	m.whole("fleet", limits.Fleet)
	m.duration("wait", limits.Wait)
	m.whole("nice", limits.Nice)
	if limits.Output != 0 {
		m.text("output", limits.Output.String())
	}
}

// writer makes YAML nodes and keeps the first error.
type writer struct{ err error }

// block is a mapping in the making. Its methods leave zero values out.
type block struct {
	w    *writer
	node *yaml.Node
}

func (w *writer) mapping(fill func(*block)) *yaml.Node {
	m := &block{w, &yaml.Node{Kind: yaml.MappingNode}}
	fill(m)
	return m.node
}

func (m *block) put(name string, value *yaml.Node) {
	m.node.Content = append(m.node.Content, m.w.text(name), value)
}

func (m *block) mapping(name string, fill func(*block)) {
	if value := m.w.mapping(fill); len(value.Content) > 0 {
		m.put(name, value)
	}
}

func (m *block) text(name, value string) {
	if value != "" {
		m.put(name, m.w.text(value))
	}
}

func (m *block) duration(name string, value fleet.Duration) {
	if value != 0 {
		m.put(name, m.w.text(value.String()))
	}
}

func (m *block) instant(name string, value *time.Time) {
	if value != nil {
		m.put(name, plain(value.UTC().Format(time.RFC3339Nano)))
	}
}

func (m *block) truth(name string, value bool) {
	if value {
		m.put(name, plain("true"))
	}
}

func (m *block) whole(name string, value int) {
	if value != 0 {
		m.put(name, plain(strconv.Itoa(value)))
	}
}

func (m *block) list(name string, words []string) {
	if len(words) == 0 {
		return
	}
	value := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, word := range words {
		item := m.w.text(word)
		if item.Style == yaml.LiteralStyle {
			value.Style = 0
		}
		value.Content = append(value.Content, item)
	}
	m.put(name, value)
}

// plain is a scalar whose spelling is its type: a number, true, an instant.
func plain(value string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: value} }

// text is a scalar that reads back as this text: bare where that is possible,
// a block of lines where a person wrote lines, in quotes otherwise.
func (w *writer) text(value string) *yaml.Node {
	if !utf8.ValidString(value) && w.err == nil {
		w.err = fleet.Errorf(fleet.Invalid, "text %q is not UTF-8", clip(value))
	}
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
	switch {
	case !strings.Contains(value, "\n"):
		if strings.ContainsFunc(value, unprintable) {
			node.Style = yaml.DoubleQuotedStyle
		}
	case readsAsBlock(value):
		node.Style = yaml.LiteralStyle
	default:
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}

// readsAsBlock reports whether a literal block gives every byte back.
func readsAsBlock(value string) bool {
	if strings.HasPrefix(value, " ") || strings.HasPrefix(value, "\n") || strings.Trim(value, "\n") == "" {
		return false
	}
	for line := range strings.SplitSeq(value, "\n") {
		if strings.ContainsFunc(line, unprintable) || strings.TrimRight(line, " ") != line {
			return false
		}
	}
	return true
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
