package tunnel

import (
	"net"
	"time"
)

// DefaultBufferLimit is the BufferLimit of an Options that names none.
const DefaultBufferLimit = 64 << 10

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
	// ToBackend and ToClient count bytes written, those given to Start
	// included.
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
type Tunnel struct{}

// Close ends the tunnel with the reason given, without waiting; Start's done
// follows. Bytes that a side has not taken yet are dropped and that side is
// reset, so that it can tell the cut from an end; otherwise it sees a FIN.
// Closing a tunnel that has ended does nothing.
func (t *Tunnel) Close(reason Reason) {}

// Stats returns the counters so far.
func (t *Tunnel) Stats() Stats { return Stats{} }

// Detach stops the relaying and gives both connections back, for a successor
// process to go on with (see Handover); Start's done is called with Detached.
// It fails with errors.ErrUnsupported, and leaves the tunnel running, unless
// both connections are bare TCP, and with ErrClosed when the tunnel has ended.
func (t *Tunnel) Detach() (Handover, error) { return Handover{}, ErrClosed }

// Handover is a detached tunnel: pass its fields to the next Start. What each
// socket has seen (FIN received, FIN sent) is state of the socket and travels
// with it.
type Handover struct {
	Client, Backend net.Conn
	// FromClient was read from the client and not yet taken by the backend,
	// FromBackend the other way.
	FromClient, FromBackend []byte
}
