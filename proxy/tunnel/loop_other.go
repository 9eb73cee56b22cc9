//go:build !linux

package tunnel

import (
	"errors"
	"net"
)

// Without epoll every tunnel goes by pumps.
const haveLoops = false

type loop struct{ shard }

func newLoop() (*loop, error) { return nil, errors.ErrUnsupported }

func (l *loop) run() {}

func (l *loop) close() {}

func (l *loop) start(*Relay, [2]net.Conn, [2][]byte, Options, func(Stats)) (*Tunnel, error) {
	return nil, errors.ErrUnsupported
}
