package link

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// FuzzFrame: what is read is what was written, and nothing that is not a frame
// is taken for one.
func FuzzFrame(f *testing.F) {
	for _, seed := range [][]byte{
		nil, []byte("h"), {0, 0, 0, 0, 'e'}, {0, 0, 0, 2, 'c', 'h', 'i'}, {0, 0, 0, 9, 't', '{', '}'},
		{0xff, 0xff, 0xff, 0xff, 't'}, {0x40, 0, 0, 0, 'b'}, {0, 0, 0, 1, 0, 0}, []byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		from := bytes.NewReader(stream)
		for {
			before := len(stream) - from.Len()
			got, err := readFrame(from)
			if err != nil {
				return
			}
			var again bytes.Buffer
			if err := writeFrame(&again, got.kind, got.payload); err != nil {
				t.Fatalf("a frame that was read cannot be written: %v", err)
			}
			if taken := stream[before : len(stream)-from.Len()]; !bytes.Equal(again.Bytes(), taken) {
				t.Fatalf("%x was read and written as %x", taken, again.Bytes())
			}
		}
	})
}

// FuzzConversation: whatever follows a hello, the server answers or hangs up, and
// then speaks with the next.
func FuzzConversation(f *testing.F) {
	whole := func(frames ...frame) []byte {
		var b bytes.Buffer
		for _, one := range frames {
			_ = writeFrame(&b, one.kind, one.payload) // to memory
		}
		return b.Bytes()
	}
	f.Add(whole(frame{kindCall, []byte("echo")}, frame{kindText, []byte(`"x"`)}))
	f.Add(whole(frame{kindCall, []byte("echo")}, frame{kindPart, []byte(`"x`)}, frame{kindText, []byte(`y"`)}, frame{kindCall, []byte("echo")}))
	f.Add(whole(frame{kindCall, []byte("secret")}, frame{kindText, []byte(`"x"`)}))
	f.Add(whole(frame{kindCall, []byte("lend")}))
	f.Add(whole(frame{kindCall, nil}, frame{kindEnd, nil}, frame{kindError, []byte("{}")}))
	f.Add([]byte("\xff\xff\xff\xfft"))
	f.Fuzz(func(t *testing.T, said []byte) {
		inside := NewInside()
		server := newServer(new(lines))
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- server.Serve(ctx, inside) }()
		raw, err := inside.Dial(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.SetDeadline(time.Now().Add(5 * time.Second)) // a pipe has deadlines
		if _, _, err := greet(raw, hello{protocol, Net, "1"}, true); err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, raw)
		_, _ = raw.Write(said) // he may hang up before it is said
		raw.Close()
		client := NewClient(Net, Work, "1", inside.Dial)
		if got, err := echo.Call(ctx, client, "still here"); err != nil || got != "still here" {
			t.Errorf("after %q: %q, %v", said, got, err)
		}
		client.Close()
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

// hungry counts how much is asked of it, and has nothing.
type hungry struct {
	header []byte
	wanted int
}

func (h *hungry) Read(p []byte) (int, error) {
	if len(h.header) > 0 {
		n := copy(p, h.header)
		h.header = h.header[n:]
		return n, nil
	}
	h.wanted += len(p)
	return 0, io.EOF
}

func TestAttack89_AFrameOfAGibibyteIsNoFrame(t *testing.T) {
	for _, size := range []uint32{MaxFrame + 1, 1 << 30, 1<<32 - 1} {
		header := append(binary.BigEndian.AppendUint32(nil, size), byte(kindText))
		from := &hungry{header: header}
		if _, err := readFrame(from); err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "at most 65536") {
			t.Errorf("%d bytes: %v", size, err)
		}
		if from.wanted != 0 {
			t.Errorf("%d bytes: %d of them were asked for", size, from.wanted)
		}
	}
	if err := writeFrame(io.Discard, kindText, make([]byte, MaxFrame+1)); err == nil {
		t.Error("a frame was written that nobody would read")
	}
}
