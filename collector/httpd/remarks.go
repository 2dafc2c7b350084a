package httpd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// tellRemarks is how often remarks are written down: equal ones become
	// one entry with a count, so that whoever is refused cannot fill the chain.
	tellRemarks = 10 * time.Second
	// remarksEach is how many different ones of one caller are told apart in
	// that time, and mostRemarks how many refusals of all; the others are
	// counted as one. So nobody hides what others do, or what they do later.
	remarksEach = 20
	mostRemarks = 400
	// mostEntries bounds what one collector tells at once.
	mostEntries = 800
)

// remarks are what this collector has to tell the audit chain beside changes:
// whom it refused, and who logged in. The zero value is ready.
type remarks struct {
	mu   sync.Mutex
	open map[remark]*fleet.AuditEntry
	of   map[remark]int // how many different ones of a caller
}

// remark is what makes two of them equal.
type remark struct{ kind, name, token, address, action, object, code string }

// note counts one.
func (all *remarks) note(entry fleet.AuditEntry) {
	by := &entry.By
	same := remark{string(by.Kind), by.Name, by.Token, by.Address.String(), entry.Action, entry.Object, entry.Code}
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.open == nil {
		all.open, all.of = map[remark]*fleet.AuditEntry{}, map[remark]int{}
	}
	if all.open[same] == nil {
		same, entry = all.fold(same, entry)
	}
	if one := all.open[same]; one != nil {
		one.Count += max(1, entry.Count)
		return
	}
	entry.Count = max(1, entry.Count)
	all.open[same] = &entry
}

// fold returns what is noted instead of one more, where there are too many.
func (all *remarks) fold(same remark, entry fleet.AuditEntry) (remark, fleet.AuditEntry) {
	caller := remark{kind: same.kind, name: same.name, token: same.token}
	if caller == (remark{}) {
		caller.address = same.address
	}
	room := mostRemarks
	if entry.Decision == "done" {
		room = mostEntries
	}
	switch all.of[caller]++; {
	case len(all.open) >= room:
		return remark{}, fleet.AuditEntry{At: entry.At, Action: "many", Decision: "refused", Code: "many", Why: "more different refusals than are told apart"}
	case all.of[caller] > remarksEach:
		caller.action = "many"
		return caller, fleet.AuditEntry{At: entry.At, By: entry.By, Action: "many", Decision: "refused", Code: "many", Why: "more different refusals of one caller than are told apart"}
	}
	return same, entry
}

// take returns what was noted since, by time.
func (all *remarks) take() []fleet.AuditEntry {
	all.mu.Lock()
	defer all.mu.Unlock()
	entries := make([]fleet.AuditEntry, 0, len(all.open))
	for _, one := range all.open {
		if one.Count == 1 {
			one.Count = 0
		}
		entries = append(entries, *one)
	}
	all.open, all.of = nil, nil
	slices.SortFunc(entries, func(a, b fleet.AuditEntry) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Object, b.Object)) })
	return entries
}

// refused notes that somebody was refused before anything was asked of the
// ledger, which writes down its own refusals. A caller that shows nothing and
// gets nothing is no event.
func (s *Server) refused(r *request, route *Route, err error) {
	e, ok := errors.AsType[*fleet.Error](err)
	if !ok || e.Kind == fleet.TooMany || r.exchange.caller.Kind == "" && r.Header.Get("Authorization") == "" {
		return
	}
	s.remarks.note(fleet.AuditEntry{
		At: time.Now().UTC(), By: r.exchange.caller, Action: string(route.Permission), Object: route.Method + " " + clip(r.URL.Path),
		Decision: "refused", Code: cmp.Or(e.Code, e.Kind.String()), Why: clipTo(e.Message, maxDetail),
	})
}

// tellRemarked writes remarks down, until ctx ends and once more then.
func (s *Server) tellRemarked(ctx context.Context) error {
	tick := time.NewTicker(tellRemarks)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			s.tellOnce(patience)
			return nil
		case <-tick.C:
			s.tellOnce(ctx)
		}
	}
}

// tellOnce writes remarks down. While nobody leads
// it is kept, and counted on.
func (s *Server) tellOnce(ctx context.Context) {
	entries := s.remarks.take()
	if len(entries) == 0 {
		return
	}
	if err := s.tell(ctx, entries); err != nil {
		s.Logger.WarnContext(ctx, "audit entries not written down yet", "entries", len(entries), "error", err)
		for _, entry := range entries {
			s.remarks.note(entry)
		}
	}
}

// tell has the leader write entries down.
func (s *Server) tell(ctx context.Context, entries []fleet.AuditEntry) error {
	if s.Replica.Status().Leading {
		_, err := s.Replica.Propose(ctx, &ledger.RecordRefusals{Entries: entries})
		return err
	}
	leader, err := s.leaderURL()
	if err != nil {
		return err
	}
	text, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, leader.JoinPath(api.PathRefusals).String(), bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", api.MediaJSON)
	reply, err := s.Peers.RoundTrip(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(reply.Body, 1<<16))
	if reply.StatusCode != http.StatusOK {
		return errors.New(reply.Status)
	}
	return nil
}

func parseRemarks() func(*request) ([]fleet.AuditEntry, error) {
	decoder := newDecoder[[]fleet.AuditEntry]()
	return func(r *request) ([]fleet.AuditEntry, error) {
		if err := r.query(&struct{}{}); err != nil {
			return nil, err
		}
		return decoder.decode(r.body)
	}
}

// recordRemarks writes down what another collector has to tell.
func (s *Server) recordRemarks(ctx context.Context, entries []fleet.AuditEntry) (receipt, error) {
	if len(entries) > mostEntries+1 {
		return receipt{}, fleet.Errorf(fleet.TooLarge, "%d entries, at most %d are taken", len(entries), mostEntries+1)
	}
	for i := range entries {
		one := &entries[i]
		if one.Decision != "done" {
			one.Decision = "refused"
		}
		one.Seq, one.Before, one.Hash, one.At = 0, nil, nil, one.At.UTC()
	}
	if len(entries) == 0 {
		return s.done(nil)
	}
	_, err := s.Replica.Propose(ctx, &ledger.RecordRefusals{Entries: entries})
	return s.done(err)
}
