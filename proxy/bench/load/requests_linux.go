package load

import (
	"errors"
	"fmt"

	"github.com/dsproxy/dsproxy/proxy/bench/sock"
	"github.com/dsproxy/dsproxy/proxy/bench/traffic"
)

var errClosed = errors.New("the proxy closed the connection")

// dialing is the part all phases share that begin with a connection.
type dialing struct{}

// stands checks that the socket is connected, the first time only: in an
// edge-triggered poll every event of a socket says that it is writable too.
func (dialing) stands(s *slot) (first bool, err error) {
	if s.step != stepDial {
		return false, nil
	}
	s.step = stepSent
	return true, sock.Connected(s.fd)
}

// Steps of an operation that dials.
const (
	stepSent uint8 = iota // also of those that do not dial
	stepDial
	stepOpen
	stepClosing
)

// connecting opens the connection of each slot.
type connecting struct{ dialing }

func (connecting) once() bool                                         { return true }
func (connecting) end(*slot) (bool, error)                            { return false, errClosed }
func (connecting) input(*engine, *slot, []byte) (int, bool, error)    { return 0, false, nil }
func (c connecting) writable(_ *engine, s *slot) (done bool, e error) { return c.stands(s) }
func (connecting) begin(e *engine, s *slot) error {
	s.step = stepDial
	return e.dial(s)
}

// asking sends a request on a kept connection and takes its answer. A
// connection that was lost is dialled anew.
type asking struct {
	dialing
	request func(s *slot) []byte
	take    func(s *slot, body []byte) error
}

func (asking) once() bool              { return false }
func (asking) end(*slot) (bool, error) { return false, errClosed }

func (a asking) begin(e *engine, s *slot) error {
	if s.fd < 0 {
		s.step = stepDial
		return e.dial(s)
	}
	s.step = stepSent
	return sock.Write(s.fd, a.request(s))
}

func (a asking) writable(_ *engine, s *slot) (bool, error) {
	first, err := a.stands(s)
	if err != nil || !first {
		return false, err
	}
	return false, sock.Write(s.fd, a.request(s))
}

func (a asking) input(_ *engine, s *slot, b []byte) (int, bool, error) {
	answer, ok, err := traffic.ParseAnswer(b)
	if err != nil || !ok {
		return 0, false, err
	}
	if answer.Status != 200 {
		return 0, false, fmt.Errorf("status %d: %.100q", answer.Status, answer.Body)
	}
	return answer.Length, true, a.take(s, answer.Body)
}

// smallRequests asks for the small answer.
func smallRequests() phase {
	want := bodyOf(traffic.SmallAnswer)
	return asking{
		request: func(*slot) []byte { return traffic.SmallRequest },
		take:    func(_ *slot, body []byte) error { return compare(body, want) },
	}
}

// sessions opens engine.io sessions and polls them.
type sessions struct {
	polls [][]byte
	next  uint64
}

func (ss *sessions) handshakes() phase {
	return asking{
		request: func(*slot) []byte { return traffic.HandshakeRequest },
		take: func(_ *slot, body []byte) error {
			sid, ok := traffic.SID(body)
			if !ok {
				return fmt.Errorf("no session id in the handshake %.100q", body)
			}
			ss.polls = append(ss.polls, traffic.PollRequest(sid))
			return nil
		},
	}
}

func (ss *sessions) polling() phase {
	want := bodyOf(traffic.PollAnswer)
	return asking{
		request: func(*slot) []byte {
			n := ss.next
			ss.next++
			return ss.polls[traffic.Scatter(n, len(ss.polls))]
		},
		take: func(_ *slot, body []byte) error { return compare(body, want) },
	}
}

func bodyOf(answer []byte) string {
	a, _, err := traffic.ParseAnswer(answer)
	if err != nil {
		panic(err) // the answer is a constant of ours
	}
	return string(a.Body)
}

func compare(got []byte, want string) error {
	if string(got) != want {
		return fmt.Errorf("the body is %.100q, want %q", got, want)
	}
	return nil
}
