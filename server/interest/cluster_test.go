package interest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sent is a frame that a node sent.
type sent struct {
	to string
	frame
	size int
}

// alone is a node whose others are played by the test.
type alone struct {
	*Cluster
	t   *testing.T
	end context.CancelFunc

	mu     sync.Mutex
	frames []sent // guarded by mu
}

// newAlone runs a node in a bubble of synctest.
func newAlone(t *testing.T) *alone {
	a := &alone{t: t}
	a.Cluster = NewCluster("a", func(nodes []string, payload []byte) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		f, err := decode(string(payload))
		if err != nil {
			t.Errorf("sent what cannot be read: %v", err)
		}
		for _, node := range nodes {
			a.frames = append(a.frames, sent{node, f, len(payload)})
		}
		return nil
	})
	a.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = a.Run(ctx)
	}()
	a.end = func() {
		cancel()
		<-ended
	}
	return a
}

// take returns what was sent since it was called last.
func (a *alone) take() []sent {
	time.Sleep(5 * flushInterval)
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	frames := a.frames
	a.frames = nil
	return frames
}

// kindsOf are the first bytes of frames.
func kindsOf(frames []sent) string {
	var b strings.Builder
	for _, f := range frames {
		b.WriteByte(f.kind)
	}
	return b.String()
}

// answer has a node answer the question that was asked last.
func (a *alone) answer(node string, nonce uint64, wanted ...string) {
	for _, frame := range answer(nonce, wanted) {
		a.Deliver(node, frame)
	}
}

// join has a node be heard, answer, and ask; it returns the number from which on it
// is told of changes.
func (a *alone) join(node string, wanted ...string) (number uint64) {
	a.t.Helper()
	a.take()
	a.Gap(node)
	f := a.take()
	if kindsOf(f) != "r" || f[0].to != node {
		a.t.Fatalf("%s is heard, sent %v", node, f)
	}
	a.answer(node, f[0].nonce, wanted...)
	a.Deliver(node, appendRequest(nil, 77))
	f = a.take()
	if len(f) < 3 || f[1].nonce != 77 || f[len(f)-1].kind != frameEnd {
		a.t.Fatalf("%s asks, sent %v", node, f)
	}
	return f[len(f)-1].number
}

func (a *alone) settle() *atomic.Int32 {
	var calls atomic.Int32
	a.Settle(func() { calls.Add(1) })
	return &calls
}

func expect(t *testing.T, what string, calls *atomic.Int32, want int32) {
	t.Helper()
	synctest.Wait()
	if got := calls.Load(); got != want {
		t.Errorf("%s: f was called %d times, want %d", what, got, want)
	}
}

// TestJoin: a node that comes knows all that is wanted after one question and its
// answer, and is told that the other is there only then.
func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, 1)
		var log []string
		n.sniff = func(from, to string, payload []byte) {
			if (from == "a") != (payload[0] == frameRequest) && payload[0] != frameAck {
				log = append(log, fmt.Sprintf("%s%s %c", from, to, payload[0]))
			}
		}
		a := n.start("a")
		for i := range 5000 {
			a.Add(Records, nameOf(i))
		}
		b := n.start("b")
		time.Sleep(time.Second)
		synctest.Wait()
		if got := len(b.Names(Records)); got != 5000 || !slices.Equal(b.Nodes(), []string{"a", "b"}) || !b.joined["a"] {
			t.Errorf("knows %d names, nodes %v", got, b.Nodes())
		}
		slices.Sort(log)
		if want := []string{"ab b", "ab e", "ab n", "ab n", "ba r"}; !slices.Equal(log, want) {
			t.Errorf("it took %q, want %q", log, want)
		}
		n.stopAll()
	})
}

