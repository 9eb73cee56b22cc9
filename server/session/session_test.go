package session

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe is a Conn that takes as much as it is told to.
type pipe struct {
	mu      sync.Mutex
	room    int // bytes that TryWrite takes; negative for all
	writes  []string
	gate    chan struct{} // Finish waits for it
	closed  int
	failing error
}

func (p *pipe) TryWrite(b *Batch) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failing != nil {
		return false, p.failing
	}
	n := b.Size()
	if p.room >= 0 {
		n = min(n, p.room)
		p.room -= n
	}
	all := bytes.Join(b.Parts(), nil)
	if n > 0 {
		p.writes = append(p.writes, string(all[:n]))
	}
	b.Advance(n)
	return b.Size() == 0, nil
}

func (p *pipe) Finish(b *Batch) error {
	<-p.gate
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writes = append(p.writes, string(bytes.Join(b.Parts(), nil)))
	b.Advance(b.Size())
	return p.failing
}

func (p *pipe) Close(code int, _ string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed == 0 {
		p.closed = code
	}
}

func (p *pipe) RemoteAddr() string { return "192.0.2.7" }

func (p *pipe) closedWith() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func (p *pipe) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.NewReplacer("\x1f", "|", "\x1e", "+").Replace(strings.Join(p.writes, ""))
}

// handler lets in whoever says so.
type handler struct {
	mu       sync.Mutex
	opened   int
	closed   int
	messages []message.Message
}

func (h *handler) Login(_ *Session, _ *Handshake, data string) Verdict {
	return Verdict{OK: strings.Contains(data, "please"), User: User{ID: "someone", ClientData: `{"for":"you"}`}}
}

func (h *handler) Opened(*Session) { h.mu.Lock(); h.opened++; h.mu.Unlock() }
func (h *handler) Closed(*Session) { h.mu.Lock(); h.closed++; h.mu.Unlock() }

func (h *handler) Message(s *Session, m *message.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages = append(h.messages, *m)
}

// rig is a registry that runs until the test ends.
type rig struct {
	*Registry
	handler *handler
	stop    func()
}

func newRig() *rig {
	f := NewFlusher(2)
	h := &handler{}
	r := NewRegistry(f, h)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = f.Run(ctx) })
	wg.Go(func() { _ = r.Run(ctx) })
	return &rig{r, h, func() { cancel(); wg.Wait() }}
}

func (r *rig) connect(t *testing.T, codec wire.ID, change func(l *Limits)) (*Session, *pipe) {
	t.Helper()
	l := Limits{MaxAuthAttempts: 3, UnauthenticatedTimeout: time.Minute, Heartbeat: 30 * time.Second, OutboxBytes: 1 << 20}
	if change != nil {
		change(&l)
	}
	p := &pipe{room: -1, gate: make(chan struct{})}
	s, err := r.New(p, codec, &l, &Handshake{})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	return s, p
}

func say(t *testing.T, s *Session, text string) {
	t.Helper()
	frame := strings.NewReplacer("|", "\x1f", "+", "\x1e").Replace(text)
	if err := s.Receive([]byte(frame)); err != nil && !errors.Is(err, ErrEnded) {
		t.Errorf("%s: %v", text, err)
	}
}

const login = `C|CHR|ws://x+A|REQ|{"say":"please"}+`

func TestLogin(t *testing.T) {
	f := func(name, says, hears string, closed int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			defer r.stop()
			s, p := r.connect(t, wire.TextG1, nil)
			defer s.End()
			say(t, s, says)
			synctest.Wait()
			if got := p.said(); got != hears || p.closedWith() != closed {
				t.Errorf("%s: heard %s, closed with %d; want %s and %d", name, got, p.closedWith(), hears, closed)
			}
		})
	}
	f("in", login, `C|CH+C|A+A|A|O{"for":"you"}+`, 0)
	f("not in", `C|CHR|x+A|REQ|{}+`, `C|CH+C|A+A|E|INVALID_AUTH_DATA|O{"for":"you"}+`, 0)
	f("on the second attempt", `C|CHR|x+A|REQ|{}+A|REQ|{"a":"please"}+`,
		`C|CH+C|A+A|E|INVALID_AUTH_DATA|O{"for":"you"}+A|A|O{"for":"you"}+`, 0)
	f("too often", `C|CHR|x+`+strings.Repeat(`A|REQ|{}+`, 4), `C|CH+C|A+`+strings.Repeat(`A|E|INVALID_AUTH_DATA|O{"for":"you"}+`, 3)+
		`A|E|TOO_MANY_AUTH_ATTEMPTS|Stoo many authentication attempts+`, CloseNormal)
	f("not JSON", `C|CHR|x+A|REQ|{"a+`, `C|CH+C|A+A|E|INVALID_AUTH_MSG|invalid authentication message+`, CloseProtocol)
	f("no object", `C|CHR|x+A|REQ|5+`, `C|CH+C|A+A|E|INVALID_AUTH_MSG|invalid authentication message+`, CloseProtocol)
}

func TestUnauthenticatedTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.stop()
		s, p := r.connect(t, wire.TextG1, nil)
		defer s.End()
		tried, q := r.connect(t, wire.TextG1, nil)
		defer tried.End()
		say(t, tried, `C|CHR|x+A|REQ|{}+`)
		time.Sleep(59 * time.Second)
		if p.closedWith() != 0 {
			t.Error("closed before the time")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if p.closedWith() != CloseNormal || !strings.Contains(p.said(), "CONNECTION_AUTHENTICATION_TIMEOUT") {
			t.Errorf("closed with %d after %s", p.closedWith(), p.said())
		}
		if q.closedWith() != 0 {
			t.Error("a client whose login was refused was closed by the clock")
		}
	})
}

// TestHeartbeats lets half an hour pass: who answers stays, who falls silent goes.
func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.stop()
		pinged, p := r.connect(t, wire.TextG2, nil)
		defer pinged.End()
		say(t, pinged, login)
		pinging, q := r.connect(t, wire.Protobuf, func(l *Limits) { l.UnauthenticatedTimeout = 0 })
		defer pinging.End()
		silent, z := r.connect(t, wire.Protobuf, func(l *Limits) { l.UnauthenticatedTimeout = 0 })
		defer silent.End()
		old, o := r.connect(t, wire.TextG1, nil)
		defer old.End()
		say(t, old, login)
		ping := wire.For(wire.Protobuf).Append(nil, &message.Message{Topic: message.Connection, Action: message.ConnectionPing})
		for i := range 60 {
			time.Sleep(30 * time.Second)
			synctest.Wait()
			if gone := z.closedWith() != 0; gone != (i >= 2) { // more than two intervals
				t.Fatalf("after %d intervals a silent client is gone: %t", i+1, gone)
			}
			if err := pinging.Receive(ping); err != nil {
				t.Fatal(err)
			}
			say(t, pinged, "C|PO+")
		}
		if p.closedWith() != 0 || q.closedWith() != 0 || o.closedWith() != 0 {
			t.Errorf("closed: text 3 %d, protobuf %d, text 1, which has no heartbeat, %d", p.closedWith(), q.closedWith(), o.closedWith())
		}
		if n := strings.Count(p.said(), "C|PI+"); n < 59 || n > 61 {
			t.Errorf("%d pings in half an hour", n)
		}
	})
}

// TestJoining: messages that wait leave in one write; a lone one leaves at once.
func TestJoining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.stop()
		s, p := r.connect(t, wire.TextG1, nil)
		defer s.End()
		synctest.Wait()
		p.mu.Lock()
		p.room, p.writes = 0, nil // the socket is full
		p.mu.Unlock()
		event := message.Message{Topic: message.Event, Action: message.EventEmit, Name: "n", Data: "1"}
		s.Send(&event)
		synctest.Wait()
		for range 100 {
			s.Send(&event)
		}
		p.mu.Lock()
		p.room = -1
		p.mu.Unlock()
		p.gate <- struct{}{}
		synctest.Wait()
		p.mu.Lock()
		writes := len(p.writes)
		p.mu.Unlock()
		if writes != 2 || p.said() != strings.Repeat("E|EVT|n|N1+", 101) {
			t.Errorf("%d writes, %d bytes", writes, len(p.said()))
		}
	})
}

// TestLargeMessages are referred to, not copied, and keep their place.
func TestLargeMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.stop()
		s, p := r.connect(t, wire.TextG1, nil)
		defer s.End()
		synctest.Wait()
		p.mu.Lock()
		p.writes = nil
		p.mu.Unlock()
		var want strings.Builder
		for size := range []int{1, 900, 1500, 3000, 20000, 3, 1900, 40000, 1} {
			data := `"` + strings.Repeat("x", size) + `"`
			s.Send(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: "n", Data: data})
			want.WriteString("E|EVT|n|S" + strings.Repeat("x", size) + "+")
		}
		synctest.Wait()
		if p.said() != want.String() {
			t.Errorf("got %d bytes, want %d", len(p.said()), want.Len())
		}
	})
}

