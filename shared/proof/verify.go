package proof

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Known is what whoever verifies knows of a host from elsewhere. Hosts are named
// by id, or by name.
type Known struct {
	Keys  map[string][]string // fingerprints of the keys that may have signed; a host without an entry: any
	Heads map[string][]Hash   // heads that the host has shown, which its chains must come by
}

// Report is what came out.
type Report struct {
	Whole  bool         `json:"whole"`
	Blocks uint64       `json:"blocks"`
	Lines  uint64       `json:"lines"`
	Broken []string     `json:"broken,omitempty"` // what is wrong with the file itself
	Hosts  []HostReport `json:"hosts"`
}

// HostReport is what holds of one host.
type HostReport struct {
	Host     fleet.HostID `json:"host"`
	Name     string       `json:"name,omitempty"`
	Compared bool         `json:"compared"` // its key was, with one that the verifier knew
	Spans    []Span       `json:"chains"`
	Broken   []string     `json:"broken,omitempty"`
	Marked   []string     `json:"marked,omitempty"`
}

// Span is a part of one chain that holds.
type Span struct {
	Chain  string    `json:"chain"`
	Key    string    `json:"key"` // fingerprint
	First  uint64    `json:"first"`
	Last   uint64    `json:"last"`
	Hidden uint64    `json:"hidden,omitempty"` // lines of which there is only the hash
	From   time.Time `json:"from"`             // when its first block was signed
	To     time.Time `json:"to"`               // and its last
	Head   Hash      `json:"head"`
}

// maxTold bounds what is said to be wrong with one host.
const maxTold = 20

// Verify reads an export and computes every hash and signature in it anew. What
// does not hold stands in the report; an error says that the file could not be
// read.
func Verify(source io.Reader, known Known) (Report, error) {
	v := &verifier{known: known, hosts: map[fleet.HostID]*hostState{}, names: map[fleet.HostID]string{}}
	for r, err := range records(source) {
		if err != nil {
			return v.report(), err
		}
		if v.ended {
			v.wrong = append(v.wrong, "the file goes on after its end")
			break
		}
		switch {
		case r.Key != nil:
			v.key(r.Key)
		case r.Block != nil:
			v.block(r.Block)
		default:
			v.end(r.End)
		}
	}
	if !v.ended {
		v.wrong = append(v.wrong, "the file was cut off: its end is missing")
	}
	return v.report(), nil
}

type verifier struct {
	known         Known
	hosts         map[fleet.HostID]*hostState
	order         []fleet.HostID
	names         map[fleet.HostID]string
	blocks, lines uint64
	ended         bool
	wrong         []string
}

// hostState is what is known of a host so far.
type hostState struct {
	HostReport
	last  map[string]*Block // of each chain, without its lines' meaning
	at    map[string]int    // of each chain, its span that goes on
	heads map[Hash]bool     // to come by
	keys  map[string]bool   // met so far
}

func (v *verifier) host(id fleet.HostID) *hostState {
	if h := v.hosts[id]; h != nil {
		return h
	}
	h := &hostState{
		HostReport: HostReport{Host: id, Name: v.names[id], Spans: []Span{}},
		last:       map[string]*Block{}, at: map[string]int{}, heads: map[Hash]bool{}, keys: map[string]bool{},
	}
	for _, name := range []string{string(id), v.names[id]} {
		for _, head := range v.known.Heads[name] {
			h.heads[head] = true
		}
	}
	v.hosts[id], v.order = h, append(v.order, id)
	return h
}

// key takes in what the export says of a key: who a host is for people. Which key
// is whose is not believed on its word.
func (v *verifier) key(k *HostKey) {
	if name, known := v.names[k.Host]; known && name != k.Name {
		v.wrong = append(v.wrong, fmt.Sprintf("host %s has two names: %q and %q", k.Host, name, k.Name))
	}
	for id, name := range v.names {
		if id != k.Host && name == k.Name && (v.known.Keys[name] != nil || v.known.Heads[name] != nil) {
			v.wrong = append(v.wrong, fmt.Sprintf("hosts %s and %s are both named %q: name the host by its id", id, k.Host, name))
		}
	}
	if k.Key.Fingerprint() != k.Fingerprint {
		v.wrong = append(v.wrong, fmt.Sprintf("the key of host %s has another fingerprint than stands beside it", k.Host))
	}
	v.names[k.Host] = k.Name
}

func (v *verifier) end(e *End) {
	v.ended = true
	if e.Blocks != v.blocks || e.Lines != v.lines {
		v.wrong = append(v.wrong, fmt.Sprintf("the file has %d blocks of %d lines, and its end tells of %d and %d", v.blocks, v.lines, e.Blocks, e.Lines))
	}
}