// TestResync: while a node is in doubt what was known of it stays, and afterwards
// watchers hear of the difference only.
func TestResync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t)
		defer a.end()
		var log []string
		a.Watch(Records, func(name string, wanted bool) { log = append(log, fmt.Sprintf("%s %t", name, wanted)) })
		a.join("b", "stays", "goes")
		log = nil
		a.Gap("b")
		nonce := a.take()[0].nonce
		a.Deliver("b", change{Records, false, "stays"}.delta(1, false)) // long in the answer
		frames := answer(nonce, []string{"stays", "comes"})
		for _, frame := range frames[:len(frames)-1] {
			a.Deliver("b", frame)
		}
		if len(log) > 0 || !a.Has(Records, "stays") || !a.Has(Records, "goes") || a.Has(Records, "comes") {
			t.Errorf("before the answer is whole %q are heard, there are %q", log, a.Names(Records))
		}
		a.Deliver("b", frames[len(frames)-1])
		if want := []string{"comes true", "goes false"}; !slices.Equal(sorted(log), want) {
			t.Errorf("heard %q, want %q", log, want)
		}
		a.Deliver("b", change{Records, false, "stays"}.delta(1, false))
		if a.Has(Records, "stays") {
			t.Error("a change after the answer is not applied")
		}
		if got := kindsOf(a.take()); got != "a" {
			t.Errorf("sent %q", got)
		}
	})
}

// TestWatchOthers: each of the other nodes that comes to want a name is told, whoever
// wants it already, and none twice because it says all again.
func TestWatchOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t)
		defer a.end()
		times := 0
		a.WatchOthers(Records, func(string) { times++ })
		is := func(what string, want int) {
			t.Helper()
			if times != want {
				t.Errorf("%s: told %d times, want %d", what, times, want)
			}
		}
		a.Add(Records, "x")
		is("this node wants it", 0)
		a.join("b", "x")
		is("one more does", 1)
		a.join("c", "x")
		is("and one more", 2)
		a.Gap("b")
		a.answer("b", a.take()[0].nonce, "x")
		is("it says so again", 2)
		a.Deliver("b", change{Records, true, "x"}.delta(1, false))
		is("it does already", 2)
		a.Deliver("b", change{Records, false, "x"}.delta(2, false))
		a.Deliver("b", change{Records, true, "x"}.delta(3, false))
		is("it did not for a moment", 3)
	})
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

func (c change) delta(number uint64, ack bool) []byte {
	return c.append(appendChanges(nil, ack, number))
}

// TestOldAnswer: the answer to a question that was asked before a gap is none.
func TestOldAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t)
		defer a.end()
		a.Gap("b")
		first := a.take()[0].nonce
		a.Gap("b")
		second := a.take()[0].nonce
		a.answer("b", first, "old")
		a.answer("b", 0, "none")
		if len(a.Nodes()) > 1 || len(a.Names(Records)) > 0 {
			t.Errorf("took an answer to another question: %q", a.Names(Records))
		}
		a.answer("b", second, "new")
		a.answer("b", 0, "none") // no question is open
		if got := a.Names(Records); !slices.Equal(got, []string{"new"}) {
			t.Errorf("knows %q", got)
		}
	})
}

// TestAskAgain: a question that is not answered is repeated, less and less often, and
// not while the answer is coming.
func TestAskAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t)
		defer a.end()
		a.Gap("b")
		nonce := a.take()[0].nonce
		time.Sleep(40 * time.Second)
		again := a.take()
		if len(again) < 4 || len(again) > 6 {
			t.Errorf("asked %d times more within 40 seconds", len(again))
		}
		for _, f := range again {
			if f.kind != frameRequest || f.nonce != nonce {
				t.Errorf("sent %c with %d", f.kind, f.nonce)
			}
		}
		a.Gap("b")
		nonce = a.take()[0].nonce
		frames := answer(nonce, []string{"name"})
		for range 10 {
			for _, frame := range frames[:len(frames)-1] {
				a.Deliver("b", frame)
				time.Sleep(6 * time.Second)
			}
		}
		if got := kindsOf(a.take()); got != "" {
			t.Errorf("sent %q while the answer was coming", got)
		}
		a.Deliver("b", frames[len(frames)-1])
		if a.take(); !a.Has(Records, "name") {
			t.Error("the answer was not taken")
		}
		if time.Sleep(time.Minute); len(a.take()) > 0 {
			t.Error("asked again after the answer")
		}
	})
}