func TestBatch(t *testing.T) {
	for _, sizes := range [][]int{{1}, {1008}, {1009}, {2048}, {2049}, {1, 2048, 2049, 2, 2}, {5000, 1, 5000}, {1000, 1000, 20000, 15000, 2000}} {
		var b Batch
		var want []byte
		for i, n := range sizes {
			p := bytes.Repeat([]byte{byte('a' + i)}, n)
			b.add(p)
			want = append(want, p...)
		}
		b.Prepend([]byte("0123456789abcdef"))
		want = append([]byte("0123456789abcdef"), want...)
		for cut := 0; b.Size() > 0; cut += 700 {
			if got := bytes.Join(b.Parts(), nil); !bytes.Equal(got, want[min(cut, len(want)):]) {
				t.Fatalf("sizes %v after %d bytes: %d bytes left, want %d", sizes, cut, len(got), len(want)-cut)
			}
			b.Advance(min(700, b.Size()))
		}
		b.reset()
		if b.Size() != 0 || len(b.Parts()) != 0 {
			t.Errorf("sizes %v: not empty after reset", sizes)
		}
	}
}

// TestBatchShared: a shared message is copied only when another follows, and their
// order stays.
func TestBatchShared(t *testing.T) {
	shared := []byte("one for many")
	var b Batch
	b.addShared(shared)
	if parts := b.Parts(); len(parts) != 1 || &parts[0][0] != &shared[0] || b.Size() != len(shared) {
		t.Errorf("a lone message is not shared: %q", parts)
	}
	b.addShared([]byte(", another"))
	b.add([]byte(", a third"))
	clear(shared)
	if got := string(bytes.Join(b.Parts(), nil)); got != "one for many, another, a third" || b.Size() != len(got) {
		t.Errorf("got %q, size %d", got, b.Size())
	}
	b.reset()
	b.add([]byte("next"))
	if got := string(bytes.Join(b.Parts(), nil)); got != "next" || b.Size() != len(got) {
		t.Errorf("got %q after reset, size %d", got, b.Size())
	}
}

// TestSlowClient: one that does not read is closed at the limit; nobody waits.
func TestSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.stop()
		s, p := r.connect(t, wire.TextG1, func(l *Limits) { l.OutboxBytes = 10_000 })
		p.mu.Lock()
		p.room = 0
		p.mu.Unlock()
		event := message.Message{Topic: message.Event, Action: message.EventEmit, Name: "n", Data: `"` + strings.Repeat("x", 100) + `"`}
		for range 300 {
			s.Send(&event)
		}
		synctest.Wait()
		if p.closedWith() != CloseOverload {
			t.Errorf("closed with %d", p.closedWith())
		}
		if s.out.waiting.Size() > 10_000 {
			t.Errorf("%d bytes are waiting", s.out.waiting.Size())
		}
		if n := r.Stats().Slow.Load(); n != 1 {
			t.Errorf("%d slow clients were counted", n)
		}
		close(p.gate)
		s.End()
	})
}

// TestCloseFlushes: what waits is sent before the connection ends.
func TestCloseFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.stop()
		s, p := r.connect(t, wire.TextG1, nil)
		defer s.End()
		p.mu.Lock()
		p.room = 3
		p.mu.Unlock()
		s.Send(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: "last"})
		s.Close(CloseRestart, "bye")
		s.Send(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: "too late"})
		synctest.Wait()
		if p.closedWith() != 0 {
			t.Fatal("closed with messages waiting")
		}
		close(p.gate)
		synctest.Wait()
		if p.closedWith() != CloseRestart || p.said() != "C|CH+E|EVT|last|U+" {
			t.Errorf("closed with %d after %s", p.closedWith(), p.said())
		}
	})
}

func TestEndIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.stop()
		s, _ := r.connect(t, wire.TextG1, nil)
		never, _ := r.connect(t, wire.TextG1, nil)
		say(t, s, login)
		if r.LoggedIn() != 1 || r.Len() != 2 {
			t.Errorf("%d of %d logged in", r.LoggedIn(), r.Len())
		}
		s.End()
		s.End()
		never.End()
		if r.handler.closed != 1 || r.handler.opened != 1 || r.Len() != 0 || r.LoggedIn() != 0 {
			t.Errorf("opened %d, closed %d, left %d", r.handler.opened, r.handler.closed, r.Len())
		}
		if err := s.Receive([]byte("x")); !errors.Is(err, ErrEnded) {
			t.Errorf("an ended session takes frames: %v", err)
		}
	})
}

