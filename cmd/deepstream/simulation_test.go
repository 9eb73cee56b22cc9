package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/bus"
	"github.com/dsproxy/dsproxy/server/store"
)

// TestSimulation lets a fleet live for a while with all its parts but sockets: nodes
// as this program makes them, which find each other by memberlist over a network in
// memory, joined by a bus in memory; two proxies' view of them; and clients, which
// come by WebSocket to a node that a proxy knows. Nodes are killed and come back
// under their names, at their addresses or at others, or stop in order; the network
// of the gossip and the bus lose and delay what they carry, are cut between some
// members, in one direction or both, the one without the other or both. Twice in a
// life all faults end, and when it has become quiet what must be so is looked at, and
// then once more while one node after the other joins, leaves and dies
// (simulation_check_test.go).
//
// What happens is drawn from a seed; memberlist draws from a source of its own, and
// what goroutines do at the same moment of the simulated clock has no certain order,
// so a failure may need its seed several times:
//
//	SIMULATION_SEED=17 go test ./cmd/deepstream -run TestSimulation -count 20
//	SIMULATION_SEEDS=300 go test ./cmd/deepstream -run TestSimulation
//
// SIMULATION_FROM is the first of several seeds.
func TestSimulation(t *testing.T) {
	// What waits for signals is started once, and not in a bubble.
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	signal.Stop(c)

	number := func(name string, otherwise uint64) uint64 {
		if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
			return n
		}
		return otherwise
	}
	first, seeds := number("SIMULATION_FROM", 0), number("SIMULATION_SEEDS", 20)
	if testing.Short() {
		seeds = min(seeds, 6)
	}
	if one := number("SIMULATION_SEED", 1<<63); one != 1<<63 {
		first, seeds = one, 1
	}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newSimulation(t, seed).play() })
		})
	}
}

// simulation is a fleet, its clients and its faults. One goroutine acts for all.
type simulation struct {
	t       *testing.T
	seed    uint64
	random  *rand.Rand
	wires   *wires
	bus     *bus.Network
	cache   *store.Memory
	key     string
	join    []string
	running sync.WaitGroup
	began   time.Time

	nodes   map[string]*simulatedNode // those that live, by name
	names   []string                  // of all that ever lived
	ended   map[string]*simulatedNode // the last run of those that do not live
	proxies []*simulatedProxy
	players []*player
	due     []happening
	serial  int
	lastIP  byte

	versions     map[string]map[int64]string // of records, as clients were told
	acknowledged map[string]int64            // writes, by record

	mu      sync.Mutex
	log     []string             // guarded by mu
	fate    *rand.Rand           // guarded by mu
	crashed map[string]time.Time // guarded by mu: names whose messages go nowhere on the bus
	apart   map[[2]string]bool   // guarded by mu: on the bus, from a node to another
	loss    float64              // guarded by mu: on the bus
	delay   time.Duration        // guarded by mu: on the bus
	busAway time.Time            // guarded by mu: until when the bus was last away
	trouble time.Time            // guarded by mu: when the gossip was last known to have any
}

// happening is something that happens later.
type happening struct {
	at time.Time
	do func()
}

const (
	simulatedNodes   = 5
	simulatedPlayers = 8
)

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{
		t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 1)), fate: rand.New(rand.NewPCG(seed, 2)),
		wires: newWires(rand.New(rand.NewPCG(seed, 3))), bus: bus.NewNetwork(), cache: store.NewMemory(0), began: time.Now(),
		join:  []string{"10.0.1.1", "10.0.0.1", "10.0.0.2"},
		nodes: make(map[string]*simulatedNode), ended: make(map[string]*simulatedNode),
		versions: make(map[string]map[int64]string), acknowledged: make(map[string]int64),
		crashed: make(map[string]time.Time), apart: make(map[[2]string]bool),
	}
	if seed%4 == 0 {
		s.key = "MDEyMzQ1Njc4OWFiY2RlZg=="
	}
	s.bus.SetFate(s.decide)
	for i := range 2 {
		s.proxies = append(s.proxies, s.startProxy(fmt.Sprint("p-", i+1), netip.AddrFrom4([4]byte{10, 0, 1, byte(i + 1)})))
	}
	for range 3 + s.random.IntN(2) {
		s.addNode()
	}
	return s
}

func (s *simulation) play() {
	defer s.end()
	for range 2 {
		for range 300 {
			s.step()
		}
		s.quiet()
		s.check()
		if s.t.Failed() {
			return
		}
	}
}

