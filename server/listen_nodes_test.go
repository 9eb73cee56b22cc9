package server

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/bus"
	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
)

// TestListenNodes has clients of up to four nodes listen and subscribe at random, and
// nodes come and die, while the nodes hear of each other late. Once all is quiet,
// each name that is wanted has one provider if anybody would be one, and all who
// provide or subscribe know what is the case. Nothing may depend on the clock, so
// names are not tried again by it, unless messages are lost and nodes cut off. The
// seeds are those of TestSimulation.
func TestListenNodes(t *testing.T) {
	eachSeed(t, 150, func(t *testing.T, seed uint64) { newMarket(t, seed, seed%5 == 4).play() })
}

var marketNames = []string{"a0", "a1", "a2", "b0", "b1", "c0"}

// TestListenBriefProvider: a provider that accepts and is gone before its node has told
// the others of it is followed by the next.
func TestListenBriefProvider(t *testing.T) {
	const names = 20
	synctest.Test(t, func(t *testing.T) {
		m := &market{dead: make(map[int]bool)}
		m.dialogue = newDialogue(t, func(c *Config) {
			c.Interest = nil
			c.Listen.RematchInterval = 0
		})
		defer m.stop()
		m.joinLast()
		m.addNode()
		m.joinLast()
		settled(0)
		a, brief, next := m.dialogue.join("a", 1), m.dialogue.join("brief", 2), m.dialogue.join("next", 2)
		for _, c := range []*client{brief, next} {
			c.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		}
		subscribe(t, a, names)
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		for _, one := range brief.take() {
			if one.Action == message.RecordSubscriptionForPatternFound {
				answer := message.Message{Topic: message.Record, Action: message.RecordListenAccept, Name: one.Name, Subscription: one.Subscription}
				if err := brief.session.Receive(brief.codec.Append(nil, &answer)); err != nil {
					t.Fatal(err)
				}
			}
		}
		brief.session.End()
		asked := 0
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			asked += next.acceptAll(t)[message.RecordSubscriptionForPatternFound]
		}
		if asked != names {
			t.Errorf("the second listener was asked for %d of %d names", asked, names)
		}
	})
}

// market is clients that offer and want records.
type market struct {
	*dialogue
	random  *rand.Rand
	lossy   bool
	lag     *lagging          // nil: the nodes hear of each other over the bus
	cut     func(node string) // cuts a node off
	traders []*trader
	last    int
	slow    int // milliseconds that a client takes at most to answer
	dead    map[int]bool
	log     []string
}

// trader is a client, and what it believes.
type trader struct {
	*client
	accepts  bool
	silent   bool // answers nothing
	listens  map[string]bool
	wants    map[string]bool // and whether it was told of a provider
	told     map[string]bool // the same, as long as it is subscribed
	provides map[[2]string]bool
	answers  map[[2]string]time.Time // by pattern and name: when to answer
}

func newMarket(t *testing.T, seed uint64, lossy bool) *market {
	m := &market{random: rand.New(rand.NewPCG(seed, 1)), lossy: lossy, dead: make(map[int]bool), slow: []int{20, 200, 450}[seed%3]}
	late := func(r *rand.Rand, most int) time.Duration { return time.Duration(r.IntN(most)) * time.Millisecond }
	if seed%5 < 3 {
		news := rand.New(rand.NewPCG(seed, 2))
		m.lag = newLagging(func() time.Duration { return late(news, []int{5, 50, 300, 1500}[seed/5%4]) })
	}
	m.dialogue = newDialogue(t, func(c *Config) {
		c.Interest = nil
		if m.lag != nil {
			c.Interest = m.lag.node(c.Name)
		}
		c.Listen.Shuffle = true
		if !lossy {
			c.Listen.RematchInterval = 0
		}
	})
	m.joinLast()
	fate := rand.New(rand.NewPCG(seed, 3))
	m.cut = func(node string) {
		m.network.SetFate(func(from, to string) bus.Fate {
			lost := lossy && (fate.IntN(20) == 0 || from == node || to == node)
			return bus.Fate{Lost: lost, Delay: late(fate, []int{5, 30, 100, 300}[seed/5%4])}
		})
	}
	m.cut("")
	return m
}

// joinLast has the node that was made last and the others hear of each other.
func (m *market) joinLast() { m.join(len(m.nodes) - 1) }

