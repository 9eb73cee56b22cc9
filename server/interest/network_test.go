package interest

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network joins nodes as the bus does: each hears the others in order, and is told
// where something is missing. It runs in a bubble of synctest.
type network struct {
	t *testing.T

	mu    sync.Mutex
	rand  *rand.Rand
	nodes map[string]*node   // guarded by mu: those that run
	cut   map[[2]string]bool // guarded by mu: ways on which all is lost
	loss  float64            // guarded by mu
	delay time.Duration      // guarded by mu: the longest
	lives int                // guarded by mu
	sniff func(from, to string, payload []byte)
	wrong []string // guarded by mu
}

// How often nodes announce themselves, how long without it they are thought to be
// there, and how often is looked at what is late.
const (
	announce = 200 * time.Millisecond
	lease    = 2 * time.Second
	look     = 20 * time.Millisecond
)

func newNetwork(t *testing.T, seed uint64) *network {
	return &network{t: t, rand: rand.New(rand.NewPCG(seed, 7)), nodes: make(map[string]*node), cut: make(map[[2]string]bool)}
}

// letter is on its way. Without a payload it is an announcement.
type letter struct {
	from    string
	life    int
	payload []byte
	gap     bool // something before it is lost
	at      time.Time
}

// way is what a node sends to another.
type way struct {
	life int  // of the receiver, as the sender knows it
	lost bool // something is, since the last letter
}

// node is a run of a node, from its start to its end.
type node struct {
	*Cluster
	network *network
	life    int
	end     context.CancelFunc
	done    sync.WaitGroup
	wake    chan struct{}

	// Guarded by network.mu.
	inbox []letter
	heard map[string]int // lives of the nodes that are heard
	at    map[string]time.Time
	ways  map[string]*way
	last  map[string]time.Time // arrival of the last letter to a node
	met   map[int]bool         // lives that were ever heard

	mu     sync.Mutex
	view   map[change]bool // guarded by mu: what the watchers say is wanted
	joined map[string]bool // guarded by mu: what they say of nodes
	left   map[string]int  // guarded by mu: how often a node did
	seen   map[string]bool // guarded by mu: events that were ever wanted
	during string          // guarded by mu: the node that leaves just now
}

func (n *network) wrongly(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wrong = append(n.wrong, fmt.Sprintf(format, args...))
}

// start runs a node, which wants the user of its name for as long as it runs.
func (n *network) start(name string) *node {
	d := &node{network: n, wake: make(chan struct{}, 1),
		heard: make(map[string]int), at: make(map[string]time.Time), ways: make(map[string]*way), last: make(map[string]time.Time), met: make(map[int]bool),
		view: make(map[change]bool), joined: make(map[string]bool), left: make(map[string]int), seen: make(map[string]bool)}
	d.Cluster = NewCluster(name, d.sendTo)
	d.Log = slog.New(slog.DiscardHandler)
	for k := range kinds {
		d.Watch(k, func(name string, wanted bool) { d.watched(k, name, wanted) })
	}
	d.WatchNodes(d.watchedNode)
	d.Add(Users, "!"+name)
	ctx, cancel := context.WithCancel(context.Background())
	d.end = cancel
	n.mu.Lock()
	n.lives++
	d.life = n.lives
	n.nodes[name] = d
	n.mu.Unlock()
	d.done.Go(func() { _ = d.Run(ctx) })
	d.done.Go(func() { d.listen(ctx) })
	return d
}

// stop ends a node without a word to the others.
func (n *network) stop(d *node) {
	n.mu.Lock()
	if n.nodes[d.Self()] == d {
		delete(n.nodes, d.Self())
	}
	n.mu.Unlock()
	d.end()
	d.done.Wait()
}

func (n *network) stopAll() {
	for _, d := range n.running() {
		n.stop(d)
	}
}

func (n *network) running() []*node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.SortedFunc(maps.Values(n.nodes), func(a, b *node) int { return a.life - b.life })
}

func (d *node) watched(k Kind, name string, wanted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := change{k, true, name}
	if d.view[key] == wanted {
		d.network.wrongly("%s hears again that %s %q is wanted: %t", d.Self(), k, name, wanted)
	}
	if wanted {
		d.view[key] = true
	} else {
		delete(d.view, key)
	}
	if k == Events && wanted {
		d.seen[name] = true
	}
	// Nobody gives up a name that is its own before it ends.
	if owner := name[1:]; name[0] == '!' && !wanted && d.during != owner {
		d.network.wrongly("%s hears that %q is not wanted", d.Self(), name)
	}
}

