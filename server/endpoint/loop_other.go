//go:build !linux

package endpoint

import "errors"

// poller is not there: each connection keeps its goroutine.
type poller struct{}

func (*poller) open() error { return errors.ErrUnsupported }

func (*poller) shut() {}

func (*loop) watchSocket(int, uint64) error { return errors.ErrUnsupported }

func (*loop) forget(int) error { return errors.ErrUnsupported }

type reader struct{}

func newReader() *reader { return nil }

func (*reader) free() {}

func (*loop) gather(*reader) bool { return false }

func (*reader) read(*wsConn) (more, ok bool) { return false, false }
