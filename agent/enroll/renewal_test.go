package enroll

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

const week = 7 * 24 * time.Hour

// office renews as the collectors do: by the serial in force, and with the same
// key again when an answer was lost.
type office struct {
	t      *testing.T
	fleet  *pkitest.Fleet
	host   string
	ring   *gossip.Ring
	ticket time.Duration // how long tickets count

	mu sync.Mutex
	books
}

// books are what an office knows.
type books struct {
	serial, before, fingerprint string
	renewals, tickets           int
	suspended                   bool
	lose                        bool // the answer is lost on its way
	away                        bool
	told                        int    // times that the host was told of another certificate
	gossip                      Gossip // that the host was told of
}

// look returns the books as they are now.
func (o *office) look() books {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.books
}

// set changes the books.
func (o *office) set(change func(*books)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.books)
}

var errAway = fleet.Errorf(fleet.Unavailable, "nobody answers")

func (o *office) Renew(_ context.Context, host fleet.HostID, request api.Renew) (api.Enrolled, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.away {
		return api.Enrolled{}, errAway
	}
	public := publicKey(o.t, request.Request)
	fingerprint := pki.Fingerprint(public)
	switch {
	case o.suspended:
		return api.Enrolled{}, fleet.Errorf(fleet.Refused, "suspended").WithCode("node_suspended")
	case string(host) != o.host:
		o.t.Errorf("host %s asks", host)
	case request.Serial == o.serial:
		o.before = o.serial
	case request.Serial == o.before && fingerprint == o.fingerprint:
	default:
		o.suspended = true
		return api.Enrolled{}, fleet.Errorf(fleet.Conflict, "renewed with another key").WithCode("renewal_replay")
	}
	chain := chainFor(o.t, o.fleet, public, o.host, pki.SpanOf(time.Now(), week))
	certs, err := pki.ParseCertificates([]byte(chain))
	if err != nil {
		o.t.Fatal(err)
	}
	o.serial, o.fingerprint = pki.Serial(certs[0]), fingerprint
	o.renewals++
	if o.lose {
		return api.Enrolled{}, errAway
	}
	return api.Enrolled{Node: o.host, State: fleet.NodeActive, Chain: chain, Collectors: []string{"https://127.0.0.1:7770"}}, nil
}

func (o *office) GossipTicket(context.Context) (api.GossipTicket, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.away {
		return api.GossipTicket{}, errAway
	}
	o.tickets++
	text, err := pki.Ticket{ID: pki.ID{Cluster: o.fleet.Cluster, Role: pki.RoleAgent, Name: o.host}, Expires: time.Now().Add(o.ticket)}.Sign(o.fleet.Issuer)
	return api.GossipTicket{Keys: o.ring.Texts(), Ticket: text}, err
}

// longLived is a fleet whose issuer outlives these tests.
func longLived(t *testing.T) *pkitest.Fleet {
	f := pkitest.New(t)
	span := pki.SpanOf(time.Now(), 365*24*time.Hour)
	var err error
	if f.Root, err = pki.NewRoot(f.Cluster, span); err != nil {
		t.Fatal(err)
	}
	if f.Issuer.Certificate, err = f.Root.Issuer(&f.Issuer.Key.PublicKey, "c1", span); err != nil {
		t.Fatal(err)
	}
	return f
}

// records is a log that a test reads.
type records struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *records) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(line)
}

func (r *records) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// setting is an enrolled host with its office, inside a bubble.
func setting(t *testing.T) (*office, *Renewal, *records) {
	f := longLived(t)
	o := &office{t: t, fleet: f, host: pkitest.HostID(), ring: gossip.NewRing(gossip.NewKey()), ticket: 24 * time.Hour}
	credentials := f.Make(f.Issuer, pki.ID{Cluster: f.Cluster, Role: pki.RoleAgent, Name: o.host}, pki.SpanOf(time.Now(), week))
	home := Home{StateDir: t.TempDir()}
	if err := home.saveIdentity(credentials); err != nil {
		t.Fatal(err)
	}
	o.serial = credentials.Serial()
	var lines records
	r := NewRenewal(home, credentials, o, slog.New(slog.NewTextHandler(&lines, nil)))
	r.Renewed = func() { o.set(func(b *books) { b.told++ }) }
	r.Gossip = func(have Gossip) { o.set(func(b *books) { b.gossip = have }) }
	return o, r, &lines
}

// during runs a renewal while do goes on, and returns its error.
func during(t *testing.T, r *Renewal, do func()) error {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	do()
	cancel()
	return <-ended
}

