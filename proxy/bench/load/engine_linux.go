package load

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/dsproxy/dsproxy/proxy/bench/sock"
)

// stall is how long the engine waits for any event before it gives up.
const stall = 15 * time.Second

// slot is one connection and the operation under way on it.
type slot struct {
	index      int32
	generation int32
	fd         int // -1 when closed
	busy       bool
	began      time.Duration
	partial    []byte
	step       uint8 // of the phase's own
	state      uint64
	payload    []byte // the message sent, to compare with its echo
}

// phase is one kind of operation. Its methods run in the engine's thread.
type phase interface {
	// begin starts an operation: it writes, or dials.
	begin(e *engine, s *slot) error
	// writable tells that a dialled socket stands.
	writable(e *engine, s *slot) (done bool, err error)
	// input gets the bytes not yet consumed.
	input(e *engine, s *slot, b []byte) (consumed int, done bool, err error)
	// end tells that the peer will send no more; the engine closes the socket.
	end(s *slot) (done bool, err error)
	// once tells that a slot takes one operation only.
	once() bool
}

// engine drives the slots through a phase.
type engine struct {
	// set before the first run
	target  netip.AddrPort
	sources []netip.Addr
	poller  *sock.Poller
	buf     []byte
	out     []byte // for messages built on the way

	// owned by run
	slots   []slot
	ready   []int32 // a ring of slots that wait for work
	first   int
	waiting int
	started time.Time
	heard   time.Duration // when an event came last, or none was awaited
	taken   int           // operations begun
	ended   int           // operations done or failed
	result  Result
	times   []time.Duration
	dials   int
	failed  []int32 // slots to go back into the queue after an error
}

// maxErrors ends a run: figures taken among errors are worth nothing.
const maxErrors = 100

func newEngine(target netip.AddrPort, sources []netip.Addr, slots int) (*engine, error) {
	p, err := sock.NewPoller()
	if err != nil {
		return nil, err
	}
	e := &engine{target: target, sources: sources, poller: p, buf: make([]byte, 256<<10)}
	e.slots = make([]slot, slots)
	for i := range e.slots {
		e.slots[i] = slot{index: int32(i), fd: -1}
	}
	return e, nil
}

func (e *engine) close() {
	for i := range e.slots {
		if s := &e.slots[i]; s.fd >= 0 {
			sock.Abort(s.fd)
			s.fd = -1
		}
	}
	e.poller.Close()
}

// run does ops operations of p with at most window at a time and at most rate
// in a second (0: no bound).
func (e *engine) run(p phase, ops, window int, rate float64) (Result, error) {
	e.taken, e.ended, e.heard, e.result = 0, 0, 0, Result{}
	e.times = slices.Grow(e.times[:0], ops)
	e.ready, e.first, e.waiting = make([]int32, len(e.slots)), 0, 0
	for i := range e.slots {
		e.slots[i].busy = false
		e.push(int32(i))
	}
	e.started = time.Now()
	for e.ended < ops {
		next := e.release(p, ops, window, rate)
		if err := e.tooBad(ops); err != nil {
			return e.result, err
		}
		if len(e.failed) > 0 || e.ended >= ops {
			for _, i := range e.failed {
				e.push(i)
			}
			e.failed = e.failed[:0]
			continue
		}
		events, err := e.poller.Wait(next)
		if err != nil {
			return e.result, err
		}
		// A signal to the process too makes Wait return without events.
		if now := time.Since(e.started); len(events) > 0 || next < stall {
			e.heard = now
		} else if now-e.heard >= stall {
			return e.result, fmt.Errorf("nothing came for %v, %d operations are under way", stall, e.taken-e.ended)
		}
		for _, ev := range events {
			e.handle(p, ev)
		}
	}
	return e.finish(), nil
}

func (e *engine) tooBad(ops int) error {
	if e.result.Errors > maxErrors || e.result.Errors == ops {
		return fmt.Errorf("%d of %d operations failed, the first: %s", e.result.Errors, e.ended, e.result.Error)
	}
	return nil
}

