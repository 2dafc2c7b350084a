package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Options of a Handler. Nobody sees a page without Login.
type Options struct {
	// Login lets people in; nil: nobody comes in.
	Login Login
	// AllowedHosts are the names, without port, by which the pages may be
	// asked for, besides localhost and addresses of loopback. Any other Host
	// is answered 421, so that a name an attacker points at this machine
	// reads nothing.
	AllowedHosts []string
	Version      string       // shown at the foot of each page
	Logger       *slog.Logger // hears of faults of ours; nil: nobody does
}

// answerTime is how long a Source may take to answer for one page.
const answerTime = 15 * time.Second

// site is the handler's inside; nothing in it changes once it is made.
type site struct {
	src     Source
	login   Login
	version string
	log     *slog.Logger
	assets  map[string]asset
	views   views
}

// Handler serves the pages to who is logged in. It answers GET and HEAD only,
// and POST where one logs in and out.
func Handler(src Source, opts Options) http.Handler {
	s := &site{src: src, login: opts.Login, version: opts.Version, log: opts.Logger, assets: loadAssets()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.views = parseViews(s.assets)
	inside := http.NewServeMux()
	for _, p := range pages {
		inside.HandleFunc("GET "+p.path, func(w http.ResponseWriter, r *http.Request) { s.servePage(w, r, p) })
	}
	inside.HandleFunc("GET /runs/{id}/{file}", s.serveOutput)
	inside.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.serveError(w, r, errNoPage(r.URL.Path)) })
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) { s.serveDoor(w, http.StatusOK, "") })
	mux.HandleFunc("POST /login", s.serveLogin)
	mux.HandleFunc("POST /logout", s.serveLogout)
	mux.HandleFunc("GET /assets/{name}", s.serveAsset)
	mux.Handle("/", s.members(inside))
	return s.guard(mux, opts.AllowedHosts)
}

// page is one address and what is shown there.
type page struct {
	path     string // a ServeMux pattern
	section  string // which entry of the navigation it belongs to
	template string // templates/<template>.html
	show     func(s *site, v *visit) (view, error)
}

// pages is every page there is.
var pages = []page{
	{"/{$}", "overview", "overview", (*site).overview},              // how the fleet is, what comes next
	{"/hosts", "hosts", "hosts", (*site).hosts},                     // every machine with an agent
	{"/hosts/{id}", "hosts", "host", (*site).host},                  // all that runs on one: found and given
	{"/hosts/{id}/timeline", "hosts", "timeline", (*site).timeline}, // a day of it, a lane for each job and task
	{"/hosts/{id}/loss", "hosts", "loss", (*site).loss},             // what would stop with it, and where it could go on
	{"/hosts/{id}/jobs/{job}", "jobs", "job", (*site).job},          // all there is to know of one found job
	{"/jobs", "jobs", "jobs", (*site).jobs},                         // found jobs, one by one or by same command
	{"/findings", "findings", "findings", (*site).findings},         // what a person should look at
	{"/history", "history", "history", (*site).history},             // what changed about found jobs
	{"/when", "when", "when", (*site).when},                         // how many start in each hour of a week
	{"/tasks", "tasks", "tasks", (*site).tasks},                     // given tasks
	{"/tasks/{namespace}/{name}", "tasks", "task", (*site).task},    // one, with its hosts and its runs
	{"/runs", "runs", "runs", (*site).runs},                         // what became of every due instant
	{"/runs/{id}", "runs", "run", (*site).run},                      // one, with its output
	{"/standings", "standings", "standings", (*site).standings},     // what is kept up, and which breakers are open
	{"/calendars", "tasks", "calendars", (*site).calendars},         // when nothing is due that names them
	{"/upcoming", "overview", "upcoming", (*site).upcoming},         // instants of the next hours, found and given
	{"/collectors", "collectors", "collectors", (*site).collectors}, // the raft group
}

// visit is one request for a page.
type visit struct {
	*http.Request
	now time.Time
}

// view is what a page shows.
type view struct {
	Title string
	Live  int // seconds after which a page with a script asks again; zero: never
	Body  any
}

func (s *site) servePage(w http.ResponseWriter, r *http.Request, p page) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	v := &visit{Request: r.WithContext(ctx), now: time.Now().UTC()}
	shown, err := p.show(s, v)
	if err != nil {
		s.serveError(w, r, err)
		return
	}
	s.render(w, http.StatusOK, p.template, frame{
		Title: shown.Title, Section: p.section, Live: shown.Live,
		Version: s.version, Now: v.now, Who: nameOf(ctx), Body: shown.Body,
	})
}

// failure is what an error page says.
type failure struct {
	Status  int
	Title   string
	Message string
	Fields  []fleet.FieldError
	Hint    string // a command to try
	Retry   string // the same address; empty where trying again is no use
	Clear   string // the address without its filters; empty: there are none
	Who     string // who visits; empty: nobody is logged in
}

// titles says in a few words what an error status means here.
var titles = map[int]string{
	http.StatusNotFound:            "Not found",
	http.StatusMethodNotAllowed:    "These pages are read-only",
	http.StatusMisdirectedRequest:  "Not served under this name",
	http.StatusUnprocessableEntity: "This filter does not work",
	http.StatusBadRequest:          "This filter does not work",
	http.StatusForbidden:           "Not allowed",
	http.StatusConflict:            "It changed meanwhile",
	http.StatusServiceUnavailable:  "No answer from the collectors",
	http.StatusInternalServerError: "Something broke on our side",
}

// serveError answers with a page that says what is wrong and what to try next.
func (s *site) serveError(w http.ResponseWriter, r *http.Request, err error) {
	f := failure{Status: fleet.KindOf(err).Status(), Message: err.Error()}
	known, isKnown := errors.AsType[*fleet.Error](err)
	switch {
	case isKnown && known.Kind != fleet.Internal:
		f.Message, f.Fields, f.Hint = known.Message, known.Fields, known.Hint
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		f.Status = http.StatusServiceUnavailable
		f.Message = "the collector did not answer within " + answerTime.String()
		f.Hint = "fleetctl collectors"
	default:
		s.log.Error("page failed", "path", r.URL.Path, "error", err)
		f.Message = "the collector's log says more"
	}
	if f.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
		f.Retry = r.URL.RequestURI()
	}
	if r.URL.RawQuery != "" && f.Status < 500 {
		f.Clear = r.URL.Path
	}
	f.Who = nameOf(r.Context())
	s.refuse(w, f)
}

// refuse renders a failure.
func (s *site) refuse(w http.ResponseWriter, f failure) {
	f.Title = titles[f.Status]
	if f.Title == "" {
		f.Title = http.StatusText(f.Status)
	}
	s.render(w, f.Status, "error", frame{Title: f.Title, Version: s.version, Now: time.Now().UTC(), Who: f.Who, Body: f})
}

func errNoPage(path string) error {
	return fleet.Errorf(fleet.NotFound, "there is no page %s", clip(path, 120))
}
