package load

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/dsproxy/dsproxy/proxy/bench/sock"
	"github.com/dsproxy/dsproxy/proxy/bench/traffic"
)

// maskKey masks what the client sends. Any key will do for the wire.
var maskKey = [4]byte{0x5a, 0xc3, 0x99, 0x17}

var closeFrame = traffic.AppendFrame(nil, traffic.Close, &maskKey, []byte{0x03, 0xe8})

// upgrading opens a WebSocket in each slot and, with a payload, has one message
// echoed through it.
type upgrading struct {
	dialing
	payload int
}

func (upgrading) once() bool              { return true }
func (upgrading) end(*slot) (bool, error) { return false, errClosed }

func (upgrading) begin(e *engine, s *slot) error {
	s.step = stepDial
	return e.dial(s)
}

func (u upgrading) writable(_ *engine, s *slot) (bool, error) {
	first, err := u.stands(s)
	if err != nil || !first {
		return false, err
	}
	return false, sock.Write(s.fd, traffic.UpgradeRequest)
}

func (u upgrading) input(e *engine, s *slot, b []byte) (int, bool, error) {
	if s.step == stepOpen {
		n, err := echoed(s, b)
		return n, n > 0, err
	}
	n, err := switched(b)
	if n == 0 || err != nil {
		return 0, false, err
	}
	s.step = stepOpen
	if u.payload == 0 {
		return n, true, nil
	}
	return n, false, send(e, s, u.payload)
}

// echoing sends a message over an open WebSocket and takes it back.
type echoing struct{ payload int }

func (echoing) once() bool                            { return false }
func (echoing) end(*slot) (bool, error)               { return false, errClosed }
func (echoing) writable(*engine, *slot) (bool, error) { return false, nil }

func (p echoing) begin(e *engine, s *slot) error {
	if s.fd < 0 {
		return errClosed
	}
	return send(e, s, p.payload)
}

func (echoing) input(_ *engine, s *slot, b []byte) (int, bool, error) {
	n, err := echoed(s, b)
	return n, n > 0, err
}

// cycling opens a WebSocket, closes it with a close frame, and waits for the
// answer to that and for the end of the stream.
type cycling struct{ upgrading }

func (cycling) once() bool { return false }

func (cycling) input(_ *engine, s *slot, b []byte) (int, bool, error) {
	switch s.step {
	case stepSent:
		n, err := switched(b)
		if n == 0 || err != nil {
			return 0, false, err
		}
		s.step = stepOpen
		return n, false, sock.Write(s.fd, closeFrame)
	case stepOpen:
		f, ok, err := traffic.ParseFrame(b)
		if err != nil || !ok {
			return 0, false, err
		}
		if f.Opcode != traffic.Close {
			return 0, false, fmt.Errorf("a frame of opcode %#x answers a close frame", f.Opcode)
		}
		s.step = stepClosing
		return f.Length, false, nil
	default:
		return 0, false, fmt.Errorf("%d bytes follow the close frame", len(b))
	}
}

func (cycling) end(s *slot) (bool, error) {
	if s.step != stepClosing {
		return false, errClosed
	}
	return true, nil
}

// switched returns the length of the 101 that b starts with, 0 if it is not
// whole.
func switched(b []byte) (int, error) {
	a, ok, err := traffic.ParseAnswer(b)
	if err != nil || !ok {
		return 0, err
	}
	if a.Status != 101 {
		return 0, fmt.Errorf("the upgrade is answered %d: %.100q", a.Status, a.Body)
	}
	if !traffic.Accepted(b[:a.Length-2]) {
		return 0, fmt.Errorf("a 101 without the right Sec-WebSocket-Accept: %q", b[:a.Length])
	}
	return a.Length, nil
}

// send writes the next message of s, different from all others.
func send(e *engine, s *slot, size int) error {
	if len(s.payload) != size {
		s.payload = bytes.Repeat([]byte{'.'}, size)
		binary.LittleEndian.PutUint32(s.payload[4:], uint32(s.index))
	}
	s.state++
	binary.LittleEndian.PutUint32(s.payload, uint32(s.state))
	e.out = traffic.AppendFrame(e.out[:0], traffic.Binary, &maskKey, s.payload)
	return sock.Write(s.fd, e.out)
}

// echoed returns the length of the echo of the last message that b starts with,
// 0 if it is not whole.
func echoed(s *slot, b []byte) (int, error) {
	f, ok, err := traffic.ParseFrame(b)
	if err != nil || !ok {
		return 0, err
	}
	if f.Opcode != traffic.Binary || !bytes.Equal(f.Payload, s.payload) {
		return 0, fmt.Errorf("the echo has opcode %#x and %.60q, want %#x and %.60q", f.Opcode, f.Payload, traffic.Binary, s.payload)
	}
	return f.Length, nil
}
