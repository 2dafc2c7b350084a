//go:build acceptance

package acceptance

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// hostile is a collector in the hands of somebody who has the disk of a true
// one: to hosts it is that collector. It tells them what it likes.
type hostile struct {
	t testing.TB

	mu      sync.Mutex
	plan    fleet.Plan
	changed time.Time
	runs    map[uint64]fleet.Run // by their place in the host's journal
	policy  fleet.PolicyReport
}

// steal copies the disk of a collector and ends it.
func (d *debian) steal() (dir string) {
	d.t.Helper()
	dir = filepath.Join(d.t.TempDir(), "stolen")
	if out, err := exec.Command("bash", "-c", "umask 077 && cp -r --no-preserve=mode "+d.path("/var/lib/fleetcron-collector")+" "+dir).CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
	d.types("systemctl stop fleetcron-collector")
	return dir
}

// play answers at the collector's address, with its keys, until the test ends.
func (d *debian) play(t *testing.T, dir string) *hostile {
	t.Helper()
	credentials, err := pki.LoadCredentials(filepath.Join(dir, "identity"))
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{t: t, runs: map[uint64]fleet.Run{}, changed: time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/agents/{host}/plan", h.tellPlan)
	mux.HandleFunc("POST /v1/agents/{host}/runs", h.hearRuns)
	mux.HandleFunc("PUT /v1/agents/{host}/policy", h.hearPolicy)
	mux.HandleFunc("GET /v1/agents/{host}/asks", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(time.Second):
			answers(w, api.List[fleet.Ask]{Items: []fleet.Ask{}})
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { answers(w, struct{}{}) })
	server := &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}
	listener := behind{tls.NewListener(d.listen(d.address+":7770"), credentials.ServerTLS(nil, pki.PlaneAgent))}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // it ends when it is closed
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return h
}

// behind hides from net/http that there is TLS: it knows no plane of agents.
type behind struct{ net.Listener }

func (b behind) Accept() (net.Conn, error) {
	conn, err := b.Listener.Accept()
	return struct{ net.Conn }{conn}, err
}

// listen opens a port on the machine's network.
func (d *debian) listen(address string) net.Listener {
	d.t.Helper()
	type opened struct {
		net.Listener
		error
	}
	result := make(chan opened)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this
		there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", d.first))
		if err == nil {
			defer there.Close()
			err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			result <- opened{nil, err}
			return
		}
		listener, err := net.Listen("tcp", address)
		result <- opened{listener, err}
	}()
	it := <-result
	if it.error != nil {
		d.t.Fatal(it.error)
	}
	return it.Listener
}

func answers(w http.ResponseWriter, reply any) {
	w.Header().Set("Content-Type", api.MediaJSON)
	_ = json.NewEncoder(w).Encode(reply) // a host that went away asks again
}

// tells changes what hosts are told.
func (h *hostile) tells(assignments ...fleet.Assignment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.plan.Assignments = assignments
	h.plan.Index++ // below that of the true one, whose next plan is news so
	h.changed = time.Now()
	h.policy = fleet.PolicyReport{}
}

func (h *hostile) tellPlan(w http.ResponseWriter, r *http.Request) {
	known, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	for range 10 {
		h.mu.Lock()
		plan := h.plan
		h.mu.Unlock()
		if plan.Index != known {
			break
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.plan.Host = fleet.HostID(r.PathValue("host"))
	w.Header().Set(api.HeaderIndex, strconv.FormatUint(h.plan.Index, 10))
	answers(w, h.plan)
}

// hearRuns keeps what the host tells, and says that it is safe with it.
func (h *hostile) hearRuns(w http.ResponseWriter, r *http.Request) {
	var batch fleet.RunBatch
	if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
		h.t.Error(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var receipt fleet.RunReceipt
	for _, record := range batch.Records {
		h.runs[record.Sequence] = record.Run
		receipt.Acknowledged = max(receipt.Acknowledged, record.Sequence)
	}
	answers(w, receipt)
}

func (h *hostile) hearPolicy(w http.ResponseWriter, r *http.Request) {
	var report fleet.PolicyReport
	if err := json.NewDecoder(r.Body).Decode(&report); err != nil {
		h.t.Error(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.policy = report
	answers(w, struct{}{})
}

// refused says what the host refuses of that which it is told now.
func (h *hostile) refused() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, refusal := range h.policy.Refused {
		all = append(all, refusal.Object+": "+refusal.String())
	}
	return strings.Join(all, "\n")
}

// told says for how long hosts have been told what they are told now.
func (h *hostile) told() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.changed)
}

// since returns the runs of a task that began under what is told now, and how
// they ended.
func (h *hostile) since(task fleet.TaskID) (ends []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, sequence := range slices.Sorted(maps.Keys(h.runs)) {
		run := h.runs[sequence]
		last := run.Due
		if run.Until != nil {
			last = *run.Until
		}
		if run.Task == task && run.State.Terminal() && last.After(h.changed.Add(time.Second)) {
			ends = append(ends, ended(&run))
		}
	}
	return ends
}

func ended(run *fleet.Run) string {
	if run.Succeeded() {
		return "well"
	}
	return string(run.State) + " " + string(run.Reason) + " " + run.Detail
}

// forged are the statements that somebody without a trusted key can offer.
func forged(t *testing.T, good []byte) (edited, own []byte) {
	t.Helper()
	envelope, err := seal.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := envelope.Statement()
	if err != nil {
		t.Fatal(err)
	}
	edit := *envelope
	edit.Payload = []byte(strings.ReplaceAll(string(envelope.Payload), "-h", "-Z"))
	if edited, err = json.Marshal(edit); err != nil || string(edit.Payload) == string(envelope.Payload) {
		t.Fatalf("nothing to edit in %s: %v", envelope.Payload, err)
	}
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	statement.Serial++
	signed, err := seal.Sign(statement, key)
	if err != nil {
		t.Fatal(err)
	}
	if own, err = json.Marshal(signed); err != nil {
		t.Fatal(err)
	}
	return edited, own
}
