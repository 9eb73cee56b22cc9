//go:build e2e

package e2e

import (
	"context"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"time"
)

// place is where processes of a test run: this machine, or a host that a test made.
type place struct {
	ip     string                     // of what listens there for others
	trust  string                     // the network of the splitter, as the proxies see it
	prefix []string                   // of a command that is to run there
	enter  func(f func() error) error // runs f so that the sockets it makes are there
}

// here is this machine.
var here = &place{ip: "127.0.0.1", trust: "127.0.0.1/32", enter: func(f func() error) error { return f() }}

func (p *place) command(name string, args ...string) *exec.Cmd {
	line := slices.Concat(p.prefix, []string{name}, args)
	return exec.Command(line[0], line[1:]...)
}

// dial connects from there to an address, which may not be a name.
func (p *place) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = p.enter(func() (err error) {
		d := net.Dialer{Timeout: 5 * time.Second}
		conn, err = d.DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

func (p *place) listen(addr string) (l net.Listener, err error) {
	err = p.enter(func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	})
	return l, err
}

// client asks admin listeners there; each question is a connection of its own, so
// that none stays open behind a test.
func (p *place) client() *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: p.dial}}
}