// ends ends the sessions as their clients would, when they are closed.
func ends(sessions map[*Session]*pipe) {
	for s, p := range sessions {
		go func() {
			for p.closedWith() == 0 {
				time.Sleep(time.Millisecond)
			}
			s.End()
		}()
	}
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.stop()
		s, p := r.connect(t, wire.TextG1, nil)
		ends(map[*Session]*pipe{s: p})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.Stop(ctx, CloseGoingAway, "bye"); err != nil || p.closedWith() != CloseGoingAway || p.said() != "C|CH+" {
			t.Errorf("stopped with %v, client closed with %d after %s", err, p.closedWith(), p.said())
		}
		if _, err := r.New(p, wire.TextG1, &Limits{}, nil); !errors.Is(err, ErrStopping) {
			t.Errorf("takes clients after the end: %v", err)
		}
	})
}

// TestRedirect: text clients that are logged in are not told, for they would not
// subscribe again; when they come back they are.
func TestRedirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.stop()
		challenged, heardChallenged := r.connect(t, wire.TextG1, nil)
		opened, heardOpened := r.connect(t, wire.TextG2, nil)
		say(t, opened, login)
		modern, heardModern := r.connect(t, wire.JSON, nil)
		say(t, modern, `{"topic":2,"action":5}`)
		say(t, modern, `{"topic":3,"action":2,"parsedData":{"say":"please"}}`)
		synctest.Wait()
		before := map[*pipe]int{heardOpened: len(heardOpened.said()), heardModern: len(heardModern.said())}
		ends(map[*Session]*pipe{challenged: heardChallenged, opened: heardOpened, modern: heardModern})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		to := &message.Message{Topic: message.Connection, Action: message.ConnectionRedirect, URL: "ws://other"}
		if err := r.Redirect(ctx, to, CloseGoingAway, "bye"); err != nil {
			t.Fatal(err)
		}
		back, heardBack := r.connect(t, wire.TextG2, nil)
		say(t, back, login)
		synctest.Wait()
		defer back.End()
		for _, c := range []struct {
			who  string
			p    *pipe
			want string
		}{
			{"client before its login", heardChallenged, "C|CH+C|RED|ws://other+"},
			{"text client", heardOpened, ""},
			{"JSON client", heardModern, "\x81)" + `{"topic":2,"action":7,"url":"ws://other"}`},
			{"client that is back", heardBack, "C|CH+C|RED|ws://other+"},
		} {
			if got := c.p.said()[before[c.p]:]; got != c.want || c.p.closedWith() != CloseGoingAway {
				t.Errorf("%s heard %s, closed with %d; want %s", c.who, got, c.p.closedWith(), c.want)
			}
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r.connect(t, wire.TextG1, nil) // and does not leave
		if err := r.Redirect(short, to, CloseGoingAway, "bye"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a client that stays: %v", err)
		}
	})
}

func TestElsewhere(t *testing.T) {
	f := func(to, asked, want string) {
		t.Helper()
		if got := elsewhere(&message.Message{URL: to}, asked).URL; got != want {
			t.Errorf("%s asked for: sent to %s, want %s", asked, got, want)
		}
	}
	f("ws://other:6020", "ws://this:6020/deepstream-v3?jwt=a", "ws://other:6020/deepstream-v3?jwt=a")
	f("wss://other/", "ws://this/deepstream", "wss://other/deepstream")
	f("wss://other/rt", "ws://this/deepstream?jwt=a", "wss://other/rt")
	f("ws://other:6020", "this:6020", "ws://other:6020")
	f("ws://other:6020", "", "ws://other:6020")
	f("10.0.0.1:6020", "ws://this/deepstream", "10.0.0.1:6020")
	f("ws://other", "ws://this/a\x1fb", "ws://other")
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.stop()
		s, _ := r.connect(t, wire.TextG1, func(l *Limits) { l.MessagesPerSecond = 10 })
		defer s.End()
		say(t, s, login)
		start := time.Now()
		say(t, s, strings.Repeat("E|EVT|n+", 58))
		if took := time.Since(start); took < 4*time.Second || took > 6*time.Second {
			t.Errorf("60 messages at 10 a second took %v", took)
		}
	})
}

// TestThrottledFrameEnds: a client that is slowed down through a frame of many
// messages does not keep the node from stopping.
func TestThrottledFrameEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.stop()
		s, p := r.connect(t, wire.TextG1, func(l *Limits) { l.MessagesPerSecond = 1 })
		say(t, s, login)
		start := time.Now()
		ended := make(chan error)
		go func() { ended <- s.Receive([]byte(strings.Repeat("E\x1fEVT\x1fn\x1e", 10_000))) }()
		time.Sleep(5 * time.Second)
		s.Close(CloseGoingAway, "bye")
		if err := <-ended; err != nil {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(start); took > 7*time.Second {
			t.Errorf("it took %v", took)
		}
		synctest.Wait()
		s.End()
		if p.closedWith() != CloseGoingAway {
			t.Errorf("closed with %d", p.closedWith())
		}
	})
}

