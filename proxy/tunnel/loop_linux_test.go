package tunnel

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openFiles counts the descriptors of this process.
// Every way to end gives all descriptors back.
// countingRig counts the turns of its loops.
func countingRig(t *testing.T) (*rig, *atomic.Int64) {
	var turns atomic.Int64
	ticks := make(chan time.Time)
	r, err := newRelay(Config{}, ticks, func(l *loop) {
		l.raw.Read(func(uintptr) bool {
			for turns.Add(1); l.turn(l.poll()); turns.Add(1) {
			}
			return false
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(context.Background()) })
	return &rig{Relay: r, t: t, ticks: ticks, small: true}, &turns
}

// In no state that lasts does a loop turn for nothing.
func TestQuietTunnelsCauseNoTurns(t *testing.T) {
	r, turns := countingRig(t)
	states := map[string]func(*link){
		"quiet":       func(l *link) {},
		"half-closed": func(l *link) { l.client.CloseWrite(); r.hearEnd(l.backend) },
		"held":        func(l *link) { r.stuff(l.client) },
		"held, then half-closed by the writer": func(l *link) {
			r.stuff(l.client)
			l.client.CloseWrite()
		},
		"held, then half-closed by the reader": func(l *link) {
			r.stuff(l.client)
			l.backend.CloseWrite()
			r.hearEnd(l.client)
		},
		"held, then half-closed by both": func(l *link) {
			r.stuff(l.client)
			l.client.CloseWrite()
			l.backend.CloseWrite()
			r.hearEnd(l.client)
		},
	}
	for name, reach := range states {
		t.Run(name, func(t *testing.T) {
			l := r.open(Options{}, "", "")
			reach(l)
			// A loop that spins does so thousands of times in this while, a
			// sound one now and then for a late segment.
			look := time.NewTicker(50 * time.Millisecond)
			defer look.Stop()
			<-look.C
			before := turns.Load()
			<-look.C
			if n := turns.Load() - before; n > 20 {
				t.Errorf("%d turns in 50 ms without traffic", n)
			}
			l.tunnel.Close(Drained)
			r.end(l)
		})
	}
}

// A read stops at the urgent mark, so that a short one is not the end of what
// is there. The urgent byte itself is lost, as with any relay.
// Bytes on their way allocate nothing.
// stillRig has one loop that turns only when the test has it turn.
func stillRig(t *testing.T) (*rig, *loop) {
	ticks := make(chan time.Time)
	stop := make(chan struct{})
	r, err := newRelay(Config{Loops: 1}, ticks, func(*loop) { <-stop })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(stop)
		r.Close(context.Background())
	})
	return &rig{Relay: r, t: t, ticks: ticks}, r.loops[0]
}