// end ends all and waits for it. What has failed is told.
func (s *simulation) end() {
	s.troubled() // the proxies go, too
	for _, p := range s.players {
		p.drop()
	}
	for _, n := range s.nodes {
		n.stop()
	}
	for _, p := range s.proxies {
		p.stop()
	}
	s.running.Wait()
	time.Sleep(10 * time.Second) // questions of memberlist end with their time-out
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.t.Failed() {
		s.t.Logf("SIMULATION_SEED=%d go test ./cmd/deepstream -run TestSimulation -count 20\n%s", s.seed, strings.Join(s.log, "\n"))
	}
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func (s *simulation) id(prefix string) string {
	s.serial++
	return fmt.Sprint(prefix, s.serial)
}

func (s *simulation) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, fmt.Sprintf("%8.3f ", time.Since(s.began).Seconds())+fmt.Sprintf(format, args...))
}

func (s *simulation) wrong(format string, args ...any) {
	s.t.Helper()
	s.note("WRONG: "+format, args...)
	s.t.Errorf("%8.3f "+format, append([]any{time.Since(s.began).Seconds()}, args...)...)
}

// alive are the names of the nodes that live.
func (s *simulation) alive() (names []string) {
	for _, name := range s.names {
		if s.nodes[name] != nil {
			names = append(names, name)
		}
	}
	return names
}

// nameAt is the name of the node that lives at an address of clients.
func (s *simulation) nameAt(addr string) string {
	for name, n := range s.nodes {
		if n.addr() == addr {
			return name
		}
	}
	return "nobody"
}

// decide is what happens to a message of the bus.
func (s *simulation) decide(from, to string) bus.Fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, fromDead := s.crashed[from]
	_, toDead := s.crashed[to]
	f := bus.Fate{Lost: fromDead || toDead || s.apart[[2]string{from, to}] || s.fate.Float64() < s.loss}
	if s.delay > 0 {
		f.Delay = time.Duration(s.fate.Int64N(int64(s.delay)))
	}
	return f
}

func (s *simulation) step() {
	connected := slices.DeleteFunc(slices.Clone(s.players), func(p *player) bool { return !p.ready })
	switch n := s.random.IntN(100); {
	case n < 5:
		s.fault()
	case n < 12 && len(s.players) < simulatedPlayers:
		user := pick(s.random, []string{"al", "bo", "cy", "di"})
		s.players = append(s.players, s.newPlayer(user))
	case n < 15 && len(s.players) > 0:
		s.leave(pick(s.random, s.players))
	case len(connected) > 0:
		pick(s.random, connected).act()
	}
	pause := time.Duration(s.random.IntN(100)) * time.Millisecond
	if s.random.IntN(25) == 0 {
		pause = time.Duration(s.random.IntN(5000)) * time.Millisecond
	}
	s.pass(pause, 5*time.Millisecond)
}

func (s *simulation) leave(p *player) {
	s.note("%s goes", p.name)
	p.drop()
	s.players = slices.DeleteFunc(s.players, func(o *player) bool { return o == p })
}

// pass lets time pass, in which what is due happens.
func (s *simulation) pass(d, tick time.Duration) {
	for end := time.Now().Add(d); ; time.Sleep(tick) {
		for i := 0; i < len(s.due); {
			if e := s.due[i]; !time.Now().Before(e.at) {
				s.due = slices.Delete(s.due, i, i+1)
				e.do()
				continue
			}
			i++
		}
		for _, p := range slices.Clone(s.players) {
			p.hear()
			p.comeBack()
		}
		s.checkDead()
		if !time.Now().Before(end) {
			return
		}
	}
}

// later has something happen after a time of at most d.
func (s *simulation) later(d time.Duration, do func()) {
	s.due = append(s.due, happening{time.Now().Add(time.Duration(s.random.Int64N(int64(d)))), do})
}

func (s *simulation) addNode() *simulatedNode {
	name := fmt.Sprint("node-", len(s.names)+1)
	s.names = append(s.names, name)
	return s.bring(name, s.newIP())
}

func (s *simulation) newIP() netip.Addr {
	s.lastIP++
	return netip.AddrFrom4([4]byte{10, 0, 0, s.lastIP})
}

func (s *simulation) bring(name string, ip netip.Addr) *simulatedNode {
	s.note("%s comes at %s", name, ip)
	s.mu.Lock()
	delete(s.crashed, name)
	s.mu.Unlock()
	delete(s.ended, name)
	n := s.startNode(name, ip)
	s.nodes[name] = n
	return n
}

// kill has a node vanish without a word.
func (s *simulation) kill(name string) {
	n := s.nodes[name]
	machine := s.random.IntN(2) == 0
	s.note("%s is killed, its machine too: %v", name, machine)
	s.mu.Lock()
	s.crashed[name] = time.Now()
	s.mu.Unlock()
	n.host.kill(machine)
	n.stop()
	delete(s.nodes, name)
	s.ended[name] = n
}

// stopInOrder is SIGTERM.
func (s *simulation) stopInOrder(name string) *simulatedNode {
	n := s.nodes[name]
	s.note("%s is told to stop", name)
	n.stop()
	delete(s.nodes, name)
	s.ended[name] = n
	return n
}
