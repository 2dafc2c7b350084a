package main

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// parseTargets reads the values of --to or --from: all, host=…, net=… or a
// label selector.
func parseTargets(flag string, values []string) (fleet.Where, error) {
	var where fleet.Where
	var labels []string
	for _, value := range values {
		switch kind, rest, _ := strings.Cut(value, "="); {
		case value == "all":
			labels = append(labels, "*")
		case kind == "host":
			where.Hosts = append(where.Hosts, split(rest)...)
		case kind == "net":
			for _, text := range split(rest) {
				network, err := parseNetwork(text)
				if err != nil {
					return where, fleet.Errorf(fleet.Usage, "--%s %q: %q is no address range such as 10.0.0.0/8", flag, value, text)
				}
				where.Networks = append(where.Networks, network)
			}
		default:
			if _, err := fleet.ParseSelector(value); err != nil {
				return where, fleet.Errorf(fleet.Usage, "--%s %q: want labels such as role=db,env!=dev, host=NAME, net=RANGE or all", flag, value)
			}
			labels = append(labels, value)
		}
	}
	if slices.Contains(labels, "*") && len(values) > 1 {
		return where, fleet.Errorf(fleet.Usage, "--%s all leaves nothing to add: name all, or name hosts", flag)
	}
	where.Labels = strings.Join(labels, ",")
	return where, nil
}

// parseNetwork reads a range, or one address.
func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	return network.Masked(), err
}

func split(text string) []string {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// widen adds hosts to where a task runs. Labels, hosts and ranges must all
// match, so a task can only be widened in the one dimension that it uses.
func widen(where, more fleet.Where) (fleet.Where, error) {
	if where.Pick == fleet.PickNone {
		return more, nil
	}
	where.Hosts = slices.Clone(where.Hosts)
	where.Networks = slices.Clone(where.Networks)
	if more.Labels == "*" {
		return fleet.Where{Labels: "*", Pick: where.Pick}, nil
	}
	if where.Labels == "*" && len(where.Hosts)+len(where.Networks) == 0 {
		return where, nil // it runs everywhere
	}
	if dimensions(where) != 1 || dimensions(more) != 1 || (len(where.Hosts) > 0) != (len(more.Hosts) > 0) || (len(where.Networks) > 0) != (len(more.Networks) > 0) {
		return where, notWidened(where, more)
	}
	if more.Labels != "" && more.Labels != where.Labels {
		return where, notWidened(where, more)
	}
	for _, host := range more.Hosts {
		if !slices.Contains(where.Hosts, host) {
			where.Hosts = append(where.Hosts, host)
		}
	}
	for _, network := range more.Networks {
		if !slices.Contains(where.Networks, network) {
			where.Networks = append(where.Networks, network)
		}
	}
	return where, nil
}

func notWidened(where, more fleet.Where) error {
	return fleet.Errorf(fleet.Conflict, "the task runs where %s matches; %s cannot be added to that, because all parts must match", whereText(&where), whereText(&more)).
		WithHint("give it a second task, name all hosts with --replace --to …, or change the hosts' labels")
}

// dimensions counts in how many ways a Where chooses.
func dimensions(where fleet.Where) int {
	count := 0
	for _, used := range []bool{where.Labels != "", len(where.Hosts) > 0, len(where.Networks) > 0} {
		if used {
			count++
		}
	}
	return count
}

// narrow takes hosts away from where a task runs: names and ranges that are
// listed, or every host that one label requirement matches.
func narrow(where, less fleet.Where) (fleet.Where, error) {
	where.Hosts = slices.Clone(where.Hosts)
	where.Networks = slices.Clone(where.Networks)
	if less.Labels == "*" {
		return fleet.Where{}, nil
	}
	for _, host := range less.Hosts {
		i := slices.Index(where.Hosts, host)
		if i < 0 {
			return where, fleet.Errorf(fleet.Conflict, "the task does not list the host %s: it runs where %s matches", host, whereText(&where)).
				WithHint("take hosts away by a label they have: --from role=db")
		}
		where.Hosts = slices.Delete(where.Hosts, i, i+1)
	}
	for _, network := range less.Networks {
		i := slices.Index(where.Networks, network)
		if i < 0 {
			return where, fleet.Errorf(fleet.Conflict, "the task does not list the range %s: it runs where %s matches", network, whereText(&where))
		}
		where.Networks = slices.Delete(where.Networks, i, i+1)
	}
	if len(less.Hosts) > 0 && len(where.Hosts) == 0 || len(less.Networks) > 0 && len(where.Networks) == 0 {
		return fleet.Where{}, nil // a list that is used up matches nothing, and not everything
	}
	return excludeLabels(where, less.Labels)
}

// excludeLabels adds the opposite of one requirement: key=value becomes
// key!=value, key becomes !key.
func excludeLabels(where fleet.Where, labels string) (fleet.Where, error) {
	var opposite string
	switch key, value, unequal := strings.Cut(labels, "!="); {
	case labels == "":
		return where, nil
	case labels == where.Labels:
		return fleet.Where{}, nil
	case strings.Contains(labels, ","):
		return where, fleet.Errorf(fleet.Usage, "--from %q: take one label away at a time", labels)
	case unequal:
		opposite = key + "=" + value
	case strings.HasPrefix(labels, "!"):
		opposite = labels[1:]
	case strings.Contains(labels, "="):
		opposite = strings.Replace(labels, "=", "!=", 1)
	default:
		opposite = "!" + labels
	}
	switch parts := split(where.Labels); {
	case slices.Contains(parts, opposite):
	case where.Labels == "" || where.Labels == "*":
		where.Labels = opposite
	default:
		where.Labels += "," + opposite
	}
	return where, nil
}

// changedFlags lists the flags of the command itself that were given, in the
// order of their names. Those that every command takes are left out.
func changedFlags(c *cobra.Command) []string {
	var names []string
	c.Flags().Visit(func(flag *pflag.Flag) {
		if c.InheritedFlags().Lookup(flag.Name) == nil {
			names = append(names, flag.Name)
		}
	})
	return names
}
