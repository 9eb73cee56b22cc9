package interest

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// model says what each node wants, and what a network of nodes must make of it.
type model struct {
	*network
	wants map[string]map[change]bool // by node
	calls int
	done  map[int]int // guarded by network.mu: how often a call of Settle was made
}

var modelNames = []string{"al", "bo", "cy", "di"}

func (m *model) begin(name string) {
	m.start(name)
	m.wants[name] = map[change]bool{{Users, true, "!" + name}: true}
}

// set has a node want something, or no longer.
func (m *model) set(d *node, c change) {
	key := change{c.kind, true, c.name}
	if c.add {
		m.wants[d.Self()][key] = true
		d.Add(c.kind, c.name)
	} else {
		delete(m.wants[d.Self()], key)
		d.Remove(c.kind, c.name)
	}
}

// settleOne has a node settle something that is its alone, and checks that it is
// known when it is said to be.
func (m *model) settleOne(d *node) {
	m.calls++
	call, name, begun := m.calls, fmt.Sprintf("settle %d", m.calls), time.Now()
	m.set(d, change{Events, true, name})
	others := slices.DeleteFunc(m.running(), func(o *node) bool { return o == d || !slices.Contains(d.Nodes(), o.Self()) })
	left := make([]int, len(others))
	for i, o := range others {
		d.mu.Lock()
		left[i] = d.left[o.Self()]
		d.mu.Unlock()
	}
	d.Settle(func() {
		m.mu.Lock()
		m.done[call]++
		over := m.nodes[d.Self()] != d
		m.mu.Unlock()
		took := time.Since(begun)
		if took > settleTimeout+2*tickInterval {
			m.wrongly("call %d was made after %v", call, took)
		}
		for i, o := range others {
			d.mu.Lock()
			here := d.left[o.Self()] == left[i]
			d.mu.Unlock()
			o.mu.Lock()
			if here && !over && took < settleTimeout && !o.seen[name] {
				m.wrongly("call %d of %s was made though %s does not know", call, d.Self(), o.Self())
			}
			o.mu.Unlock()
		}
	})
}

func (m *model) step(all []string) {
	m.mu.Lock()
	what, a, b, n := m.rand.IntN(40), all[m.rand.IntN(len(all))], all[m.rand.IntN(len(all))], m.rand.IntN(8)
	name, kind := modelNames[m.rand.IntN(len(modelNames))], Kind(m.rand.IntN(int(kinds)))
	pause := time.Duration(m.rand.IntN(4000)) * time.Millisecond
	d := m.nodes[a]
	switch what {
	case 0:
		m.loss = []float64{0, 0, 0.05, 0.4}[n%4]
	case 1:
		m.delay = []time.Duration{0, 5 * time.Millisecond, 300 * time.Millisecond}[n%3]
	case 2:
		m.cut[[2]string{a, b}] = true
	case 3:
		clear(m.cut)
	}
	m.mu.Unlock()
	switch {
	case what == 4 && d != nil && n < 4:
		m.stop(d)
		delete(m.wants, a)
	case what < 8 && what >= 4 && d == nil:
		m.begin(a)
	case what == 8:
		time.Sleep(pause)
	case what == 9 && d != nil:
		m.settleOne(d)
	case what >= 10 && what < 14:
		time.Sleep(pause / 400)
	case what >= 14 && d != nil:
		m.set(d, change{kind, n%2 == 0, name})
	}
}

// quiet repairs the network, and compares all views with the model.
func (m *model) quiet() {
	m.mu.Lock()
	m.loss, m.delay = 0, 0
	clear(m.cut)
	m.mu.Unlock()
	time.Sleep(30 * time.Second)
	synctest.Wait()
	nodes := m.running()
	var names []string
	for _, d := range nodes {
		names = append(names, d.Self())
	}
	slices.Sort(names)
	for _, d := range nodes {
		m.compare(d, names)
		if s := d.Stats(); s.Unsettled > 0 || s.Malformed > 0 {
			m.t.Errorf("%s: %+v", d.Self(), s)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for call := range m.calls {
		if m.done[call+1] != 1 {
			m.t.Errorf("call %d of Settle was made %d times", call+1, m.done[call+1])
		}
	}
	for _, w := range m.wrong {
		m.t.Error(w)
	}
}

// compare looks at all that a node says.
func (m *model) compare(d *node, nodes []string) {
	t := m.t
	if got := d.Nodes(); !slices.Equal(got, nodes) {
		t.Errorf("%s knows the nodes %v, there are %v", d.Self(), got, nodes)
	}
	all := make(map[change][]string)
	for _, node := range nodes {
		for key := range m.wants[node] {
			all[key] = append(all[key], node)
		}
	}
	count := make([]int, kinds)
	for key, want := range all {
		others := slices.DeleteFunc(slices.Clone(want), func(n string) bool { return n == d.Self() })
		if got := d.Others(key.kind, key.name); !slices.Equal(got, others) {
			t.Errorf("%s: %s %q is wanted by %v, it says %v", d.Self(), key.kind, key.name, others, got)
		}
		if !d.Has(key.kind, key.name) {
			t.Errorf("%s has no %s %q", d.Self(), key.kind, key.name)
		}
		count[key.kind]++
	}
	for k := range kinds {
		got := d.Names(k)
		if len(got) != count[k] {
			t.Errorf("%s has %d %s, there are %d", d.Self(), len(got), k, count[k])
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range all {
		if !d.view[key] {
			t.Errorf("the watchers of %s miss %s %q", d.Self(), key.kind, key.name)
		}
	}
	if len(d.view) != len(all) {
		t.Errorf("the watchers of %s know %d names, there are %d", d.Self(), len(d.view), len(all))
	}
}

// TestModel: whatever is lost, late, cut off, ended or started again, all nodes know
// in the end what each wants; watchers hear each change once and nothing that did not
// happen; and Settle is called when it may be.
func TestModel(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &model{network: newNetwork(t, seed), wants: make(map[string]map[change]bool), done: make(map[int]int)}
				all := []string{"a", "b", "c", "d"}
				for _, name := range all[:3] {
					m.begin(name)
				}
				for range 3 {
					for range 400 {
						m.step(all)
					}
					if m.quiet(); t.Failed() {
						break
					}
				}
				m.stopAll()
			})
		})
	}
}