// TestMaxConnections: the bound holds, and a session that ends makes room.
func TestMaxConnections(t *testing.T) {
	r := newRig()
	defer r.stop()
	r.MaxConnections = 1
	s, p := r.connect(t, wire.TextG1, nil)
	if _, err := r.New(p, wire.TextG1, &Limits{}, nil); !errors.Is(err, ErrFull) || !r.Full() {
		t.Errorf("a full node answered %v", err)
	}
	if n := r.hits[LimitConnections].Load(); n != 1 {
		t.Errorf("counted %d times", n)
	}
	s.End()
	s, _ = r.connect(t, wire.TextG1, nil)
	s.End()
}

// TestLastWordsFirst: what follows the message that ends a session does not cut off
// the answer to it.
func TestLastWordsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.stop()
		f := func(name, said, want string) {
			t.Helper()
			s, p := r.connect(t, wire.TextG1, nil)
			for _, text := range []string{said, "E|S|more+"} {
				frame := strings.NewReplacer("|", "\x1f", "+", "\x1e").Replace(text)
				if err := s.Receive([]byte(frame)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			synctest.Wait()
			if p.said() != want || p.closedWith() == 0 {
				t.Errorf("%s: heard %s, closed with %d", name, p.said(), p.closedWith())
			}
			s.End()
			if err := s.Receive([]byte("x")); !errors.Is(err, ErrEnded) {
				t.Errorf("%s: takes frames after the end: %v", name, err)
			}
		}
		const refused = "A|E|INVALID_AUTH_MSG|invalid authentication message+"
		f("bad login", "C|CHR|x+A|REQ|5+E|S|x+", "C|CH+C|A+"+refused)
		f("early", "C|CHR|x+E|S|x+E|S|y+", "C|CH+C|A+"+refused)
		f("too many", "C|CHR|x+"+strings.Repeat("A|REQ|{}+", 5), "C|CH+C|A+"+strings.Repeat(`A|E|INVALID_AUTH_DATA|O{"for":"you"}+`, 3)+
			"A|E|TOO_MANY_AUTH_ATTEMPTS|Stoo many authentication attempts+")
	})
}

// TestLoginBeatsDeadline: a login that is answered at the moment of its deadline is
// not undone, and one that comes after it does not count.
func TestLoginBeatsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.stop()
		s, p := r.connect(t, wire.TextG1, nil)
		say(t, s, login)
		s.loginOverdue() // the timer had fired already
		synctest.Wait()
		if p.closedWith() != 0 || r.Stats().Overdue.Load() != 0 {
			t.Errorf("closed with %d after %s", p.closedWith(), p.said())
		}
		s.End()
	})
}

// TestOldClientWhileSwept: the protocol of an old client is settled while the
// heartbeats are looked at; the race detector is the judge.
func TestOldClientWhileSwept(t *testing.T) {
	r := newRig()
	defer r.stop()
	challenge := wire.For(wire.Protobuf).Append(nil, &message.Message{Topic: message.Connection,
		Action: message.ConnectionChallenge, SDKType: "javascript", SDKVersion: "5.1.0"})
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				r.beat(nil)
			}
		}
	})
	for range 100 {
		s, _ := r.connect(t, wire.Protobuf, nil)
		if err := s.Receive(challenge); err != nil || s.Codec() != wire.OldProtobuf {
			t.Fatalf("protocol %d, %v", s.Codec(), err)
		}
		s.loginOverdue()
		s.End()
	}
	close(done)
	wg.Wait()
}

// TestSendAllocatesNothing: in the steady state, for one client and for many.
func TestSendAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	r := NewRegistry(NewFlusher(1), &handler{})
	p := &pipe{room: -1}
	l := Limits{OutboxBytes: 1 << 20}
	s, err := r.New(p, wire.Protobuf, &l, nil)
	if err != nil {
		t.Fatal(err)
	}
	event := message.Message{Topic: message.Event, Action: message.EventEmit, Name: "news", Data: `{"x":1}`}
	send := func() {
		b := NewBroadcast(&event)
		b.SendTo(s)
		b.SendTo(s)
		b.Release()
		s.out.sending, s.out.waiting = s.out.waiting, s.out.sending
		s.out.sending.reset()
		s.out.queued = true
	}
	send()
	if n := testing.AllocsPerRun(200, send); n > 0 {
		t.Errorf("%v allocations for two deliveries", n)
	}
}