// sleep lets the bubble's time pass.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestCertificatesAreRenewedAtTwoThirds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r, _ := setting(t)
		serials := map[string]bool{o.look().serial: true}
		var addresses []string // read when the renewal has ended
		r.Addresses = func(heard []string) { addresses = heard }
		err := during(t, r, func() {
			sleep(week * 60 / 100)
			if o.look().renewals != 0 {
				t.Error("renewed too early")
			}
			sleep(week * 14 / 100)
			if o.look().renewals != 1 {
				t.Errorf("%d renewals after three quarters of the life", o.look().renewals)
			}
			for range 30 {
				sleep(24 * time.Hour)
				serials[o.look().serial] = true
			}
		})
		if err != nil {
			t.Error(err)
		}
		now := o.look()
		if now.renewals < 6 || now.renewals > 8 || len(serials) != o.look().renewals+1 || now.told != now.renewals {
			t.Errorf("%d renewals, %d certificates, told %d times in 35 days", o.look().renewals, len(serials), now.told)
		}
		if len(addresses) != 1 {
			t.Errorf("addresses %v", addresses)
		}
		loaded, err := r.Home.Load()
		if err != nil || loaded.Serial() != o.look().serial || r.Credentials.Serial() != o.look().serial {
			t.Errorf("on disk %v, %v; in force %s", loaded, err, o.look().serial)
		}
		if o.look().suspended {
			t.Error("the host has suspended itself")
		}
	})
}

// TestLostAnswerIsNoCopyOfTheKey: however often the answer is lost and the agent
// dies, it asks with one key.
func TestLostAnswerIsNoCopyOfTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r, _ := setting(t)
		o.set(func(b *books) { b.lose = true })
		during(t, r, func() { sleep(week * 75 / 100) })
		if o.look().renewals < 2 {
			t.Fatalf("%d renewals", o.look().renewals)
		}
		first := o.look().fingerprint
		o.set(func(b *books) { b.lose = false })
		loaded, err := r.Home.Load()
		if err != nil {
			t.Fatal(err)
		}
		next := NewRenewal(r.Home, loaded, o, r.Log) // the agent was killed, and starts again
		during(t, next, func() { sleep(time.Minute) })
		if o.look().suspended || o.look().fingerprint != first || next.Credentials.Serial() != o.look().serial {
			t.Errorf("suspended %v, same key %v, in force %s, has %s", o.look().suspended, o.look().fingerprint == first, o.look().serial, next.Credentials.Serial())
		}
		during(t, next, func() { sleep(week) })
		if o.look().suspended || o.look().fingerprint == first {
			t.Error("the next renewal has not a key of its own")
		}
	})
}

// TestCrashAfterSavingLeavesNoOldKey: the certificate is on disk, its key is
// still there as the next one.
func TestCrashAfterSavingLeavesNoOldKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r, _ := setting(t)
		if _, err := r.Home.key(forRenewal); err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(r.Home.keyOf(forRenewal))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.Home.keyOf(forRenewal), kept, 0o600); err != nil { // as if it had not come to this
			t.Fatal(err)
		}
		first := o.look().fingerprint
		during(t, r, func() { sleep(week * 75 / 100) })
		if o.look().suspended || o.look().fingerprint == first || o.look().renewals != 2 {
			t.Errorf("suspended %v, %d renewals, same key %v", o.look().suspended, o.look().renewals, o.look().fingerprint == first)
		}
	})
}

// TestCopyOfTheKeyIsFoundOut: the copy renews first; the host itself is told.
func TestCopyOfTheKeyIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r, lines := setting(t)
		copied := NewRenewal(Home{StateDir: t.TempDir()}, r.Credentials, o, r.Log)
		thief := *r
		thief.Home, thief.Credentials = copied.Home, mustLoad(t, r.Home)
		if err := thief.once(t.Context()); err != nil {
			t.Fatal(err)
		}
		during(t, r, func() { sleep(week * 75 / 100) })
		if !o.look().suspended || !strings.Contains(lines.String(), "level=ERROR") {
			t.Errorf("suspended %v:\n%s", o.look().suspended, lines)
		}
	})
}

func mustLoad(t *testing.T, home Home) *pki.Credentials {
	t.Helper()
	loaded, err := home.Load()
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// TestAttack3_ExpiredCertificate: it says so once and whom to ask, tries no
// more, and goes on when a person has let it in again.
func TestAttack3_ExpiredCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r, lines := setting(t)
		o.set(func(b *books) { b.away = true })
		err := during(t, r, func() {
			sleep(week + time.Hour)
			end := r.Credentials.NotAfter().UTC().Format(time.RFC3339)
			want := "certificate expired " + end + "; run fleetctl agent readmit " + o.host
			if n := strings.Count(lines.String(), want); n != 1 {
				t.Errorf("%d times %q in:\n%s", n, want, lines)
			}
			sleep(24 * time.Hour)
			if n := strings.Count(lines.String(), want); n != 1 {
				t.Errorf("said %d times", n)
			}
			next := o.fleet.Make(o.fleet.Issuer, r.Credentials.ID(), pki.SpanOf(time.Now(), week))
			o.set(func(b *books) { b.serial, b.away = next.Serial(), false })
			if err := r.Home.saveIdentity(next); err != nil {
				t.Fatal(err)
			}
			sleep(time.Minute)
			if r.Credentials.Serial() != next.Serial() {
				t.Error("the new identity is not taken up")
			}
			sleep(week * 80 / 100)
		})
		if err != nil || o.look().renewals != 1 {
			t.Errorf("%d renewals after that, %v", o.look().renewals, err)
		}
	})
}

func TestMachineThatBecameAnotherHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r, _ := setting(t)
		other := o.fleet.Agent(pkitest.HostID())
		err := during(t, r, func() {
			if err := r.Home.saveIdentity(other); err != nil {
				t.Fatal(err)
			}
			sleep(time.Minute)
		})
		if codeOf(err) != "another_host" {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnswersThatAreNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r, _ := setting(t)
		before := r.Credentials.Serial()
		other := pkitest.New(t)
		for name, answer := range map[string]func(public string) api.Enrolled{
			"nothing": func(string) api.Enrolled { return api.Enrolled{} },
			"another host": func(request string) api.Enrolled {
				return api.Enrolled{Chain: chainFor(t, o.fleet, publicKey(t, request), pkitest.HostID(), pki.SpanOf(time.Now(), week))}
			},
			"another fleet": func(request string) api.Enrolled {
				return api.Enrolled{Node: o.host, CA: string(pki.EncodeCertificates(other.Root.Certificate)), Chain: chainFor(t, other, publicKey(t, request), o.host, pki.SpanOf(time.Now(), week))}
			},
			"another key": func(string) api.Enrolled {
				key, _ := pki.NewKey()
				return api.Enrolled{Node: o.host, Chain: chainFor(t, o.fleet, &key.PublicKey, o.host, pki.SpanOf(time.Now(), week))}
			},
		} {
			r.Collectors = said{answer}
			if err := r.once(t.Context()); err == nil || r.Credentials.Serial() != before || mustLoad(t, r.Home).Serial() != before {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// said answers renewals as a test says.
type said struct {
	answer func(request string) api.Enrolled
}

func (s said) Renew(_ context.Context, _ fleet.HostID, request api.Renew) (api.Enrolled, error) {
	return s.answer(request.Request), nil
}

func (said) GossipTicket(context.Context) (api.GossipTicket, error) {
	return api.GossipTicket{}, errors.New("no")
}

func TestTicketsAreFetchedBeforeTheyRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r, _ := setting(t)
		tickets := gossip.NewTickets(o.fleet.Cluster, o.fleet.Root.Certificate)
		during(t, r, func() {
			for range 20 * 8 {
				sleep(3 * time.Hour)
				if err := tickets.Admit(o.host, "agent", o.look().gossip.Ticket); err != nil {
					t.Fatal(err)
				}
			}
		})
		if o.look().tickets < 20 || o.look().tickets > 36 {
			t.Errorf("%d tickets of a day in 20 days", o.look().tickets)
		}
	})
}

// TestSleeperLearnsTheRing: it slept through a rotation, and hears of another
// ring with the first answer.
func TestSleeperLearnsTheRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r, _ := setting(t)
		during(t, r, func() {
			sleep(time.Minute)
			ring := o.look().gossip.Ring
			r.Heard(o.ring.Digest())
			sleep(time.Minute)
			if o.look().tickets != 1 {
				t.Errorf("%d fetches although the ring is the same", o.look().tickets)
			}
			fresh := gossip.NewRing(gossip.NewKey())
			o.set(func(*books) { o.ring = fresh })
			for range 100 {
				r.Heard(o.ring.Digest())
				sleep(time.Second)
			}
			if ring.Digest() != o.ring.Digest() {
				t.Error("the ring in use was not changed")
			}
			if o.look().tickets != 2 {
				t.Errorf("%d fetches", o.look().tickets)
			}
		})
		if stored, complete, err := r.Home.LoadGossip(); err != nil || !complete || stored.Ring.Digest() != o.ring.Digest() {
			t.Errorf("on disk: %v, %v", complete, err)
		}
	})
}

// TestRenewalOverRealConnections: each over one of its own, which shows the
// certificate that is renewed.
func TestRenewalOverRealConnections(t *testing.T) {
	c := newCollector(t)
	home := Home{StateDir: t.TempDir()}
	credentials := c.enroll(home)
	r := NewRenewal(home, credentials, Calls{Credentials: credentials, Addresses: func() []string { return []string{c.url} }}, slog.New(slog.DiscardHandler))
	for range 3 {
		before := r.Credentials.Serial()
		c.mu.Lock()
		c.renews = before
		c.mu.Unlock()
		if err := r.once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now := mustLoad(t, home); now.Serial() == before || now.Serial() != r.Credentials.Serial() {
			t.Errorf("in force %s, before %s, on disk %s", r.Credentials.Serial(), before, now.Serial())
		}
	}
	if _, err := r.fetch(t.Context(), Gossip{}); err != nil {
		t.Error(err)
	}
}
