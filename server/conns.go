package server

import (
	"net"
	"net/http"
	"sync/atomic"

	"github.com/dsproxy/dsproxy/server/session"
)

// httpConns bounds the connections that are not a client's yet, or never will be:
// those that HTTP has not handed over. Clients are counted by their sessions.
type httpConns struct {
	max int64 // 0 for no bound
	hit func(l session.Limit)

	open atomic.Int64
}

// minHTTPConns leaves room to tell those who are refused.
const minHTTPConns = 1000

func newHTTPConns(maxClients int, hit func(l session.Limit)) *httpConns {
	if maxClients <= 0 {
		return &httpConns{}
	}
	return &httpConns{max: int64(max(maxClients, minHTTPConns)), hit: hit}
}

// enter counts a connection and reports whether there is room for it; leave has to
// follow in any case.
func (h *httpConns) enter() bool {
	if n := h.open.Add(1); h.max <= 0 || n <= h.max {
		return true
	}
	h.hit(session.LimitConnections)
	return false
}

func (h *httpConns) leave() { h.open.Add(-1) }

// state is the ConnState of an http.Server.
func (h *httpConns) state(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if !h.enter() {
			_ = c.Close() // the server finds out and says StateClosed
		}
	case http.StateHijacked, http.StateClosed:
		h.leave()
	}
}
