// Package tunnel relays the bytes of a connection pair after a 101 Switching
// Protocols (RFC 9110 section 15.2.2): WebSocket and any other Upgrade. It
// knows nothing of HTTP and never touches a frame.
//
// # Parts
//
// A Relay is made once for the process; Start gives it two connections. Where
// both are bare TCP and the system is Linux they become a pair in an epoll
// loop, of which there is one for each core: no goroutine, no buffer and some
// 400 bytes for a tunnel that is quiet. Anything else (TLS, a stream of
// HTTP/2, another system) is carried by two pumps, goroutines that hold no
// buffer while they wait on a socket, and a small one where only Read can tell
// that there is something. Both keep the same promises and pass the same
// tests.
//
// A shard files the open tunnels of a loop, or those of all pumps, under a lock
// and counters of its own. The wheel is the coarse clock behind all idle
// timeouts, moved on by one goroutine.
//
// # Life of a tunnel
//
// Dial makes the backend's connection within a loop, as the later half of a
// pair: until Start it is a net.Conn that one asks for the upgrade with. Start
// takes other sockets out of the runtime's poller, writes what had been read
// before, and adds them to a loop. The loop reads into the one buffer it
// has and writes at once. What the other side does not take is held in a
// pooled buffer, and the source is not read again until that has gone: so a
// slow reader stops a fast writer, with at most BufferLimit bytes between
// them. One tunnel moves at most 128 KiB a turn and direction, then others have theirs.
//
// A FIN is passed on behind the bytes before it, and the other direction goes
// on until it ends as well or the tunnel is idle too long. A reset or any
// error closes both sides, with a reset, after what the broken side had said
// before. Close, by a drain, the idle timeout or the end of the relay, is a FIN
// for a side that has everything and a reset for one that loses bytes.
// Whoever closes the sockets then takes the tunnel out of wheel and shard and
// calls done, without a lock.
//
// # For later
//
// Tunnel.read sees every byte once, in order and before it is written: the
// place of an observer that finds frame boundaries. Tunnel.Detach gives up both
// sockets with what is held, for a successor process to Start again.
//
// # Locks
//
// waiter.turn comes before Tunnel.mu, Tunnel.mu before shard.mu. wheel.mu is never held with another.
package tunnel
