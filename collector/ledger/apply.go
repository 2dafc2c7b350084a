package ledger

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Entry is one committed entry of the raft log.
type Entry struct {
	Index uint64
	Term  uint64
	Data  []byte // what Encode returned
}

// Apply carries out the entries in one transaction that also holds the index
// of the last, and returns for each its result: a *fleet.Error when it was
// refused, nil when it had been applied before, otherwise what the command's
// documentation says. It panics with a *Fatal when it cannot go on.
func (l *Ledger) Apply(entries []Entry) []any {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.broken != nil {
		panic(l.broken)
	}
	results := make([]any, len(entries))
	applied, _ := l.Applied()
	c := &change{applied: applied}
	if err := l.update(c, entries, results); err != nil {
		l.broken = &Fatal{Path: l.path, Index: c.index, Err: err}
		panic(l.broken)
	}
	l.publish(c)
	return results
}

// update applies what is new of the entries. Nothing new writes nothing.
func (l *Ledger) update(c *change, entries []Entry, results []any) (err error) {
	if len(entries) == 0 || entries[len(entries)-1].Index <= c.applied {
		return nil
	}
	defer func() {
		switch recovered := recover().(type) {
		case nil:
		case unwritten:
			err = recovered.err
		default:
			panic(recovered)
		}
	}()
	return l.db.Update(func(tx *bbolt.Tx) error {
		c.reader = reader{tx: tx}
		for i, entry := range entries {
			if entry.Index <= c.applied {
				continue
			}
			c.index, c.term = entry.Index, entry.Term
			command, err := Decode(entry.Data)
			if err != nil {
				return err
			}
			results[i] = command.apply(c)
			c.applied = entry.Index
		}
		c.put(inMeta, []byte("applied"), append(bigEndian(c.index), bigEndian(c.term)...))
		return nil
	})
}

// publish makes a committed change visible: first memory, then whoever waits.
func (l *Ledger) publish(c *change) {
	l.mu.Lock()
	l.memory.index, l.memory.term = max(l.memory.index, c.index), max(l.memory.term, c.term)
	for _, effect := range c.effects {
		effect(l)
	}
	l.mu.Unlock()
	for _, host := range c.hosts {
		for _, hook := range l.hooks() {
			hook(host)
		}
	}
}

// change is the transaction that commands write in.
type change struct {
	reader
	applied     uint64          // the last entry that is behind us
	index, term uint64          // of the entry being applied
	effects     []func(*Ledger) // on memory and watches, after the commit, under mu
	auditor     *Audited        // who the entry being applied is for; nil: nobody
	hosts       []fleet.HostID  // whose description, inventory or evidence changed, in order
}

// unwritten carries an error of the file up to Apply, past commands that have
// no use for it.
type unwritten struct{ err error }

func (c *change) put(b bucket, key, value []byte) {
	if err := c.bucket(b).Put(key, value); err != nil {
		panic(unwritten{fmt.Errorf("write %s: %w", bucketNames[b], err)})
	}
}

func (c *change) delete(b bucket, key []byte) {
	if err := c.bucket(b).Delete(key); err != nil {
		panic(unwritten{fmt.Errorf("delete from %s: %w", bucketNames[b], err)})
	}
}

// after runs effect once the transaction is committed.
func (c *change) after(effect func(*Ledger)) { c.effects = append(c.effects, effect) }

// notify wakes whoever watches the topics, once the transaction is committed.
func (c *change) notify(topics ...Topic) {
	index := c.index
	c.after(func(l *Ledger) {
		for _, topic := range topics {
			l.notify(topic, index)
		}
	})
}

// stored reads a row that commands decide by. A damaged one ends the process.
func stored[T any](c *change, b bucket, key []byte) (T, bool) {
	value, found, err := row[T](&c.reader, b, key)
	if err != nil {
		panic(unwritten{fmt.Errorf("read %s: %w", bucketNames[b], err)})
	}
	return value, found
}

// keys lists the keys in a range, so that they can be deleted one by one.
func (c *change) keys(b bucket, prefix []byte) [][]byte {
	var keys [][]byte
	each(c.bucket(b), prefix, nil, func(k, _ []byte) bool {
		keys = append(keys, append([]byte(nil), k...))
		return true
	})
	return keys
}

// IsRefusal reports whether a result of Apply is a refusal, and returns it.
func IsRefusal(result any) (*fleet.Error, bool) {
	err, ok := result.(error)
	if !ok {
		return nil, false
	}
	return errors.AsType[*fleet.Error](err)
}
