package gossip

import (
	"context"
	"log"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// mute is the network of this machine, on which the packets that a member sends are
// lost from some moment on; its calls go through.
type mute struct {
	sockets
	on atomic.Bool
}

func (m *mute) Listen(at netip.AddrPort, log *log.Logger) (memberlist.NodeAwareTransport, netip.AddrPort, error) {
	t, bound, err := m.sockets.Listen(at, log)
	return &muteTransport{t, &m.on}, bound, err
}

type muteTransport struct {
	memberlist.NodeAwareTransport
	on *atomic.Bool
}

func (t *muteTransport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if t.on.Load() {
		return time.Now(), nil
	}
	return t.NodeAwareTransport.WriteToAddress(b, a)
}

// TestProxiesAreTold: where a node announces that it drains, every proxy is told
// at once, whatever becomes of the gossip.
func TestProxiesAreTold(t *testing.T) {
	t.Parallel()
	network := new(mute)
	c := config("node")
	c.Network = network
	node := run(t, c)
	proxies := make([]*one, 5)
	for i := range proxies {
		c := config(string(rune('a'+i)), node.Addr())
		c.Role = Proxy
		c.pace = time.Hour // or it would hear of it in the end, as by the exchange of all that is known
		c.change = func(m *memberlist.Config) { m.PushPullInterval = 0 }
		proxies[i] = run(t, c)
	}
	node.awaits("a=alive b=alive c=alive d=alive e=alive")
	network.on.Store(true)
	draining := Announcement{Addr: "10.0.0.2:6020", Draining: true}
	if err := node.Announce(t.Context(), draining); err != nil {
		t.Fatal(err)
	}
	for _, p := range proxies {
		// It may still be taking in what it has read.
		if err := await(30*time.Second, func() bool { return p.member("node").Announcement == draining }); err != nil {
			t.Errorf("proxy %s has %+v", p.Name(), p.member("node").Announcement)
		}
	}
}

// TestLeavesWhileItJoins: whoever was called knows a member before that knows whom it has
// called, and is told of its end all the same.
func TestLeavesWhileItJoins(t *testing.T) {
	t.Parallel()
	a := run(t, config("a"))
	c := config("b", a.Addr())
	network := &unheard{hears: make(chan struct{})}
	c.Network = network
	b := run(t, c)
	a.awaits("b=alive")
	b.stop()
	time.AfterFunc(100*time.Millisecond, func() { close(network.hears) }) // by then it would be gone
	a.awaits("b=left")
}

// unheard is the network of this machine, on which the answers to the calls of a member
// stay away until it hears.
type unheard struct {
	sockets
	hears chan struct{}
}

func (u *unheard) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := u.sockets.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &unheardConn{c, u.hears}, nil
}

type unheardConn struct {
	net.Conn
	hears chan struct{}
}

func (c *unheardConn) Read(b []byte) (int, error) {
	<-c.hears
	return c.Conn.Read(b)
}
