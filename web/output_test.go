package web

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestWindowKeepsBothEnds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, total := range []int{0, 1, headShown - 1, headShown, headShown + 1, headShown + tailShown, headShown + tailShown + 1, 3*tailShown + 17, 20 * tailShown} {
		whole := make([]byte, total)
		for i := range whole {
			whole[i] = byte('a' + i%26)
		}
		var w window
		for rest := whole; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN(1+total/3))
			if written, err := w.Write(rest[:n]); written != n || err != nil {
				t.Fatalf("wrote %d of %d: %v", written, n, err)
			}
			rest = rest[n:]
		}
		var s stream
		w.fill(&s)
		if s.Size != int64(total) || int64(len(s.Head)+len(s.Tail))+s.Cut != int64(total) {
			t.Errorf("%d bytes: size %d, head %d, cut %d, tail %d", total, s.Size, len(s.Head), s.Cut, len(s.Tail))
		}
		if !strings.HasPrefix(string(whole), s.Head) || !strings.HasSuffix(string(whole), s.Tail) {
			t.Errorf("%d bytes: the ends are not those of the whole", total)
		}
		if shown := min(total, headShown+tailShown); len(s.Head)+len(s.Tail) != shown {
			t.Errorf("%d bytes: %d shown, want %d", total, len(s.Head)+len(s.Tail), shown)
		}
		if cap(w.tail) > 4*tailShown+4096 {
			t.Errorf("%d bytes: holds %d", total, cap(w.tail))
		}
	}
}

func TestRunPageShowsItsOutput(t *testing.T) {
	source := &fake{text: "x", output: func(w io.Writer, stream string) error {
		if stream == "stderr" {
			return nil
		}
		_, err := w.Write(bytes.Repeat([]byte("<b>line</b>\n"), 100_000))
		return err
	}}
	page := get(Handler(source, opened), "/runs/"+string(aRun)).Body
	if page.Len() > 800_000 {
		t.Errorf("the page has %d bytes", page.Len())
	}
	for _, text := range []string{"&lt;b&gt;line", "1.2 MB", "left out here", "/stdout.txt", "Nothing was written."} {
		if !strings.Contains(page.String(), text) {
			t.Errorf("the page does not say %q", text)
		}
	}
}

func TestSilentHostShowsTheLastBytes(t *testing.T) {
	for name, fail := range map[string]error{
		"silent":  fleet.Errorf(fleet.Unavailable, "the host is silent").WithCode("host_silent"),
		"wrapped": errors.Join(fleet.Errorf(fleet.Unavailable, "no answer")),
	} {
		source := &fake{text: "last words", output: func(io.Writer, string) error { return fail }}
		page := get(Handler(source, opened), "/runs/"+string(aRun)).Body.String()
		if !strings.Contains(page, "cannot be asked now") || !strings.Contains(page, "<code>last words</code>") {
			t.Errorf("%s: the page does not show the tail", name)
		}
	}
}

func TestSlowHostDoesNotHoldThePage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &slow{fake{text: "last words"}}
		page := get(Handler(source, opened), "/runs/"+string(aRun))
		if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), "cannot be asked now") {
			t.Errorf("status %d", page.Code)
		}
	})
}

func TestBrokenOutputSaysWhy(t *testing.T) {
	source := &fake{text: "x", output: func(io.Writer, string) error { return fleet.Errorf(fleet.NotFound, "the output was pruned") }}
	if page := get(Handler(source, opened), "/runs/"+string(aRun)).Body.String(); !strings.Contains(page, "The output was pruned.") {
		t.Error("the page does not say why there is no output")
	}
}

func TestNoOutputIsAskedOfARunThatNeverStarted(t *testing.T) {
	source := &fake{text: "x", state: fleet.RunMissed, output: func(io.Writer, string) error { panic("asked") }}
	if page := get(Handler(source, opened), "/runs/"+string(aRun)).Body.String(); !strings.Contains(page, "never started") {
		t.Error("the page does not say that nothing started")
	}
}

