package tunnel

import (
	"log"
	"net"

	"golang.org/x/sys/unix"
)

// otherLoops are ways for a loop to wait that were tried and found dearer than
// (*loop).run.
func otherLoops() []competitor {
	return []competitor{{"epoll-blocking", false, 2, func() func(c, s net.Conn) {
		r, err := newRelay(Config{}, nil, runBlocking)
		if err != nil {
			log.Fatal(err)
		}
		return byRelay(r)
	}}}
}

// runBlocking waits in epoll_wait itself.
func runBlocking(l *loop) {
	for {
		n, err := unix.EpollWait(l.fd, l.events[:], -1)
		if err != nil && err != unix.EINTR {
			log.Fatal(err)
		}
		for l.turn(max(n, 0)) {
			n = l.poll()
		}
	}
}
