package proxy

import (
	"iter"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/dsproxy/dsproxy/proxy/http1"
)

// connections counts the open client connections, in total and per address,
// and knows the ones to close when the proxy stops. A tunnel stays counted
// until it ends.
type connections struct {
	// Set before the first connection: how many files clients and tunnels may take,
	// 0 for any number, and how many tunnels there are.
	files   int64
	tunnels func() int

	open   atomic.Int64
	next   atomic.Uint32
	shards [16]connectionShard

	mu        sync.Mutex
	byAddress map[netip.Addr]int // guarded by mu; filled only while there is a limit per address
}

type connectionShard struct {
	mu    sync.Mutex
	conns map[*clientConn]struct{} // guarded by mu; not the tunnels
	_     [64]byte                 // a cache line of its own
}

// clientConn is one accepted connection on its way through the proxy.
type clientConn struct {
	// Set before the connection is served.
	listener *listener
	peer     netip.Addr // the other end of the socket, or what its PROXY header says
	secure   bool
	pending  []byte // read behind a PROXY header
	shard    *connectionShard
	counted  bool // in byAddress

	idle    atomic.Bool                // between two requests
	http    atomic.Pointer[http1.Conn] // once it speaks HTTP/1
	watched watched

	mu sync.Mutex
	nc net.Conn // guarded by mu: TLS wraps it
}

func (cc *clientConn) setConn(nc net.Conn) {
	cc.mu.Lock()
	cc.nc = nc
	cc.mu.Unlock()
}

func (cc *clientConn) conn() net.Conn {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	return cc.nc
}

func newConnections() *connections {
	c := &connections{byAddress: map[netip.Addr]int{}}
	for i := range c.shards {
		c.shards[i].conns = map[*clientConn]struct{}{}
	}
	return c
}

// admit takes a connection in; limit names what refuses it, or is empty.
func (c *connections) admit(cc *clientConn, lim Limits) (limit string) {
	if n := c.open.Add(1); n > int64(lim.Connections) {
		c.open.Add(-1)
		return limitConnections
	} else if c.files > 0 && n+int64(c.tunnels()) > c.files {
		c.open.Add(-1)
		return limitSockets
	}
	if per := lim.ConnectionsPerAddress; per > 0 {
		c.mu.Lock()
		n := c.byAddress[cc.peer]
		if n < per {
			c.byAddress[cc.peer] = n + 1
			cc.counted = true
		}
		c.mu.Unlock()
		if !cc.counted {
			c.open.Add(-1)
			return limitPerAddress
		}
	}
	cc.shard = &c.shards[c.next.Add(1)%uint32(len(c.shards))]
	cc.shard.mu.Lock()
	cc.shard.conns[cc] = struct{}{}
	cc.shard.mu.Unlock()
	return ""
}

// release forgets a connection that is closed, tunnel or not.
func (c *connections) release(cc *clientConn) {
	c.open.Add(-1)
	c.becameTunnel(cc)
	if cc.counted {
		c.mu.Lock()
		if c.byAddress[cc.peer]--; c.byAddress[cc.peer] <= 0 {
			delete(c.byAddress, cc.peer)
		}
		c.mu.Unlock()
	}
}

// becameTunnel leaves the connection counted, but no longer closed with the HTTP connections.
func (c *connections) becameTunnel(cc *clientConn) {
	cc.shard.mu.Lock()
	delete(cc.shard.conns, cc)
	cc.shard.mu.Unlock()
}

// all yields the connections that are no tunnels. No lock is held meanwhile.
func (c *connections) all() iter.Seq[*clientConn] {
	return func(yield func(*clientConn) bool) {
		var batch []*clientConn
		for i := range c.shards {
			s := &c.shards[i]
			batch = batch[:0]
			s.mu.Lock()
			for cc := range s.conns {
				batch = append(batch, cc)
			}
			s.mu.Unlock()
			for _, cc := range batch {
				if !yield(cc) {
					return
				}
			}
		}
	}
}

// closeIdle closes the connections between two requests; the busy ones end
// after their answer, since the proxy is draining.
func (c *connections) closeIdle() {
	for cc := range c.all() {
		if cc.idle.Load() {
			cc.conn().Close()
		}
	}
}

func (c *connections) closeAll() {
	for cc := range c.all() {
		cc.conn().Close()
	}
}
