//go:build unix

package http1

import "syscall"

// probe peeks one byte. It leaves state at Gone for the end of the stream and
// for every error but "nothing there".
func (c *Conn) probe(fd uintptr) {
	for {
		n, _, err := syscall.Recvfrom(int(fd), c.peek[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			c.state = Quiet
		case err == nil && n > 0:
			c.state = Readable
		}
		return
	}
}
