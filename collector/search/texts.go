package search

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// texts keeps each distinct text once, under a number, and finds those that
// contain something: all are packed, folded, into one buffer that is scanned
// at the speed of memory.
type texts struct {
	numbers map[string]uint32
	texts   []string
	uses    []int32
	packed  []byte   // the folded texts, a NUL after each
	starts  []int    // where each begins in packed
	counts  [256]int // how often each byte is in packed
	dead    int      // texts that nothing uses
}

func newTexts() *texts { return &texts{numbers: map[string]uint32{}} }

// fold makes upper and lower case alike.
func fold(s string) string { return strings.ToLower(s) }

// text returns the text of a number.
func (t *texts) text(number uint32) string { return t.texts[number] }

// use counts one more use of the text and returns its number.
func (t *texts) use(text string) uint32 {
	number, known := t.numbers[text]
	if !known {
		number = uint32(len(t.texts))
		text = strings.Clone(text)
		t.numbers[text] = number
		t.texts = append(t.texts, text)
		t.uses = append(t.uses, 0)
		t.starts = append(t.starts, len(t.packed))
		t.pack(fold(text))
	}
	if t.uses[number]++; known && t.uses[number] == 1 {
		t.dead--
	}
	return number
}

func (t *texts) pack(folded string) {
	t.packed = append(append(t.packed, folded...), 0)
	for i := range len(folded) {
		t.counts[folded[i]]++
	}
}

// release counts one use less.
func (t *texts) release(number uint32) {
	if t.uses[number]--; t.uses[number] == 0 {
		t.dead++
	}
}

// wasteful reports whether most texts are no longer used.
func (t *texts) wasteful() bool { return t.dead > 1000 && t.dead > len(t.texts)/2 }

// set is a set of numbers.
type set []uint64

func newSet(n int) set { return make(set, (n+63)/64) }

func (s set) add(number uint32)      { s[number/64] |= 1 << (number % 64) }
func (s set) has(number uint32) bool { return s[number/64]&(1<<(number%64)) != 0 }

// equal returns the numbers of the texts that are the folded text.
func (t *texts) equal(folded string) set {
	found := newSet(len(t.texts))
	for number, text := range t.texts {
		if fold(text) == folded {
			found.add(uint32(number))
		}
	}
	return found
}

// shard is how many bytes are worth a goroutine of their own.
const shard = 1 << 20

// containing returns the numbers of the texts that contain the folded text.
func (t *texts) containing(folded string) set {
	found := newSet(len(t.texts))
	if strings.IndexByte(folded, 0) >= 0 {
		return found // no text has a NUL in it
	}
	workers := min(runtime.GOMAXPROCS(0), 1+len(t.packed)/shard)
	// Shards begin at multiples of 64 texts, so that no two write one word.
	step := (len(t.texts)/workers + 64) &^ 63
	var wait sync.WaitGroup
	for first := 0; first < len(t.texts); first += step {
		wait.Go(func() { t.scan(folded, first, min(first+step, len(t.texts)), found) })
	}
	wait.Wait()
	return found
}

// scan adds the texts from first up to last that contain the folded text.
func (t *texts) scan(folded string, first, last int, found set) {
	find := t.finder([]byte(folded))
	end := t.end(last - 1)
	for first < last {
		at := find(t.packed[t.starts[first]:end])
		if at < 0 {
			return
		}
		first = t.at(t.starts[first]+at, first)
		found.add(uint32(first))
		first++
	}
}

// often is how frequent a byte must be, one in so many, for bytes.Index to be
// faster than looking for that byte alone.
const often = 16

// finder returns a function that finds the needle as bytes.Index does, but
// looks for the byte of it that is rarest in these texts, not for its first.
func (t *texts) finder(needle []byte) func([]byte) int {
	rarest := 0
	for i := range needle {
		if t.counts[needle[i]] < t.counts[needle[rarest]] {
			rarest = i
		}
	}
	if len(needle) < 2 || t.counts[needle[rarest]] > len(t.packed)/often {
		return func(text []byte) int { return bytes.Index(text, needle) }
	}
	return func(text []byte) int {
		for at := rarest; at < len(text); at++ {
			next := bytes.IndexByte(text[at:], needle[rarest])
			if next < 0 {
				return -1
			}
			at += next
			if bytes.HasPrefix(text[at-rarest:], needle) {
				return at - rarest
			}
		}
		return -1
	}
}

// at returns the text that the byte is in, which is not before the text from.
func (t *texts) at(offset, from int) int {
	// The next match is most often near: look ahead in growing steps.
	step := 1
	for from+step < len(t.starts) && t.starts[from+step] <= offset {
		from += step
		step *= 2
	}
	ahead := t.starts[from:min(from+step, len(t.starts))]
	next, exact := slices.BinarySearch(ahead, offset)
	if exact {
		return from + next
	}
	return from + next - 1
}

// end returns where the text ends in packed, its NUL left out.
func (t *texts) end(number int) int {
	if number+1 < len(t.starts) {
		return t.starts[number+1] - 1
	}
	return len(t.packed) - 1
}
