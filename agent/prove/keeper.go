package prove

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// Options tune a keeper. The zero value works.
type Options struct {
	MaxBytes int64        // of all that is kept; what was not delivered may exceed it; zero: 64 MiB
	MaxAhead int64        // of what was not delivered, about; zero: 16 MiB
	Logger   *slog.Logger // nil: slog.Default

	write func(*os.File, []byte) (int, error) // the disk, so that tests can cut and fill it
	sync  func(*os.File) error
}

// blockBytes is about how many bytes a block takes at most: they travel together.
const blockBytes = 64 << 10

const deliveredName = "delivered"

// Keeper is the open directory of what this host signed; its methods may be
// called from any goroutine.
type Keeper struct {
	dir     string
	key     ed25519.PrivateKey
	cluster string
	host    fleet.HostID
	options Options
	log     *slog.Logger

	mu        sync.Mutex
	segments  []segment // in order; the last one is written to
	file      *os.File  // of the last segment; nil: there is none
	tail      *tail
	next      uint64  // number of the next block in this directory
	delivered uint64  // number of the last block that the collectors have
	waiting   []int64 // bytes of each of those that they have not
	ahead     int64   // bytes of them all
	cursor    cursor
	broken    error // the disk has failed; nothing is added any more
	changed   chan struct{}
}

// tail is where a chain ends.
type tail struct {
	cluster  string
	host     fleet.HostID
	key      proof.PublicKey
	chain    string
	lines    uint64
	head     proof.Hash
	journal  fleet.JournalID
	sequence uint64
}

func tailOf(b *proof.Block) *tail {
	return &tail{b.Cluster, b.Host, b.Key, b.Chain, b.Last(), b.After, b.Journal, b.Sequence}
}

// cursor is where in which segment a block begins.
type cursor struct {
	path   string
	number uint64
	offset int64
}

// Open opens a directory, which is made when it is missing, for what a host signs
// with a key. A chain that the same host began with the same key goes on.
func Open(dir string, key ed25519.PrivateKey, cluster string, host fleet.HostID, options Options) (*Keeper, error) {
	k := &Keeper{dir: dir, key: key, cluster: cluster, host: host, options: options.withDefaults(), next: 1, changed: make(chan struct{})}
	k.log = k.options.Logger
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = k.load()
	}
	if err != nil {
		k.Close()
		return nil, fmt.Errorf("open proofs: %w", err)
	}
	return k, nil
}

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 20
	}
	if o.MaxAhead == 0 {
		o.MaxAhead = 16 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.write == nil {
		o.write = (*os.File).Write
	}
	if o.sync == nil {
		o.sync = (*os.File).Sync
	}
	return o
}

// load finds where the last block ends, and cuts what stands behind it.
func (k *Keeper) load() (err error) {
	if k.segments, err = listSegments(k.dir); err != nil {
		return err
	}
	for len(k.segments) > 0 && k.file == nil {
		newest := &k.segments[len(k.segments)-1]
		var last []byte
		end, err := newest.frames(newest.first, 0, func(number uint64, body []byte, _ int64) bool {
			last, k.next = body, number+1
			return true
		})
		if err != nil {
			return err
		}
		if last == nil { // it was begun, and no more
			if err := os.Remove(newest.path); err != nil {
				return err
			}
			k.next = newest.first
			k.segments = k.segments[:len(k.segments)-1]
			continue
		}
		b, err := proof.Decode(last)
		if err != nil { // written by another version
			k.log.Error("the last proof on disk cannot be read: another chain begins", "file", newest.path, "error", err)
			break
		}
		k.tail = tailOf(b)
		if k.file, err = os.OpenFile(newest.path, os.O_WRONLY|os.O_APPEND, 0); err != nil {
			return err
		}
		if err := k.file.Truncate(end); err != nil {
			return err
		}
		newest.size = end
	}
	return k.loadDelivered()
}

