package httpd

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// quietOutput is how long an agent that answers may send nothing, unless its
// answer is followed live.
const quietOutput = 30 * time.Second

// outputIn asks for the output of a run.
type outputIn struct {
	run fleet.RunID
	api.OutputQuery
}

func parseOutput(r *request) (in outputIn, err error) {
	if in.run, err = r.runID(); err != nil {
		return in, err
	}
	if err = r.query(&in); err != nil {
		return in, err
	}
	return in, oneOf("stream", in.Stream, "stdout", "stderr", "both")
}

// sink is where output goes; begin comes before the first byte.
type sink interface {
	io.Writer
	begin(info api.OutputInfo)
}

// plainSink is a writer that only remembers where output comes from.
type plainSink struct {
	io.Writer
	info api.OutputInfo
}

func (w *plainSink) begin(info api.OutputInfo) { w.info = info }

// Logs writes of a run's output what a query wants. It is Unavailable while the
// host cannot be asked: then the run's Tail is all there is.
func (s *Server) Logs(ctx context.Context, id fleet.RunID, query api.OutputQuery, w io.Writer) (api.OutputInfo, error) {
	to := &plainSink{Writer: w}
	err := s.output(ctx, outputIn{run: id, OutputQuery: query}, to, false)
	return to.info, err
}

// httpSink writes output as an answer that says where it comes from.
type httpSink struct {
	http.ResponseWriter
	begun bool
}

func (w *httpSink) begin(info api.OutputInfo) {
	w.begun = true
	header := w.Header()
	header.Set("Content-Type", api.MediaOutput)
	header.Set("Content-Disposition", "attachment")
	header.Set(api.HeaderSource, info.Source)
	header.Set(api.HeaderDropped, strconv.FormatInt(info.Dropped, 10))
	w.WriteHeader(http.StatusOK)
	w.flush()
}

// Write passes each piece on at once.
func (w *httpSink) Write(p []byte) (int, error) {
	w.hurry()
	n, err := w.ResponseWriter.Write(p)
	w.flush()
	return n, err
}

// hurry gives the reader a while for what is written next, also for the end of
// the answer, which the server writes: by then the time for the piece before may be
// over.
func (w *httpSink) hurry() {
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(api.ReaderPatience)) // a test's recorder has none
}

func (w *httpSink) flush() {
	_ = http.NewResponseController(w.ResponseWriter).Flush() // a test's recorder may not be able to
}

// serveOutput answers GET …/output. From a silent host comes what the record has.
func (s *Server) serveOutput(w http.ResponseWriter, r *request) error {
	in, err := parseOutput(r)
	if err != nil {
		return err
	}
	passed := r.Header.Get(api.HeaderForwarded) != ""
	sink := &httpSink{ResponseWriter: w}
	defer sink.hurry()
	err = s.output(r.Context(), in, sink, passed)
	if !sink.begun && !passed && isSilent(err) {
		run, err := s.Ledger.Run(scopeOf(r.Context()), in.run)
		if err != nil {
			return err
		}
		sink.begin(api.OutputInfo{Source: api.SourceRecord, Dropped: run.Dropped})
		_, _ = io.WriteString(sink, run.Tail)
		return nil
	}
	if err != nil && sink.begun {
		r.exchange.problem = err
		panic(http.ErrAbortHandler) // so that the reader sees that it is not all
	}
	return err
}

func isSilent(err error) bool {
	e, ok := errors.AsType[*fleet.Error](err)
	return ok && e.Code == api.CodeSilent
}

// output asks the run's agent, here if it polls here, else through the
// collector that it polls.
func (s *Server) output(ctx context.Context, in outputIn, to sink, passed bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	if in.Follow {
		go s.whileWelcome(ctx, cancel)
	}
	run, err := s.Ledger.Run(scopeOf(ctx), in.run)
	if err != nil {
		return err
	}
	if run.State.Terminal() && run.Started == nil {
		to.begin(api.OutputInfo{Source: api.SourceRecord}) // nothing ran, so nothing was written
		return nil
	}
	if s.desk.polls(run.Host) {
		return s.askAgent(ctx, run.Host, in, to)
	}
	if !passed {
		if found, err := s.askPeers(ctx, in, to); found || err != nil {
			return err
		}
	}
	return silent(run.Host)
}

func silent(host fleet.HostID) error {
	return fleet.Errorf(fleet.Unavailable, "host %s does not answer", host).WithCode(api.CodeSilent).
		WithHint("the run's record has the end of what a failed command wrote")
}

func (s *Server) askAgent(ctx context.Context, host fleet.HostID, in outputIn, to sink) error {
	one, err := s.desk.put(host, api.Ask{Run: in.run, Stream: cmp.Or(in.Stream, "both"), Follow: in.Follow, Times: in.Times, Tail: in.Tail})
	if err != nil {
		return err
	}
	defer s.desk.drop(host, one)
	limit := time.NewTimer(answerLimit)
	defer limit.Stop()
	select {
	case answer := <-one.answered:
		to.begin(api.OutputInfo{Source: api.SourceHost, Dropped: answer.dropped})
		err := copyOutput(ctx, to, answer)
		answer.end <- err
		return err
	case <-limit.C:
		return silent(host)
	case <-s.life.Done():
		return silent(host)
	case <-ctx.Done():
		return &fleet.Error{Kind: fleet.Unavailable, Message: "the reader went away", Err: ctx.Err()}
	}
}

