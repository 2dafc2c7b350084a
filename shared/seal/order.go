package seal

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// OrderID returns the id that the order or event of an author's id has on a
// host for a task, so that a host knows it again whatever a collector calls it.
// Several tasks of a host may wait for one event.
func OrderID(id string, host fleet.HostID, task fleet.TaskID) fleet.OrderID {
	return fleet.OrderID(derive("order", id, string(host), string(task)))
}

// RunID returns the id of the run that an order or event makes of a task on a host.
func RunID(id string, host fleet.HostID, task fleet.TaskID) fleet.RunID {
	return fleet.RunID(derive("run", id, string(host), string(task)))
}

// HookRunID returns the id of the run of an order that nobody signed: it cannot be
// made to be another run's.
func HookRunID(order fleet.OrderID, host fleet.HostID, task fleet.TaskID) fleet.RunID {
	return fleet.RunID(derive("hook", string(order), string(host), string(task)))
}

// derive returns a UUID of version 8 (RFC 9562) made from the words.
func derive(words ...string) string {
	hash := sha256.New()
	for _, word := range words {
		hash.Write([]byte(word))
		hash.Write([]byte{0})
	}
	sum := hash.Sum(nil)[:16]
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	text := hex.EncodeToString(sum)
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