func TestAttack60_OutputIsSavedAndNeverShown(t *testing.T) {
	handler := Handler(&fake{text: "<script>\x1b[2J\x00"}, opened)
	got := get(handler, "/runs/"+string(aRun)+"/stdout.txt")
	if got.Body.String() != "<script>\x1b[2J\x00" {
		t.Errorf("not the bytes of the command: %q", got.Body)
	}
	header := got.Header()
	if header.Get("Content-Type") != "text/plain; charset=utf-8" || header.Get("Content-Disposition") != `attachment; filename="stdout.txt"` {
		t.Errorf("Content-Type %q, Content-Disposition %q", header.Get("Content-Type"), header.Get("Content-Disposition"))
	}
	if header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a browser may take it for what it looks like: %v", header)
	}
	empty := get(Handler(&fake{output: func(io.Writer, string) error { return nil }}, opened), "/runs/r/stderr.txt")
	if empty.Code != 200 || empty.Header().Get("Content-Disposition") == "" {
		t.Errorf("empty output: status %d", empty.Code)
	}
	silent := &fake{output: func(io.Writer, string) error { return fleet.Errorf(fleet.Unavailable, "the host is silent") }}
	if got := get(Handler(silent, opened), "/runs/r/stdout.txt"); got.Code != 503 || !strings.Contains(got.Body.String(), "The host is silent.") {
		t.Errorf("silent host: status %d", got.Code)
	}
}

func TestOutputThatBreaksOffIsNotTakenForTheWhole(t *testing.T) {
	source := &fake{output: func(w io.Writer, _ string) error {
		_, _ = io.WriteString(w, "half")
		return errors.New("the agent went away")
	}}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("the connection is not cut")
		}
	}()
	get(Handler(source, opened), "/runs/r/stdout.txt")
}

// A run that goes on is shown as it writes: the page says where, and each piece
// arrives before the next is written.
func TestOutputIsShownLive(t *testing.T) {
	pieces, shown := make(chan string), make(chan string)
	source := &fake{text: "x", state: fleet.RunRunning, output: func(w io.Writer, stream string) error {
		if stream != "both" {
			_, err := io.WriteString(w, "what there was")
			return err
		}
		for piece := range pieces {
			if _, err := io.WriteString(w, piece); err != nil {
				return err
			}
		}
		return nil
	}}
	server := httptest.NewServer(Handler(source, opened))
	defer server.Close()
	page := fetch(t, server.URL+"/runs/"+string(aRun), "").body()
	for _, text := range []string{`data-follow="/runs/` + string(aRun) + `/live.txt"`, "what there was", `id="following" hidden`} {
		if !strings.Contains(page, text) {
			t.Errorf("the page of a run that goes on does not say %q", text)
		}
	}
	if again := fetch(t, server.URL+"/runs/"+string(aRun), headerFollows).body(); strings.Contains(again, "what there was") {
		t.Error("who follows is sent the output once more")
	}
	live := make(chan *answer)
	go func() { live <- fetch(t, server.URL+"/runs/"+string(aRun)+"/live.txt", "") }()
	pieces <- "one"
	reader := <-live
	go func() {
		buf := make([]byte, 100)
		for {
			n, err := reader.Body.Read(buf)
			if err != nil {
				close(shown)
				return
			}
			shown <- string(buf[:n])
		}
	}()
	for _, next := range []string{"two", "three", ""} {
		if got, want := <-shown, map[string]string{"two": "one", "three": "two", "": "three"}[next]; got != want {
			t.Fatalf("%q, want %q", got, want)
		}
		if next != "" {
			pieces <- next
		}
	}
	close(pieces)
	if got, more := <-shown; more {
		t.Errorf("%q after the end", got)
	}
	want := api.OutputQuery{Stream: "both", Follow: true, Times: true, Tail: tailShown / 2}
	if asked := last[api.OutputQuery](t, source); asked != want {
		t.Errorf("asked for %+v", last[api.OutputQuery](t, source))
	}
}

// answer is a page that is read by a client of its own.
type answer struct {
	*http.Response
	t *testing.T
}

func (a *answer) body() string {
	a.t.Helper()
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(text)
}

func fetch(t *testing.T, address, header string) *answer {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Error(err)
		return nil
	}
	if header != "" {
		request.Header.Set(header, "1")
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return nil
	}
	return &answer{reply, t}
}

func TestAnEndedRunIsNotFollowed(t *testing.T) {
	source := &fake{text: "x", state: fleet.RunRan}
	if page := get(Handler(source, opened), "/runs/"+string(aRun)).Body.String(); strings.Contains(page, "data-follow") || !strings.Contains(page, "/log.txt") {
		t.Error("an ended run is followed, or cannot be saved with its times")
	}
	get(Handler(source, opened), "/runs/"+string(aRun)+"/log.txt")
	if want := (api.OutputQuery{Stream: "both", Times: true}); last[api.OutputQuery](t, source) != want {
		t.Errorf("asked for %+v", last[api.OutputQuery](t, source))
	}
}
