package backend

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/dsproxy/dsproxy/proxy/bench/sock"
	"github.com/dsproxy/dsproxy/proxy/bench/traffic"
)

// Server is a set of backends in one thread.
type Server struct {
	// set before Serve
	listeners []int
	addrs     []string
	poller    *sock.Poller
	waker     *sock.Waker

	// owned by Serve
	conns   []*conn // by Token.Index less the listeners and the waker
	free    []int32
	buf     []byte
	out     []byte
	sids    []uint64 // next session number of each backend
	counter counters

	stopping atomic.Bool
}

// counters are written by Serve and read by Counts.
type counters struct {
	requests, handshakes, polls, misroutes, upgrades, frames, unknown, failed atomic.Int64
}

type conn struct {
	fd         int
	generation int32
	backend    int
	websocket  bool
	partial    []byte // a message that came in pieces
}

// bufferSize takes whatever one read of the small messages here can bring.
const bufferSize = 64 << 10

// New opens n backends on free ports of 127.0.0.1.
func New(n int) (*Server, error) {
	if n < 1 || n > traffic.MaxBackends {
		return nil, fmt.Errorf("%d backends, want 1 to %d", n, traffic.MaxBackends)
	}
	s := &Server{buf: make([]byte, bufferSize), sids: make([]uint64, n)}
	if err := s.open(n); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *Server) open(n int) (err error) {
	if s.poller, err = sock.NewPoller(); err != nil {
		return err
	}
	if s.waker, err = sock.NewWaker(s.poller, sock.Token{Index: int32(n)}); err != nil {
		return err
	}
	for i := range n {
		fd, addr, err := sock.Listen(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, fd)
		s.addrs = append(s.addrs, addr.String())
		if err := s.poller.Add(fd, sock.Token{Index: int32(i)}, false); err != nil {
			return err
		}
	}
	return nil
}

// Addrs are the host:port of the backends.
func (s *Server) Addrs() []string { return s.addrs }

// Counts may be called at any time.
func (s *Server) Counts() Counts {
	c := &s.counter
	return Counts{
		Requests: c.requests.Load(), Handshakes: c.handshakes.Load(), Polls: c.polls.Load(),
		Misroutes: c.misroutes.Load(), Upgrades: c.upgrades.Load(), Frames: c.frames.Load(),
		Unknown: c.unknown.Load(), Failed: c.failed.Load(),
	}
}

// Stop makes Serve return.
func (s *Server) Stop() error {
	s.stopping.Store(true)
	return s.waker.Wake()
}

// Serve answers until Stop and then frees everything.
func (s *Server) Serve() error {
	defer s.close()
	for {
		events, err := s.poller.Wait(-1)
		if err != nil {
			return err
		}
		if s.stopping.Load() {
			return nil
		}
		for _, e := range events {
			switch i := int(e.Token.Index); {
			case i < len(s.listeners):
				if err := s.accept(i); err != nil {
					return err
				}
			case i > len(s.listeners):
				s.serve(e)
			}
		}
	}
}

func (s *Server) close() {
	for _, c := range s.conns {
		if c.fd >= 0 {
			sock.Abort(c.fd)
		}
	}
	for _, fd := range s.listeners {
		sock.Close(fd)
	}
	if s.waker != nil {
		s.waker.Close()
	}
	if s.poller != nil {
		s.poller.Close()
	}
}

func (s *Server) accept(backend int) error {
	for {
		fd, ok, err := sock.Accept(s.listeners[backend])
		if err != nil || !ok {
			return err
		}
		if len(s.free) == 0 {
			s.free = append(s.free, int32(len(s.conns)))
			s.conns = append(s.conns, &conn{})
		}
		slot := s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		c := s.conns[slot]
		*c = conn{fd: fd, generation: c.generation + 1, backend: backend, partial: c.partial[:0]}
		token := sock.Token{Index: slot + int32(len(s.listeners)) + 1, Generation: c.generation}
		if err := s.poller.Add(fd, token, false); err != nil {
			return err
		}
	}
}

// serve reads what a connection has and answers it.
func (s *Server) serve(e sock.Event) {
	slot := e.Token.Index - int32(len(s.listeners)) - 1
	c := s.conns[slot]
	if c.generation != e.Token.Generation || c.fd < 0 {
		return
	}
	for {
		n, wait, err := sock.Read(c.fd, s.buf)
		if wait {
			return
		}
		open := err == nil && n > 0
		if open {
			open, err = s.input(c, s.buf[:n])
		}
		if !open {
			if err != nil && !sock.IsReset(err) {
				s.counter.failed.Add(1)
			}
			sock.Close(c.fd)
			c.fd = -1
			s.free = append(s.free, slot)
			return
		}
		if n < len(s.buf) && !e.Closed {
			return
		}
	}
}

// input handles all whole messages of b and keeps the rest.
func (s *Server) input(c *conn, b []byte) (open bool, err error) {
	if len(c.partial) > 0 {
		c.partial = append(c.partial, b...)
		b = c.partial
	}
	s.out = s.out[:0]
	open = true
	for open && len(b) > 0 {
		var n int
		if c.websocket {
			n, open, err = s.frame(b)
		} else {
			n = s.request(c, b)
		}
		if err != nil {
			return false, err
		}
		if n == 0 {
			break
		}
		b = b[n:]
	}
	c.partial = append(c.partial[:0], b...)
	if len(s.out) > 0 {
		if err := sock.Write(c.fd, s.out); err != nil {
			return false, err
		}
	}
	return open, nil
}

// request answers the request b starts with and returns its length, 0 if it is
// not whole.
func (s *Server) request(c *conn, b []byte) int {
	r, ok := traffic.ParseRequest(b)
	if !ok {
		return 0
	}
	s.counter.requests.Add(1)
	switch r.Kind {
	case traffic.Small:
		s.out = append(s.out, traffic.SmallAnswer...)
	case traffic.Poll:
		s.counter.polls.Add(1)
		if traffic.Owner(r.SID) != c.backend {
			s.counter.misroutes.Add(1)
		}
		s.out = append(s.out, traffic.PollAnswer...)
	case traffic.Handshake:
		s.counter.handshakes.Add(1)
		sid := traffic.AppendSID(nil, c.backend, s.sids[c.backend])
		s.sids[c.backend]++
		s.out = append(s.out, traffic.HandshakeAnswer(sid)...)
	case traffic.Upgrade:
		s.counter.upgrades.Add(1)
		s.out = traffic.AppendSwitching(s.out, r.Key)
		c.websocket = true
	default:
		s.counter.unknown.Add(1)
		s.out = append(s.out, traffic.NotFound...)
	}
	return r.Length
}

// frame echoes the frame b starts with and returns its length, 0 if it is not
// whole; open is false after a close frame.
func (s *Server) frame(b []byte) (n int, open bool, err error) {
	f, ok, err := traffic.ParseFrame(b)
	if err != nil || !ok {
		return 0, true, err
	}
	s.counter.frames.Add(1)
	s.out = traffic.AppendFrame(s.out, f.Opcode, nil, f.Payload)
	return f.Length, f.Opcode != traffic.Close, nil
}
