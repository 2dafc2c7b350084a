package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// maxFile bounds the policy file.
const maxFile = 256 << 10

// Parse reads a policy. It is strict: no unknown key, none twice, no alias, no
// tag, one document. The error is Invalid and names every line that is wrong.
func Parse(text []byte) (*Policy, error) {
	p := defaults()
	sum := sha256.Sum256(text)
	p.Digest = hex.EncodeToString(sum[:])
	r := reader{policy: &p}
	switch root, err := parseYAML(text); {
	case err != nil:
		return nil, err
	case root == nil:
		r.fail(&yaml.Node{Line: 1}, "policy", "", "says nothing: fleetcron-agent policy init writes one")
	default:
		r.mapping(root, "", r.top())
	}
	if len(r.wrong) == 0 {
		r.whole()
	}
	if len(r.wrong) > 0 {
		slices.SortStableFunc(r.wrong, func(a, b fleet.FieldError) int { return a.Line - b.Line })
		return nil, &fleet.Error{Kind: fleet.Invalid, Message: "policy", Fields: r.wrong}
	}
	return &p, nil
}

// yamlLine finds the line in what the parser of YAML says.
var yamlLine = regexp.MustCompile(`line (\d+)`)

func parseYAML(text []byte) (root *yaml.Node, err error) {
	refuse := func(line int, reason string) error {
		return &fleet.Error{Kind: fleet.Invalid, Message: "policy", Fields: []fleet.FieldError{{Field: "policy", Reason: reason, Line: line, Column: 1}}}
	}
	if len(text) > maxFile {
		return nil, refuse(1, fmt.Sprintf("has %d bytes, at most %d are read", len(text), maxFile))
	}
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, refuse(1, "is not UTF-8")
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		line := 1
		if found := yamlLine.FindStringSubmatch(err.Error()); found != nil {
			line, _ = strconv.Atoi(found[1])
		}
		return nil, refuse(line, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, refuse(1, "holds more than one document")
	}
	if len(document.Content) == 0 || document.Content[0].ShortTag() == "!!null" {
		return nil, nil
	}
	return document.Content[0], nil
}

// reader fills a policy from nodes and gathers what is wrong.
type reader struct {
	policy *Policy
	wrong  []fleet.FieldError
}

func (r *reader) fail(n *yaml.Node, field, value, reason string) {
	if field == "" {
		field = "policy"
	}
	if len(r.wrong) < 100 {
		r.wrong = append(r.wrong, fleet.FieldError{Field: field, Value: value, Reason: reason, Line: max(n.Line, 1), Column: max(n.Column, 1)})
	}
}

// key reads the value of one key.
type key = func(n *yaml.Node, at string)

// top is every key there is.
func (r *reader) top() map[string]key {
	p := r.policy
	return map[string]key{
		"execute":           r.word(&p.Execute, "on", "off"),
		"threshold":         r.number(&p.Threshold, 1, seal.MaxSignatures),
		"keys":              r.keys,
		"users":             r.table(map[string]key{"allow": r.words(&p.Users.Allow, userName), "deny": r.words(&p.Users.Deny, userName), "min_uid": r.number(&p.Users.MinUID, 0, 1<<31-1)}),
		"groups":            r.words(&p.Groups, userName),
		"commands":          r.commands,
		"shell":             r.word(&p.Shell, "allowed", "forbidden"),
		"login":             r.word(&p.Login, "allowed", "forbidden"),
		"env":               r.words(&p.Env, envName),
		"dirs":              r.words(&p.Dirs, directory),
		"probes":            r.table(map[string]key{"files": r.words(&p.Probes.Files, directory), "tcp": r.words(&p.Probes.TCP, address), "units": r.words(&p.Probes.Units, anything)}),
		"max_timeout":       r.duration(&p.MaxTimeout),
		"max_parallel":      r.number(&p.MaxParallel, 1, 1000),
		"min_nice":          r.number(&p.MinNice, -20, 19),
		"hours":             r.hours,
		"orders":            r.table(map[string]key{"run": r.word(&p.Orders, "allowed", "forbidden"), "every": r.duration(&p.Every)}),
		"adoption":          r.word(&p.Adoption, "allowed", "forbidden"),
		"two_person":        r.dangers,
		"unsigned_triggers": r.words(&p.Unsigned, unsigned),
		"labels":            r.labels,
	}
}