func (v *verifier) block(b *Kept) {
	v.blocks++
	v.lines += uint64(len(b.Lines))
	h := v.host(b.Host)
	if err := b.Check(); err != nil {
		h.breaks("lines %d to %d: %v", b.First, b.Last(), err)
		return
	}
	fingerprint := b.Key.Fingerprint()
	if wanted := v.wanted(h); wanted != nil {
		if h.Compared = true; !slices.Contains(wanted, fingerprint) {
			h.breaks("lines %d to %d are signed by key %s, which is not one that was named for it", b.First, b.Last(), fingerprint)
			return
		}
	}
	if len(h.keys) > 0 && !h.keys[fingerprint] {
		h.marks("from line %d of chain %s on it signs with another key, %s", b.First, b.Chain, fingerprint)
	}
	h.keys[fingerprint] = true
	h.take(&b.Block, fingerprint)
}

// wanted returns the keys that may have signed for the host; nil: any.
func (v *verifier) wanted(h *hostState) []string {
	if keys := v.known.Keys[string(h.Host)]; keys != nil {
		return keys
	}
	if h.Name == "" {
		return nil
	}
	return v.known.Keys[h.Name]
}

// take puts a block that holds by itself where it belongs.
func (h *hostState) take(b *Block, fingerprint string) {
	last := h.last[b.Chain]
	goesOn := last != nil && b.Follows(last)
	switch {
	case last == nil && len(h.last) > 0:
		h.marks("another chain, %s, begins with line %d: how the one before it ended no signature tells", b.Chain, b.First)
	case last == nil || goesOn:
	case last.Same(b):
		h.breaks("lines %d to %d stand twice", b.First, b.Last())
		return
	case b.First > last.Last()+1:
		h.breaks("lines %d to %d are missing", last.Last()+1, b.First-1)
	case b.First == last.Last()+1:
		h.breaks("lines %d to %d do not follow line %d: another one was there", b.First, b.Last(), last.Last())
	default:
		h.breaks("lines %d to %d come after line %d, and are other ones than those that had these numbers", b.First, b.Last(), last.Last())
	}
	h.last[b.Chain] = &Block{Chain: b.Chain, First: b.First, Before: b.Before, After: b.After, Lines: b.Lines, Signature: b.Signature}
	i, open := h.at[b.Chain]
	if !open || !goesOn || h.Spans[i].Key != fingerprint {
		i = len(h.Spans)
		h.at[b.Chain] = i
		h.Spans = append(h.Spans, Span{Chain: b.Chain, Key: fingerprint, First: b.First, From: b.At})
	}
	span := &h.Spans[i]
	span.Last, span.To, span.Head = b.Last(), b.At, b.After
	for i := range b.Lines {
		if b.Lines[i].Line == nil {
			span.Hidden++
		}
	}
	h.pass(b)
}

// pass takes note of the heads that a block comes by.
func (h *hostState) pass(b *Block) {
	if len(h.heads) == 0 {
		return
	}
	head := b.Before
	delete(h.heads, head)
	for i := range b.Lines {
		line := b.Lines[i].hash()
		head = sum(headDomain, head[:], line[:])
		delete(h.heads, head)
	}
}

func (h *hostState) breaks(format string, values ...any) {
	if h.Broken = append(h.Broken, fmt.Sprintf(format, values...)); len(h.Broken) > maxTold {
		h.Broken = h.Broken[:maxTold]
	}
}

func (h *hostState) marks(format string, values ...any) {
	if h.Marked = append(h.Marked, fmt.Sprintf(format, values...)); len(h.Marked) > maxTold {
		h.Marked = h.Marked[:maxTold]
	}
}

// report says what came out.
func (v *verifier) report() Report {
	r := Report{Blocks: v.blocks, Lines: v.lines, Hosts: []HostReport{}}
	met := map[string]bool{}
	whole := true
	for _, id := range v.order {
		h := v.hosts[id]
		met[string(id)], met[h.Name] = true, true
		if len(h.heads) > 0 {
			h.breaks("it does not come by a head that the host has shown: lines at its end are missing, or it is another chain")
		}
		whole = whole && len(h.Broken) == 0
		r.Hosts = append(r.Hosts, h.HostReport)
	}
	slices.SortFunc(r.Hosts, func(a, b HostReport) int {
		return strings.Compare(a.Name+"\x00"+string(a.Host), b.Name+"\x00"+string(b.Host))
	})
	var absent []string
	for name := range v.known.Keys {
		absent = append(absent, name)
	}
	for name := range v.known.Heads {
		absent = append(absent, name)
	}
	slices.Sort(absent)
	for _, name := range slices.Compact(absent) {
		if !met[name] {
			v.wrong = append(v.wrong, fmt.Sprintf("host %s is not in the file", name))
		}
	}
	r.Broken = v.wrong
	r.Whole = whole && len(r.Broken) == 0
	return r
}
