package runner

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"syscall"
	"time"
)

// wire carries what an agent and its guardian tell each other, which are the same
// program: each thing lists its fields once, and they are written, or read, in
// that order. It is spoken for each start and each end, so it asks nothing of
// reflection and leaves little to collect.
type wire struct {
	text    []byte // written so far, or not read yet
	reading bool
	bad     bool // what was read ends too early
}

// most is how long one thing may be; a command and its environment have a
// megabyte or so between them.
const most = 64 << 20

// errWire says that what came is not what a guardian or an agent says.
var errWire = errors.New("unreadable order or notice")

// encodeWire appends one thing to others, with its length before it.
func encodeWire(to []byte, fields func(w *wire)) []byte {
	const lengthBytes = 4
	start := len(to)
	w := &wire{text: append(to, make([]byte, lengthBytes)...)}
	fields(w)
	binary.LittleEndian.PutUint32(w.text[start:], uint32(len(w.text)-start-lengthBytes))
	return w.text
}

// decodeWire reads one thing.
func decodeWire(from *bufio.Reader, fields func(w *wire)) error {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n > most {
		return errWire
	}
	w := &wire{reading: true}
	if whole, err := from.Peek(int(n)); err == nil { // nothing that is read keeps hold of it
		w.text = whole
		defer from.Discard(int(n))
	} else {
		w.text = make([]byte, n)
		if _, err := io.ReadFull(from, w.text); err != nil {
			return err
		}
	}
	fields(w)
	if w.bad || len(w.text) > 0 {
		return errWire
	}
	return nil
}

// integer is what is carried as a number.
type integer interface {
	~int | ~int64 | ~uint32 | ~uint64 | ~uintptr
}

func number[N integer](w *wire, n *N) {
	if !w.reading {
		w.text = binary.AppendUvarint(w.text, uint64(*n))
		return
	}
	value, size := binary.Uvarint(w.text)
	if size <= 0 {
		w.fail()
		return
	}
	*n, w.text = N(value), w.text[size:]
}

// fail gives up reading.
func (w *wire) fail() { w.bad, w.text = true, nil }

func (w *wire) flag(is *bool) {
	n := 0
	if *is {
		n = 1
	}
	number(w, &n)
	*is = n == 1
}

func wording[T ~string](w *wire, text *T) {
	n := len(*text)
	number(w, &n)
	switch {
	case !w.reading:
		w.text = append(w.text, *text...)
	case n < 0 || n > len(w.text):
		w.fail()
	default:
		*text, w.text = T(w.text[:n]), w.text[n:]
	}
}

// several carries the length of a list, and then each of its members.
func several[T any](w *wire, all *[]T, each func(one *T)) {
	n := len(*all)
	number(w, &n)
	if w.reading {
		if n < 0 || n > len(w.text) { // each takes a byte at least
			w.fail()
			return
		}
		if *all = nil; n > 0 {
			*all = make([]T, n)
		}
	}
	for i := range *all {
		each(&(*all)[i])
	}
}

// maybe carries whether there is something, and then what.
func maybe[T any](w *wire, one **T, fields func(one *T)) {
	is := *one != nil
	w.flag(&is)
	if w.reading && is {
		*one = new(T)
	}
	if is && !w.bad {
		fields(*one)
	}
}

// instant carries a time of day; the zero one stays that.
func (w *wire) instant(t *time.Time) {
	var nanos int64
	if !t.IsZero() {
		nanos = t.UnixNano()
	}
	number(w, &nanos)
	if w.reading {
		if *t = (time.Time{}); nanos != 0 {
			*t = time.Unix(0, nanos).UTC()
		}
	}
}

func (o *order) fields(w *wire) {
	wording(w, &o.Forget)
	maybe(w, &o.Launch, func(l *launch) { l.fields(w) })
}

func (n *notice) fields(w *wire) {
	w.flag(&n.Ready)
	maybe(w, &n.Failed, func(r *refusal) { r.fields(w) })
	maybe(w, &n.Status, func(s *status) { s.fields(w) })
}

func (r *refusal) fields(w *wire) {
	wording(w, &r.Run)
	number(w, &r.Errno)
	wording(w, &r.What)
	w.flag(&r.Late)
}

func (s *status) fields(w *wire) {
	wording(w, &s.Run)
	wording(w, &s.Boot)
	number(w, &s.PID)
	number(w, &s.Start)
	w.instant(&s.Started)
	w.instant(&s.Ended)
	number(w, &s.Wait)
	w.flag(&s.TimedOut)
	number(w, &s.Left)
	number(w, &s.Used.CPU)
	number(w, &s.Used.Memory)
	number(w, &s.Used.Read)
	number(w, &s.Used.Written)
	maybe(w, &s.Refused, func(r *refusal) { r.fields(w) })
}

func (l *launch) fields(w *wire) {
	texts := func(all *[]string) { several(w, all, func(one *string) { wording(w, one) }) }
	wording(w, &l.Run)
	wording(w, &l.Program)
	texts(&l.Argv)
	texts(&l.Env)
	wording(w, &l.Dir)
	maybe(w, &l.Credential, func(c *syscall.Credential) {
		number(w, &c.Uid)
		number(w, &c.Gid)
		several(w, &c.Groups, func(one *uint32) { number(w, one) })
		w.flag(&c.NoSetGroups)
	})
	wording(w, &l.Mark)
	wording(w, &l.Group)
	l.Settings.fields(w)
	texts(&l.Step)
	w.flag(&l.Apart)
	several(w, &l.Rlimits, func(one *rlimit) {
		wording(w, &one.Name)
		number(w, &one.Value)
	})
	number(w, &l.Timeout)
	number(w, &l.Grace)
	number(w, &l.Birth)
	number(w, &l.Begin)
	w.flag(&l.Whole)
	w.flag(&l.Exposed)
	texts(&l.Streams)
	number(w, &l.Quota)
}

func (s *settings) fields(w *wire) {
	number(w, &s.Nice)
	number(w, &s.IOClass)
	number(w, &s.IOLevel)
	wording(w, &s.Umask)
	w.flag(&s.NoNewPrivs)
	wording(w, &s.Tmp)
	wording(w, &s.VarTmp)
}
