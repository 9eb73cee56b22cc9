package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/bus"
	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/store"
)

// TestSimulation lets a fleet live for a while: clients of up to four nodes do what
// clients do, nodes crash, stop and come back under their names, the bus loses,
// doubles and delays messages, is cut between some of them or away as a whole, a second
// node has the name of one, the cache fails or hangs, or another server takes its place
// without the last writes, and memberlist says of nodes what is so or is not. Twice in a
// life all faults end, and when it has become quiet what must be so is looked at
// (simulation_check_test.go).
//
// What happens is drawn from a seed; what goroutines do at the same moment of the
// simulated clock has no certain order, so a failure may need its seed several times:
//
//	SIMULATION_SEED=17 go test ./server -run TestSimulation -count 20
//	SIMULATION_SEEDS=2000 go test ./server -run TestSimulation
//
// Memberlist itself is not in it: here only what it says of nodes is drawn, also what
// is not so, and told to the bus as cmd/deepstream does. The simulation there has the
// whole of both.
func TestSimulation(t *testing.T) {
	eachSeed(t, 30, func(t *testing.T, seed uint64) { newSimulation(t, seed).play() })
}

// eachSeed plays a number of simulations, a third of it in short tests, or those that
// the environment says.
func eachSeed(t *testing.T, seeds uint64, play func(t *testing.T, seed uint64)) {
	first := uint64(0)
	if testing.Short() {
		seeds /= 3
	}
	if n, err := strconv.ParseUint(os.Getenv("SIMULATION_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	if n, err := strconv.ParseUint(os.Getenv("SIMULATION_SEED"), 10, 64); err == nil {
		first, seeds = n, 1
	}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { play(t, seed) })
		})
	}
}

// simulation is a fleet and its faults. Its clients are the traders of a market too.
type simulation struct {
	*market
	cache   *faultyCache
	gossip  bool // memberlist has a say
	forgets bool // the cache may lose writes
	players []*player
	due     []happening
	doubled bool // two nodes have one name
	serial  int  // of what must be told apart

	writes map[string]map[string]bool // by record and path: whether acknowledged and not lost
	unsure map[string]bool            // writes under way when the cache lost some
	asked  map[string]map[string]int  // by call: how often each provider was asked

	mu      sync.Mutex
	fate    *rand.Rand         // guarded by mu
	crashed map[string]bool    // guarded by mu: names whose messages go nowhere
	apart   map[[2]string]bool // guarded by mu
	loss    float64            // guarded by mu
	twice   float64            // guarded by mu
	delay   time.Duration      // guarded by mu
}

// happening is something that happens later.
type happening struct {
	at time.Time
	do func()
}

const (
	simulatedNodes   = 4
	simulatedPlayers = 8
)

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{
		cache:  &faultyCache{Memory: store.NewMemory(0), random: rand.New(rand.NewPCG(seed, 2))},
		gossip: seed%3 > 0, fate: rand.New(rand.NewPCG(seed, 3)), crashed: make(map[string]bool), apart: make(map[[2]string]bool),
		forgets: seed%4 == 1, writes: make(map[string]map[string]bool), unsure: make(map[string]bool), asked: make(map[string]map[string]int),
	}
	s.market = &market{random: rand.New(rand.NewPCG(seed, 1)), lossy: true, dead: make(map[int]bool), slow: 450}
	s.market.dialogue = &dialogue{t: t, network: bus.NewNetwork(), wants: interest.NewMemory(), cache: s.cache, change: func(c *Config) {
		c.Interest = nil
		c.Listen.Shuffle = true
	}}
	s.network.SetFate(s.decide)
	for range 3 {
		s.addOne()
	}
	return s
}

func (s *simulation) play() {
	defer time.Sleep(time.Second) // for the last answers of the cache, by the simulation's clock
	defer s.stop()
	for range 2 {
		for range 250 {
			s.step()
		}
		s.quiet()
		if s.check(); s.t.Failed() {
			break
		}
	}
	s.checkEmpty()
	if s.t.Failed() {
		s.t.Log("\n" + strings.Join(s.log, "\n"))
	}
}