func (d *node) watchedNode(node string, joined bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.joined[node] == joined {
		d.network.wrongly("%s hears again that %s is here: %t", d.Self(), node, joined)
	}
	d.joined[node] = joined
	if d.view[change{Users, true, "!" + node}] != joined {
		d.network.wrongly("%s hears that %s is here: %t, but not of what it wants", d.Self(), node, joined)
	}
}

// sendTo is the bus of a node.
func (d *node) sendTo(nodes []string, payload []byte) error {
	n := d.network
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, to := range nodes {
		if n.sniff != nil {
			n.sniff(d.Self(), to, payload)
		}
		if w := d.ways[to]; w != nil && n.nodes[d.Self()] == d {
			d.put(to, w, slices.Clone(payload))
		}
	}
	return nil
}

// put sends a letter on its way; network.mu is held.
func (d *node) put(to string, w *way, payload []byte) {
	n := d.network
	r := n.nodes[to]
	if r == nil || payload != nil && r.life != w.life {
		return
	}
	if n.cut[[2]string{d.Self(), to}] || n.rand.Float64() < n.loss {
		w.lost = w.lost || payload != nil
		return
	}
	at := time.Now()
	if n.delay > 0 {
		at = at.Add(time.Duration(n.rand.Int64N(int64(n.delay))))
	}
	if d.last[to].After(at) {
		at = d.last[to]
	}
	d.last[to] = at
	r.inbox = append(r.inbox, letter{from: d.Self(), life: d.life, payload: payload, gap: w.lost, at: at})
	w.lost = false
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// listen hears the others until ctx ends.
func (d *node) listen(ctx context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for i := 0; ; i++ {
		if i%int(announce/look) == 0 {
			d.announce()
		}
		for {
			l, ok := d.next()
			if !ok {
				break
			}
			d.hear(l)
		}
		d.expire()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-d.wake:
		}
	}
}

func (d *node) announce() {
	n := d.network
	n.mu.Lock()
	defer n.mu.Unlock()
	for to, r := range n.nodes {
		if r != d {
			w := d.ways[to]
			if w == nil {
				w = &way{}
			}
			d.put(to, w, nil)
		}
	}
}

func (d *node) next() (l letter, ok bool) {
	n := d.network
	n.mu.Lock()
	defer n.mu.Unlock()
	i := slices.IndexFunc(d.inbox, func(l letter) bool { return !l.at.After(time.Now()) })
	if i < 0 {
		return l, false
	}
	l = d.inbox[i]
	d.inbox = slices.Delete(d.inbox, i, i+1)
	return l, true
}

func (d *node) hear(l letter) {
	n := d.network
	n.mu.Lock()
	life, known := d.heard[l.from]
	if known && life > l.life {
		n.mu.Unlock()
		return // of one that is over
	}
	fresh := !known || life != l.life
	d.heard[l.from], d.at[l.from] = l.life, time.Now()
	if fresh {
		// One that was given up has lost what was not sent to it meanwhile.
		d.ways[l.from] = &way{life: l.life, lost: d.met[l.life]}
		d.met[l.life] = true
	}
	n.mu.Unlock()
	if known && fresh {
		d.lose(l.from)
	}
	if fresh || l.gap {
		d.Gap(l.from)
	}
	if l.payload != nil {
		d.Deliver(l.from, l.payload)
	}
}

// expire gives up those who are not heard.
func (d *node) expire() {
	n := d.network
	n.mu.Lock()
	var gone []string
	for name, at := range d.at {
		if time.Since(at) > lease {
			gone = append(gone, name)
			delete(d.at, name)
			delete(d.heard, name)
			delete(d.ways, name)
		}
	}
	n.mu.Unlock()
	for _, name := range gone {
		d.lose(name)
	}
}

func (d *node) lose(name string) {
	d.mu.Lock()
	d.during = name
	d.left[name]++
	d.mu.Unlock()
	d.Left(name)
	d.mu.Lock()
	d.during = ""
	d.mu.Unlock()
}
