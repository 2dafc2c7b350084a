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
		m.mapping("params", func(m *block) { writeParams(m, task.Params) })
		m.mapping("on", func(m *block) { writeTrigger(m, &task.On) })
		m.mapping("run", func(m *block) { writeRun(m, &task.Run) })
		m.mapping("where", func(m *block) { writeWhere(m, &task.Where) })
		m.mapping("limits", func(m *block) { writeLimits(m, &task.Limits) })
		m.mapping("wait_for", func(m *block) { writeWaitFor(m, &task.WaitFor) })
		m.mapping("retry", func(m *block) { writeRetry(m, &task.Retry) })
		m.mapping("breaker", func(m *block) { writeBreaker(m, &task.Breaker) })
		m.mapping("restart", func(m *block) { writeRestart(m, &task.Restart) })
		m.mapping("health", func(m *block) { writeHealth(m, &task.Health) })
		m.list("needs", task.Needs)
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
	m.text("startup", string(on.Startup))
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
	m.duration("merge", on.Merge)
	m.truth("after_end", on.AfterEnd)
	m.list("blackout", on.Blackout)
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
	m.text("shell", string(run.Shell))
	m.text("group", run.Group)
	m.list("groups", run.Groups)
	m.truth("login", run.Login)
	m.text("umask", run.Umask)
	m.truth("no_new_privs", run.NoNewPrivs)
	m.truth("private_tmp", run.PrivateTmp)
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
	m.size("output", limits.Output)
	m.duration("stall", limits.Stall)
	m.mapping("keep", func(m *block) {
		m.whole("runs", limits.Keep.Runs)
		m.duration("age", limits.Keep.Age)
		m.size("size", limits.Keep.Size)
	})
	m.size("memory", limits.Memory)
	m.number("cpu", limits.CPU)
	m.whole("processes", limits.Processes)
	m.whole("io_weight", limits.IOWeight)
	m.text("ionice", limits.IONice)
	m.mapping("rlimits", func(m *block) {
		for _, name := range slices.Sorted(maps.Keys(limits.Rlimits)) {
			m.put(name, plain(strconv.FormatUint(limits.Rlimits[name], 10)))
		}
	})
}

func writeWaitFor(m *block, w *fleet.WaitFor) {
	m.list("tcp", w.TCP)
	m.list("http", w.HTTP)
	m.list("file", w.File)
	m.list("unit", w.Unit)
	m.list("command", w.Command)
	m.duration("every", w.Every)
	m.duration("timeout", w.Timeout)
}

func writeRetry(m *block, r *fleet.Retry) {
	m.whole("attempts", r.Attempts)
	m.duration("base", r.Base)
	m.number("factor", r.Factor)
	m.duration("cap", r.Cap)
	m.number("jitter", r.Jitter)
	m.duration("budget", r.Budget)
	m.list("on", r.On)
}

func writeBreaker(m *block, b *fleet.Breaker) {
	m.whole("failures", b.Failures)
	m.number("rate", b.Rate)
	m.duration("window", b.Window)
	m.duration("open", b.Open)
	m.text("key", b.Key)
}

func writeRestart(m *block, r *fleet.Restart) {
	m.text("policy", string(r.Policy))
	m.duration("base", r.Base)
	m.duration("cap", r.Cap)
	m.duration("reset", r.Reset)
	m.text("give_up", r.GiveUp.String())
	m.mapping("when", func(m *block) {
		m.size("memory", r.When.Memory)
		m.number("cpu", r.When.CPU)
		m.whole("files", r.When.Files)
		m.duration("for", r.When.For)
	})
}

func writeHealth(m *block, h *fleet.Health) {
	m.list("exec", h.Exec)
	m.text("http", h.HTTP)
	m.text("tcp", h.TCP)
	m.duration("every", h.Every)
	m.duration("timeout", h.Timeout)
	m.whole("fail", h.Fail)
	m.duration("start", h.Start)
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

func (m *block) size(name string, value fleet.Bytes) {
	if value != 0 {
		m.text(name, value.String())
	}
}

func (m *block) number(name string, value float64) {
	if value != 0 {
		m.put(name, plain(strconv.FormatFloat(value, 'f', -1, 64)))
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