// loadDelivered reads what the collectors have. Where that is lost they are
// brought all of it again, and keep it once. Where they have more than is here,
// the disk has lost some: the numbers of those lines must not be given again.
func (k *Keeper) loadDelivered() error {
	text, err := os.ReadFile(filepath.Join(k.dir, deliveredName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if number, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil {
		k.delivered = number
	}
	if k.delivered >= k.next {
		k.log.Error("proofs that were delivered are not on disk any more: another chain begins", "from", k.next, "to", k.delivered)
		k.tail, k.next = nil, k.delivered+1
		if k.file != nil {
			k.file.Close()
			k.file = nil
		}
		return nil
	}
	for i := range k.segments {
		if k.hasAll(i) {
			continue
		}
		begins := int64(0)
		if _, err := k.segments[i].frames(k.segments[i].first, 0, func(number uint64, _ []byte, end int64) bool {
			if number > k.delivered {
				k.waits(end - begins)
			}
			begins = end
			return true
		}); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) waits(bytes int64) {
	k.waiting = append(k.waiting, bytes)
	k.ahead += bytes
}

// hasAll reports whether the collectors have all of a segment.
func (k *Keeper) hasAll(i int) bool {
	if i == len(k.segments)-1 {
		return k.delivered+1 >= k.next
	}
	return k.delivered+1 >= k.segments[i+1].first
}

// Spoken returns through which record of which journal the host has spoken; empty:
// of none, in the chain that goes on.
func (k *Keeper) Spoken() (fleet.JournalID, uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.goesOn() {
		return "", 0
	}
	return k.tail.journal, k.tail.sequence
}

// goesOn reports whether the last block is of a chain that is ours to go on with.
func (k *Keeper) goesOn() bool {
	return k.tail != nil && k.tail.cluster == k.cluster && k.tail.host == k.host && bytes.Equal(k.tail.key, k.key.Public().(ed25519.PublicKey))
}

// Forsake lets the next block begin another chain: the journal is not the one
// that the last block speaks of any more, but an older state of it.
func (k *Keeper) Forsake() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tail = nil
}

// Full reports whether so much waits to be delivered that no more is to be added.
func (k *Keeper) Full() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ahead >= k.options.MaxAhead
}

// Said is a line, and the record of the journal that it is about.
type Said struct {
	Sequence uint64
	Line     proof.Line
}

// Add signs lines, which are about records of a journal up to through. They are
// on disk when it returns; when it returns an error nothing was added, unless it
// is on disk all the same, which the next Open finds out.
func (k *Keeper) Add(journal fleet.JournalID, through uint64, lines []Said) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.broken != nil {
		return fmt.Errorf("sign what was run: %w", k.broken)
	}
	blocks := k.blocks(journal, through, lines)
	err := k.append(blocks)
	if errors.Is(err, unix.ENOSPC) && k.dropOldest(0) {
		err = k.append(blocks)
	}
	if err != nil {
		return fmt.Errorf("sign what was run: %w", err)
	}
	close(k.changed)
	k.changed = make(chan struct{})
	for k.bytes() > k.options.MaxBytes && k.dropOldest(1) {
		continue
	}
	return nil
}

// blocks puts lines into signed blocks that follow the last one.
func (k *Keeper) blocks(journal fleet.JournalID, through uint64, lines []Said) (blocks []*proof.Block) {
	last := k.tail
	if !k.goesOn() {
		var id [16]byte
		rand.Read(id[:]) // never fails
		chain := hex.EncodeToString(id[:])
		last = &tail{chain: chain, head: proof.Start(k.cluster, k.host, chain)}
	}
	for len(lines) > 0 {
		b := &proof.Block{
			Cluster: k.cluster, Host: k.host, Chain: last.chain, First: last.lines + 1, Before: last.head,
			At: time.Now().UTC(), Journal: journal,
		}
		for size := 0; len(lines) > 0 && size < blockBytes && len(b.Lines) < proof.MaxLines; lines = lines[1:] {
			line := lines[0].Line
			b.Sequence = lines[0].Sequence
			b.Lines = append(b.Lines, proof.Entry{Line: &line})
			size += line.Size()
		}
		if len(lines) == 0 {
			b.Sequence = through
		}
		b.Sign(k.key)
		blocks, last = append(blocks, b), tailOf(b)
	}
	return blocks
}

// append writes blocks behind the last one and makes them durable.
func (k *Keeper) append(blocks []*proof.Block) error {
	if err := k.turn(); err != nil {
		return err
	}
	var frames []byte
	ends := make([]int, len(blocks))
	for i, b := range blocks {
		frames = appendFrame(frames, b)
		ends[i] = len(frames)
	}
	active := &k.segments[len(k.segments)-1]
	if _, err := k.options.write(k.file, frames); err != nil {
		if cut := k.file.Truncate(active.size); cut != nil { // else the next frame would stand behind half of one
			k.broken = errors.Join(err, cut)
		}
		return err
	}
	if err := k.options.sync(k.file); err != nil { // it may be there or not, and a second sync would lie
		k.broken = err
		return err
	}
	active.size += int64(len(frames))
	begins := 0
	for _, end := range ends {
		k.waits(int64(end - begins))
		begins = end
	}
	k.next += uint64(len(blocks))
	k.tail = tailOf(blocks[len(blocks)-1])
	return nil
}