func (m *market) join(i int) {
	node := m.nodes[i]
	if m.lag != nil {
		m.lag.join(node.config.Interest.(*lagNode))
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.running.Go(func() { _ = node.peers.interest.Run(ctx) })
	stop := m.stops[i]
	m.stops[i] = func() {
		stop()
		cancel()
	}
}

func (m *market) play() {
	defer m.stop()
	for range 400 {
		m.act()
		m.pass(time.Duration(m.random.IntN(60)) * time.Millisecond)
	}
	m.network.SetFate(nil)
	m.pass(30 * time.Second)
	if m.lossy {
		m.pass(2 * time.Minute)
	}
	m.check()
	if m.t.Failed() {
		m.t.Log("\n" + strings.Join(m.log, "\n"))
	}
}

func (m *market) note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf("%.3f ", float64(time.Now().UnixMilli()%1e7)/1e3)+fmt.Sprintf(format, args...))
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// thing picks a name that a trader may want, and a pattern that it may offer.
func (m *market) thing(w *trader) (name, pattern string) {
	name = pick(m.random, marketNames)
	if len(w.wants) > 0 && m.random.IntN(3) > 0 {
		name = pick(m.random, slices.Sorted(maps.Keys(w.wants)))
	}
	pattern = pick(m.random, []string{"a", "b", "[01]$", "^a[12]", "."})
	if len(w.listens) > 1 {
		pattern = pick(m.random, slices.Sorted(maps.Keys(w.listens)))
	}
	return name, pattern
}

// ending is what the correlation ids begin with by which subscriptions are ended.
const ending = "end "

// want has a trader want a name, or no longer.
func (m *market) want(w *trader, name string) {
	if _, wants := w.wants[name]; wants {
		delete(w.wants, name)
		m.say(w, &message.Message{Action: message.RecordUnsubscribe, Names: []string{name}, CorrelationID: ending + name})
		return
	}
	w.wants[name] = false
	m.say(w, &message.Message{Action: message.RecordSubscribe, Names: []string{name}, CorrelationID: "1"})
}

// offer has a trader listen to a pattern, or no longer.
func (m *market) offer(w *trader, pattern string) {
	if !w.listens[pattern] {
		w.listens[pattern] = true
		m.say(w, &message.Message{Action: message.RecordListen, Name: pattern})
		return
	}
	delete(w.listens, pattern)
	for key := range w.provides {
		if key[0] == pattern {
			delete(w.provides, key)
		}
	}
	m.say(w, &message.Message{Action: message.RecordUnlisten, Name: pattern})
}

func (m *market) act() {
	if len(m.traders) == 0 {
		m.connectOne()
		return
	}
	w := pick(m.random, m.traders)
	name, pattern := m.thing(w)
	switch n := m.random.IntN(100); {
	case n < 35:
		m.want(w, name)
	case n < 62:
		m.offer(w, pattern)
	case n < 70:
		for range 2 + m.random.IntN(4) { // at once
			if m.random.IntN(2) == 0 {
				m.want(w, name)
			} else {
				m.offer(w, pattern)
			}
		}
	case n < 80 && len(m.traders) < 8:
		m.connectOne()
	case n < 90:
		m.note("%s goes", w.name)
		w.session.End()
		m.clients = slices.DeleteFunc(m.clients, func(c *client) bool { return c == w.client })
		m.traders = slices.DeleteFunc(m.traders, func(o *trader) bool { return o == w })
	case n < 95 && len(m.nodes)-len(m.dead) < 4:
		m.addNode()
		m.joinLast()
		m.note("node-%d comes", len(m.nodes))
	case n < 98 && len(m.nodes)-len(m.dead) > 1:
		m.killOne()
	case n >= 98 && m.lossy:
		node := fmt.Sprint("node-", pick(m.random, m.alive()))
		m.note("%s is cut off", node)
		m.cut(node)
		m.pass(time.Duration(m.random.IntN(20)) * time.Second)
		m.cut("")
		m.note("it is back")
	}
}

func (m *market) connectOne() {
	node := pick(m.random, m.alive())
	m.last++
	name := fmt.Sprint("c", m.last)
	m.connect(m.nodes[node-1], name, "protobuf")
	m.login(name, name)
	w := m.newTrader(name)
	m.note("%s comes to node-%d, accepts %v", name, node, w.accepts)
	m.hearAll()
}

func (m *market) newTrader(name string) *trader {
	mood := m.random.IntN(8)
	w := &trader{client: m.client(name), accepts: mood > 1, silent: mood == 0, listens: make(map[string]bool), wants: make(map[string]bool),
		told: make(map[string]bool), provides: make(map[[2]string]bool), answers: make(map[[2]string]time.Time)}
	m.traders = append(m.traders, w)
	return w
}

// login takes the greetings only.
func (m *market) login(name, user string) {
	c := m.client(name)
	m.send(c, "CONNECTION CHALLENGE")
	m.send(c, `AUTH REQUEST data={"username":"`+user+`"}`)
}

func (m *market) alive() (nodes []int) {
	for i := range m.nodes {
		if !m.dead[i+1] {
			nodes = append(nodes, i+1)
		}
	}
	return nodes
}

