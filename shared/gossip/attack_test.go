package gossip

import (
	"bytes"
	"compress/lzw"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// pass is a ticket in these tests.
func pass(name, role string) string { return "ticket of " + role + " " + name }

var errStranger = errors.New("the ticket is another's")

func admitPass(name, role, ticket string) error {
	if ticket != pass(name, role) {
		return errStranger
	}
	return nil
}

// guarded makes a member that asks for tickets and has one.
func guarded(role string) func(*Config) {
	return func(cfg *Config) {
		cfg.Role, cfg.Ticket, cfg.Admit = role, pass(cfg.Name, role), admitPass
	}
}

// records is a log that a test reads.
type records struct {
	mu    sync.Mutex
	lines []string
}

func (r *records) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, string(line))
	return len(line), nil
}

func (r *records) count(text string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func (r *records) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(r, nil)) }

// rogue is a serf member with the key and without our rules.
func rogue(t *testing.T, name string, tags map[string]string, of *Mesh) *serf.Serf {
	t.Helper()
	list := memberlist.DefaultLANConfig()
	list.BindAddr, list.BindPort, list.AdvertisePort = "127.0.0.1", 0, 0
	list.SecretKey, list.Label = testKey, "fleetcron/test"
	list.LogOutput, list.Logger = nil, newLogLines(slog.New(slog.DiscardHandler)).logger()
	conf := serf.DefaultConfig()
	conf.NodeName, conf.Tags, conf.MemberlistConfig = name, tags, list
	conf.LogOutput, conf.Logger = nil, list.Logger
	conf.ProtocolVersion = serf.ProtocolVersionMax
	hurry(conf)
	s, err := serf.Create(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Leave()
		s.Shutdown()
	})
	s.Join([]string{of.Addr().String()}, true)
	return s
}

// settle waits until a knock went from one member to another: whatever was on
// its way before has arrived too.
func settle(t *testing.T, from, to *Mesh) {
	t.Helper()
	from.Knock(to.name)
	await(t, to, map[string]EventKind{"": Knock})
}