// copyOutput copies until the agent has no more or the reader no longer wants it.
func copyOutput(ctx context.Context, to io.Writer, from answered) error {
	stopped := make(chan struct{})
	unbind := context.AfterFunc(ctx, func() {
		defer close(stopped)
		from.stop()
	})
	defer func() {
		if !unbind() { // the connection is broken off while it is ours, or not at all
			<-stopped
		}
	}()
	buffer := make([]byte, 32<<10)
	for {
		if ctx.Err() != nil {
			return &fleet.Error{Kind: fleet.Unavailable, Message: "the reader went away", Err: ctx.Err()}
		}
		from.alive()
		n, err := from.output.Read(buffer)
		if _, failed := to.Write(buffer[:n]); failed != nil {
			return &fleet.Error{Kind: fleet.Unavailable, Message: "the reader went away", Err: failed}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &fleet.Error{Kind: fleet.Unavailable, Message: "the output broke off", Err: err}
		}
	}
}

// askPeers reads the output through another collector. It reports whether one
// had the agent.
func (s *Server) askPeers(ctx context.Context, in outputIn, to sink) (found bool, err error) {
	peers, err := s.peerURLs()
	if err != nil {
		return false, err
	}
	for _, target := range peers {
		reply, err := s.askPeer(ctx, target, in)
		if err != nil {
			s.Logger.DebugContext(ctx, "collector not asked for output", "collector", target.Host, "error", err)
			continue
		}
		if reply.StatusCode != http.StatusOK {
			reply.Body.Close()
			continue
		}
		defer reply.Body.Close()
		dropped, _ := strconv.ParseInt(reply.Header.Get(api.HeaderDropped), 10, 64) // absent: none
		to.begin(api.OutputInfo{Source: api.SourceHost, Dropped: dropped})
		return true, copyOutput(ctx, to, answered{output: reply.Body, alive: func() {}, stop: func() { reply.Body.Close() }})
	}
	return false, nil
}

func (s *Server) askPeer(ctx context.Context, target *url.URL, in outputIn) (*http.Response, error) {
	address := target.JoinPath(api.RunPath(in.run), "output")
	address.RawQuery = api.Values(in).Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	s.markForwarded(ctx, request.Header)
	return s.Peers.RoundTrip(request)
}

// asksIn is an agent that looks for questions.
type asksIn struct {
	host fleet.HostID
	Wait fleet.Duration `query:"wait"`
}

func parseAsks(r *request) (in asksIn, err error) {
	if in.host, err = r.agent(); err != nil {
		return in, err
	}
	return in, r.query(&in)
}

func (s *Server) asks(ctx context.Context, in asksIn) (api.List[api.Ask], error) {
	if _, known := s.Ledger.Host(everywhere, in.host); !known {
		return api.List[api.Ask]{}, unknownHost(in.host)
	}
	asks := s.desk.take(ctx, in.host, min(time.Duration(in.Wait), api.MaxWait))
	return api.List[api.Ask]{Items: asks, Total: len(asks)}, nil
}

// serveAnswer hands an agent's answer to who asked, and tells the agent when
// nobody wants it any more.
func (s *Server) serveAnswer(w http.ResponseWriter, r *request) error {
	host, err := r.agent()
	if err != nil {
		return err
	}
	id, err := r.path("ask", idParameter)
	if err != nil {
		return err
	}
	dropped, err := strconv.ParseInt(cmp.Or(r.Header.Get(api.HeaderDropped), "0"), 10, 64)
	if err != nil || dropped < 0 {
		return fleet.Invalidf(api.HeaderDropped, clip(r.Header.Get(api.HeaderDropped)), "want a number of bytes")
	}
	one, found := s.desk.find(host, id)
	if !found {
		return noAsk(id)
	}
	end := make(chan error, 1)
	connection := http.NewResponseController(w)
	alive := func() {
		if !one.Follow {
			_ = connection.SetReadDeadline(time.Now().Add(quietOutput)) // a test's recorder may not be able to
		}
	}
	stop := func() { _ = connection.SetReadDeadline(time.Unix(1, 0)) }
	select {
	case one.answered <- answered{output: r.Body, dropped: dropped, alive: alive, stop: stop, end: end}:
	default:
		return fleet.Errorf(fleet.Conflict, "question %s is being answered", id).WithCode(api.CodeExists)
	}
	select {
	case err = <-end:
	case <-one.gone:
		err = noAsk(id)
		select {
		case err = <-end: // it ended by itself
		default:
		}
	}
	if err != nil {
		return noAsk(id)
	}
	return writeReply(w, r, map[string]string{"ask": id})
}

func noAsk(id string) error {
	return fleet.Errorf(fleet.NotFound, "nobody waits for an answer to %s", clip(id))
}
