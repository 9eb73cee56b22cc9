package sock

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// wait returns the first event that accept agrees to; a test that waits for
// what does not come is ended by go test.
func wait(t *testing.T, p *Poller, accept func(Event) bool) Event {
	t.Helper()
	for {
		events, err := p.Wait(-1)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if accept(e) {
				return e
			}
		}
	}
}

func newPoller(t *testing.T) *Poller {
	t.Helper()
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// pair is a connection from 127.0.0.9 and its accepted end, both in p.
func pair(t *testing.T, p *Poller) (client, server int) {
	t.Helper()
	l, addr, err := Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(l)
	if _, ok, err := Accept(l); ok || err != nil {
		t.Fatalf("accepted %v before anybody connected, error %v", ok, err)
	}
	source := netip.AddrFrom4([4]byte{127, 0, 0, 9})
	client, err = Dial(source, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Close(client) })
	if err := p.Add(client, Token{Index: 1, Generation: 7}, true); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, p, func(e Event) bool { return e.Writable }); e.Token != (Token{1, 7}) {
		t.Errorf("token %+v", e.Token)
	}
	if err := Connected(client); err != nil {
		t.Fatal(err)
	}
	server, ok, err := Accept(l)
	if !ok || err != nil {
		t.Fatalf("accepted %v, error %v", ok, err)
	}
	name, err := unix.Getpeername(server)
	if err != nil || name.(*unix.SockaddrInet4).Addr != source.As4() {
		t.Errorf("it comes from %v, error %v", name, err)
	}
	if err := p.Add(server, Token{Index: 2}, false); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestConversation(t *testing.T) {
	p := newPoller(t)
	client, server := pair(t, p)
	buf := make([]byte, 16)
	if _, again, err := Read(server, buf); !again || err != nil {
		t.Errorf("nothing was sent: %v, %v", again, err)
	}
	if err := Write(client, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	e := wait(t, p, func(e Event) bool { return e.Token.Index == 2 })
	if !e.Readable || e.Closed || e.Writable {
		t.Errorf("event %+v", e)
	}
	if n, again, err := Read(server, buf); string(buf[:n]) != "hello" || again || err != nil {
		t.Errorf("%q, %v, %v", buf[:n], again, err)
	}
	if err := unix.Shutdown(client, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, p, func(e Event) bool { return e.Token.Index == 2 }); !e.Closed || !e.Readable {
		t.Errorf("event %+v", e)
	}
	if n, again, err := Read(server, buf); n != 0 || again || err != nil {
		t.Errorf("the end is %d, %v, %v", n, again, err)
	}
}

func TestAReaderThatIsStuck(t *testing.T) {
	client, _ := pair(t, newPoller(t))
	piece := make([]byte, 64<<10)
	var err error
	for range 1 << 12 {
		if err = Write(client, piece); err != nil {
			break
		}
	}
	if !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}

func TestReset(t *testing.T) {
	p := newPoller(t)
	client, server := pair(t, p)
	if err := unix.SetsockoptLinger(server, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		t.Fatal(err)
	}
	Close(server)
	if e := wait(t, p, func(e Event) bool { return e.Token.Index == 1 && e.Readable }); !e.Closed {
		t.Errorf("event %+v", e)
	}
	if _, _, err := Read(client, make([]byte, 1)); !IsReset(err) {
		t.Errorf("error %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	l, addr, err := Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	Close(l)
	p := newPoller(t)
	// The kernel may tell at once or later.
	fd, err := Dial(loopback, addr)
	if err == nil {
		defer Close(fd)
		if err := p.Add(fd, Token{}, true); err != nil {
			t.Fatal(err)
		}
		wait(t, p, func(e Event) bool { return e.Writable || e.Readable })
		err = Connected(fd)
	}
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error %v", err)
	}
}

func TestWake(t *testing.T) {
	p := newPoller(t)
	w, err := NewWaker(p, Token{Index: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if events, err := p.Wait(time.Microsecond); len(events) != 0 || err != nil {
		t.Errorf("%v, %v before the call", events, err)
	}
	woken := make(chan error, 1)
	go func() { woken <- w.Wake() }()
	wait(t, p, func(e Event) bool { return e.Token.Index == 5 && e.Readable })
	if err := <-woken; err != nil {
		t.Error(err)
	}
}
