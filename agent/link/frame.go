package link

import (
	"encoding/binary"
	"fmt"
	"io"
)

// MaxFrame is how many bytes a frame may carry. Texts and output that are longer
// go in several.
const MaxFrame = 64 << 10

// kind is what a frame carries.
type kind byte

// The kinds of frames. They are what two versions of the program say to each
// other while one is replaced: add to them, never change one.
const (
	kindHello kind = 'h' // a hello, as JSON
	kindCall  kind = 'c' // the name of a verb; its question follows as text
	kindPart  kind = 'p' // a piece of a text
	kindText  kind = 't' // the last piece of a text, or all of it
	kindBytes kind = 'b' // a piece of output
	kindEnd   kind = 'e' // the output has ended
	kindError kind = 'x' // a fault, as JSON: the call has ended
)

var known = map[kind]bool{kindHello: true, kindCall: true, kindPart: true, kindText: true, kindBytes: true, kindEnd: true, kindError: true}

type frame struct {
	kind    kind
	payload []byte
}

// headerSize is that of what stands before a payload.
const headerSize = 5

// readFrame reads one frame. Nothing is set aside for a length that is a lie.
func readFrame(r io.Reader) (frame, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return frame{}, err
	}
	size, what := binary.BigEndian.Uint32(header[:4]), kind(header[4])
	if !known[what] {
		return frame{}, fmt.Errorf("a frame of no known kind (%q)", header[4])
	}
	if size > MaxFrame {
		return frame{}, fmt.Errorf("a frame of %d bytes; at most %d", size, MaxFrame)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return frame{}, fmt.Errorf("a frame was cut short: %w", io.ErrUnexpectedEOF)
	}
	return frame{what, payload}, nil
}

// writeFrame writes one frame with one call of Write.
func writeFrame(w io.Writer, what kind, payload []byte) error {
	if len(payload) > MaxFrame {
		return fmt.Errorf("a frame of %d bytes; at most %d", len(payload), MaxFrame)
	}
	whole := make([]byte, headerSize, headerSize+len(payload))
	binary.BigEndian.PutUint32(whole, uint32(len(payload)))
	whole[4] = byte(what)
	_, err := w.Write(append(whole, payload...))
	return err
}
