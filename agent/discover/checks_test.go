package discover

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestAttack100_ModesOwnersAndLinks tries every mode, some owners and a second link on each daemon,
// and compares with its rule written the other way round: what it does take.
func TestAttack100_ModesOwnersAndLinks(t *testing.T) {
	const ann, bob = 1000, 1001
	for _, c := range []struct {
		cron  Cron
		takes func(mode, uid uint32, links uint64, system bool) bool
	}{
		{Debian, func(mode, uid uint32, links uint64, system bool) bool {
			if system {
				return uid == 0 && links == 1 && mode&0o020 == 0 && mode&0o002 == 0
			}
			return (uid == 0 || uid == ann) && links == 1 && mode == 0o600
		}},
		{Cronie, func(mode, uid uint32, links uint64, system bool) bool {
			mine := uid == 0 || !system && uid == ann
			special := mode&0o7000 != 0
			execute := mode&0o111 != 0
			others := mode&0o022 != 0
			return mine && mode&0o400 != 0 && !special && !execute && !others && (system || links == 1)
		}},
		{Busybox, func(_, uid uint32, _ uint64, _ bool) bool { return uid == 0 }},
		{None, func(uint32, uint32, uint64, bool) bool { return true }},
	} {
		h := host{cron: c.cron}
		for mode := range uint32(0o10000) {
			for _, uid := range []uint32{0, ann, bob} {
				for links := range 2 {
					for _, system := range []bool{true, false} {
						s := seen{tree: &tree{}, system: system, owner: ann, named: true}
						s.stat = unix.Stat_t{Mode: unix.S_IFREG | mode, Uid: uid}
						s.stat.Nlink++
						for range links {
							s.stat.Nlink++
						}
						if got, want := h.refuses(&s) == nil, c.takes(mode, uid, uint64(1+links), system); got != want {
							t.Fatalf("%s takes mode %04o of %d with %d links, system %v: %v, want %v", c.cron, mode, uid, 1+links, system, got, want)
						}
					}
				}
			}
		}
	}
}

// TestACopiedTree: in a tree that belongs to somebody else, its owner stands
// for root, so that a copy reads as the original does.
func TestACopiedTree(t *testing.T) {
	const copier = 1234
	h := host{cron: Debian}
	for uid, want := range map[uint32]bool{0: true, copier: true, copier + 1: false} {
		s := seen{tree: &tree{rootUID: copier}, system: true, stat: unix.Stat_t{Mode: unix.S_IFREG | 0o644, Uid: uid, Nlink: 1}}
		if got := h.refuses(&s) == nil; got != want {
			t.Errorf("owner %d: taken %v, want %v", uid, got, want)
		}
	}
}
