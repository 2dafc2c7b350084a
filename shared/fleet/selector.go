package fleet

import (
	"path"
	"slices"
	"strings"
)

// Selector is a parsed label selector: requirements that must all hold.
type Selector struct{ requirements []requirement }

type requirement struct {
	key, value string
	negated    bool
	exists     bool // only the key matters
}

// ParseSelector reads "role=db,env!=dev,zone,!old". "*" matches every host; the
// empty string is an error, because nothing must mean everything by accident.
func ParseSelector(s string) (Selector, error) {
	if strings.TrimSpace(s) == "*" {
		return Selector{}, nil
	}
	var selector Selector
	for part := range strings.SplitSeq(s, ",") {
		r, ok := parseRequirement(strings.TrimSpace(part))
		if !ok {
			return Selector{}, Invalidf("labels", s, "want key=value, key!=value, key or !key joined by commas, or * for every host")
		}
		selector.requirements = append(selector.requirements, r)
	}
	return selector, nil
}

func parseRequirement(s string) (requirement, bool) {
	var r requirement
	if key, value, found := strings.Cut(s, "!="); found {
		r = requirement{key: strings.TrimSpace(key), value: strings.TrimSpace(value), negated: true}
	} else if key, value, found := strings.Cut(s, "="); found {
		r = requirement{key: strings.TrimSpace(key), value: strings.TrimSpace(value)}
	} else if key, found := strings.CutPrefix(s, "!"); found {
		r = requirement{key: strings.TrimSpace(key), negated: true, exists: true}
	} else {
		r = requirement{key: s, exists: true}
	}
	return r, validLabelKey(r.key) && validLabelValue(r.value)
}

// Matches reports whether every requirement holds for the labels.
func (s Selector) Matches(labels map[string]string) bool {
	return !slices.ContainsFunc(s.requirements, func(r requirement) bool {
		value, present := labels[r.key]
		holds := present && (r.exists || value == r.value)
		return holds == r.negated
	})
}

// Matches reports whether the task runs on the host. A Where that names
// nothing, or that is not valid, matches no host.
func (w *Where) Matches(h *Host) bool { return w.Matcher()(h) }

// Matcher returns Matches for many hosts: the selector is read only once.
func (w *Where) Matcher() func(*Host) bool {
	var selector Selector // matches every host
	if w.Labels != "" {
		var err error
		if selector, err = ParseSelector(w.Labels); err != nil {
			return func(*Host) bool { return false }
		}
	}
	named := w.Labels != "" || len(w.Hosts) > 0 || len(w.Networks) > 0
	return func(h *Host) bool {
		return named && selector.Matches(h.Labels) && w.matchesName(h) && w.matchesNetwork(h)
	}
}

func (w *Where) matchesName(h *Host) bool {
	if len(w.Hosts) == 0 {
		return true
	}
	return slices.ContainsFunc(w.Hosts, func(pattern string) bool {
		matched, err := path.Match(pattern, h.Name)
		return err == nil && matched || pattern == string(h.ID)
	})
}

func (w *Where) matchesNetwork(h *Host) bool {
	if len(w.Networks) == 0 {
		return true
	}
	for _, network := range w.Networks {
		for _, address := range h.Addresses {
			if network.Contains(address.Unmap()) {
				return true
			}
		}
	}
	return false
}

func (w *Where) validate(check *checker) {
	empty := w.Labels == "" && len(w.Hosts) == 0 && len(w.Networks) == 0
	if w.Pick == PickNone {
		check.that(empty, "where.pick", string(w.Pick), "stands alone: it names no host")
		return
	}
	check.that(!empty, "where", "", `names no host; every host is spelled labels: "*"`)
	if w.Labels != "" {
		_, err := ParseSelector(w.Labels)
		check.that(err == nil, "where.labels", w.Labels, "want key=value, key!=value, key or !key joined by commas, or * for every host")
	}
	for _, pattern := range w.Hosts {
		_, err := path.Match(pattern, "")
		check.that(err == nil && pattern != "", "where.hosts", pattern, "want a host name, an id, or a pattern with * and ?")
	}
	for _, network := range w.Networks {
		check.that(network.IsValid(), "where.networks", network.String(), "want an address range such as 10.0.0.0/8")
	}
	check.that(w.Pick == "" || w.Pick == PickAll, "where.pick", string(w.Pick), "only all is supported: a number needs leases, which this version does not grant")
}
