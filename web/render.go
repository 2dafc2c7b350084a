package web

import (
	"bytes"
	"html/template"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

// views are the parsed templates by name.
type views map[string]*template.Template

// frame is what stands around the body of every page.
type frame struct {
	Title   string
	Section string
	Live    int
	Version string
	Now     time.Time
	Who     string // who is logged in; empty: nobody
	Body    any
}

// entry is one of the places the navigation leads to.
type entry struct {
	Section, URL, Word string
	Minor              bool // on a narrow screen it stands behind "More"
}

// Places are the entries of the navigation.
func (frame) Places() []entry {
	return []entry{
		{"overview", "/", "Overview", false},
		{"hosts", "/hosts", "Hosts", false},
		{"jobs", "/jobs", "Jobs", false},
		{"findings", "/findings", "Findings", false},
		{"history", "/history", "History", true},
		{"when", "/when", "When", true},
		{"tasks", "/tasks", "Tasks", true},
		{"runs", "/runs", "Runs", false},
		{"standings", "/standings", "Standings", true},
		{"collectors", "/collectors", "Collectors", true},
	}
}

// Behind reports whether the page is one of those behind "More".
func (f frame) Behind() bool {
	return slices.ContainsFunc(f.Places(), func(e entry) bool { return e.Minor && e.Section == f.Section })
}

// When describes an instant as seen when the page was made.
func (f frame) When(t time.Time) *moment { return momentOf(t, f.Now) }

// WhenMaybe is When for an instant that may be missing.
func (f frame) WhenMaybe(t *time.Time) *moment {
	if t == nil {
		return nil
	}
	return momentOf(*t, f.Now)
}

// WhenAt is When as it was seen at another instant than now.
func (frame) WhenAt(t, now time.Time) *moment { return momentOf(t, now) }

// Following returns the instant of a found job that follows another.
func (frame) Following(job *fleet.Job, daemon string, now time.Time) time.Time {
	return nextOf(job, daemon, now)
}

// parseViews parses base.html with each other template. The templates are part
// of the program: one that does not parse is a fault of the build.
func parseViews(assets map[string]asset) views {
	base := template.Must(template.New("base.html").Funcs(words(assets)).ParseFS(files, "templates/base.html", "templates/parts.html"))
	entries, err := files.ReadDir("templates")
	if err != nil {
		panic(err)
	}
	out := make(views)
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".html")
		if name == "base" || name == "parts" {
			continue
		}
		out[name] = template.Must(template.Must(base.Clone()).ParseFS(files, path.Join("templates", e.Name())))
	}
	return out
}

// words are the functions that templates may use.
func words(assets map[string]asset) template.FuncMap {
	address := func(name string) string { return "/assets/" + name + "?v=" + assets[name].version }
	return template.FuncMap{
		"asset": address,
		"icon": func(name string) template.HTML {
			// The names come from our own tables and templates.
			return template.HTML(`<svg class="icon" aria-hidden="true"><use href="` + address("icons.svg") + `#` + template.HTMLEscapeString(name) + `"></use></svg>`)
		},
		"list":         func(items ...any) []any { return items },
		"number":       number,
		"count":        count,
		"size":         size,
		"clip":         func(n int, text string) string { return clip(text, n) },
		"sentence":     sentence,
		"hostURL":      hostURL,
		"taskURL":      taskURL,
		"runURL":       runURL,
		"presence":     presenceStatus,
		"taskState":    taskStatus,
		"runStatus":    runStatus,
		"jobURL":       jobURL,
		"where":        where,
		"severity":     severityStatus,
		"findingWord":  findingWord,
		"change":       changeStatus,
		"adoption":     adoptionStatus,
		"result":       resultStatus,
		"grade":        gradeWord,
		"skew":         skew,
		"verdict":      func(job fleet.Job) status { return verdictStatus(&job) },
		"jobSchedule":  jobSchedule,
		"taskSchedule": taskSchedule,
		"phase":        phaseStatus,
		"breaker":      breakerStatus,
		"health":       healthStatus,
		"window":       func(w fleet.Window) string { return windowWords(&w) },
		"usage":        usage,
		"processors":   processors,
		"percent":      func(p *float64) string { return percent(*p) },
		"bytes":        func(b fleet.Bytes) string { return size(int64(b)) },
		"ran":          ran,
		"late":         late,
		"heard":        func(d *fleet.Duration) string { return elapsed(time.Duration(*d)) },
		"join":         strings.Join,
	}
}

// ran says how long a run took, or has taken so far.
func ran(run *fleet.Run, now time.Time) string {
	switch {
	case run.Started == nil:
		return ""
	case run.Ended != nil:
		return elapsed(run.Ended.Sub(*run.Started))
	case run.State.Terminal():
		return ""
	}
	return elapsed(now.Sub(*run.Started)) + " so far"
}

// late says by how much a run started after its instant; empty below a second.
func late(run *fleet.Run) string {
	by := run.LateBy()
	if by < time.Second {
		return ""
	}
	return span(by) + " late"
}

// skew says how far a host's clock is off; empty below half a second.
func skew(d *fleet.Offset) string {
	if d == nil || time.Duration(*d).Abs() < 500*time.Millisecond {
		return ""
	}
	if *d < 0 {
		return elapsed(-time.Duration(*d)) + " behind"
	}
	return elapsed(time.Duration(*d)) + " ahead"
}

// render writes one page. It is made as a whole before its first byte is sent,
// so that a fault in a template is an error page and not half a page.
func (s *site) render(w http.ResponseWriter, code int, name string, f frame) {
	var b bytes.Buffer
	if err := s.views[name].ExecuteTemplate(&b, "base.html", f); err != nil {
		s.log.Error("page not rendered", "template", name, "error", err)
		http.Error(w, "fleetcron: this page could not be made; the collector's log says why", http.StatusInternalServerError)
		return
	}
	body := visible.Bytes(b.Bytes()) // safe on escaped pages, in attributes too
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body) // the reader is gone if this fails
}
