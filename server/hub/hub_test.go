package hub

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/wire"
)

// sink is a Conn that takes everything.
type sink struct{}

func (sink) TryWrite(b *session.Batch) (bool, error) { b.Advance(b.Size()); return true, nil }
func (sink) Finish(*session.Batch) error             { return nil }
func (sink) Close(int, string)                       {}
func (sink) RemoteAddr() string                      { return "" }

type nobody struct{}

func (nobody) Login(*session.Session, *session.Handshake, string) session.Verdict {
	return session.Verdict{}
}
func (nobody) Opened(*session.Session)                    {}
func (nobody) Message(*session.Session, *message.Message) {}
func (nobody) Closed(*session.Session)                    {}

func sessions(t interface{ Fatal(args ...any) }, n int) []*session.Session {
	r := session.NewRegistry(session.NewFlusher(1), nobody{})
	limits := &session.Limits{OutboxBytes: 1 << 30}
	list := make([]*session.Session, n)
	for i := range list {
		s, err := r.New(sink{}, wire.Protobuf, limits, nil)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = s
	}
	return list
}

// watcher counts names between their first and last subscription.
type watcher map[string]int

func (w watcher) First(name string) { w[name]++ }
func (w watcher) Last(name string)  { w[name]-- }

// TestModel does random things to a Hub and to maps.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := make(watcher)
		h := New(w)
		list := sessions(t, 40)
		model := make(map[string]map[*session.Session]bool)
		names := rapid.SampledFrom([]string{"a", "b", "c"})
		who := rapid.SampledFrom(list)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			name, s := names.Draw(t, "name"), who.Draw(t, "session")
			if model[name] == nil {
				model[name] = make(map[*session.Session]bool)
			}
			in := model[name]
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			default:
				added, first := h.Subscribe(s, name)
				if added == in[s] || first != (len(in) == 0) && added {
					t.Fatalf("subscribe: added %v, first %v with %d subscribers", added, first, len(in))
				}
				in[s] = true
			case 6, 7:
				removed, last := h.Unsubscribe(s, name)
				if removed != in[s] || last != (removed && len(in) == 1) {
					t.Fatalf("unsubscribe: removed %v, last %v", removed, last)
				}
				delete(in, s)
			case 8:
				for _, name := range h.RemoveSession(s) {
					if len(model[name]) != 1 {
						t.Fatalf("%s is said to be unwanted", name)
					}
				}
				for _, in := range model {
					delete(in, s)
				}
			case 9:
				if h.RemoveName(name) != (len(in) > 0) {
					t.Fatal("RemoveName does not know whether there was anyone")
				}
				clear(in)
			}
		}
		for name, in := range model {
			if got := h.Subscribers(name); len(got) != len(in) || slices.ContainsFunc(got, func(s *session.Session) bool { return !in[s] }) {
				t.Fatalf("%s has %d subscribers, want %d", name, len(got), len(in))
			}
			if h.Has(name) != (len(in) > 0) || (w[name] == 1) != (len(in) > 0) {
				t.Fatalf("%s: has %v, watched %d with %d subscribers", name, h.Has(name), w[name], len(in))
			}
			if n := h.Publish(name, &message.Message{Topic: message.Event, Action: message.EventEmit, Name: name}, list[0]); n != len(in)-btoi(in[list[0]]) {
				t.Fatalf("%s was published to %d of %d", name, n, len(in))
			}
		}
		for _, s := range list {
			want := 0
			for _, in := range model {
				want += btoi(in[s])
			}
			if got := h.Names(s); len(got) != want {
				t.Fatalf("session has %v, want %d names", got, want)
			}
		}
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestGone: a session that has ended gets no subscription, whatever comes late.
func TestGone(t *testing.T) {
	h := New(nil)
	for range 50 {
		s := sessions(t, 1)[0]
		var wg sync.WaitGroup
		wg.Go(func() { h.Subscribe(s, "late") })
		wg.Go(func() { s.End(); h.RemoveSession(s) })
		wg.Wait()
		if h.Has("late") {
			t.Fatal("a session that is gone is subscribed")
		}
	}
}

// TestMaxNames: one client cannot fill the node with names.
func TestMaxNames(t *testing.T) {
	h := New(nil)
	s := sessions(t, 1)[0]
	for i := range MaxNames {
		if added, _ := h.Subscribe(s, fmt.Sprint(i)); !added {
			t.Fatalf("refused name %d", i)
		}
	}
	if added, _ := h.Subscribe(s, "one more"); added || h.Has("one more") {
		t.Error("took one more name than it should")
	}
}

func TestPublishAllocatesNothing(t *testing.T) {
	h := New(nil)
	for _, s := range sessions(t, 100) {
		h.Subscribe(s, "news")
	}
	m := message.Message{Topic: message.Event, Action: message.EventEmit, Name: "news", Data: `{"x":1}`}
	// The outboxes are never emptied here: their growth is all there is.
	if n := testing.AllocsPerRun(100, func() { h.Publish("news", &m, nil) }); n > 20 {
		t.Errorf("%v allocations for 100 deliveries", n)
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := New(nil)
			r := session.NewRegistry(session.NewFlusher(1), nobody{})
			limits := &session.Limits{OutboxBytes: 1} // full at once: what is measured is the way there
			for range n {
				s, err := r.New(sink{}, wire.Protobuf, limits, nil)
				if err != nil {
					b.Fatal(err)
				}
				h.Subscribe(s, "news")
			}
			m := message.Message{Topic: message.Event, Action: message.EventEmit, Name: "news", Data: `{"x":1}`}
			b.ReportAllocs()
			for b.Loop() {
				h.Publish("news", &m, nil)
			}
		})
	}
}
