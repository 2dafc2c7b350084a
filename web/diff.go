package web

import (
	"strings"
	"unicode"
)

// piece is a run of text that a change kept, or that only one side has.
type piece struct {
	Text  string
	Other bool // the other side has it not
}

// maxDiffWords bounds the words of each side that are compared one by one;
// what is between equal ends of longer texts counts as changed.
const maxDiffWords = 300

// differing marks the words in which two texts differ.
func differing(before, after string) (old, now []piece) {
	a, b := splitWords(before), splitWords(after)
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	keptA, keptB := common(a[head:len(a)-tail], b[head:len(b)-tail])
	return pieces(a, head, tail, keptA), pieces(b, head, tail, keptB)
}

// common returns which words of a and of b are in their longest common
// subsequence; none where that would take too long.
func common(a, b []string) (keptA, keptB []bool) {
	keptA, keptB = make([]bool, len(a)), make([]bool, len(b))
	if len(a) > maxDiffWords || len(b) > maxDiffWords {
		return keptA, keptB
	}
	width := len(b) + 1
	length := make([]uint16, (len(a)+1)*width) // of the best from word i and word j on
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				length[i*width+j] = length[(i+1)*width+j+1] + 1
			} else {
				length[i*width+j] = max(length[(i+1)*width+j], length[i*width+j+1])
			}
		}
	}
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			keptA[i], keptB[j] = true, true
			i, j = i+1, j+1
		case length[(i+1)*width+j] >= length[i*width+j+1]:
			i++
		default:
			j++
		}
	}
	return keptA, keptB
}

// pieces joins neighbouring words that were kept, and those that were not.
func pieces(words []string, head, tail int, kept []bool) []piece {
	var out []piece
	var b strings.Builder
	other := false
	flush := func() {
		if b.Len() > 0 {
			out = append(out, piece{b.String(), other})
			b.Reset()
		}
	}
	for i, word := range words {
		inner := i >= head && i < len(words)-tail
		if changed := inner && !kept[i-head]; changed != other {
			flush()
			other = changed
		}
		b.WriteString(word)
	}
	flush()
	return out
}

// splitWords cuts text into runs of blanks, runs of letters and digits, and
// single other characters; joined they are the text again.
func splitWords(text string) []string {
	var words []string
	start, last := 0, 0
	for i, r := range text {
		class := 3
		switch {
		case unicode.IsSpace(r):
			class = 1
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '_':
			class = 2
		}
		if i > 0 && (class != last || class == 3) {
			words = append(words, text[start:i])
			start = i
		}
		last = class
	}
	if start < len(text) {
		words = append(words, text[start:])
	}
	return words
}