// turn begins a segment where there is none, or the last one is full.
func (k *Keeper) turn() error {
	if k.file != nil && k.segments[len(k.segments)-1].size < segmentBytes {
		return nil
	}
	path := filepath.Join(k.dir, segmentName(k.next))
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	// Room that is taken now is there when others have filled the disk.
	_ = unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, segmentBytes+2*blockBytes)
	if err := durable.SyncDir(k.dir); err != nil {
		file.Close()
		return errors.Join(err, os.Remove(path))
	}
	if k.file != nil {
		k.file.Close()
	}
	k.file = file
	k.segments = append(k.segments, segment{path: path, first: k.next})
	return nil
}

// dropOldest removes the oldest segment that the collectors have and that is not
// written to, if that leaves so many.
func (k *Keeper) dropOldest(leaves int) bool {
	if len(k.segments) < 2 || len(k.segments) <= leaves || !k.hasAll(0) {
		return false
	}
	if err := os.Remove(k.segments[0].path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.log.Warn("proofs that were delivered not removed", "error", err)
		return false
	}
	k.segments = k.segments[1:]
	return true
}

func (k *Keeper) bytes() (total int64) {
	for i := range k.segments {
		total += k.segments[i].size
	}
	return total
}

// Changed returns what is closed when the next block is added.
func (k *Keeper) Changed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed
}

// Undelivered returns blocks after the one with a number that the collectors have
// not, of at most about so many bytes and at least one, and the number of the
// last. What another host signed here is passed over: nobody takes it from this.
func (k *Keeper) Undelivered(after uint64, bytes int) (blocks []proof.Block, last uint64, err error) {
	k.mu.Lock()
	last = max(after, k.delivered)
	var pieces []segment
	for i := range k.segments {
		if i == len(k.segments)-1 || k.segments[i+1].first > last+1 {
			pieces = append(pieces, k.segments[i])
		}
	}
	next, at := k.next, k.cursor
	k.mu.Unlock()
	full := false
	for i := 0; i < len(pieces) && !full; i++ {
		from := cursor{pieces[i].path, pieces[i].first, 0}
		if at.path == from.path && at.number <= last+1 {
			from = at
		}
		begins := from.offset
		_, err := pieces[i].frames(from.number, from.offset, func(number uint64, body []byte, end int64) bool {
			size := int(end - begins)
			begins = end
			if full = len(blocks) > 0 && size > bytes; number >= next || full {
				return false
			}
			if number <= last {
				return true
			}
			last, at = number, cursor{from.path, number + 1, end}
			switch b, err := proof.Decode(body); {
			case err != nil: // those that follow are of another chain
				k.log.Error("a proof cannot be read, and is not delivered", "file", from.path, "number", number, "error", err)
			case b.Host == k.host && b.Cluster == k.cluster:
				blocks = append(blocks, *b)
				bytes -= size
			}
			return true
		})
		if errors.Is(err, fs.ErrNotExist) { // delivered, and gone meanwhile
			continue
		}
		if err != nil {
			return blocks, last, fmt.Errorf("read proofs: %w", err)
		}
	}
	k.mu.Lock()
	k.cursor = at
	k.mu.Unlock()
	return blocks, last, nil
}

// Delivered notes that the collectors have all blocks up to a number. What is
// lost of that is delivered again.
func (k *Keeper) Delivered(number uint64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	number = min(number, k.next-1)
	if number <= k.delivered {
		return nil
	}
	if err := durable.Replace(filepath.Join(k.dir, deliveredName), []byte(strconv.FormatUint(number, 10)+"\n")); err != nil {
		return fmt.Errorf("note which proofs were delivered: %w", err)
	}
	for ; k.delivered < number && len(k.waiting) > 0; k.delivered++ {
		k.ahead -= k.waiting[0]
		k.waiting = k.waiting[1:]
	}
	k.delivered = number
	for k.bytes() > k.options.MaxBytes && k.dropOldest(1) {
		continue
	}
	return nil
}

// Close lets go of the file.
func (k *Keeper) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file == nil {
		return nil
	}
	err := k.file.Close()
	k.file = nil
	return err
}
