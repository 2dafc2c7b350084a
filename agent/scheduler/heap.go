package scheduler

import "container/heap"

// wakeHeap orders tasks by when they are to be looked at, then by name, so that
// the same plan is always carried out in the same order.
type wakeHeap struct{ list taskList }

func (h *wakeHeap) peek() *task {
	if len(h.list) == 0 {
		return nil
	}
	return h.list[0]
}

// set puts the task into its place after its wake time changed.
func (h *wakeHeap) set(t *task) {
	if t.index < 0 {
		heap.Push(&h.list, t)
	} else {
		heap.Fix(&h.list, t.index)
	}
}

func (h *wakeHeap) remove(t *task) {
	if t.index >= 0 {
		heap.Remove(&h.list, t.index)
	}
}

// taskList implements heap.Interface.
type taskList []*task

func (l taskList) Len() int { return len(l) }

func (l taskList) Less(i, j int) bool {
	if c := l[i].wake.Compare(l[j].wake); c != 0 {
		return c < 0
	}
	return l[i].id < l[j].id
}

func (l taskList) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].index, l[j].index = i, j
}

func (l *taskList) Push(x any) {
	t := x.(*task)
	t.index = len(*l)
	*l = append(*l, t)
}

func (l *taskList) Pop() any {
	last := len(*l) - 1
	t := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	t.index = -1
	return t
}
