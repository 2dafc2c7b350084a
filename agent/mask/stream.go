package mask

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"strings"
)

// Bounds of what a Stream keeps, in bytes.
const (
	longestLine = 64 << 10 // of a line; what is longer goes on as another one
	longestKey  = 64 << 10 // of what follows the beginning of a private key that does not end
	overlap     = 512      // what stands before the place where one is cut must tell of no secret
	cutsTried   = 64       // places to cut at that are tried
)

// Stream passes on what is written to it with the secrets masked, line by line,
// as a program's output comes. It keeps what a secret could begin in until more
// comes, so it does not matter in which pieces it arrives: of a line without an
// end it passes on the words that are whole and tell of nothing.
type Stream struct {
	masker *Masker
	to     io.Writer
	line   []byte    // since the last end of a line, told or not
	told   int       // how much of the line was passed on; no secret is in it
	word   int       // where its last word begins
	speaks bool      // there is a letter in that word
	doubt  bool      // there may be a secret in the line
	key    hash.Hash // of the private key that is passing; nil: none is
	hidden int       // bytes of it
	out    []byte
}

// Stream returns a writer that masks what goes to another one.
func (m *Masker) Stream(to io.Writer) *Stream { return &Stream{masker: m, to: to} }

// Write takes in a piece of the text.
func (s *Stream) Write(p []byte) (int, error) {
	s.out = s.out[:0]
	for rest := p; len(rest) > 0; {
		piece := rest
		end := bytes.IndexByte(rest, '\n') + 1
		if end > 0 {
			piece = rest[:end]
		}
		piece = piece[:min(len(piece), longestLine+1-len(s.line))]
		rest = rest[len(piece):]
		from := len(s.line)
		s.line = append(s.line, piece...)
		s.read(from)
		switch {
		case piece[len(piece)-1] == '\n':
			s.endLine()
		case len(s.line) > longestLine:
			s.cut()
		}
	}
	s.tell()
	return len(p), s.pass()
}

// Flush passes on what is kept: nothing comes that it could belong to.
func (s *Stream) Flush() error {
	s.out = s.out[:0]
	s.endLine()
	s.endKey()
	return s.pass()
}

func (s *Stream) pass() error {
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.to.Write(s.out)
	return err
}

// endLine passes on the line that is whole now.
func (s *Stream) endLine() {
	s.emit(len(s.line))
	s.begin(len(s.line))
}

// begin lets a new line begin at a place in this one.
func (s *Stream) begin(at int) {
	s.line = append(s.line[:0], s.line[at:]...)
	s.told, s.word, s.speaks, s.doubt = 0, 0, false, false
	s.read(0)
}

// read notes where the last word of the line begins, and whether it has
// letters; what came before a place was read already.
func (s *Stream) read(from int) {
	if blank := bytes.LastIndexAny(s.line[from:], " \t\r"); blank >= 0 {
		from += blank + 1
		s.word, s.speaks = from, false
	}
	s.speaks = s.speaks || bytes.ContainsFunc(s.line[from:], isLetter)
}

// emit passes on the line up to a place behind which a new one begins.
func (s *Stream) emit(end int) {
	if s.told >= end {
		return
	}
	if s.key != nil {
		s.inKey(string(s.line[s.told:end]))
		return
	}
	line := string(s.line[:end])
	s.out = append(s.out, s.untold(line)...)
	if begin := strings.LastIndex(line, keyBegin); begin >= 0 && isKeyTitle(line[begin+len(keyBegin):]) && !strings.Contains(line[begin:], keyEnd) {
		s.key, s.hidden = hmac.New(sha256.New, s.masker.key), 0
	}
}

// untold masks what of a line was not passed on yet, also where what came now
// shows that a secret began before.
func (s *Stream) untold(line string) string {
	masked, any := s.masker.Text(line)
	if !any {
		return line[s.told:]
	}
	if told := line[:s.told]; strings.HasPrefix(masked, told) {
		return masked[s.told:]
	}
	var spans []span
	for _, found := range find(line, false) {
		if found.end > s.told {
			spans = append(spans, span{max(found.start, s.told) - s.told, found.end - s.told})
		}
	}
	masked, _ = s.masker.Text(replace(line[s.told:], spans, s.masker.mark))
	return masked
}

// isKeyTitle reports whether what follows the beginning of a key is the title
// of a private one.
func isKeyTitle(text string) bool {
	title, _, ok := strings.Cut(text[:min(len(text), 60)], "-----")
	return ok && (strings.HasSuffix(title, "PRIVATE KEY") || strings.HasSuffix(title, "PRIVATE KEY BLOCK"))
}

// inKey takes in what stands between the lines of a private key.
func (s *Stream) inKey(line string) {
	end := strings.Index(line, keyEnd)
	if end < 0 {
		s.key.Write([]byte(line))
		if s.hidden += len(line); s.hidden > longestKey {
			s.endKey()
		}
		return
	}
	s.key.Write([]byte(line[:end]))
	s.endKey()
	masked, _ := s.masker.Text(line[end:])
	s.out = append(s.out, masked...)
}

func (s *Stream) endKey() {
	if s.key == nil {
		return
	}
	s.out = append(append(append(s.out, "<redacted:"...), hex.EncodeToString(s.key.Sum(nil)[:4])...), ">\n"...)
	s.key = nil
}

// cut ends a line that is too long where no secret begins, as far as can be
// seen: behind a blank, or at least behind what is no part of a name.
func (s *Stream) cut() {
	at, tried := len(s.line), 0
	for i := len(s.line) - 1; i > len(s.line)/2 && tried < cutsTried; i-- {
		if !isBlank(s.line[i]) {
			continue
		}
		tried++
		if innocent(string(s.line[max(0, i-overlap):i]), false) {
			at = i + 1
			break
		}
	}
	if at == len(s.line) {
		if i := bytes.LastIndexFunc(s.line, func(c rune) bool { return c >= 0x80 || !isName(byte(c)) }); i > len(s.line)/2 {
			at = i + 1
		}
	}
	at = max(at, s.told)
	s.emit(at)
	s.begin(at)
}

// tell passes on of an open line what surely belongs to no secret: the words
// that are whole, and the last one if no letter is in it.
func (s *Stream) tell() {
	end := len(s.line)
	if s.speaks {
		end = s.word
	}
	if s.key != nil || s.doubt || end <= s.told {
		return
	}
	s.doubt = !innocent(string(s.line[max(0, s.told-overlap):end]), false)
	if !s.doubt {
		s.out = append(s.out, s.line[s.told:end]...)
		s.told = end
	}
}

func isLetter(c rune) bool { return c >= 0x80 || isLower(byte(c)) || isUpper(byte(c)) }
