package taskfile

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// paramField is one field of a parameter: how to read its value.
type paramField struct {
	name string
	read func(r *reading, path string, n *node, p *fleet.Param)
}

// paramFields is every field of a parameter, in the order of Format.
var paramFields = []paramField{
	{"type", func(r *reading, path string, n *node, p *fleet.Param) {
		p.Type = fleet.ParamType(r.words(path, n, "a type such as text, int or choice"))
	}},
	{"description", func(r *reading, path string, n *node, p *fleet.Param) { p.Description = r.words(path, n, "text") }},
	{"default", func(r *reading, path string, n *node, p *fleet.Param) {
		if value, ok := r.value(path, n); ok {
			p.Default = &value
		}
	}},
	{"min", func(r *reading, path string, n *node, p *fleet.Param) { p.Min, _ = r.value(path, n) }},
	{"max", func(r *reading, path string, n *node, p *fleet.Param) { p.Max, _ = r.value(path, n) }},
	{"pattern", func(r *reading, path string, n *node, p *fleet.Param) {
		p.Pattern = r.words(path, n, "a regular expression")
	}},
	{"values", readValues},
	{"max_length", readMaxLength},
}

func paramNames() []string {
	names := make([]string, len(paramFields))
	for i, f := range paramFields {
		names[i] = f.name
	}
	return names
}

// readParams reads the parameters: a mapping of names to what each may be.
func readParams(r *reading, path string, n *node) {
	if !r.wants(n, path, mapping, "a mapping of names to parameters, such as site: {type: text}") {
		return
	}
	if len(n.pairs) == 0 {
		r.fail(n.position, path, "", "is empty; name something or leave the line out")
	}
	for _, p := range n.pairs {
		child := join(path, p.key.text)
		r.places[child] = p.value.position
		r.places[path+"="+p.key.text] = p.key.position
		if !r.wants(p.value, child, mapping, "a mapping of fields, such as {type: text}") {
			continue
		}
		if r.task.Params == nil {
			r.task.Params = make(map[string]fleet.Param, len(n.pairs))
		}
		r.task.Params[p.key.text] = r.param(child, p.value)
	}
}

func (r *reading) param(path string, n *node) (param fleet.Param) {
	for _, p := range n.pairs {
		child := join(path, p.key.text)
		i := slices.IndexFunc(paramFields, func(f paramField) bool { return f.name == p.key.text })
		if i < 0 {
			r.fail(p.key.position, child, "", "is no field of a parameter; want one of %s", strings.Join(paramNames(), ", "))
			continue
		}
		r.places[child] = p.value.position
		paramFields[i].read(r, child, p.value, &param)
	}
	return param
}

// words reads text that may not be empty.
func (r *reading) words(path string, n *node, example string) string {
	if r.wants(n, path, text, example) && n.text == "" {
		r.fail(n.position, path, "", "is empty; write a value or leave the line out")
	}
	return n.text
}

// value reads what a parameter may be as it is written: 5, true and text alike.
func (r *reading) value(path string, n *node) (string, bool) {
	switch n.shape {
	case text, whole, number, truth, instant:
		return n.text, true
	}
	return "", r.wants(n, path, text, "one value")
}

func readValues(r *reading, path string, n *node, p *fleet.Param) {
	if !r.wants(n, path, list, "a list of values, such as [fast, full]") {
		return
	}
	for _, item := range n.items {
		if value, ok := r.value(path, item); ok {
			r.places[path+"="+value] = item.position
			p.Values = append(p.Values, value)
		}
	}
}

func readMaxLength(r *reading, path string, n *node, p *fleet.Param) {
	if !r.wants(n, path, whole, "a whole number") {
		return
	}
	value, err := strconv.Atoi(n.text)
	if err != nil || strconv.Itoa(value) != n.text || value == 0 {
		r.fail(n.position, path, n.text, "want a whole number from 1 on in plain decimal digits")
	}
	p.MaxLength = value
}

func writeParams(m *block, params map[string]fleet.Param) {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		p := params[name]
		m.mapping(name, func(m *block) {
			m.text("type", string(p.Type))
			m.text("description", p.Description)
			if p.Default != nil {
				m.put("default", m.w.text(*p.Default))
			}
			m.text("min", p.Min)
			m.text("max", p.Max)
			m.text("pattern", p.Pattern)
			m.list("values", p.Values)
			m.whole("max_length", p.MaxLength)
		})
	}
}
