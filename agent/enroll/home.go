package enroll

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/agent/prove"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// Home is where a host's identity lies.
type Home struct {
	StateDir string
	// Owner is the uid of the part of the agent that talks to the network, whose
	// files these are when root writes them. Zero: root's.
	Owner int
}

// Identity returns the directory of key, chain and root.
func (h Home) Identity() string { return filepath.Join(h.StateDir, "identity") }

// Net returns the directory of what gossip needs.
func (h Home) Net() string { return filepath.Join(h.StateDir, "net") }

func (h Home) keyOf(purpose string) string { return filepath.Join(h.Identity(), purpose+".pem") }
func (h Home) pending() string             { return filepath.Join(h.Identity(), "pending.json") }
func (h Home) ringFile() string            { return filepath.Join(h.Net(), "ring") }
func (h Home) ticketFile() string          { return filepath.Join(h.Net(), "ticket") }
func (h Home) seedsFile() string           { return filepath.Join(h.Net(), "seeds") }
func (h Home) collectorsFile() string      { return filepath.Join(h.Net(), "collectors") }

// The purposes of keys that nobody has signed yet.
const (
	forEnrolment = "enroll"
	forRenewal   = "renewal"
)

// Load returns this host's credentials. Where it was never enrolled the error
// says how it is.
func (h Home) Load() (*pki.Credentials, error) {
	credentials, err := pki.LoadCredentialsOf(h.Identity(), h.Owner)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fleet.Errorf(fleet.Unauthenticated, "this host is not enrolled: there is no identity in %s", h.Identity()).WithCode("not_enrolled").
			WithHint("fleetctl enroll-token, and then here: fleetcron-agent enroll --token-file FILE --address https://COLLECTOR:7770")
	}
	if err == nil && credentials.ID().Role != pki.RoleAgent {
		return nil, fleet.Errorf(fleet.Invalid, "the identity in %s is of %s, not of an agent", h.Identity(), credentials.ID())
	}
	return credentials, err
}

// Gossip is what a member of gossip needs.
type Gossip struct {
	Ring   *gossip.Ring
	Ticket string
	Seeds  []string // ip:port of members to begin with, as a collector named them
}

// LoadGossip returns what is there of it; false: not all.
func (h Home) LoadGossip() (Gossip, bool, error) {
	ring, err := gossip.OpenRing(h.ringFile())
	if errors.Is(err, fs.ErrNotExist) {
		return Gossip{}, false, nil
	}
	if err != nil {
		return Gossip{}, false, err
	}
	text, err := os.ReadFile(h.ticketFile())
	if errors.Is(err, fs.ErrNotExist) {
		return Gossip{}, false, nil
	}
	if err != nil {
		return Gossip{}, false, err
	}
	seeds, err := readList(h.seedsFile())
	return Gossip{Ring: ring, Ticket: strings.TrimSpace(string(text)), Seeds: seeds}, err == nil, err
}

// saveGossip keeps what a collector gave.
func (h Home) saveGossip(given *api.GossipTicket) (Gossip, error) {
	if err := h.prepare(h.Net()); err != nil {
		return Gossip{}, err
	}
	ring, err := gossip.OpenRing(h.ringFile())
	if errors.Is(err, fs.ErrNotExist) {
		ring, err = gossip.MakeRing(h.ringFile(), given.Keys...)
	} else if err == nil {
		err = ring.Take(given.Keys)
	}
	if err != nil {
		return Gossip{}, err
	}
	err = errors.Join(h.saveList(h.seedsFile(), given.Seeds), durable.Replace(h.ticketFile(), []byte(given.Ticket+"\n")))
	return Gossip{Ring: ring, Ticket: given.Ticket, Seeds: given.Seeds}, errors.Join(err, h.give(h.ringFile(), h.ticketFile()))
}

// Collectors returns where collectors were when they were last heard of.
func (h Home) Collectors() ([]string, error) { return readList(h.collectorsFile()) }

func (h Home) saveCollectors(addresses []string) error {
	if len(addresses) == 0 {
		return nil
	}
	return errors.Join(h.prepare(h.Net()), h.saveList(h.collectorsFile(), addresses))
}