func (m *market) killOne() {
	node := pick(m.random, m.alive())
	m.note("node-%d dies", node)
	m.dead[node] = true
	s := m.nodes[node-1]
	m.traders = slices.DeleteFunc(m.traders, func(w *trader) bool { return w.node == s })
	m.kill(node)
	if m.lag != nil {
		m.lag.leave(fmt.Sprint("node-", node))
	}
}

func (m *market) say(w *trader, one *message.Message) {
	one.Topic = message.Record
	m.note("%s> %s %s%s %s", w.name, message.ActionName(one.Topic, one.Action), one.Name, one.Names, one.Subscription)
	if err := w.session.Receive(w.codec.Append(nil, one)); err != nil {
		m.t.Fatal(err)
	}
}

// pass lets time pass; clients answer meanwhile.
func (m *market) pass(d time.Duration) {
	const tick = 5 * time.Millisecond
	for end := time.Now().Add(d); ; time.Sleep(tick) {
		m.hearAll()
		for _, w := range m.traders {
			w.session.Heard()
			m.answer(w)
		}
		if !time.Now().Before(end) {
			return
		}
	}
}

func (m *market) answer(w *trader) {
	var due [][2]string
	for key, at := range w.answers {
		if !time.Now().Before(at) {
			due = append(due, key)
		}
	}
	slices.SortFunc(due, func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
	for _, key := range due {
		delete(w.answers, key)
		if !w.listens[key[0]] || w.silent {
			continue
		}
		action := message.RecordListenReject
		if w.accepts {
			action = message.RecordListenAccept
			w.provides[key] = true
		}
		m.say(w, &message.Message{Action: action, Name: key[0], Subscription: key[1]})
	}
}

func (m *market) hearAll() {
	synctest.Wait()
	for _, w := range m.traders {
		for _, one := range w.take() {
			m.hearOne(w, &one)
		}
	}
}

func (m *market) hearOne(w *trader, one *message.Message) {
	key := [2]string{one.Name, one.Subscription}
	switch one.Action {
	case message.RecordSubscriptionForPatternFound:
		if _, waits := w.answers[key]; !waits {
			w.answers[key] = time.Now().Add(time.Duration(m.random.IntN(m.slow)) * time.Millisecond)
		}
	case message.RecordSubscriptionForPatternRemoved:
		delete(w.provides, key)
	case message.RecordSubscriptionHasProvider, message.RecordSubscriptionHasNoProvider:
		has := one.Action == message.RecordSubscriptionHasProvider
		if w.told[one.Name] == has {
			m.note("WRONG: %s is told again that %s has a provider: %v", w.name, one.Name, has)
			m.t.Errorf("%s is told again that %s has a provider: %v", w.name, one.Name, has)
		}
		w.told[one.Name] = has
		if _, wants := w.wants[one.Name]; wants {
			w.wants[one.Name] = has
		}
	case message.RecordUnsubscribe:
		if name, ok := strings.CutPrefix(one.CorrelationID, ending); ok && one.IsAck {
			delete(w.told, name)
			if _, wants := w.wants[name]; wants {
				w.wants[name] = false // it was told of the last time
			}
		}
		return
	default:
		return
	}
	m.note("%s< %s %s %s", w.name, message.ActionName(one.Topic, one.Action), one.Name, one.Subscription)
}

func (m *market) check() {
	wanted, offered := make(map[string]bool), make(map[string]bool)
	providers := make(map[string][]string)
	for _, w := range m.traders {
		for name := range w.wants {
			wanted[name] = true
		}
		for pattern := range w.listens {
			for _, name := range marketNames {
				if w.accepts && regexp.MustCompile(pattern).MatchString(name) {
					offered[name] = true
				}
			}
		}
		for key := range w.provides {
			providers[key[1]] = append(providers[key[1]], w.name+" by "+key[0])
		}
	}
	for _, name := range marketNames {
		want := 0
		if wanted[name] && offered[name] {
			want = 1
		}
		if len(providers[name]) != want {
			m.t.Errorf("%s is provided by %v; wanted %v, offered %v", name, providers[name], wanted[name], offered[name])
		}
		for _, w := range m.traders {
			if told, wants := w.wants[name]; wants && told != (want == 1) {
				m.t.Errorf("%s was told that %s has a provider: %v", w.name, name, told)
			}
		}
		for _, node := range m.alive() {
			registry := m.nodes[node-1].config.Interest
			if has := registry.Has(interest.RecordProviders, name); has != (want == 1) {
				m.t.Errorf("node-%d knows that %s has a provider: %v", node, name, has)
			}
		}
	}
	for _, node := range m.alive() {
		if n := len(m.nodes[node-1].config.Interest.Nodes()); n != len(m.alive()) {
			m.t.Errorf("node-%d knows %d nodes, of %d", node, n, len(m.alive()))
		}
	}
}
