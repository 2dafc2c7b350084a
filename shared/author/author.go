// Package author provides the one hand that gives a fleet something: it turns
// documents and wishes into statements, signs them and brings them in.
//
// What an Author signs comes from its person or from what somebody it trusts has
// signed, and never from a collector's word: to pause a task is to sign the task
// anew, so the task as it stands is taken from its sealed statement. Serials come
// after those that the collectors tell of, within the bounds that package seal
// sets, so that a collector can at worst have a statement refused.
package author

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// Author gives a fleet tasks, orders, events, calendars and adoptions in the
// name of whoever holds the key. It is safe for concurrent use where its signer is.
type Author struct {
	client  *api.Client
	cluster string
	signer  seal.Signer
	trusted []ed25519.PublicKey // whose statements it builds upon, its own key first
}

// New returns an author for a cluster, whose id the person knows from the root
// certificate. Trusted are the keys of other people whose tasks it may pause,
// resume and assign elsewhere.
func New(client *api.Client, cluster string, signer seal.Signer, trusted ...ed25519.PublicKey) *Author {
	return &Author{client: client, cluster: cluster, signer: signer, trusted: append([]ed25519.PublicKey{signer.Public()}, trusted...)}
}

// Options says how a change is meant.
type Options struct {
	IfIndex   *uint64       // as of api.SubmitOptions
	Unmatched bool          // accept a task that matches no known host
	Queue     bool          // of an order: accept hosts that are silent now
	Reason    string        // why, in the person's words
	Life      time.Duration // the statement counts for so long; zero: for ever, or what lives says
}

// lives is for how long what does not last counts where nobody says otherwise: a
// host that is to hand a line over, or to take it back, may be away for hours.
var lives = map[seal.Kind]time.Duration{
	seal.KindOrder:   time.Hour,
	seal.KindEvent:   time.Hour,
	seal.KindAdopt:   seal.MaxOrderLife,
	seal.KindRelease: seal.MaxOrderLife,
}

// statement returns the beginning of a statement that is made now.
func (a *Author) statement(kind seal.Kind, namespace, name string, previous uint64, o Options) (*seal.Statement, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	serial, err := seal.Serial(previous, now)
	if err != nil {
		return nil, err
	}
	s := &seal.Statement{Version: 1, Cluster: a.cluster, Kind: kind, Namespace: namespace, Name: name, Serial: serial, Issued: now}
	if life := cmp.Or(o.Life, lives[kind]); life != 0 {
		s.Expires = now.Add(life)
	}
	return s, nil
}

// submit signs a statement and brings it in.
func (a *Author) submit(ctx context.Context, s *seal.Statement, o Options) (api.Sealed, error) {
	e, err := seal.Sign(s, a.signer)
	if err != nil {
		return api.Sealed{}, plain(err)
	}
	return a.client.Submit(ctx, e, api.SubmitOptions{IfIndex: o.IfIndex, Unmatched: o.Unmatched, Queue: o.Queue, Reason: o.Reason})
}

// plain names the fields as a person wrote them, and not as the statement does.
func plain(err error) error {
	wrong, ok := errors.AsType[*fleet.Error](err)
	if !ok || len(wrong.Fields) == 0 {
		return err
	}
	clean := *wrong
	clean.Message = ""
	clean.Fields = make([]fleet.FieldError, len(wrong.Fields))
	for i, field := range wrong.Fields {
		field.Field = strings.TrimPrefix(field.Field, "task.definition.")
		clean.Fields[i] = field
	}
	return &clean
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }
