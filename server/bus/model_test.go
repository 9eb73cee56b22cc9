package bus

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// life is one run of a node, from its start to its end or crash.
type life struct {
	name   string
	bus    *Memory
	cancel context.CancelFunc
	done   sync.WaitGroup

	model *model
	sent  map[*life]uint32 // guarded by model.mu: the last number sent to a life

	mu    sync.Mutex
	heard map[string]*ear // guarded by mu: by the name of the sender
	wrong []string        // guarded by mu
}

// ear is what a life heard of a name since the last gap.
type ear struct {
	here  bool
	from  *life
	since uint32 // what was sent before the gap
	next  uint32 // 0: nothing came yet
}

// model is a network with numbered messages and what must hold for them.
type model struct {
	t       *testing.T
	network *Network

	mu      sync.Mutex // after that of a life
	rand    *rand.Rand
	lives   map[string]*life // by name, those that run
	all     []*life
	crashed map[string]bool // names whose messages go nowhere
	cut     map[[2]string]bool
	loss    float64
	twice   float64
	delay   time.Duration
}

func (l *life) wrongly(format string, args ...any) {
	l.wrong = append(l.wrong, l.name+": "+fmt.Sprintf(format, args...))
}

func (l *life) Deliver(node string, payload []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, number := binary.LittleEndian.Uint32(payload), binary.LittleEndian.Uint32(payload[4:])
	e := l.heard[node]
	from := l.model.life(id)
	switch {
	case e == nil || !e.here:
		l.wrongly("message of %s, which is not here", node)
	case from.name != node:
		l.wrongly("message of %s came as one of %s", from.name, node)
	case e.next == 0:
		if number > e.since+1 && e.from == from {
			l.wrongly("%s: %d is the first after a gap at %d", node, number, e.since)
		}
		e.from, e.next = from, number+1
	case from != e.from:
		l.wrongly("%s is another one without having left", node)
	case number != e.next:
		l.wrongly("%s: %d where %d follows", node, number, e.next)
	default:
		e.next++
	}
}

func (l *life) Gap(node string) {
	from := l.model.running(node)
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &ear{here: true, from: from}
	if from != nil {
		e.since = from.to(l)
	}
	l.heard[node] = e
}

func (l *life) Left(node string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.heard[node]; e == nil || !e.here {
		l.wrongly("%s left, which was not here", node)
	}
	l.heard[node] = &ear{}
}

// to returns the last number that was sent to a life.
func (l *life) to(o *life) uint32 {
	l.model.mu.Lock()
	defer l.model.mu.Unlock()
	return l.sent[o]
}

func (l *life) send(o *life) {
	l.model.mu.Lock()
	defer l.model.mu.Unlock()
	l.sent[o]++
	payload := binary.LittleEndian.AppendUint32(nil, uint32(slices.Index(l.model.all, l)))
	payload = binary.LittleEndian.AppendUint32(payload, l.sent[o])
	if err := l.bus.Send([]string{o.name}, payload); err != nil {
		l.model.t.Error(err)
	}
}

func (m *model) life(id uint32) *life {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all[id]
}

func (m *model) running(name string) *life {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lives[name]
}

func (m *model) start(name string) {
	l := &life{name: name, bus: m.network.Join(name), sent: make(map[*life]uint32), heard: make(map[string]*ear), model: m}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	m.mu.Lock()
	m.all = append(m.all, l)
	m.lives[name] = l
	delete(m.crashed, name)
	m.mu.Unlock()
	l.done.Go(func() { _ = l.bus.Run(ctx, l) })
}

func (m *model) stop(name string, crash bool) {
	l := m.running(name)
	m.mu.Lock()
	delete(m.lives, name)
	m.crashed[name] = crash
	m.mu.Unlock()
	l.cancel()
	l.done.Wait()
}

func (m *model) fate(from, to string) Fate {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := Fate{Lost: m.crashed[from] || m.crashed[to] || m.cut[[2]string{from, to}] || m.rand.Float64() < m.loss,
		Twice: m.rand.Float64() < m.twice}
	if m.delay > 0 {
		f.Delay = time.Duration(m.rand.Int64N(int64(m.delay)))
	}
	return f
}

// step does something to the network or has some messages sent.
func (m *model) step(names []string) {
	m.mu.Lock()
	what, a, b := m.rand.IntN(20), names[m.rand.IntN(len(names))], names[m.rand.IntN(len(names))]
	n, pause := m.rand.IntN(6), time.Duration(m.rand.IntN(3000))*time.Millisecond
	switch what {
	case 0:
		m.loss = []float64{0, 0, 0.05, 0.5}[n%4]
	case 1:
		m.twice = []float64{0, 0.2}[n%2]
	case 2:
		m.delay = []time.Duration{0, 5 * time.Millisecond, 400 * time.Millisecond}[n%3]
	case 3:
		m.cut[[2]string{a, b}] = !m.cut[[2]string{a, b}]
	case 4:
		clear(m.cut)
	}
	la, lb := m.lives[a], m.lives[b]
	m.mu.Unlock()
	switch {
	case what == 5 && la != nil:
		m.stop(a, n%2 == 0)
	case what < 8 && what > 4 && la == nil:
		m.start(a)
	case what == 8:
		m.network.SetAway(true)
		time.Sleep(pause)
		m.network.SetAway(false)
	case what == 9:
		time.Sleep(pause)
	case what > 9 && la != nil && lb != nil && la != lb:
		for range n {
			la.send(lb)
		}
	}
	if n == 0 {
		time.Sleep(pause / 100)
	}
}

// settle repairs everything, and checks that everything is whole again.
func (m *model) settle() {
	m.mu.Lock()
	m.loss, m.twice, m.delay = 0, 0, 0
	clear(m.cut)
	m.mu.Unlock()
	time.Sleep(20 * time.Second)
	synctest.Wait()
	for _, l := range m.lives {
		for _, o := range m.lives {
			if l != o {
				o.send(l)
			}
		}
	}
	time.Sleep(3 * time.Second)
	synctest.Wait()
	for _, l := range m.lives {
		l.mu.Lock()
		for _, o := range m.lives {
			if l == o {
				continue
			}
			e := l.heard[o.name]
			if e == nil || !e.here || e.from != o || e.next != o.to(l)+1 {
				l.wrongly("%s sent %d, heard %+v", o.name, o.to(l), e)
			}
		}
		for name, e := range l.heard {
			if e.here && m.lives[name] == nil {
				l.wrongly("%s is here though it is gone", name)
			}
		}
		l.mu.Unlock()
	}
	for _, l := range m.all {
		for _, w := range l.wrong {
			m.t.Error(w)
		}
	}
}

// TestWhole: whatever is lost, doubled, late, away, stopped or crashed: what a node
// hears of another after a gap is what that sent, in order, without a hole; and in
// the end all hear all.
func TestWhole(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				names := []string{"a", "b", "c", "d"}
				m := &model{t: t, rand: rand.New(rand.NewPCG(seed, 1)), network: NewNetwork(), lives: map[string]*life{},
					crashed: map[string]bool{}, cut: map[[2]string]bool{}}
				m.network.SetFate(m.fate)
				for _, name := range names[:3] {
					m.start(name)
				}
				for range 2 {
					for range 400 {
						m.step(names)
					}
					m.settle()
					if t.Failed() {
						break
					}
				}
				for _, l := range m.lives {
					l.cancel()
					l.done.Wait()
				}
			})
		})
	}
}
