package runner

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// A packed stream is a zstd file that any zstd can read: what was kept, in one
// piece, behind a frame that others skip and that says where the middle is
// missing.

const (
	packedSuffix = ".zst"
	tmpSuffix    = ".tmp"
	// skippable begins a frame of zstd that only those read who know it; its
	// last digit is ours to choose.
	skippable = 0x184D2A5C
	// longestLabel bounds that frame.
	longestLabel = 4096
	// packWindow is how far back the encoder looks. Logs repeat themselves
	// soon, and whoever reads one needs as much memory.
	packWindow = 512 << 10
)

// label is what a packed stream says about itself.
type label struct {
	Size int64 `json:"size"` // that the command has written
	From int64 `json:"from,omitempty"`
	To   int64 `json:"to,omitempty"` // the bytes between are missing
}

// errInUse says that somebody may still write into a stream.
var errInUse = errors.New("in use")

// packer packs streams, one after the other.
type packer struct{ encoder *zstd.Encoder }

func newPacker() (*packer, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(packWindow), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	return &packer{encoder}, nil
}

// pack puts a packed file in the place of a plain one. At no time is there
// neither; when it is interrupted, the plain one stays.
func (p *packer) pack(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if !unwritten(file) {
		return errInUse
	}
	before, err := file.Stat()
	if err != nil {
		return err
	}
	fresh := path + packedSuffix + tmpSuffix
	if err := p.write(ctx, fresh, file, before); err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(fresh)))
	}
	if after, err := file.Stat(); err != nil || after.Size() != before.Size() || !unwritten(file) {
		return errors.Join(errInUse, os.Remove(fresh))
	}
	if err := os.Rename(fresh, path+packedSuffix); err != nil {
		return err
	}
	return os.Remove(path)
}

// unwritten reports whether nobody has a file open to write into it. The
// kernel grants a read lease only then.
func unwritten(file *os.File) bool {
	fd := file.Fd()
	if _, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK); err != nil {
		return false
	}
	_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK)
	return err == nil
}

// write makes the packed file and brings it to the disk: the plain one is
// removed next.
func (p *packer) write(ctx context.Context, path string, from *os.File, info fs.FileInfo) error {
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	cut, err := findHole(from)
	if err != nil {
		return err
	}
	text, err := json.Marshal(label{Size: info.Size(), From: cut.from, To: cut.to})
	if err != nil {
		return err
	}
	head := binary.LittleEndian.AppendUint32(nil, skippable)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(text)))
	if _, err := to.Write(append(head, text...)); err != nil {
		return err
	}
	kept := io.MultiReader(io.NewSectionReader(from, 0, cut.from), io.NewSectionReader(from, cut.to, info.Size()-cut.to))
	p.encoder.Reset(to)
	if _, err := io.Copy(struct{ io.Writer }{p.encoder}, &patient{ctx: ctx, from: kept}); err != nil {
		return err
	}
	if err := p.encoder.Close(); err != nil {
		return err
	}
	if err := to.Sync(); err != nil {
		return err
	}
	if err := to.Close(); err != nil {
		return err
	}
	return os.Chtimes(path, time.Time{}, info.ModTime())
}

// patient reads so that whoever works on it does so for half of the time at
// most.
type patient struct {
	ctx  context.Context
	from io.Reader
	last time.Time // when the piece before was handed out
}

// Read waits as long as the last piece took.
func (p *patient) Read(buf []byte) (int, error) {
	if !p.last.IsZero() {
		select {
		case <-time.After(time.Since(p.last)):
		case <-p.ctx.Done():
		}
	}
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	p.last = time.Now()
	return p.from.Read(buf)
}

// packed is a packed stream that is read.
type packed struct {
	file    *os.File
	label   label
	written time.Time
	decoder *zstd.Decoder
	at      int64 // of what is kept
}

func openPacked(path string) (content, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	p, err := readLabel(file)
	if err == nil {
		p.decoder, err = zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(packWindow))
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func readLabel(file *os.File) (*packed, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	p := &packed{file: file, written: info.ModTime()}
	var head [8]byte
	if _, err := io.ReadFull(file, head[:]); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint32(head[4:])
	if binary.LittleEndian.Uint32(head[:]) != skippable || length > longestLabel {
		return nil, errors.New("not a packed stream")
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(file, text); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&p.label); err != nil {
		return nil, err
	}
	if l := p.label; l.From < 0 || l.To < l.From || l.Size < l.To {
		return nil, errors.New("not a packed stream")
	}
	return p, nil
}

func (p *packed) look() (mark, error) { return mark{length: p.label.Size, at: p.written}, nil }

func (p *packed) cut() (span, error) { return span{p.label.From, p.label.To}, nil }

// section reads on; what lies before it is passed over.
func (p *packed) section(from, to int64) io.Reader {
	if from >= p.label.To {
		missing := p.label.To - p.label.From
		from, to = from-missing, to-missing
	}
	return &section{p, from, to}
}

type section struct {
	*packed
	from, to int64
}

// Read reads from the decoder, which knows one direction only.
func (s *section) Read(buf []byte) (int, error) {
	if s.at < s.from {
		n, err := io.CopyN(io.Discard, s.decoder, s.from-s.at)
		s.at += n
		if err != nil {
			return 0, unexpected(err)
		}
	}
	if s.at >= s.to {
		return 0, io.EOF
	}
	n, err := s.decoder.Read(buf[:min(int64(len(buf)), s.to-s.at)])
	s.at += int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, unexpected(err)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Close closes the file.
func (p *packed) Close() error {
	p.decoder.Close()
	return p.file.Close()
}