// decide is what happens to a message of the bus.
func (s *simulation) decide(from, to string) bus.Fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := bus.Fate{
		Lost:  s.crashed[from] || s.crashed[to] || s.apart[[2]string{from, to}] || s.fate.Float64() < s.loss,
		Twice: s.fate.Float64() < s.twice,
	}
	if s.delay > 0 {
		f.Delay = time.Duration(s.fate.Int64N(int64(s.delay)))
	}
	return f
}

func (s *simulation) step() {
	switch n := s.random.IntN(100); {
	case n < 5:
		s.fault()
	case len(s.players) == 0 || n < 12 && len(s.players) < simulatedPlayers:
		s.arrive()
	default:
		s.do(pick(s.random, s.players))
		s.atOnce()
	}
	pause := time.Duration(s.random.IntN(60)) * time.Millisecond
	if s.random.IntN(25) == 0 {
		pause = time.Duration(s.random.IntN(4000)) * time.Millisecond
	}
	s.pass(pause, 5*time.Millisecond)
}

// pass lets time pass, in which what is due happens.
func (s *simulation) pass(d, tick time.Duration) {
	for end := time.Now().Add(d); ; time.Sleep(tick) {
		s.hearAll()
		for i := 0; i < len(s.due); {
			if e := s.due[i]; !time.Now().Before(e.at) {
				s.due = slices.Delete(s.due, i, i+1)
				e.do()
				continue
			}
			i++
		}
		for _, p := range s.players {
			p.session.Heard()
			s.answer(p.trader)
		}
		if !time.Now().Before(end) {
			return
		}
	}
}

// later has something happen after a time of at most d.
func (s *simulation) later(d time.Duration, do func()) {
	s.due = append(s.due, happening{time.Now().Add(time.Duration(s.random.Int64N(int64(d)))), do})
}

// atOnce has a client change its mind several times without a pause, and go perhaps.
func (s *simulation) atOnce() {
	if len(s.players) == 0 || s.random.IntN(10) > 0 {
		return
	}
	s.hearAll()
	p := pick(s.random, s.players)
	name, pattern := s.thing(p.trader)
	user := pick(s.random, simulatedUsers)
	do := []func(){
		func() { s.want(p.trader, name) },
		func() { s.offer(p.trader, pattern) },
		func() { s.follow(p) },
		func() { s.watch(p, user) },
		func() { s.provideOrNot(p, simulatedCalls[0]) },
	}
	for range 1 + s.random.IntN(6) {
		pick(s.random, do[:1+s.random.IntN(len(do))])()
	}
	if s.random.IntN(4) == 0 {
		s.leave(p)
	}
}

func (s *simulation) fault() {
	node := pick(s.random, s.alive())
	faults := 10
	if s.forgets {
		faults = 13
	}
	switch s.random.IntN(faults) {
	case 0, 1:
		if len(s.alive()) > 1 {
			s.end(node, s.random.IntN(2) == 0)
		}
	case 2, 3:
		s.revive()
	case 4:
		s.part()
	case 5:
		loss, twice := []float64{0.02, 0.3}[s.random.IntN(2)], []float64{0, 0.2}[s.random.IntN(2)]
		s.weather(loss, twice, []time.Duration{0, 5 * time.Millisecond, 400 * time.Millisecond}[s.random.IntN(3)])
		s.later(10*time.Second, func() { s.weather(0, 0, 0) })
	case 6:
		s.note("the bus is away")
		s.network.SetAway(true)
		s.later(10*time.Second, s.busBack)
	case 7:
		s.note("the cache fails")
		s.cache.set(failing)
		s.later(5*time.Second, s.cacheBack)
	case 8:
		s.note("the cache hangs")
		s.cache.set(hanging)
		s.later(5*time.Second, s.cacheBack)
	case 9:
		s.double(node)
	case 10, 11, 12:
		kept := s.cache.records()
		s.later(4*time.Second, func() { s.failover(kept) })
	}
}

// failover has a server take the place of the cache's that has older records.
func (s *simulation) failover(kept map[string]store.Record) {
	s.note("the cache has lost writes")
	s.cache.replace(kept)
	for record, writes := range s.writes {
		for path := range writes {
			if !strings.Contains(kept[record].Data, `"`+path+`"`) {
				writes[path] = false
			}
		}
	}
	for _, p := range s.players {
		for id := range p.pending {
			s.unsure[id] = true
		}
	}
}

