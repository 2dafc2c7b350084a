package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// How long a browser's codes and sessions count, and how many there may be.
const (
	CodeLife    = time.Minute
	SessionLife = 8 * time.Hour
	sessionsMax = 4096
	sessionsOne = 32 // of one token: the oldest makes room
)

// Sessions are the browsers that are logged in to this collector's web page.
// They are kept in memory, by the hash of what the browser holds: a restart
// logs everybody out, and a dump of the memory logs nobody in.
type Sessions struct {
	mu   sync.Mutex // guards what follows
	code map[secret]session
	open map[secret]session
}

// secret is the hash of a code or a cookie. A map finds it in a time that says
// something of the hash, and nothing of what was hashed.
type secret [sha256.Size]byte

type session struct {
	who     fleet.Principal
	expires time.Time
}

// NewSessions returns none.
func NewSessions() *Sessions {
	return &Sessions{code: map[secret]session{}, open: map[secret]session{}}
}

// Offer returns a code that logs one browser in as who, once, within a minute.
func (s *Sessions) Offer(who fleet.Principal, now time.Time) (code string, expires time.Time, err error) {
	return s.add(s.code, session{who, now.Add(CodeLife)}, now)
}

// Open takes a code and returns the session's cookie. A code that is unknown,
// used or old is refused in one way: login_code_invalid.
func (s *Sessions) Open(code string, now time.Time) (cookie string, expires time.Time, err error) {
	s.mu.Lock()
	offered, found := s.code[sha256.Sum256([]byte(code))]
	delete(s.code, sha256.Sum256([]byte(code)))
	s.mu.Unlock()
	if !found || !now.Before(offered.expires) {
		return "", time.Time{}, fleet.Errorf(fleet.Unauthenticated, "this code does not count: it is used, older than a minute, or of another collector").
			WithCode("login_code_invalid").WithHint("fleetctl web prints a new link")
	}
	return s.add(s.open, session{offered.who, now.Add(SessionLife)}, now)
}

// add draws a secret for one.
func (s *Sessions) add(to map[secret]session, one session, now time.Time) (text string, expires time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(to, func(_ secret, old session) bool { return !now.Before(old.expires) })
	makeRoom(to, one.who.Token)
	if len(to) >= sessionsMax {
		return "", time.Time{}, fleet.Errorf(fleet.Unavailable, "%d sessions are open", len(to)).WithCode("sessions_full").WithHint("log out where you need none, or wait")
	}
	text = rand.Text()
	to[sha256.Sum256([]byte(text))] = one
	return text, one.expires, nil
}

// makeRoom ends the session of a token that ends next, where it has too many:
// nobody keeps others out.
func makeRoom(in map[secret]session, token string) {
	of, next := 0, secret{}
	for key, one := range in {
		if one.who.Token != token {
			continue
		}
		if of++; of == 1 || one.expires.Before(in[next].expires) {
			next = key
		}
	}
	if of >= sessionsOne {
		delete(in, next)
	}
}

// Who returns whose session a cookie is; false: nobody's.
func (s *Sessions) Who(cookie string, now time.Time) (fleet.Principal, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, is := s.open[sha256.Sum256([]byte(cookie))]
	if !is || !now.Before(found.expires) {
		return fleet.Principal{}, false
	}
	return found.who, true
}

// Close ends the session of a cookie.
func (s *Sessions) Close(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sha256.Sum256([]byte(cookie)))
}

// CloseToken ends every session and forgets every code that was made with a token.
func (s *Sessions) CloseToken(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, all := range []map[secret]session{s.code, s.open} {
		maps.DeleteFunc(all, func(_ secret, one session) bool { return one.who.Token == id })
	}
}