func TestAttack105_StrangersPacketsAreDroppedAndCounted(t *testing.T) {
	var lines records
	here := join(t, "here", func(cfg *Config) { cfg.Logger = lines.logger() })
	socket, err := net.Dial("udp", here.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	const packets = 200
	for range packets {
		socket.Write([]byte("hello, I have no key"))
	}
	other := join(t, "other", func(cfg *Config) { cfg.Label = "fleetcron/other" })
	other.joinSeed(here.Addr().String())
	untilTrue(t, "strangers are counted", func() bool { return here.Counts().Unreadable >= packets/2 })
	if n := lines.count(`"component"`); n == 0 || n > linesBurst+2 {
		t.Errorf("%d lines about them", n)
	}
	if n := len(here.Members()); n != 1 {
		t.Errorf("%d members", n)
	}
}

func TestAttack106_NoTicketNoMember(t *testing.T) {
	var lines records
	first := join(t, "first", func(cfg *Config) { guarded("collector")(cfg); cfg.Logger = lines.logger() })
	second := join(t, "second", func(cfg *Config) {
		guarded("agent")(cfg)
		cfg.Seeds = []string{first.Addr().String()}
	})
	await(t, first, map[string]EventKind{"second": Joined})
	await(t, second, map[string]EventKind{"first": Joined})
	for name, tags := range map[string]map[string]string{
		"without":        {"role": "agent"},
		"with-anothers":  {"role": "agent", "t": pass("second", "agent")},
		"of-other-role":  {"role": "collector", "t": pass("of-other-role", "agent")},
		"without-a-role": {"t": pass("without-a-role", "agent")},
	} {
		rogue(t, name, tags, first)
		untilTrue(t, name+" was refused", func() bool { return lines.count(`"member":"`+name+`"`) > 0 })
		settle(t, first, second)
		for _, m := range []*Mesh{first, second} {
			if status := statusOf(m, name); status != "" {
				t.Errorf("%s sees %s as %s", m.name, name, status)
			}
		}
		if n := lines.count(`"member":"` + name + `"`); n != 1 {
			t.Errorf("%s: %d lines, want one", name, n)
		}
	}
	if lines.count("gossip_ticket") == 0 || first.Counts().Refused == 0 {
		t.Error("no code, or no count")
	}
}

// TestTicketThatRunsOutMakesItsMemberNobody, and a new one brings it back.
func TestTicketThatRunsOutMakesItsMemberNobody(t *testing.T) {
	var old atomic.Bool // the ticket called "old" has run out
	admit := func(name, role, ticket string) error {
		if ticket == "old" && old.Load() {
			return errors.New("it has run out")
		}
		return nil
	}
	here := join(t, "here", func(cfg *Config) { cfg.Role, cfg.Admit = "collector", admit })
	there := join(t, "there", func(cfg *Config) {
		cfg.Role, cfg.Admit, cfg.Ticket, cfg.Seeds = "agent", admit, "old", []string{here.Addr().String()}
	})
	await(t, here, map[string]EventKind{"there": Joined})
	old.Store(true)
	if status := statusOf(here, "there"); status != "" {
		t.Errorf("it is still %s", status)
	}
	if err := there.SetTicket("new"); err != nil {
		t.Fatal(err)
	}
	await(t, here, map[string]EventKind{"there": Updated})
	if status := statusOf(here, "there"); status != StatusAlive {
		t.Errorf("with a new ticket it is %q", status)
	}
}

// TestOneStaleMemberKeepsNobodyApart: the list of who joins may hold members
// whose tickets have run out. They stay outside; the others meet.
func TestOneStaleMemberKeepsNobodyApart(t *testing.T) {
	var stale atomic.Bool
	admit := func(name, role, ticket string) error {
		if name == "stale" && stale.Load() {
			return errors.New("it has run out")
		}
		return nil
	}
	left := join(t, "left", func(cfg *Config) { cfg.Admit = admit })
	join(t, "stale", func(cfg *Config) { cfg.Seeds = []string{left.Addr().String()} })
	await(t, left, map[string]EventKind{"stale": Joined})
	stale.Store(true)
	right := join(t, "right", func(cfg *Config) { cfg.Admit, cfg.Seeds = admit, []string{left.Addr().String()} })
	await(t, right, map[string]EventKind{"left": Joined})
	await(t, left, map[string]EventKind{"right": Joined})
	if !right.joinSeed(left.Addr().String()) {
		t.Error("they do not tell each other their whole state")
	}
	if status := statusOf(right, "stale"); status != "" {
		t.Errorf("the stale one is %s", status)
	}
}

// message is a serf message as its sender would write it.
func message(t *testing.T, kind byte, body map[string]any) []byte {
	t.Helper()
	packet := bytes.NewBuffer([]byte{kind})
	handle := codec.MsgpackHandle{}
	if err := codec.NewEncoder(packet, &handle).Encode(body); err != nil {
		t.Fatal(err)
	}
	return packet.Bytes()
}

func TestAttack108_ForgedWordsHarmNobody(t *testing.T) {
	members := mesh(t, 3, guarded("agent"))
	liar := rogue(t, "liar", map[string]string{"role": "agent", "t": pass("liar", "agent")}, members[0])
	for _, m := range members {
		await(t, m, map[string]EventKind{"liar": Joined})
	}

	t.Run("keys", func(t *testing.T) {
		manager := liar.KeyManager()
		other := bytes.Repeat([]byte{9}, KeySize)
		for what, do := range map[string]func(string) (*serf.KeyResponse, error){
			"install": manager.InstallKey, "use": manager.UseKey, "remove": manager.RemoveKey,
		} {
			key := other
			if what == "remove" {
				key = testKey
			}
			if response, _ := do(base64Of(key)); response != nil && response.NumResp > 1 {
				t.Errorf("%s: %d members answered", what, response.NumResp-1)
			}
		}
		for _, m := range members {
			if keys := m.keys.GetKeys(); len(keys) != 1 || !bytes.Equal(keys[0], testKey) {
				t.Errorf("%s has other keys", m.name)
			}
		}
	})
	t.Run("goodbye in another's name", func(t *testing.T) {
		for _, prune := range []bool{false, true} {
			leave := message(t, messageLeave, map[string]any{"LTime": uint64(1000), "Node": "member-2", "Prune": prune})
			for _, m := range members {
				sendAs(t, liar, m, leave)
			}
		}
		settle(t, members[2], members[0])
		settle(t, members[2], members[1])
		for _, m := range members {
			if status := statusOf(m, "member-2"); status != StatusAlive {
				t.Errorf("%s sees member-2 as %q", m.name, status)
			}
		}
	})
	t.Run("same name elsewhere", func(t *testing.T) {
		rogue(t, "member-2", map[string]string{"role": "agent", "t": pass("member-2", "agent")}, members[0])
		settle(t, members[2], members[0])
		if members[2].serf.State() != serf.SerfAlive {
			t.Error("the member shut itself down")
		}
		for _, m := range members {
			for _, member := range m.Members() {
				if member.Name == "member-2" && (member.Addr != members[2].Addr() || member.Status != StatusAlive) {
					t.Errorf("%s sees member-2 at %s as %s", m.name, member.Addr, member.Status)
				}
			}
		}
	})
}

// sendAs sends a message of serf's from a rogue to a member.
func sendAs(t *testing.T, from *serf.Serf, to *Mesh, message []byte) {
	t.Helper()
	for _, node := range from.Memberlist().Members() {
		if node.Name == to.name {
			if err := from.Memberlist().SendReliable(node, message); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestSieveLetsThroughWhatIsNeededOnly(t *testing.T) {
	for name, test := range map[string]struct {
		message []byte
		passes  bool
	}{
		"nothing":          {nil, false},
		"join":             {[]byte{messageJoin}, true},
		"knock":            {[]byte{messageUserEvent}, true},
		"query":            {[]byte{messageQuery}, false},
		"answer":           {[]byte{5}, false},
		"relay":            {[]byte{9}, false},
		"unheard of":       {[]byte{77}, false},
		"state by message": {[]byte{2}, false},
		"goodbye":          {message(t, messageLeave, map[string]any{"LTime": 1, "Node": "x"}), true},
		"goodbye for ever": {message(t, messageLeave, map[string]any{"LTime": 1, "Node": "x", "Prune": true}), false},
		"goodbye, garbage": {[]byte{messageLeave, 0xc1}, false},
	} {
		if got := passes(test.message); got != test.passes {
			t.Errorf("%s: passes %v", name, got)
		}
	}
}

func TestAttack109_BombsAreSmall(t *testing.T) {
	var lines records
	here := join(t, "here", func(cfg *Config) { cfg.Logger = lines.logger() })
	before := heap()
	throw := func(bomb []byte) {
		socket, err := net.Dial("udp", here.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		socket.Write(bomb)
		socket.Close()
	}
	large, small := encrypted(t, bombOf(t, 60_000)), encrypted(t, bombOf(t, 100))
	var again time.Time
	untilTrue(t, "a bomb went off", func() bool {
		if time.Now().After(again) { // a datagram may be lost
			throw(large)
			again = time.Now().Add(10 * time.Second)
		}
		return lines.count("larger than limit") > 0
	})
	for range 1000 {
		throw(small)
	}
	there := join(t, "there", func(cfg *Config) { cfg.Seeds = []string{here.Addr().String()} })
	await(t, here, map[string]EventKind{"there": Joined})
	await(t, there, map[string]EventKind{"here": Joined})
	if grown := int64(heap()) - int64(before); grown > 48<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// bombOf returns a compressed message of about size bytes that unfolds to as
// many zeros as it can hold.
func bombOf(t *testing.T, size int) []byte {
	t.Helper()
	var packed bytes.Buffer
	writer := lzw.NewWriter(&packed, lzw.LSB, 8)
	zeros := make([]byte, 1<<10)
	for packed.Len() < size {
		writer.Write(zeros)
	}
	writer.Close()
	return message(t, 9, map[string]any{"Algo": 0, "Buf": packed.Bytes()}) // 9: compressed, to memberlist
}

// encrypted wraps a message as a member does: label, version 1, nonce, AES-GCM.
func encrypted(t *testing.T, plain []byte) []byte {
	t.Helper()
	return append(append([]byte{244, byte(len("fleetcron/test"))}, "fleetcron/test"...), seal(t, testKey, plain, []byte("fleetcron/test"))...)
}

func seal(t *testing.T, key, plain, label []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, 1+gcm.NonceSize())
	packet[0] = 1
	rand.Read(packet[1:])
	return gcm.Seal(packet, packet[1:], plain, label)
}

func base64Of(key []byte) string { return base64.StdEncoding.EncodeToString(key) }

func TestStreamsOfStrangersAreBounded(t *testing.T) {
	here := join(t, "here", nil)
	var conns []net.Conn
	for range streamsMax + 8 {
		conn, err := net.Dial("tcp", here.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	closed := make(chan struct{}, len(conns))
	for _, conn := range conns {
		go func() {
			if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, net.ErrClosed) {
				closed <- struct{}{}
			}
		}()
	}
	for range 8 { // those beyond the limit; the others are closed later, by their time-out
		<-closed
	}
}

func TestStreamEndsAtItsLimit(t *testing.T) {
	stream := &boundedStream{Conn: endless{}, left: 10, free: func() {}}
	read, n := make([]byte, 8), 0
	for {
		some, err := stream.Read(read)
		n += some
		if err != nil {
			break
		}
	}
	if n != 10 {
		t.Errorf("%d bytes were read", n)
	}
}

type endless struct{ net.Conn }

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestRotationWithoutAMissedBeat takes four members through a whole rotation,
// one step after the other as they hear of it, and looks whether anyone fails.
func TestRotationWithoutAMissedBeat(t *testing.T) {
	rings := map[string]*Ring{}
	members := mesh(t, 4, func(cfg *Config) {
		rings[cfg.Name] = NewRing(testKey)
		cfg.Ring = rings[cfg.Name]
	})
	var failed atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	heard := make([]chan struct{}, len(members))
	for i, m := range members {
		heard[i] = make(chan struct{}, 64)
		watching.Go(func() {
			for {
				select {
				case event := <-m.Events():
					if event.Kind == Failed {
						failed.Add(1)
					}
					if event.Kind == Knock {
						heard[i] <- struct{}{}
					}
				case <-ctx.Done():
					return
				}
			}
		})
	}
	now := time.Now()
	leader := NewRing(testKey)
	if err := leader.Rotate(now); err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Duration{0, installFor, installFor + useFor} {
		if _, err := leader.Step(now.Add(at)); err != nil {
			t.Fatal(err)
		}
		for i, m := range members { // one after the other: in between they differ
			if err := rings[m.name].Take(leader.Texts()); err != nil {
				t.Fatal(err)
			}
			untilTrue(t, "the library has the ring", func() bool { return len(m.keys.GetKeys()) == len(leader.Texts()) })
			members[(i+1)%len(members)].Knock(m.name)
			<-heard[i]
		}
	}
	cancel()
	watching.Wait()
	if n := failed.Load(); n != 0 {
		t.Errorf("%d members were thought to fail", n)
	}
	for _, m := range members {
		if keys := m.keys.GetKeys(); len(keys) != 1 || bytes.Equal(keys[0], testKey) {
			t.Errorf("%s has not the new key alone", m.name)
		}
	}
}

// TestSleeperIsDeafUntilItHasTheRing: it missed the whole rotation, and is back
// as soon as it has fetched the ring.
func TestSleeperIsDeafUntilItHasTheRing(t *testing.T) {
	fresh := NewRing(NewKey())
	here := join(t, "here", func(cfg *Config) { cfg.Ring = fresh })
	ring := NewRing(testKey)
	sleeper := join(t, "sleeper", func(cfg *Config) { cfg.Ring, cfg.Seeds = ring, []string{here.Addr().String()} })
	if sleeper.joinSeed(here.Addr().String()) {
		t.Fatal("it joined with the old key")
	}
	if err := ring.Take(fresh.Texts()); err != nil {
		t.Fatal(err)
	}
	await(t, here, map[string]EventKind{"sleeper": Joined})
	await(t, sleeper, map[string]EventKind{"here": Joined})
}

func TestKnocksWithoutNeedAreFew(t *testing.T) {
	p := patience{left: knocksBurst}
	now := time.Now()
	given := 0
	for range 600 { // a knock each 100 ms, for a minute
		if p.wait(now) == 0 {
			p.left--
			given++
		}
		now = now.Add(100 * time.Millisecond)
	}
	if most := knocksBurst + int(time.Minute/knocksEvery) + 1; given > most || given < knocksBurst {
		t.Errorf("%d knocks in a minute, want at most %d", given, most)
	}
}

// TestRefusalIsNoStorm counts how often members ask about one that they
// refuse, while it goes on calling all of them.
func TestRefusalIsNoStorm(t *testing.T) {
	var asked atomic.Int64
	members := mesh(t, 5, func(cfg *Config) {
		cfg.Role, cfg.Ticket = "agent", pass(cfg.Name, "agent")
		cfg.Admit = func(name, role, ticket string) error {
			if name == "stranger" {
				asked.Add(1)
			}
			return admitPass(name, role, ticket)
		}
	})
	stranger := join(t, "stranger", func(cfg *Config) { // it lets everyone in, and nobody lets it in
		for _, m := range members {
			cfg.Seeds = append(cfg.Seeds, m.Addr().String())
		}
	})
	for range 20 {
		for _, m := range members {
			stranger.joinSeed(m.Addr().String())
		}
	}
	for i, m := range members {
		settle(t, members[(i+1)%len(members)], m)
		if status := statusOf(m, "stranger"); status != "" {
			t.Errorf("%s sees it as %s", m.name, status)
		}
	}
	t.Logf("asked %d times about %d calls", asked.Load(), 21*len(members))
	if n := asked.Load(); n > 20*21*int64(len(members)) {
		t.Errorf("members asked %d times: that is a storm", n)
	}
}

func untilTrue(t *testing.T, what string, is func() bool) {
	t.Helper()
	late := time.After(2 * time.Minute)
	for !is() {
		select {
		case <-late:
			t.Fatalf("in vain: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