// whole checks what no single key can say.
func (r *reader) whole() {
	p := r.policy
	switch {
	case p.Execute && len(p.Keys) == 0:
		r.fail(&yaml.Node{Line: p.line("execute")}, "execute", "on", "needs keys: nothing runs that no trusted key signed; fleetcron-agent policy trust KEY adds one")
	case p.Execute && p.Threshold > len(p.Keys):
		r.fail(&yaml.Node{Line: p.line("threshold")}, "threshold", strconv.Itoa(p.Threshold), fmt.Sprintf("is more than the %d keys there are", len(p.Keys)))
	}
}

// mapping reads the keys of a table and nothing else.
func (r *reader) mapping(n *yaml.Node, at string, table map[string]key) {
	if !r.is(n, yaml.MappingNode, at, "keys and values") {
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		where := strings.TrimPrefix(at+"."+name.Value, ".")
		read, known := table[name.Value]
		switch {
		case name.Kind != yaml.ScalarNode || name.Anchor != "" || !known:
			r.fail(name, where, "", "is no key here; there are "+strings.Join(sortedKeys(table), ", "))
		case seen[name.Value]:
			r.fail(name, where, "", "stands twice")
		default:
			r.policy.lines[where] = name.Line
			read(value, where)
		}
		seen[name.Value] = true
	}
}

func sortedKeys(table map[string]key) []string {
	names := make([]string, 0, len(table))
	for name := range table {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// is reports whether a node is of that kind, written plainly.
func (r *reader) is(n *yaml.Node, kind yaml.Kind, at, want string) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.fail(n, at, "", "aliases are not supported: write it out")
	case n.Style&yaml.TaggedStyle != 0:
		r.fail(n, at, n.Tag, "tags are not supported")
	case n.Kind != kind || kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		r.fail(n, at, "", "want "+want)
	default:
		return true
	}
	return false
}

func (r *reader) text(n *yaml.Node, at string) (string, bool) {
	return n.Value, r.is(n, yaml.ScalarNode, at, "one value")
}

func (r *reader) table(keys map[string]key) key {
	return func(n *yaml.Node, at string) { r.mapping(n, at, keys) }
}

// word reads one of two words.
func (r *reader) word(into *bool, yes, no string) key {
	return func(n *yaml.Node, at string) {
		text, ok := r.text(n, at)
		if ok && text != yes && text != no {
			r.fail(n, at, text, "want "+yes+" or "+no)
		}
		*into = text == yes
	}
}

func (r *reader) number(into *int, least, most int) key {
	return func(n *yaml.Node, at string) {
		text, ok := r.text(n, at)
		number, err := strconv.Atoi(text)
		if ok && (err != nil || number < least || number > most) {
			r.fail(n, at, text, fmt.Sprintf("want a number from %d to %d", least, most))
		}
		*into = number
	}
}

func (r *reader) duration(into *time.Duration) key {
	return func(n *yaml.Node, at string) {
		text, ok := r.text(n, at)
		d, err := fleet.ParseDuration(text)
		if ok && (err != nil || d <= 0) {
			r.fail(n, at, text, "want a time such as 30m or 6h")
		}
		*into = time.Duration(d)
	}
}

func (r *reader) list(n *yaml.Node, at string, item func(n *yaml.Node, at string)) {
	if !r.is(n, yaml.SequenceNode, at, "a list") {
		return
	}
	for i, one := range n.Content {
		where := fmt.Sprintf("%s[%d]", at, i)
		r.policy.lines[where] = one.Line
		item(one, where)
	}
}

