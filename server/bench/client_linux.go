package main

import (
	"bytes"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/dsproxy/dsproxy/server/message"
)

// client is one connection on a blocking socket outside Go's poller, which would
// wake this process a second time for each delivery.
type client struct {
	fd     int
	in     frames
	queue  [][]byte // payloads that came with one that was waited for
	got    int      // frames, counted by the works that need it
	onData func(payload []byte) error
}

// ioTimeout ends a turn whose server does not answer, in seconds.
const ioTimeout = 30

// connect opens a WebSocket; n chooses one of 200 loopback addresses to come
// from, so that no port is needed again soon.
func connect(to netip.AddrPort, n int) (*client, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	c := &client{fd: fd}
	if err := c.open(to, n); err != nil {
		c.close()
		return nil, fmt.Errorf("open a WebSocket: %w", err)
	}
	return c, nil
}

func (c *client) open(to netip.AddrPort, n int) error {
	timeout := unix.Timeval{Sec: ioTimeout}
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, option, &timeout); err != nil {
			return err
		}
	}
	if err := unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(c.fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	if err := unix.Bind(c.fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + n%200)}}); err != nil {
		return err
	}
	if err := c.dial(&unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return err
	}
	request := fmt.Sprintf("GET /deepstream HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", to)
	if err := c.write([]byte(request)); err != nil {
		return err
	}
	var head []byte
	buf := make([]byte, 1024)
	for {
		n, err := c.read(buf)
		if err != nil {
			return err
		}
		head = append(head, buf[:n]...)
		answer, rest, complete := bytes.Cut(head, []byte("\r\n\r\n"))
		if !complete {
			continue
		}
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 101 ")) {
			return fmt.Errorf("server answered %q", answer[:min(len(answer), 60)])
		}
		c.in.rest = bytes.Clone(rest)
		return nil
	}
}

// dial connects; a signal does not end that, but the waiting for it (connect(2)).
func (c *client) dial(to unix.Sockaddr) error {
	err := unix.Connect(c.fd, to)
	if err != unix.EINTR {
		return err
	}
	poll := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLOUT}}
	if _, err := retry(func() (int, error) { return unix.Poll(poll, ioTimeout*1000) }); err != nil {
		return err
	}
	code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || code == 0 {
		return err
	}
	return unix.Errno(code)
}

func (c *client) close() { _ = unix.Close(c.fd) }

// leave closes the WebSocket and waits until the server has hung up.
func (c *client) leave() error {
	defer c.close()
	if err := c.write(appendMasked(nil, 8, []byte{0x03, 0xe8})); err != nil {
		return err
	}
	var buf [256]byte
	for {
		if n, err := retry(func() (int, error) { return unix.Read(c.fd, buf[:]) }); err != nil || n == 0 {
			return err
		}
	}
}

func retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}

func (c *client) write(p []byte) error {
	for len(p) > 0 {
		n, err := retry(func() (int, error) { return unix.Write(c.fd, p) })
		if err != nil {
			return fmt.Errorf("write to the server: %w", err)
		}
		p = p[n:]
	}
	return nil
}

func (c *client) read(buf []byte) (int, error) {
	n, err := retry(func() (int, error) { return unix.Read(c.fd, buf) })
	switch {
	case err != nil:
		return 0, fmt.Errorf("read from the server: %w", err)
	case n == 0:
		return 0, fmt.Errorf("server hung up")
	}
	return n, nil
}

func (c *client) send(m *message.Message) error { return c.write(appendFrame(nil, m)) }

// expect waits for a message with this action and passes over others.
func (c *client) expect(topic message.Topic, action message.Action) error {
	buf := make([]byte, 4096)
	for {
		for len(c.queue) > 0 {
			m, err := decode(c.queue[0])
			if err != nil {
				return err
			}
			c.queue = c.queue[1:]
			if m.Topic == topic && m.Action == action {
				return nil
			}
			if m.IsError {
				return fmt.Errorf("server answered %s %s", m.Topic, message.ActionName(m.Topic, m.Action))
			}
		}
		n, err := c.read(buf)
		if err != nil {
			return fmt.Errorf("wait for %s %s: %w", topic, message.ActionName(topic, action), err)
		}
		keep := func(payload []byte) error { c.queue = append(c.queue, bytes.Clone(payload)); return nil }
		if err := c.in.feed(buf[:n], keep); err != nil {
			return err
		}
	}
}

// login opens a WebSocket and logs in as the JavaScript client does.
func login(to netip.AddrPort, n int) (*client, error) {
	c, err := connect(to, n)
	if err != nil {
		return nil, err
	}
	if err := c.enter(to); err != nil {
		c.close()
		return nil, fmt.Errorf("log in: %w", err)
	}
	return c, nil
}

func (c *client) enter(to netip.AddrPort) error {
	if err := c.send(&message.Message{
		Topic: message.Connection, Action: message.ConnectionChallenge, URL: "ws://" + to.String() + "/deepstream",
		ProtocolVersion: "0.1a", SDKVersion: "7.0.5", SDKType: "javascript",
	}); err != nil {
		return err
	}
	if err := c.expect(message.Connection, message.ConnectionAccept); err != nil {
		return err
	}
	if err := c.send(&message.Message{Topic: message.Auth, Action: message.AuthRequest, Data: `{"username":"bench"}`}); err != nil {
		return err
	}
	return c.expect(message.Auth, message.AuthSuccessful)
}