// TestGarbage: what cannot be understood changes nothing, is counted, and has the
// node asked again, after a while.
func TestGarbage(t *testing.T) {
	for name, frame := range map[string]string{
		"empty":           "",
		"unknown":         "z",
		"short nonce":     "r1234567",
		"long request":    "r123456789",
		"begin":           "b12345678",
		"end":             "e",
		"long end":        "e\x01\x01",
		"endless number":  "a" + strings.Repeat("\xff", 20),
		"large number":    "a" + strings.Repeat("\xff", 9) + "\x02",
		"no ack":          "d",
		"odd ack":         "d\x02\x01",
		"short name":      "d\x00\x01\x03\x05name",
		"no length":       "d\x00\x01\x03",
		"second is short": "d\x00\x01\x03\x03new\x03\x05name",
		"name too long":   "d\x00\x01" + string(binary.AppendUvarint([]byte{3}, maxName+1)) + strings.Repeat("x", maxName+1),
		"missing changes": "d\x00\x02\x03\x03new",
		"repeated":        "d\x00\x00\x03\x03new",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAlone(t)
				defer a.end()
				a.join("b", "name")
				a.Deliver("b", []byte(frame))
				if s := a.Stats(); s.Malformed != 1 || s.Names[Records] != 1 {
					t.Errorf("%+v", s)
				}
				if f := a.take(); len(f) > 0 {
					t.Errorf("sent %q at once", kindsOf(f))
				}
				time.Sleep(firstWait + 2*tickInterval)
				f := a.take()
				if kindsOf(f) != "r" {
					t.Fatalf("sent %q", kindsOf(f))
				}
				a.answer("b", f[0].nonce, "other")
				if got := a.Names(Records); !slices.Equal(got, []string{"other"}) {
					t.Errorf("knows %q", got)
				}
			})
		})
	}
}

// TestGarbageOn: a node that goes on sending garbage is asked all the same, and its
// answer is taken; if that is garbage too, it is asked less and less often.
func TestGarbageOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t)
		defer a.end()
		a.join("b", "name")
		for range 20 {
			a.Deliver("b", []byte("garbage"))
			time.Sleep(100 * time.Millisecond)
		}
		f := a.take()
		if kindsOf(f) != "r" {
			t.Fatalf("sent %q", kindsOf(f))
		}
		a.answer("b", f[0].nonce, "other")
		if !a.Has(Records, "other") || kindsOf(a.take()) != "a" {
			t.Error("the answer was not taken")
		}
		a.Deliver("b", []byte("garbage"))
		asked := 0
		for range 1000 {
			time.Sleep(100 * time.Millisecond)
			for _, f := range a.take() {
				asked++
				a.Deliver("b", appendBegin(nil, f.nonce, 0))
				a.Deliver("b", []byte("garbage"))
			}
		}
		if asked < 5 || asked > 12 {
			t.Errorf("asked %d times within 100 seconds", asked)
		}
	})
}

// TestBursts: of many names no more are sent at once than the bus can queue.
func TestBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := make(map[time.Time]int)
		total := 0
		c := NewCluster("a", func(nodes []string, payload []byte) error {
			at[time.Now()] += len(nodes) * len(payload)
			total += len(nodes) * len(payload)
			return nil
		})
		for i := range 1000 {
			c.Add(Records, fmt.Sprintf("%10000d", i))
		}
		c.sendSnapshot(t.Context(), []question{{node: "b"}, {node: "c"}, {node: "d"}}, 1)
		for _, n := range at {
			if n > maxBurst+3*maxFrame {
				t.Errorf("%d bytes were sent at once", n)
			}
		}
		if total < 3*1000*10000 {
			t.Errorf("%d bytes were sent", total)
		}
	})
}

// TestUnknownKind: a newer node may want what this one knows nothing of.
func TestUnknownKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t)
		defer a.end()
		a.join("b")
		known := change{Records, true, "name"}
		a.Deliver("b", known.append(change{kinds, true, "new"}.delta(1, true)))
		f := a.take()
		if kindsOf(f) != "a" || f[0].number != 3 || !a.Has(Records, "name") || a.Stats().Malformed > 0 {
			t.Errorf("sent %v, %+v", f, a.Stats())
		}
	})
}