// words reads a list of words, each of which must be right.
func (r *reader) words(into *[]string, wrong func(word string) string) key {
	return func(n *yaml.Node, at string) {
		*into = []string{}
		r.list(n, at, func(n *yaml.Node, at string) {
			text, ok := r.text(n, at)
			if reason := wrong(text); ok && reason != "" {
				r.fail(n, at, text, reason)
			}
			*into = append(*into, text)
		})
	}
}

func (r *reader) keys(n *yaml.Node, at string) {
	r.list(n, at, func(n *yaml.Node, at string) {
		k := Key{line: n.Line}
		r.mapping(n, at, map[string]key{
			"key": func(n *yaml.Node, at string) {
				text, ok := r.text(n, at)
				public, err := seal.ParsePublic(text)
				if ok && err != nil {
					r.fail(n, at, text, "want a public key such as fck1.…, as fleetctl key list shows it")
				}
				if slices.ContainsFunc(r.policy.Keys, func(other Key) bool { return other.Public.Equal(public) }) {
					r.fail(n, at, text, "stands twice: one key is one signer")
				}
				k.Public = public
			},
			"name":       func(n *yaml.Node, at string) { k.Name, _ = r.text(n, at) },
			"namespaces": r.words(&k.Namespaces, namespace),
			"may":        r.words(&k.May, mayWord),
			"not_before": r.instant(&k.NotBefore),
			"not_after":  r.instant(&k.NotAfter),
		})
		if n.Kind == yaml.MappingNode && k.Public == nil {
			r.fail(n, at+".key", "", "is missing")
		}
		if n.Kind == yaml.MappingNode && len(k.Namespaces) == 0 {
			r.fail(n, at+".namespaces", "", `is missing; every namespace is spelled ["*"]`)
		}
		if k.May != nil && len(k.May) == 0 {
			r.fail(n, at+".may", "", "names nothing: a key that is for nothing is left out")
		}
		r.policy.Keys = append(r.policy.Keys, k)
	})
}

func (r *reader) instant(into *time.Time) key {
	return func(n *yaml.Node, at string) {
		text, ok := r.text(n, at)
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			t, err := time.Parse(layout, text)
			if err == nil {
				*into = t.UTC()
				return
			}
		}
		if ok {
			r.fail(n, at, text, "want a date such as 2027-12-31, or an instant of RFC 3339")
		}
	}
}

func (r *reader) commands(n *yaml.Node, at string) {
	r.list(n, at, func(n *yaml.Node, at string) {
		c := Command{line: n.Line}
		r.mapping(n, at, map[string]key{
			"path": func(n *yaml.Node, at string) {
				text, ok := r.text(n, at)
				if reason := program(text); ok && reason != "" {
					r.fail(n, at, text, reason)
				}
				c.Path = text
			},
			"args": func(n *yaml.Node, at string) {
				r.list(n, at, func(n *yaml.Node, at string) { c.Args = append(c.Args, r.pattern(n, at)) })
			},
			"rest":   func(n *yaml.Node, at string) { rest := r.pattern(n, at); c.Rest = &rest },
			"stdin":  func(n *yaml.Node, at string) { stdin := r.pattern(n, at); c.Stdin = &stdin },
			"sha256": r.words(&c.SHA256, digest),
		})
		if n.Kind == yaml.MappingNode && c.Path == "" {
			r.fail(n, at+".path", "", "is missing")
		}
		r.policy.Commands = append(r.policy.Commands, c)
	})
}

func (r *reader) pattern(n *yaml.Node, at string) Pattern {
	text, ok := r.text(n, at)
	p, err := newPattern(text)
	if ok && err != nil {
		r.fail(n, at, text, "is no regular expression: "+err.Error())
	}
	return p
}

