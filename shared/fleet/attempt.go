package fleet

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The values that a zero field of Retry stands for.
const (
	DefaultRetryBase   = time.Second
	DefaultRetryFactor = 2
	DefaultRetryCap    = 5 * time.Minute
)

// maxAttempts is how many attempts a policy may ask for.
const maxAttempts = 100

// What Retry.On may list besides exit codes and signals.
const (
	RetryFailure = "failure"
	RetryTimeout = "timeout"
	RetryUnknown = "unknown"
)

// Again returns when another attempt follows the one that ended with run, and
// false where none does: it was no failure that is attempted again, all
// attempts are made, or the budget, counted from when the first began, is spent.
// The same run gives the same instant, whoever asks.
func (r *Retry) Again(run *Run, first time.Time) (time.Time, bool) {
	if run.Attempt < 1 || run.Attempt >= r.Attempts || run.Cancelled || !r.covers(run) {
		return time.Time{}, false
	}
	ended := first
	if run.Ended != nil {
		ended = *run.Ended
	}
	at := ended.Add(r.pause(run)).UTC()
	if r.Budget > 0 && at.After(first.Add(time.Duration(r.Budget))) {
		return time.Time{}, false
	}
	return at, true
}

// covers reports whether the run failed in a way that is attempted again.
func (r *Retry) covers(run *Run) bool {
	on := r.On
	if len(on) == 0 {
		on = []string{RetryFailure, RetryTimeout}
	}
	named := func(what string) bool { return slices.Contains(on, what) }
	switch {
	case run.State == RunUnknown:
		return named(RetryUnknown)
	case run.State == RunMissed:
		return run.Reason == MissedForkFailed && named(RetryFailure)
	case run.State != RunRan || run.Succeeded():
		return false
	case run.TimedOut:
		return named(RetryTimeout)
	case run.Signal != "":
		return named(RetryFailure) || named(run.Signal)
	case run.Exit != nil:
		return named(RetryFailure) || named(strconv.Itoa(*run.Exit))
	}
	return named(RetryFailure)
}

// pause is how long to wait after the given attempt.
func (r *Retry) pause(run *Run) time.Duration {
	base, factor, most := time.Duration(r.Base), r.Factor, time.Duration(r.Cap)
	if base == 0 {
		base = DefaultRetryBase
	}
	if factor == 0 {
		factor = DefaultRetryFactor
	}
	if most == 0 {
		most = DefaultRetryCap
	}
	pause := float64(base) * math.Pow(factor, float64(run.Attempt-1))
	pause = min(pause, float64(most))
	sum := sha256.Sum256([]byte("jitter " + string(run.ID)))
	drawn := float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53) // 0 ≤ drawn < 1
	return time.Duration(pause * (1 + r.Jitter*drawn))
}

// NextAttempt returns the record of the attempt that follows a run at its
// Again: pending, with an id of its own that is the same whoever asks.
func (r *Run) NextAttempt() Run {
	return Run{
		ID: nextAttemptID(r.ID), Task: r.Task, Generation: r.Generation, Host: r.Host,
		Due: r.Due, Order: r.Order, Parent: r.Parent, Params: r.Params, Attempt: r.Attempt + 1, Again: r.Again, State: RunPending,
	}
}

// LeadsTo reports whether other is a later attempt of the same occurrence.
func (r *Run) LeadsTo(other *Run) bool {
	first := max(1, r.Attempt) // one that has not begun yet may not say
	if other.Attempt <= first || other.Attempt > first+maxAttempts || r.Task != other.Task || r.Host != other.Host {
		return false
	}
	id := r.ID
	for range other.Attempt - first {
		id = nextAttemptID(id)
	}
	return id == other.ID
}

// Run returns the id of the run of the occurrence, its first attempt: a UUIDv7
// with the time of the instant, the rest drawn from the occurrence's name. So an
// instant that is decided twice, because the first decision was lost, keeps its
// id, and who knows the occurrence knows whose the id is.
func (o Occurrence) Run() RunID {
	sum := sha256.Sum256([]byte(o.String()))
	var raw [16]byte
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], uint64(max(0, o.Nominal.UnixMilli())))
	copy(raw[:6], stamp[2:])
	copy(raw[6:], sum[:10])
	raw[6] = raw[6]&0x0f | 0x70
	raw[8] = raw[8]&0x3f | 0x80
	return runIDOf(raw[:])
}

// runIDOf writes 16 bytes as a UUID.
func runIDOf(raw []byte) RunID {
	text := hex.EncodeToString(raw)
	return RunID(text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:])
}

// nextAttemptID keeps the instant that a UUIDv7 begins with, counts the twelve
// bits after it on, so that attempts sort as they are made, and draws the rest
// from the id before. Where those bits are at their end the order is chance.
func nextAttemptID(id RunID) RunID {
	sum := sha256.Sum256([]byte("again " + string(id)))
	raw, err := hex.DecodeString(strings.ReplaceAll(string(id), "-", ""))
	if err != nil || len(raw) != 16 {
		raw = make([]byte, 16) // no id of ours
	}
	count := min(binary.BigEndian.Uint16(raw[6:])&0xfff+1, 0xfff)
	binary.BigEndian.PutUint16(raw[6:], 0x7000|count)
	copy(raw[8:], sum[:8])
	raw[8] = raw[8]&0x3f | 0x80
	return runIDOf(raw)
}