// A pair has its share of a turn, and the rest without another event.
func TestTurnIsShared(t *testing.T) {
	turns := 3
	var most int64
	if sysctl, err := os.ReadFile("/proc/sys/net/core/rmem_max"); err == nil {
		fmt.Sscan(string(sysctl), &most)
	}
	if most < 4*turnBudget {
		turns = 2 // the usual buffer takes no more
	}
	n := (turns-1)*turnBudget + smallBlock
	r, l := stillRig(t)
	c, b, near := r.sides()
	defer c.Close()
	defer b.Close()
	near[client].(*net.TCPConn).SetReadBuffer(2 * n)
	tun, err := r.Start(near[client], near[backend], nil, nil, Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	go c.Write(make([]byte, n))
	r.until("the bytes", func() bool {
		k, err := unix.IoctlGetInt(tun.way.(*pair).ends[client].fd, unix.TIOCINQ)
		return k == n || err != nil
	})
	got := make(chan int64, 1)
	go func() {
		k, _ := io.CopyN(io.Discard, b, int64(n))
		got <- k
	}()
	l.events[0] = unix.EpollEvent{Events: unix.EPOLLIN, Fd: tun.slot<<1 | int32(client), Pad: tun.gen}
	for i := range turns {
		more := l.turn(max(1-i, 0)) // one event, in the first turn
		last := i == turns-1
		if k := int(tun.Stats().ToBackend); k != min((i+1)*turnBudget, n) || more == last {
			t.Errorf("turn %d of %d: moved %d of %d bytes, more %v", i+1, turns, k, n, more)
		}
	}
	r.until("the end", func() bool { l.turn(l.poll()); return len(got) > 0 })
}

// A detached socket is no longer the loop's business.
func TestDetachedSocketCausesNoEvents(t *testing.T) {
	r, l := stillRig(t)
	link := r.open(Options{}, "", "")
	f := func(at net.Conn, want int) {
		t.Helper()
		r.say(link.client, "x")
		r.until("the byte", func() (there bool) {
			raw, err := at.(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			raw.Control(func(fd uintptr) {
				n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
				there = n > 0 || err != nil
			})
			return there
		})
		if n := l.poll(); n != want {
			t.Errorf("%d events; want %d", n, want)
		}
		at.Read(make([]byte, 1))
	}
	kept, err := returnSocket(link.tunnel.way.(*pair).ends[client].fd)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	f(kept, 1)
	h, err := link.tunnel.Detach()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Client.Close()
	defer h.Backend.Close()
	f(h.Client, 0)
}

// A half-closed tunnel may be detached, and its open half end before the next
// Start: that is an end in order, with its last bytes still to be read.
// What a side says before it resets the connection is passed on even if the
// relay learns of the reset by writing to it.
func TestLastWordsBehindFailedWrite(t *testing.T) {
	r, l := stillRig(t)
	r.eitherFirst(func(t *testing.T, r *rig, pick picker, s side) {
		link := r.open(Options{}, "", "")
		first, second := pick(link)
		r.say(second, "a question")
		r.until("the question", func() bool { l.turn(l.poll()); return r.Totals().Open == 1 && link.tunnel.from[s.other()].Load() > 0 })
		r.say(first, "bye")
		first.Close() // with unread input, so a RST goes out
		r.say(second, "anyone?")
		p := link.tunnel.way.(*pair)
		r.until("the reset and the bytes", func() bool {
			fds := []unix.PollFd{
				{Fd: int32(p.ends[s].fd), Events: unix.POLLIN},
				{Fd: int32(p.ends[s.other()].fd), Events: unix.POLLIN},
			}
			unix.Poll(fds, 0)
			return fds[0].Revents&unix.POLLERR != 0 && fds[1].Revents&unix.POLLIN != 0
		})
		// Only the event of the other side, as if the reset came just now.
		p.ready(l.buf, s.other(), unix.EPOLLIN)
		if got := r.end(link); got.Reason != abortedBy[s] || got.Err == nil {
			t.Errorf("ended with %v, %v; want %v and a cause", got.Reason, got.Err, abortedBy[s])
		}
		r.hear(second, "bye")
		r.hearReset(second)
	})
}

// A pair whose slot is taken by another meanwhile does not get its events.
func TestStaleEventsAreDropped(t *testing.T) {
	r := &Relay{}
	l := &loop{}
	add := func() *pair {
		p := &pair{loop: l}
		p.way = p
		p.relay = r
		if !l.add(&p.Tunnel) {
			t.Fatal("not added")
		}
		return p
	}
	first := add()
	l.events[0] = unix.EpollEvent{Fd: first.slot<<1 | 1, Pad: first.gen}
	l.resolve(1)
	if l.batch[0] != first {
		t.Error("the event did not find its pair")
	}
	l.remove(&first.Tunnel)
	l.batch[0] = nil
	l.resolve(1)
	if l.batch[0] != nil {
		t.Error("an event found a pair that has ended")
	}
	second := add()
	if second.slot != first.slot {
		t.Fatalf("slot %d was not used again", first.slot)
	}
	l.resolve(1)
	if l.batch[0] != nil {
		t.Error("an event found the next pair in its slot")
	}
}
