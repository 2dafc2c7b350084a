package proof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// What is hashed and what is signed begins with what it is.
const (
	chainDomain = "fleetcron proof chain 1\n"
	lineDomain  = "fleetcron proof line 1\n"
	headDomain  = "fleetcron proof head 1\n"
	blockDomain = "fleetcron proof block 1\n"
)

// Bounds of a block.
const (
	MaxLines = 4096      // in a block
	MaxBytes = 128 << 10 // of a block as it is kept
)

// Entry is a line, or its hash where the line is not shown. One of the two is set.
type Entry struct {
	Line *Line `json:"line,omitempty"`
	Hash *Hash `json:"hash,omitempty"`
}

// hash returns that of the line; of none it is zero.
func (e *Entry) hash() Hash {
	switch {
	case e.Line != nil:
		return e.Line.Hash()
	case e.Hash != nil:
		return *e.Hash
	}
	return Hash{}
}

// Block is some lines of one chain in a row, signed.
type Block struct {
	Cluster string       `json:"cluster"` // 32 hex digits
	Host    fleet.HostID `json:"host"`
	Chain   string       `json:"chain"` // 32 hex digits, drawn when the host began it
	First   uint64       `json:"first"` // number of the first line, from 1
	Before  Hash         `json:"before"`
	After   Hash         `json:"after"`
	At      time.Time    `json:"at"` // when it was signed, by the host's clock
	// Journal and Sequence say through which record of the agent's journal the
	// host has spoken.
	Journal   fleet.JournalID `json:"journal"`
	Sequence  uint64          `json:"sequence"`
	Key       PublicKey       `json:"key"`
	Lines     []Entry         `json:"lines"`
	Signature []byte          `json:"signature"`
}

// PublicKey is an Ed25519 key that blocks are signed with.
type PublicKey []byte

// Fingerprint returns what people compare: the SHA-256 of the key, hex.
func (k PublicKey) Fingerprint() string {
	sum := sha256.Sum256(k)
	return hex.EncodeToString(sum[:])
}

// Start returns the head of a chain that has no line yet.
func Start(cluster string, host fleet.HostID, chain string) Hash {
	return sum(chainDomain, []byte(cluster), []byte{0}, []byte(host), []byte{0}, []byte(chain))
}

// Last returns the number of the last line.
func (b *Block) Last() uint64 { return b.First + uint64(len(b.Lines)) - 1 }

// head returns the head after the lines.
func (b *Block) head() Hash {
	head := b.Before
	for i := range b.Lines {
		line := b.Lines[i].hash()
		head = sum(headDomain, head[:], line[:])
	}
	return head
}

// signed is what the signature covers: the lines by the head after them.
type signed struct {
	Cluster  string          `cbor:"1,keyasint"`
	Host     fleet.HostID    `cbor:"2,keyasint"`
	Chain    string          `cbor:"3,keyasint"`
	First    uint64          `cbor:"4,keyasint"`
	Count    uint64          `cbor:"5,keyasint"`
	Before   Hash            `cbor:"6,keyasint"`
	After    Hash            `cbor:"7,keyasint"`
	At       int64           `cbor:"8,keyasint"`
	Journal  fleet.JournalID `cbor:"9,keyasint"`
	Sequence uint64          `cbor:"10,keyasint"`
	Key      PublicKey       `cbor:"11,keyasint"`
}

func (b *Block) message() []byte {
	body, err := encoding.Marshal(signed{b.Cluster, b.Host, b.Chain, b.First, uint64(len(b.Lines)), b.Before, b.After, nanos(&b.At), b.Journal, b.Sequence, b.Key})
	if err != nil {
		panic(err) // texts and numbers cannot fail
	}
	return append([]byte(blockDomain), body...)
}

// Sign fills in the head after the lines, the key and the signature.
func (b *Block) Sign(key ed25519.PrivateKey) {
	b.At = instant(nanos(&b.At))
	b.After, b.Key = b.head(), PublicKey(key.Public().(ed25519.PublicKey))
	b.Signature = ed25519.Sign(key, b.message())
}