// readList reads a list of addresses; one that is not there is empty.
func readList(path string) (list []string, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fleet.Invalidf("file", path, "want a JSON list of addresses")
	}
	return list, nil
}

func (h Home) saveList(path string, list []string) error {
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return errors.Join(durable.Replace(path, append(text, '\n')), h.give(path))
}

// saveIdentity keeps credentials and who they make this host. Root's own files
// come last: what runs commands believes them, and a cut in between leaves an
// identity that says more than they do, which is noticed.
func (h Home) saveIdentity(credentials *pki.Credentials) error {
	if err := h.save(credentials); err != nil {
		return err
	}
	for name, text := range map[string]string{"cluster": credentials.ID().Cluster, "host-id": credentials.ID().Name} {
		path := filepath.Join(h.StateDir, name)
		if err := durable.Replace(path, []byte(text+"\n")); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o644); err != nil { //nolint:gosec // who this host is, is no secret
			return err
		}
	}
	return nil
}

// saveLabels keeps what the join token gave; nothing where it gave none. They
// are root's, as who this host is: tasks may select hosts by them.
func (h Home) saveLabels(labels map[string]string) error {
	path := filepath.Join(h.StateDir, "labels")
	if len(labels) == 0 {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	text, err := json.Marshal(labels)
	if err != nil {
		return err
	}
	if err := durable.Replace(path, append(text, '\n')); err != nil {
		return err
	}
	return os.Chmod(path, 0o644) //nolint:gosec // no secret
}

// save keeps credentials where who plays the network part can read them.
func (h Home) save(credentials *pki.Credentials) error {
	if err := h.prepare(h.Identity()); err != nil {
		return err
	}
	if err := credentials.Save(h.Identity()); err != nil {
		return err
	}
	entries, err := os.ReadDir(h.Identity())
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := h.give(filepath.Join(h.Identity(), entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// key returns the key that is kept for a purpose, and makes it where there is
// none yet.
func (h Home) key(purpose string) (*ecdsa.PrivateKey, error) {
	if err := h.prepare(h.Identity()); err != nil {
		return nil, err
	}
	text, err := pki.ReadPrivateOf(h.keyOf(purpose), h.Owner)
	if err == nil {
		key, err := pki.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.keyOf(purpose), err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := pki.NewKey()
	if err != nil {
		return nil, err
	}
	if text, err = pki.EncodeKey(key); err != nil {
		return nil, err
	}
	if err := pki.WritePrivate(h.keyOf(purpose), text); err != nil {
		return nil, err
	}
	return key, h.give(h.keyOf(purpose))
}

// proofKey returns the public half of the key with which this host signs what
// became of its runs. It is made here where there is none, and stays with who
// enrols, who runs commands too: the part that talks to the network never has it.
func (h Home) proofKey() ([]byte, error) {
	if err := os.MkdirAll(h.StateDir, 0o750); err != nil {
		return nil, err
	}
	key, err := prove.DrawKey(filepath.Join(h.StateDir, prove.KeyFile), slog.Default())
	if err != nil {
		return nil, err
	}
	return key.Public().(ed25519.PublicKey), nil
}

// forget removes what is needed no more.
func (h Home) forget(paths ...string) error {
	var errs []error
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (h Home) prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return h.give(dir)
}

// give hands files that root has written to who needs them.
func (h Home) give(paths ...string) error {
	if h.Owner == 0 || os.Geteuid() != 0 {
		return nil
	}
	for _, path := range paths {
		if err := give(path, h.Owner); err != nil {
			return &fs.PathError{Op: "chown", Path: path, Err: err}
		}
	}
	return nil
}

// give hands over one file or directory. Who gets it may have laid something
// else under its name: a link to what he must not have is not followed.
func give(path string, uid int) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var is unix.Stat_t
	if err := unix.Fstat(fd, &is); err != nil {
		return err
	}
	switch kind := is.Mode & unix.S_IFMT; {
	case kind != unix.S_IFDIR && kind != unix.S_IFREG:
		return errors.New("is neither a file nor a directory")
	case kind == unix.S_IFREG && is.Nlink != 1 && int(is.Uid) != uid:
		return errors.New("has another name elsewhere")
	}
	return unix.Fchownat(fd, "", uid, -1, unix.AT_EMPTY_PATH)
}