// double starts a second node with the name of one, which has clients too, and ends
// it after a while.
func (s *simulation) double(node int) {
	name := s.nodes[node-1].config.Name
	if s.doubled {
		return
	}
	s.doubled = true
	s.note("another %s comes", name)
	n, stop := s.startNode(name)
	ctx, cancel := context.WithCancel(context.Background())
	s.running.Go(func() { _ = n.peers.interest.Run(ctx) })
	for range s.random.IntN(3) {
		s.arriveAt(n)
	}
	crash := s.random.IntN(2) == 0
	s.later(12*time.Second, func() {
		s.note("the other %s ends, crashes %v", name, crash)
		s.mu.Lock()
		was := s.crashed[name]
		s.crashed[name] = was || crash
		s.mu.Unlock()
		s.forget(n)
		stop()
		cancel()
		synctest.Wait()
		s.mu.Lock()
		s.crashed[name] = was
		s.mu.Unlock()
		s.doubled = false
	})
}

// forget forgets the clients of a node.
func (s *simulation) forget(n *Server) {
	s.players = slices.DeleteFunc(s.players, func(p *player) bool { return p.node == n })
	s.traders = slices.DeleteFunc(s.traders, func(w *trader) bool { return w.node == n })
	s.clients = slices.DeleteFunc(s.clients, func(c *client) bool { return c.node == n })
}

func (s *simulation) weather(loss, twice float64, delay time.Duration) {
	s.note("of messages %.2f are lost, %.2f come twice, late by %v", loss, twice, delay)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loss, s.twice, s.delay = loss, twice, delay
}

func (s *simulation) busBack() {
	s.note("the bus is not away")
	s.network.SetAway(false)
}

func (s *simulation) cacheBack() {
	s.note("the cache works")
	s.cache.set(working)
}

// part cuts some nodes off from the others: on the bus, for memberlist, or both.
func (s *simulation) part() {
	var here, there []string
	for _, i := range s.alive() {
		name := s.nodes[i-1].config.Name
		if s.random.IntN(2) == 0 {
			here = append(here, name)
		} else {
			there = append(there, name)
		}
	}
	onBus, inGossip := s.random.IntN(3) > 0, s.random.IntN(2) == 0
	s.note("%v and %v are apart, on the bus %v, in the gossip %v", here, there, onBus, inGossip)
	for _, a := range here {
		for _, b := range there {
			if onBus {
				s.mu.Lock()
				s.apart[[2]string{a, b}], s.apart[[2]string{b, a}] = true, true
				s.mu.Unlock()
			}
			if inGossip {
				s.later(4*time.Second, func() { s.verdict(a, b, false) })
				s.later(4*time.Second, func() { s.verdict(b, a, false) })
			}
		}
	}
	s.later(15*time.Second, s.heal)
}

func (s *simulation) heal() {
	s.note("nobody is apart")
	s.mu.Lock()
	clear(s.apart)
	s.mu.Unlock()
	for _, i := range s.alive() {
		name := s.nodes[i-1].config.Name
		s.later(time.Second, func() { s.verdicts(name) })
	}
}

// verdicts has all nodes told what is so of a node.
func (s *simulation) verdicts(of string) {
	for _, i := range s.alive() {
		s.verdict(s.nodes[i-1].config.Name, of, slices.ContainsFunc(s.alive(), func(i int) bool { return s.nodes[i-1].config.Name == of }))
	}
}

// verdict has a node, if it lives, told by memberlist whether another one does.
func (s *simulation) verdict(to, of string, alive bool) {
	for _, i := range s.alive() {
		if n := s.nodes[i-1]; s.gossip && to != of && n.config.Name == to {
			n.config.Bus.(*bus.Memory).Verdict(of, alive)
		}
	}
}

// end ends a node, which tells the others if it does not crash.
func (s *simulation) end(node int, crash bool) {
	n := s.nodes[node-1]
	s.note("%s ends, crashes %v", n.config.Name, crash)
	s.mu.Lock()
	s.crashed[n.config.Name] = crash
	s.mu.Unlock()
	s.dead[node] = true
	s.forget(n)
	s.kill(node)
	synctest.Wait() // what it still says is lost if it crashes
	s.later(4*time.Second, func() { s.verdicts(n.config.Name) })
}