func (r *reader) hours(n *yaml.Node, at string) {
	r.policy.Hours = Hours{}
	r.list(n, at, func(n *yaml.Node, at string) {
		text, ok := r.text(n, at)
		window, err := newWindow(text)
		if ok && err != nil {
			r.fail(n, at, text, err.Error())
		}
		r.policy.Hours = append(r.policy.Hours, window)
	})
}

func (r *reader) dangers(n *yaml.Node, at string) {
	r.list(n, at, func(n *yaml.Node, at string) {
		text, ok := r.text(n, at)
		if ok && !slices.Contains(fleet.Dangers, fleet.Danger(text)) {
			r.fail(n, at, text, "want root, shell, everywhere, oneshot or adoption")
		}
		r.policy.TwoPerson = append(r.policy.TwoPerson, fleet.Danger(text))
	})
}

func (r *reader) labels(n *yaml.Node, at string) {
	r.policy.Labels = map[string]string{}
	if !r.is(n, yaml.MappingNode, at, "keys and values") {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		value, _ := r.text(n.Content[i+1], at+"."+name)
		if _, twice := r.policy.Labels[name]; twice {
			r.fail(n.Content[i], at+"."+name, "", "stands twice")
		}
		r.policy.Labels[name] = value
	}
	host := fleet.Host{ID: "00000000000000000000000000000000", Name: "host", Labels: r.policy.Labels}
	if err := host.Validate(); err != nil {
		r.fail(n, at, "", err.Error())
	}
}

var (
	digestForm = regexp.MustCompile(`\A[0-9a-f]{64}\z`)

	userForm = regexp.MustCompile(`\A[a-z_][a-z0-9_.-]{0,31}\$?\z`)
	envForm  = regexp.MustCompile(`\A[A-Za-z_][A-Za-z0-9_]*\*?\z`)
)

func userName(word string) string {
	if word != "*" && !userForm.MatchString(word) {
		return "want a name of this host, or *"
	}
	return ""
}

func envName(word string) string {
	if word != "*" && !envForm.MatchString(word) {
		return "want a name of A-Z a-z 0-9 _, which may end in *"
	}
	if reason := neverEnv(strings.TrimSuffix(word, "*")); reason != "" && !strings.HasSuffix(word, "*") {
		return reason
	}
	return ""
}

func digest(word string) string {
	if !digestForm.MatchString(word) {
		return "want the 64 digits that sha256sum prints"
	}
	return ""
}

func directory(word string) string {
	if !path.IsAbs(word) || path.Clean(word) != word {
		return "want the absolute path of a directory, without . and .."
	}
	return ""
}

func address(word string) string {
	if word != "*" && !strings.Contains(word, ":") || !plain(word) {
		return "want host:port, such as db-1:5432 or 127.0.0.1:*"
	}
	return ""
}

func anything(word string) string {
	if !plain(word) {
		return "want a name, in which * stands for any part"
	}
	return ""
}

// plain reports whether a word is neither empty nor written to be misread.
func plain(word string) bool {
	return word != "" && !strings.ContainsAny(word, "?\\ \t\n")
}

func namespace(word string) string {
	if word != fleet.Everywhere && !fleet.ValidName(word) {
		return `want the name of a namespace, or "*" for all`
	}
	return ""
}

func unsigned(word string) string {
	if word != "webhook" {
		return "want webhook: nothing else may come unsigned"
	}
	return ""
}

func program(word string) string {
	dir, last := path.Split(word)
	_, err := path.Match(word, "")
	switch {
	case word == "*":
		return ""
	case !path.IsAbs(word) || path.Clean(word) != word || last == "":
		return `want the absolute path of a program, without . and ..; * alone is every program`
	case strings.ContainsAny(dir, `*?[\`):
		return "wildcards belong into the last element only"
	case err != nil:
		return "the wildcards do not close"
	}
	return ""
}
