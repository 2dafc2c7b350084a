package discover

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

// groups says who is in which group, as far as the tree's own files tell.
type groups struct {
	names   map[uint32]string
	members map[uint32][]string
}

// groups reads them when they are first asked for.
func (j *judge) groups() *groups {
	if j.members != nil {
		return j.members
	}
	g := &groups{names: make(map[uint32]string), members: make(map[uint32][]string)}
	for line := range strings.Lines(string(text(context.Background(), j.tree, "/etc/group"))) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) < 4 {
			continue
		}
		if gid, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
			g.names[uint32(gid)] = fields[0]
			for _, user := range strings.Split(fields[3], ",") {
				if user != "" {
					g.members[uint32(gid)] = append(g.members[uint32(gid)], user)
				}
			}
		}
	}
	for i := range j.host.users.accounts {
		a := &j.host.users.accounts[i]
		if !slices.Contains(g.members[a.gid], a.name) {
			g.members[a.gid] = append(g.members[a.gid], a.name)
		}
	}
	j.members = g
	return g
}

func (g *groups) has(gid uint32, user string) bool { return slices.Contains(g.members[gid], user) }

func (g *groups) name(gid uint32) string {
	if name, ok := g.names[gid]; ok {
		return name
	}
	return strconv.FormatUint(uint64(gid), 10)
}

// others are the members of a group beside root and a user.
func (j *judge) others(gid uint32, user string) []string {
	var list []string
	for _, name := range j.groups().members[gid] {
		if a := j.accounts[name]; name != user && name != "root" && (a == nil || !j.tree.root(a.uid)) {
			list = append(list, name)
		}
	}
	return list
}
