package link

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Verbs of these tests.
var (
	echo   = Verb[string, string]{Name: "echo", From: fromNet, Most: 1 << 20, Answer: 1 << 20, AtOnce: 2}
	secret = Verb[string, string]{Name: "secret", From: fromWork, Most: small, Answer: small, AtOnce: 1}
	read   = Verb[string, Output]{Name: "read", From: fromNet, Most: small, Answer: small, AtOnce: 4}
	errand = Verb[string, string]{Name: "errand", From: fromWork, Most: small, Answer: small, AtOnce: 64}
	number = Verb[uint64, Word[int]]{Name: "number", From: fromNet, Most: small, Answer: small, AtOnce: 4}
)

// line is a place to log to and to look at.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// place is a server with a way to it.
type place struct {
	server *Server
	dial   func(context.Context) (net.Conn, error)
	log    *lines
	stop   func()
}

// places are every kind of way: within a process and over a socket.
var places = map[string]func(t *testing.T) (net.Listener, func(context.Context) (net.Conn, error)){
	"inside": func(*testing.T) (net.Listener, func(context.Context) (net.Conn, error)) {
		inside := NewInside()
		return inside, inside.Dial
	},
	"socket": func(t *testing.T) (net.Listener, func(context.Context) (net.Conn, error)) {
		path := filepath.Join(t.TempDir(), "s")
		listener, err := Listen(path, -1)
		if err != nil {
			t.Fatal(err)
		}
		return listener, Socket(path)
	},
}

func newServer(log *lines) *Server {
	me := Peers{uint32(os.Geteuid())}
	s := NewServer(Work, "1", map[Part]Peers{Net: me, Read: me}, slog.New(slog.NewTextHandler(log, nil)))
	Handle(s, echo, func(_ context.Context, q *string) (string, error) {
		if *q == "no" {
			return "", fleet.Invalidf("q", *q, "is no").WithHint("say yes")
		}
		return *q, nil
	})
	Handle(s, secret, func(context.Context, *string) (string, error) { return "hidden", nil })
	return s
}

func everywhere(t *testing.T, test func(t *testing.T, p *place)) {
	for name, way := range places {
		t.Run(name, func(t *testing.T) {
			p := &place{log: new(lines)}
			p.server = newServer(p.log)
			var listener net.Listener
			listener, p.dial = way(t)
			ctx, cancel := context.WithCancel(t.Context())
			over := make(chan error, 1)
			// Verbs may be added until the first connection comes.
			go func() { over <- p.server.Serve(ctx, listener) }()
			p.stop = sync.OnceFunc(func() {
				cancel()
				if err := <-over; err != nil {
					t.Error(err)
				}
			})
			defer p.stop()
			test(t, p)
		})
	}
}

func (p *place) client(self Part) *Client { return NewClient(self, Work, "1", p.dial) }

func TestACallIsAnswered(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		client := p.client(Net)
		defer client.Close()
		for _, text := range []string{"", "hello", strings.Repeat("long ", 100_000)} {
			if got, err := echo.Call(t.Context(), client, text); err != nil || got != text {
				t.Fatalf("%d bytes came back as %d: %v", len(text), len(got), err)
			}
		}
		if n := len(client.idle); n != 1 {
			t.Errorf("%d connections for one call after the other", n)
		}
		_, err := echo.Call(t.Context(), client, "no")
		want := &fleet.Error{Kind: fleet.Invalid, Hint: "say yes", Fields: []fleet.FieldError{{Field: "q", Value: "no", Reason: "is no"}}}
		if diff := cmp.Diff(want, err); diff != "" {
			t.Error("the error:", diff)
		}
		if got, err := echo.Call(t.Context(), client, "again"); err != nil || got != "again" {
			t.Errorf("after an error: %q, %v", got, err)
		}
	})
}