// TestStrangers: nodes that were not announced, or left, are not heard.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t)
		defer a.end()
		var log []string
		a.WatchNodes(func(node string, joined bool) {
			log = append(log, fmt.Sprintf("%s %t %t", node, joined, a.Has(Records, "name")))
		})
		a.Deliver("b", appendRequest(nil, 5))
		a.Left("b")
		a.Gap("a") // itself
		if f := a.take(); len(f) > 0 {
			t.Errorf("sent %q", kindsOf(f))
		}
		a.Gap("b") // leaves before it is known
		a.Left("b")
		a.join("b", "name")
		a.Left("b")
		a.Deliver("b", change{Records, true, "late"}.delta(1, true))
		if want := []string{"b true true", "b false false"}; !slices.Equal(log, want) {
			t.Errorf("heard %q, want %q", log, want)
		}
		if a.take(); len(a.Names(Records)) > 0 || len(a.Nodes()) != 1 || a.Stats().Sets > 0 {
			t.Errorf("there are %q of %q", a.Names(Records), a.Nodes())
		}
		a.Add(Records, "own")
		if f := a.take(); len(f) > 0 {
			t.Errorf("sent %q to nobody", kindsOf(f))
		}
	})
}

// TestFrames: what there is to say is said in frames of at most 64 KiB, but for names
// that are longer; too long ones are not said at all.
func TestFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t)
		defer a.end()
		long, tooLong := strings.Repeat("l", 100<<10), strings.Repeat("t", maxName+1)
		a.Add(Records, tooLong)
		a.Add(Records, long)
		const many = 20_000
		for i := range many {
			a.Add(Records, nameOf(i))
		}
		a.take()
		a.Gap("b")
		a.Deliver("b", appendRequest(nil, 7))
		check := func(frames []sent, want uint64) {
			t.Helper()
			var count uint64
			for _, f := range frames {
				if count += f.count; f.size > maxFrame && f.count != 1 {
					t.Errorf("a frame of %c has %d bytes", f.kind, f.size)
				}
			}
			if count != want || len(frames) > 20 {
				t.Errorf("%d names in %d frames, want %d", count, len(frames), want)
			}
		}
		check(a.take(), many+1)
		for i := range many {
			a.Remove(Records, nameOf(i))
		}
		a.Remove(Records, long)
		a.Remove(Records, tooLong)
		check(a.take(), many+1)
		if s := a.Stats(); s.TooLong != 2 || s.Names[Records] > 0 || s.ChangesSent != many+1 || s.SnapshotsSent != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestUnsent: a bus that refuses a frame makes no difference to the node itself.
func TestUnsent(t *testing.T) {
	c := NewCluster("a", func([]string, []byte) error { return errors.New("no") })
	c.Log = slog.New(slog.DiscardHandler)
	c.Gap("b")
	c.Add(Events, "name")
	if !c.Has(Events, "name") {
		t.Error("it is not wanted")
	}
}

// TestWatchOwn: watchers hear of what this node wants before Add returns.
func TestWatchOwn(t *testing.T) {
	c := newQuiet("a")
	var log []string
	c.Watch(Users, func(name string, wanted bool) { log = append(log, fmt.Sprintf("%s %t", name, wanted)) })
	c.Add(Users, "al")
	c.Add(Users, "al")
	c.Remove(Users, "al")
	c.Remove(Users, "al")
	if want := []string{"al true", "al false"}; !slices.Equal(log, want) {
		t.Errorf("heard %q", log)
	}
}

// TestNamesAreCopied: neither a message nor a frame is kept for a name in it.
func TestNamesAreCopied(t *testing.T) {
	const huge = 1 << 20
	c := newQuiet("a")
	before := heap()
	for i := range 50 {
		name := strings.Repeat("x", huge)[:10+i]
		c.Add(Records, name)
		c.Add(Events, name)
		join(c, []string{name, "own"}, fmt.Sprint(i))
	}
	if grown := int(heap()) - int(before); grown > 5*huge {
		t.Errorf("%d bytes are kept for 50 names", grown)
	}
	if len(c.Names(Records)) != 51 {
		t.Error("names are missing")
	}
}