// Check refuses a block that is not as its key has signed it. Whose key it is,
// and whether the block follows the one before, it does not say.
func (b *Block) Check() error {
	switch {
	case !hexOf(b.Cluster) || !b.Host.Valid() || !hexOf(b.Chain) || !b.Journal.Valid():
		return broken("names no cluster, host, chain or journal")
	case b.First == 0 || b.First > 1<<62:
		return broken("begins with no number of a line")
	case len(b.Lines) == 0 || len(b.Lines) > MaxLines:
		return broken(fmt.Sprintf("has %d lines, want 1 to %d", len(b.Lines), MaxLines))
	case b.At.Year() < 1970 || b.At.Year() > 2200:
		return broken("is of an instant that none is signed at")
	case len(b.Key) != ed25519.PublicKeySize:
		return broken("names no key")
	}
	for i := range b.Lines {
		if (b.Lines[i].Line == nil) == (b.Lines[i].Hash == nil) {
			return broken(fmt.Sprintf("has neither line nor hash, or both, as line %d", b.First+uint64(i)))
		}
		if line := b.Lines[i].Line; line != nil && !line.plausible() {
			return broken(fmt.Sprintf("has an instant that no run has in line %d", b.First+uint64(i)))
		}
	}
	switch {
	case b.First == 1 && b.Before != Start(b.Cluster, b.Host, b.Chain):
		return broken("has the first line of the chain and does not begin it")
	case b.head() != b.After:
		return broken("holds other lines than those that make its head")
	case !ed25519.Verify(ed25519.PublicKey(b.Key), b.message(), b.Signature):
		return broken("is not what key " + b.Key.Fingerprint() + " has signed")
	}
	return nil
}

func broken(why string) error {
	return fleet.Errorf(fleet.Invalid, "the block %s", why).WithCode("proof_broken")
}

// hexOf reports whether a text is an id of 32 hex digits.
func hexOf(id string) bool { return fleet.HostID(id).Valid() }

// Follows reports whether b goes on where the block before it ended.
func (b *Block) Follows(before *Block) bool {
	return b.Chain == before.Chain && b.First == before.Last()+1 && b.Before == before.After
}

// Same reports whether two blocks are one.
func (b *Block) Same(other *Block) bool {
	return b.Chain == other.Chain && b.First == other.First && b.After == other.After && bytes.Equal(b.Signature, other.Signature)
}

// Within returns the block with those lines that are shown; of the others it has
// the hashes.
func (b *Block) Within(shows func(fleet.TaskID) bool) *Block {
	shown := *b
	shown.Lines = make([]Entry, len(b.Lines))
	for i, entry := range b.Lines {
		if entry.Line != nil && !shows(entry.Line.Task) {
			hash := entry.Line.Hash()
			entry = Entry{Hash: &hash}
		}
		shown.Lines[i] = entry
	}
	return &shown
}

// Shown reports whether every line is there, and none as its hash alone.
func (b *Block) Shown() bool {
	return !slices.ContainsFunc(b.Lines, func(e Entry) bool { return e.Line == nil })
}

// kept is a block in few bytes; the numbers stay for ever.
type kept struct {
	Cluster   string            `cbor:"1,keyasint"`
	Host      fleet.HostID      `cbor:"2,keyasint"`
	Chain     string            `cbor:"3,keyasint"`
	First     uint64            `cbor:"4,keyasint"`
	Before    Hash              `cbor:"5,keyasint"`
	After     Hash              `cbor:"6,keyasint"`
	At        int64             `cbor:"7,keyasint"`
	Journal   fleet.JournalID   `cbor:"8,keyasint"`
	Sequence  uint64            `cbor:"9,keyasint"`
	Key       PublicKey         `cbor:"10,keyasint"`
	Lines     []cbor.RawMessage `cbor:"11,keyasint"` // a form, or a hash
	Signature []byte            `cbor:"12,keyasint"`
}

// Encode writes the block in few bytes.
func (b *Block) Encode() []byte {
	k := kept{b.Cluster, b.Host, b.Chain, b.First, b.Before, b.After, nanos(&b.At), b.Journal, b.Sequence, b.Key, make([]cbor.RawMessage, len(b.Lines)), b.Signature}
	for i, entry := range b.Lines {
		if entry.Line != nil {
			k.Lines[i] = entry.Line.encode()
		} else {
			hash := entry.hash()
			k.Lines[i] = must(encoding.Marshal(hash[:]))
		}
	}
	return must(encoding.Marshal(k)) // texts and numbers cannot fail
}

// Decode reads what Encode wrote. It does not Check it.
func Decode(body []byte) (*Block, error) {
	var k kept
	if err := decoding.Unmarshal(body, &k); err != nil {
		return nil, fmt.Errorf("read a block: %w", err)
	}
	b := &Block{k.Cluster, k.Host, k.Chain, k.First, k.Before, k.After, instant(k.At), k.Journal, k.Sequence, k.Key, make([]Entry, len(k.Lines)), k.Signature}
	for i, raw := range k.Lines {
		var err error
		if len(raw) > 0 && raw[0]>>5 == 2 { // a byte string
			b.Lines[i].Hash = new(Hash)
			err = decoding.Unmarshal(raw, b.Lines[i].Hash)
		} else {
			b.Lines[i].Line, err = decodeLine(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("read line %d of a block: %w", i+1, err)
		}
	}
	return b, nil
}
