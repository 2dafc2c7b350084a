package fleet

import (
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// validatePolicies looks at what the task says about how its runs are kept up.
func (t *Task) validatePolicies(check *checker) {
	t.WaitFor.validate(check)
	t.Retry.validate(check)
	t.Breaker.validate(check)
	t.Restart.validate(check)
	t.Health.validate(check)
	supervisable := t.On.Daemon || t.On.Startup != ""
	check.that(t.Retry.Attempts == 0 || !t.Supervised(), "retry", "", "does not go with a command that is kept up: restart says what happens when it ends")
	check.that(t.Restart == (Restart{}) || supervisable, "restart", string(t.Restart.Policy), "belongs to daemon and startup only; retry is for what runs to its end")
	check.that(t.Health.IsZero() || t.Supervised(), "health", "", "belongs to daemon, and to startup with a restart policy")
	check.that(len(t.Needs) == 0 || t.On.Daemon, "needs", strings.Join(t.Needs, ", "), "belongs to daemon only")
	check.that(len(t.Needs) <= 20, "needs", "", "at most 20")
	for i, name := range t.Needs {
		check.that(ValidName(name), "needs", name, "want the name of a task in the same namespace")
		check.that(name != t.Name, "needs", name, "is the task itself")
		check.that(!slices.Contains(t.Needs[:i], name), "needs", name, "is named twice")
	}
	check.that(t.Limits.Stall == 0 || t.Limits.Stall >= Duration(MinEvery), "limits.stall", t.Limits.Stall.String(), "want at least 1s")
}

func (r *Retry) validate(check *checker) {
	set := r.Base != 0 || r.Factor != 0 || r.Cap != 0 || r.Jitter != 0 || r.Budget != 0 || len(r.On) > 0
	check.that(r.Attempts != 0 || !set, "retry.attempts", "", "is missing: how many attempts together, such as 3")
	check.that(r.Attempts == 0 || r.Attempts >= 2 && r.Attempts <= maxAttempts, "retry.attempts", strconv.Itoa(r.Attempts), "want 2–100, the first one included")
	check.that(r.Factor == 0 || r.Factor >= 1 && r.Factor <= 100, "retry.factor", decimal(r.Factor), "want 1–100")
	check.that(r.Jitter >= 0 && r.Jitter <= 1, "retry.jitter", decimal(r.Jitter), "want 0–1, a part of the wait")
	for i, what := range r.On {
		check.that(retriable(what), "retry.on", what, "want failure, timeout, unknown, an exit code 1–255 or a signal such as SIGTERM")
		check.that(!slices.Contains(r.On[:i], what), "retry.on", what, "is named twice")
	}
}

var signalPattern = regexp.MustCompile(`^SIG[A-Z0-9+]{2,12}$`)

func retriable(what string) bool {
	if n, err := strconv.Atoi(what); err == nil {
		return n >= 1 && n <= 255 && strconv.Itoa(n) == what
	}
	return what == RetryFailure || what == RetryTimeout || what == RetryUnknown || signalPattern.MatchString(what)
}

func (b *Breaker) validate(check *checker) {
	check.that(b.Failures != 0 || *b == (Breaker{}), "breaker.failures", "", "is missing: how many failures open it, such as 5")
	check.that(b.Failures >= 0 && b.Failures <= 1000, "breaker.failures", strconv.Itoa(b.Failures), "want 1–1000")
	check.that(b.Rate >= 0 && b.Rate <= 1, "breaker.rate", decimal(b.Rate), "want 0–1, a part of the runs")
	check.that(b.Key == "" || ValidName(b.Key), "breaker.key", b.Key, "want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit")
}

func (r *Restart) validate(check *checker) {
	switch r.Policy {
	case "", RestartAlways, RestartOnFailure, RestartNever:
	default:
		check.fail("restart.policy", string(r.Policy), "want always, on-failure or never")
	}
	check.that(r.Base == 0 || r.Base >= Duration(MinRestart), "restart.base", r.Base.String(), "want at least 100ms")
	check.that(r.Cap == 0 || r.Cap >= r.Base, "restart.cap", r.Cap.String(), "must not be less than base")
	w := &r.When
	check.that(w.CPU >= 0 && w.CPU <= 4096, "restart.when.cpu", decimal(w.CPU), "want processors, such as 1.5")
	check.that(w.Files >= 0, "restart.when.files", strconv.Itoa(w.Files), "want a count")
	check.that(w.For == 0 || w.Memory != 0 || w.CPU != 0 || w.Files != 0, "restart.when.for", w.For.String(), "needs memory, cpu or files beside it")
}

func (h *Health) validate(check *checker) {
	if h.IsZero() {
		return
	}
	set := 0
	for _, is := range []bool{len(h.Exec) > 0, h.HTTP != "", h.TCP != ""} {
		if is {
			set++
		}
	}
	check.that(set == 1, "health", "", "want exactly one of exec, http and tcp")
	if len(h.Exec) > 0 {
		check.that(path.IsAbs(h.Exec[0]), "health.exec", h.Exec[0], "want an absolute path to the program")
	}
	check.that(h.HTTP == "" || validURL(h.HTTP), "health.http", h.HTTP, "want a URL such as http://127.0.0.1:8080/health")
	check.that(h.TCP == "" || validAddress(h.TCP), "health.tcp", h.TCP, "want host:port")
	check.that(h.Every == 0 || h.Every >= Duration(MinEvery), "health.every", h.Every.String(), "want at least 1s")
	check.that(h.Fail >= 0 && h.Fail <= 100, "health.fail", strconv.Itoa(h.Fail), "want 1–100")
}

func (w *WaitFor) validate(check *checker) {
	if w.IsZero() {
		return
	}
	n := len(w.TCP) + len(w.HTTP) + len(w.File) + len(w.Unit)
	check.that(n > 0 || len(w.Command) > 0, "wait_for", "", "want at least one of tcp, http, file, unit and command")
	check.that(n <= 20, "wait_for", strconv.Itoa(n), "at most 20 things")
	for _, address := range w.TCP {
		check.that(validAddress(address), "wait_for.tcp", address, "want host:port")
	}
	for _, address := range w.HTTP {
		check.that(validURL(address), "wait_for.http", address, "want a URL such as http://127.0.0.1:8080/ready")
	}
	for _, file := range w.File {
		check.that(path.IsAbs(file), "wait_for.file", file, "want an absolute path")
	}
	for _, unit := range w.Unit {
		check.that(unitPattern.MatchString(unit), "wait_for.unit", unit, "want the name of a unit, such as postgresql.service")
	}
	if len(w.Command) > 0 {
		check.that(path.IsAbs(w.Command[0]), "wait_for.command", w.Command[0], "want an absolute path to the program")
	}
	check.that(w.Every == 0 || w.Every >= Duration(MinEvery), "wait_for.every", w.Every.String(), "want at least 1s")
}

var unitPattern = regexp.MustCompile(`^[A-Za-z0-9:_.\\@-]{1,200}\.[a-z]{3,10}$`)

func validAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, bad := strconv.ParseUint(port, 10, 16)
	return err == nil && bad == nil && n > 0 && host != ""
}

func validURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// limitNames lists the resources that Limits.Rlimits may name.
var limitNames = []string{
	"as", "core", "cpu", "data", "fsize", "memlock", "msgqueue", "nofile", "nproc", "rttime", "sigpending", "stack",
}

// validateKernel looks at the limits that the kernel keeps.
func (l *Limits) validateKernel(check *checker) {
	check.that(l.Memory == 0 || l.Memory >= 1<<20, "limits.memory", l.Memory.String(), "want at least 1MiB")
	check.that(l.CPU == 0 || l.CPU >= 0.01 && l.CPU <= 4096, "limits.cpu", decimal(l.CPU), "want processors, 0.01–4096")
	check.that(l.Processes >= 0 && l.Processes <= 1<<22, "limits.processes", strconv.Itoa(l.Processes), "want a count")
	check.that(l.IOWeight >= 0 && l.IOWeight <= 10_000, "limits.io_weight", strconv.Itoa(l.IOWeight), "want 1–10000")
	check.that(l.IONice == "" || ioPattern.MatchString(l.IONice), "limits.ionice", l.IONice, `want idle, or best-effort:0 to best-effort:7`)
	for name := range sorted(l.Rlimits) {
		check.that(slices.Contains(limitNames, name), "limits.rlimits", name, "want one of "+strings.Join(limitNames, ", "))
	}
	check.that(l.Keep.Runs >= 0 && l.Keep.Runs <= 10_000, "limits.keep.runs", strconv.Itoa(l.Keep.Runs), "want 1–10000")
}

var ioPattern = regexp.MustCompile(`^(idle|best-effort:[0-7])$`)

func decimal(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