// revive starts a node that ended again, or one more.
func (s *simulation) revive() {
	if len(s.dead) == 0 {
		if len(s.nodes) < simulatedNodes {
			s.addOne()
		}
		return
	}
	var ended []int
	for i := range s.nodes {
		if s.dead[i+1] {
			ended = append(ended, i)
		}
	}
	i := pick(s.random, ended)
	name := s.nodes[i].config.Name
	s.note("%s comes back", name)
	s.mu.Lock()
	delete(s.crashed, name)
	s.mu.Unlock()
	delete(s.dead, i+1)
	s.nodes[i], s.stops[i] = s.startNode(name)
	s.join(i)
	s.later(time.Second, func() { s.verdicts(name) })
}

func (s *simulation) addOne() {
	s.addNode()
	s.joinLast()
	name := fmt.Sprint("node-", len(s.nodes))
	s.note("%s comes", name)
	s.later(time.Second, func() { s.verdicts(name) })
}

// quiet ends all faults and returns when their consequences must be over.
func (s *simulation) quiet() {
	s.note("all faults end")
	s.pass(15*time.Second, 20*time.Millisecond) // and those that are to end do
	for _, i := range s.alive() {
		s.verdicts(s.nodes[i-1].config.Name)
	}
	s.pass(2*time.Minute, 50*time.Millisecond)
	for _, p := range s.players {
		s.readFailed(p)
	}
	s.pass(5*time.Second, 50*time.Millisecond)
}

// state is how a cache does.
type state int

const (
	working state = iota
	failing
	hanging
)

// faultyCache is a cache with a way to it, on which an answer can be lost.
type faultyCache struct {
	*store.Memory

	mu     sync.Mutex
	state  state      // guarded by mu
	random *rand.Rand // guarded by mu
	server int        // guarded by mu: counts those that took another's place
}

var errCache = errors.New("the cache is away")

func (c *faultyCache) set(s state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
}

// way is the time to the cache, or from it.
func (c *faultyCache) way(ctx context.Context) error {
	c.mu.Lock()
	s, pause := c.state, time.Duration(c.random.IntN(1000))*time.Microsecond
	c.mu.Unlock()
	switch s {
	case failing:
		return errCache
	case hanging:
		<-ctx.Done()
		return ctx.Err()
	}
	time.Sleep(pause)
	return nil
}

// records returns what it holds.
func (c *faultyCache) records() map[string]store.Record {
	all := make(map[string]store.Record)
	for _, name := range simulatedRecords {
		if r, err := c.Memory.Get(context.Background(), name); err == nil && r.Exists() {
			all[name] = r
		}
	}
	return all
}

// replace puts another server in place of the one that there is.
func (c *faultyCache) replace(all map[string]store.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server++
	for _, name := range simulatedRecords {
		if r, ok := all[name]; ok {
			_ = c.Memory.Put(context.Background(), name, r)
		} else {
			_ = c.Memory.Delete(context.Background(), name)
		}
	}
}

func (c *faultyCache) Generation(ctx context.Context) (string, error) {
	if err := c.way(ctx); err != nil {
		return "", err
	}
	c.mu.Lock()
	server := c.server
	c.mu.Unlock()
	return strconv.Itoa(server), c.way(ctx)
}

func (c *faultyCache) Get(ctx context.Context, name string) (store.Record, error) {
	if err := c.way(ctx); err != nil {
		return store.Record{Version: store.Missing}, err
	}
	r, err := c.Memory.Get(ctx, name)
	return r, errors.Join(err, c.way(ctx))
}

func (c *faultyCache) CompareAndPut(ctx context.Context, name string, old int64, r store.Record) (store.Record, bool, error) {
	if err := c.way(ctx); err != nil {
		return store.Record{Version: store.Missing}, false, err
	}
	current, ok, err := c.Memory.CompareAndPut(ctx, name, old, r)
	return current, ok, errors.Join(err, c.way(ctx))
}

func (c *faultyCache) Versions(ctx context.Context, names []string) ([]int64, error) {
	if err := c.way(ctx); err != nil {
		return nil, err
	}
	v, err := c.Memory.Versions(ctx, names)
	return v, errors.Join(err, c.way(ctx))
}
