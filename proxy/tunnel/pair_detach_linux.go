package tunnel

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

func (p *pair) detach() (Handover, error) {
	p.mu.Lock()
	h, err := p.handOver()
	p.mu.Unlock()
	if err == nil {
		p.finish()
	}
	return h, err
}

// handOver makes connections of the sockets before it lets go of its own
// descriptors: when it fails, nothing has changed.
func (p *pair) handOver() (Handover, error) {
	if p.closed || p.reason != 0 {
		return Handover{}, ErrClosed
	}
	c, err := returnSocket(p.ends[client].fd)
	if err != nil {
		return Handover{}, fmt.Errorf("detaching the client's socket: %w", err)
	}
	b, err := returnSocket(p.ends[backend].fd)
	if err != nil {
		c.Close()
		return Handover{}, fmt.Errorf("detaching the backend's socket: %w", err)
	}
	h := Handover{
		Client:      c,
		Backend:     b,
		FromClient:  bytes.Clone(p.ends[client].held.rest),
		FromBackend: bytes.Clone(p.ends[backend].held.rest),
	}
	for _, e := range p.ends {
		// epoll forgets a socket by itself only with its last descriptor.
		_ = unix.EpollCtl(p.loop.fd, unix.EPOLL_CTL_DEL, e.fd, nil)
	}
	p.decide(Detached, nil)
	p.hangUp([2]bool{})
	return h, nil
}
