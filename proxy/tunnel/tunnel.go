package tunnel

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultBufferLimit is the BufferLimit of an Options that names none.
const DefaultBufferLimit = 64 << 10

const minBufferLimit = 1 << 10

// Options are one tunnel's own. The zero value is a tunnel without an idle
// timeout and without keepalive probes.
type Options struct {
	// IdleTimeout closes the tunnel after so long without a byte in either
	// direction. It is coarse: up to half a second late, never early. Zero
	// or less means never.
	IdleTimeout time.Duration
	// KeepAlive is the time between TCP keepalive probes on both sockets.
	// Zero leaves the sockets as they are, less turns probes off. It is
	// ignored where a connection is not TCP.
	KeepAlive time.Duration
	// BufferLimit bounds the bytes read from one side and not yet taken by
	// the other, for each direction. Nothing more is read from a side while
	// bytes of it wait. Zero means DefaultBufferLimit; it is kept between
	// 1 KiB and 64 KiB. Bytes given to Start do not count against it.
	BufferLimit int
}

// Reason says why a tunnel ended.
type Reason uint8

// The reasons, with the side that was first where both took part.
const (
	// ClientClosed: both sides ended in order (FIN), the client first.
	ClientClosed Reason = iota + 1
	// BackendClosed: both sides ended in order (FIN), the backend first.
	BackendClosed
	// ClientAborted: the client's connection was reset or failed; Stats.Err
	// has the cause. The backend's was reset in turn.
	ClientAborted
	// BackendAborted: as ClientAborted, from the backend.
	BackendAborted
	// Idle: Options.IdleTimeout passed without a byte.
	Idle
	// Drained: closed by Relay.Drain.
	Drained
	// Stopped: closed by Relay.Close.
	Stopped
	// Detached: taken out by Tunnel.Detach; the connections live on.
	Detached
)

// endedBy and abortedBy give the reason by the side that was first.
var (
	endedBy   = [2]Reason{ClientClosed, BackendClosed}
	abortedBy = [2]Reason{ClientAborted, BackendAborted}
)

var reasonNames = [...]string{"", "client_closed", "backend_closed", "client_aborted", "backend_aborted",
	"idle", "drained", "stopped", "detached"}

// String gives the reason as a stable word for logs and metric labels.
func (r Reason) String() string {
	if int(r) < len(reasonNames) && r > 0 {
		return reasonNames[r]
	}
	return "unknown"
}

// Stats describes a tunnel, at its end when passed to Start's done.
type Stats struct {
	// ToBackend counts the client's bytes on their way to the backend, those
	// given to Start included; ToClient the other way. All of them were
	// delivered to the socket if the tunnel ended with ClientClosed or
	// BackendClosed.
	ToBackend, ToClient int64
	// Opened is when Start was called.
	Opened time.Time
	// Reason is zero while the tunnel is open.
	Reason Reason
	// Err is the cause of ClientAborted and BackendAborted, otherwise nil.
	Err error
}

// Tunnel is one connection pair in a Relay. Its methods may be called from any
// goroutine.
type Tunnel struct {
	// set before the tunnel is in its shard
	relay  *Relay
	shard  *shard
	way    way
	done   func(Stats)
	opened time.Time
	limit  int32  // Options.BufferLimit
	idle   uint32 // ticks, 0 is never

	// set by shard.add
	slot, gen int32

	// atomic
	active atomic.Uint32   // the tick of the last byte
	from   [2]atomic.Int64 // bytes read from that side

	// guarded by relay.wheel.mu
	links links

	mu sync.Mutex
	// guarded by mu
	reason Reason // of the end, once that is decided
	err    error
}

// prepare sets what does not depend on the way.
func (t *Tunnel) prepare(r *Relay, s *shard, o Options, done func(Stats)) {
	if o.BufferLimit == 0 {
		o.BufferLimit = DefaultBufferLimit
	}
	t.relay, t.shard, t.done = r, s, done
	t.opened = time.Now()
	t.limit = int32(min(max(o.BufferLimit, minBufferLimit), largeBlock))
	t.idle = idleTicks(o.IdleTimeout)
	t.touch()
}

// way is how the bytes of a tunnel get across: a pair in an epoll loop or two
// pumps.
type way interface {
	// close decides the end and sees to it; finish follows, here or
	// elsewhere.
	close(reason Reason)
	detach() (Handover, error)
}

// Close ends the tunnel with the reason given, without waiting; Start's done
// follows. Bytes that a side has not taken yet are dropped and that side is
// reset, so that it can tell the cut from an end; otherwise it sees a FIN.
// Closing a tunnel that has ended does nothing.
func (t *Tunnel) Close(reason Reason) { t.way.close(reason) }

// Stats returns the counters so far.
func (t *Tunnel) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Stats{
		ToBackend: t.from[client].Load(),
		ToClient:  t.from[backend].Load(),
		Opened:    t.opened,
		Reason:    t.reason,
		Err:       t.err,
	}
}

// Detach stops the relaying and gives both connections back, for a successor
// process to go on with (see Handover); Start's done is called with Detached.
// It fails with errors.ErrUnsupported, and leaves the tunnel running, unless
// both connections are bare TCP, and with ErrClosed when the tunnel has ended.
func (t *Tunnel) Detach() (Handover, error) { return t.way.detach() }

// Handover is a detached tunnel: pass its fields to the next Start. What each
// socket has seen (FIN received, FIN sent) is state of the socket and travels
// with it.
type Handover struct {
	Client, Backend net.Conn
	// FromClient was read from the client and not yet taken by the backend,
	// FromBackend the other way.
	FromClient, FromBackend []byte
}

// read is called with every byte read from a side, once and in order, before
// any of it is written: this is where something that follows the streams, such
// as an observer of WebSocket frame boundaries with a few bytes of state for
// each direction, looks on.
func (t *Tunnel) read(from side, p []byte) {
	t.touch()
	t.from[from].Add(int64(len(p)))
	t.shard.from[from].Add(int64(len(p)))
}

// touch starts the idle timeout anew.
func (t *Tunnel) touch() { t.active.Store(t.relay.wheel.now.Load()) }

// decide sets the reason of the end and reports whether it was the first to.
// It is called with mu held.
func (t *Tunnel) decide(reason Reason, err error) bool {
	if t.reason != 0 {
		return false
	}
	t.reason, t.err = reason, err
	return true
}

// finish tells everyone that the tunnel has ended. It is called once, without
// mu, by whoever closed or gave away the connections.
func (t *Tunnel) finish() {
	t.relay.wheel.remove(t)
	t.shard.remove(t)
	if t.done != nil {
		t.done(t.Stats())
	}
	t.relay.tunnels.Done()
}