func TestAQuestionIsBounded(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		client := p.client(Net)
		defer client.Close()
		_, err := echo.Call(t.Context(), client, strings.Repeat("x", 3<<20))
		if fleet.KindOf(err) != fleet.TooLarge {
			t.Errorf("three MiB for a verb of one: %v", err)
		}
		if _, err := echo.Call(t.Context(), client, "small"); err != nil {
			t.Error(err)
		}
	})
}

func TestAVerbIsForWhoMayUseIt(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		client := p.client(Net)
		defer client.Close()
		if got, err := secret.Call(t.Context(), client, "please"); fleet.KindOf(err) != fleet.Refused || got != "" {
			t.Errorf("net heard %q, %v", got, err)
		}
		stranger := p.client(Work) // which nobody may play here
		defer stranger.Close()
		if got, err := secret.Call(t.Context(), stranger, "please"); err == nil {
			t.Errorf("a stranger heard %q", got)
		}
		if !strings.Contains(p.log.String(), "peer_denied") {
			t.Error("nobody heard of it:", p.log)
		}
	})
}

func TestAttack89_AnotherUserIsTurnedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := Listen(path, -1)
	if err != nil {
		t.Fatal(err)
	}
	log := new(lines)
	s := NewServer(Work, "1", map[Part]Peers{Net: {uint32(os.Geteuid()) + 1}}, slog.New(slog.NewTextHandler(log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- s.Serve(ctx, listener) }()
	raw, err := Socket(path)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := raw.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("he read %d bytes, %v", n, err)
	}
	raw.Close()
	cancel()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "peer_denied") {
		t.Error("nobody heard of it:", log)
	}
}

func TestAttack89_GarbageEndsTheConnection(t *testing.T) {
	frameOf := func(what kind, payload string) string {
		return string(binary.BigEndian.AppendUint32(nil, uint32(len(payload)))) + string(what) + payload
	}
	greeting, _ := json.Marshal(hello{protocol, Net, "1"})
	good := frameOf(kindHello, string(greeting))
	everywhere(t, func(t *testing.T, p *place) {
		for name, said := range map[string]string{
			"http":              "GET / HTTP/1.1\r\n\r\n",
			"a gibibyte":        "\x40\x00\x00\x00t",
			"a call first":      frameOf(kindCall, "echo"),
			"another version":   frameOf(kindHello, `{"protocol":99,"part":"net"}`),
			"no JSON":           frameOf(kindHello, "hi"),
			"no such part":      frameOf(kindHello, `{"protocol":1,"part":"root"}`),
			"text for a call":   good + frameOf(kindText, `"x"`),
			"no such verb":      good + frameOf(kindCall, "execute") + frameOf(kindCall, "execute"),
			"output for a text": good + frameOf(kindCall, "echo") + frameOf(kindBytes, "x"),
			"a huge frame":      good + frameOf(kindCall, "echo") + "\x40\x00\x00\x00t",
		} {
			raw, err := p.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
			go raw.Write([]byte(said))
			heard, err := io.ReadAll(raw) // until it hangs up
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: still connected after %q", name, heard)
			}
			raw.Close()
		}
		client := p.client(Net)
		defer client.Close()
		if got, err := echo.Call(t.Context(), client, "still here"); err != nil || got != "still here" {
			t.Errorf("after all that: %q, %v", got, err)
		}
	})
}

func TestOutputComesAsItIsWritten(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		from, to := io.Pipe()
		HandleStream(p.server, read, func(context.Context, *string) (Output, io.ReadCloser, error) {
			return Output{Dropped: 7}, from, nil
		})
		client := p.client(Net)
		defer client.Close()
		before, output, err := read.Stream(t.Context(), client, "")
		if err != nil || before.Dropped != 7 {
			t.Fatal(before, err)
		}
		for _, text := range []string{"one", "two"} {
			go to.Write([]byte(text))
			got := make([]byte, 3)
			if _, err := io.ReadFull(output, got); err != nil || string(got) != text {
				t.Fatalf("%q, %v", got, err)
			}
		}
		to.CloseWithError(fleet.Errorf(fleet.NotFound, "the file is gone"))
		if rest, err := io.ReadAll(output); len(rest) != 0 || fleet.KindOf(err) != fleet.NotFound {
			t.Errorf("the end: %q, %v", rest, err)
		}
		output.Close()
	})
}

