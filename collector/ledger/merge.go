package ledger

import (
	"bytes"
	"container/heap"

	"go.etcd.io/bbolt"
)

// strand is one of several ranges of a bucket that are walked together.
type strand struct {
	own    []byte // the prefix of its keys
	cursor *bbolt.Cursor
	rest   []byte // what follows the prefix in the key it stands on
}

// strands is a heap with the last of all keys on top: by what follows the
// prefix, then by the prefix.
type strands []*strand

func (s strands) Len() int      { return len(s) }
func (s strands) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s strands) Less(i, j int) bool {
	if order := bytes.Compare(s[i].rest, s[j].rest); order != 0 {
		return order > 0
	}
	return bytes.Compare(s[i].own, s[j].own) > 0
}

// Push adds a strand, for heap.Push.
func (s *strands) Push(one any) { *s = append(*s, one.(*strand)) }

// Pop removes the last strand, for heap.Pop.
func (s *strands) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

// eachBackOf walks several ranges of a bucket backwards as if they were one,
// each from the last key before the one that before returns (nil: from its
// end), until fn returns false. Who may see only some ranges is given those:
// walking all and passing over the others would tell that there are others, by
// the cursor at which a page ends.
func (r *reader) eachBackOf(b bucket, owns [][]byte, before func(own []byte) []byte, fn func(own, rest []byte) bool) {
	all := make(strands, 0, len(owns))
	for _, own := range owns {
		s := &strand{own: own, cursor: r.bucket(b).Cursor()}
		if k, _ := seekBefore(s.cursor, own, before(own)); k != nil && bytes.HasPrefix(k, own) {
			s.rest = k[len(own):]
			all = append(all, s)
		}
	}
	heap.Init(&all)
	for len(all) > 0 {
		top := all[0]
		if !fn(top.own, top.rest) {
			return
		}
		if k, _ := top.cursor.Prev(); k != nil && bytes.HasPrefix(k, top.own) {
			top.rest = k[len(top.own):]
			heap.Fix(&all, 0)
		} else {
			heap.Pop(&all)
		}
	}
}