func (e *engine) finish() Result {
	r := e.result
	r.Elapsed = time.Since(e.started)
	r.Ops = len(e.times)
	slices.Sort(e.times)
	r.P50, r.P99 = quantile(e.times, 0.50), quantile(e.times, 0.99)
	if len(e.times) > 0 {
		r.Max = e.times[len(e.times)-1]
	}
	return r
}

func (e *engine) push(i int32) {
	e.ready[(e.first+e.waiting)%len(e.ready)] = i
	e.waiting++
}

func (e *engine) pop() *slot {
	i := e.ready[e.first]
	e.first = (e.first + 1) % len(e.ready)
	e.waiting--
	return &e.slots[i]
}

// release begins operations on waiting slots and returns how long to wait for
// events: until the pace lets the next one go, or until the stall limit.
func (e *engine) release(p phase, ops, window int, rate float64) time.Duration {
	for e.waiting > 0 && e.taken < ops && e.taken-e.ended < window {
		now := time.Since(e.started)
		if rate > 0 {
			if due := dueTime(e.taken, rate); due > now {
				return due - now
			}
		}
		s := e.pop()
		s.busy, s.began = true, now
		e.taken++
		if err := p.begin(e, s); err != nil {
			e.fail(s, err)
		}
	}
	return stall
}

func (e *engine) handle(p phase, ev sock.Event) {
	s := &e.slots[ev.Token.Index]
	if s.fd < 0 || s.generation != ev.Token.Generation {
		return
	}
	done := false
	var err error
	if ev.Writable && s.busy {
		done, err = p.writable(e, s)
	}
	if ev.Readable && err == nil && !done {
		done, err = e.read(p, s, ev.Closed)
	}
	switch {
	case err != nil && s.busy:
		e.fail(s, err)
	case err != nil:
		e.drop(s) // it waited; its next operation dials anew or fails
	case done:
		e.times = append(e.times, time.Since(e.started)-s.began)
		e.ended++
		s.busy = false
		if !p.once() {
			e.push(s.index)
		}
	}
}

// read reads the socket and gives the bytes to the phase.
func (e *engine) read(p phase, s *slot, toEnd bool) (done bool, err error) {
	for {
		n, wait, err := sock.Read(s.fd, e.buf)
		if wait {
			return done, nil
		}
		if err != nil || n == 0 {
			if !s.busy || done {
				e.drop(s)
				return done, nil
			}
			if err != nil && !sock.IsReset(err) {
				return false, err
			}
			done, err = p.end(s)
			e.drop(s)
			return done, err
		}
		b := e.buf[:n]
		if len(s.partial) > 0 {
			s.partial = append(s.partial, b...)
			b = s.partial
		}
		if !s.busy || done {
			return done, fmt.Errorf("%d bytes came that nothing asked for: %.60q", len(b), b)
		}
		for len(b) > 0 && !done {
			consumed := 0
			consumed, done, err = p.input(e, s, b)
			if err != nil {
				return false, err
			}
			if consumed == 0 {
				break
			}
			b = b[consumed:]
		}
		if done && len(b) > 0 {
			return false, fmt.Errorf("%d bytes follow the answer: %.60q", len(b), b)
		}
		s.partial = append(s.partial[:0], b...)
		if n < len(e.buf) && !toEnd || s.fd < 0 {
			return done, nil
		}
	}
}

// fail ends the operation of s with an error; its connection is closed, and the
// slot goes on waiting so that one bad connection does not stop the run.
func (e *engine) fail(s *slot, err error) {
	if e.result.Errors == 0 {
		e.result.Error = err.Error()
	}
	e.result.Errors++
	e.ended++
	s.busy = false
	e.drop(s)
	e.failed = append(e.failed, s.index)
}

// dial gives s a new socket that is not connected yet.
func (e *engine) dial(s *slot) error {
	e.drop(s)
	source := e.sources[e.dials%len(e.sources)]
	e.dials++
	fd, err := sock.Dial(source, e.target)
	if err != nil {
		return err
	}
	s.fd = fd
	s.generation++
	return e.poller.Add(fd, sock.Token{Index: s.index, Generation: s.generation}, true)
}

func (e *engine) drop(s *slot) {
	if s.fd >= 0 {
		sock.Close(s.fd)
		s.fd = -1
	}
	s.partial = s.partial[:0]
}