func TestWhoHangsUpEndsWhatHeAskedFor(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		from, to := io.Pipe()
		HandleStream(p.server, read, func(context.Context, *string) (Output, io.ReadCloser, error) { return Output{}, from, nil })
		began, ended := make(chan struct{}), make(chan struct{})
		Handle(p.server, number, func(ctx context.Context, _ *uint64) (Word[int], error) {
			close(began)
			<-ctx.Done()
			close(ended)
			return Word[int]{}, ctx.Err()
		})
		client := p.client(Net)
		defer client.Close()
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-began; cancel() }()
		if _, err := number.Call(ctx, client, 0); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		<-ended
		_, output, err := read.Stream(t.Context(), client, "")
		if err != nil {
			t.Fatal(err)
		}
		output.Close()
		for { // the other end is closed as soon as that is known there
			if _, err := to.Write([]byte("x")); err != nil {
				break
			}
		}
	})
}

func TestTheLatestIsTold(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		told := NewTold[int]()
		HandleTold(p.server, number, told)
		client := p.client(Net)
		defer client.Close()
		ctx, cancel := context.WithCancel(t.Context())
		heard, over := make(chan int), make(chan error, 1)
		go func() {
			over <- Follow(ctx, client, number, func(n int) { heard <- n }, nil)
		}()
		for n := range 3 {
			told.Set(n)
			if got := <-heard; got != n {
				t.Errorf("heard %d, want %d", got, n)
			}
		}
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

// TestAPartThatIsReplaced: who follows goes on with the one that comes after.
func TestAPartThatIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve := func(value int) (stop func()) {
		s := newServer(new(lines))
		told := NewTold[int]()
		told.Set(value)
		HandleTold(s, number, told)
		listener, err := Listen(path, -1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- s.Serve(ctx, listener) }()
		return func() { cancel(); <-over }
	}
	client := NewClient(Net, Work, "1", Socket(path))
	defer client.Close()
	heard, lost := make(chan int), make(chan error, 10)
	go Follow(t.Context(), client, number, func(n int) { heard <- n }, func(err error) { lost <- err })
	stop := serve(1)
	if got := <-heard; got != 1 {
		t.Errorf("heard %d", got)
	}
	stop()
	if err := <-lost; fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("lost: %v", err)
	}
	defer serve(2)()
	if got := <-heard; got != 2 {
		t.Errorf("heard %d", got)
	}
}

// TestLentConnections: work calls net, to which it cannot connect.
func TestLentConnections(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		lent := LentTo(p.server, Net)
		back := NewServer(Net, "1", nil, slog.New(slog.DiscardHandler))
		release := make(chan struct{})
		Handle(back, errand, func(ctx context.Context, q *string) (string, error) {
			if *q == "wait" {
				select {
				case <-release:
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}
			return "did " + *q, nil
		})
		client := p.client(Net)
		defer client.Close()
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- Lend(ctx, client, back) }()
		// More of them wait than were lent at first.
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if got, err := errand.Call(t.Context(), lent, "wait"); err != nil || got != "did wait" {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		if got, err := errand.Call(t.Context(), lent, "at once"); err != nil || got != "did at once" {
			t.Errorf("%q, %v", got, err)
		}
		close(release)
		all.Wait()
		cancel()
		<-over
		if _, err := errand.Call(t.Context(), lent, "gone"); fleet.KindOf(err) != fleet.Unavailable {
			t.Errorf("when nobody lends: %v", err)
		}
	})
}
