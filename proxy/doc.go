// Package proxy is the data plane of dsproxy: it takes requests from clients,
// finds the backend that owns their session, forwards them, and relays what
// becomes a tunnel. Around that are its configuration, admin listener, metrics
// and log.
//
// # The life of a request
//
//	listen.go       accept; PROXY header, TLS; limits of connections
//	servehttp1.go   HTTP/1: one request after the other     servehttp2.go   HTTP/2: one stream each
//	exchange.go     one request, whatever its version: who asks, under which id
//	forward.go      recognise the protocol; route; try backends in order; await the head of the answer
//	route.go        the table's pin, or least sessions, or rendezvous over the key
//	headers.go      the head as the backend gets it
//	upload.go       the request's body on its way
//	relay.go        hold a handshake until its session is pinned; pass the answer on as it comes
//	upgrade.go      a 101 makes a tunnel of both connections
//	refuse.go       what the proxy answers itself, and why
//
// An exchange has a downstream half (interface downstream), which is all that
// differs between the versions of HTTP, and an upstream half, always an
// http1.Conn. One goroutine carries it; a second one carries a request body that
// did not come with its head, since the answer may start before the body ends.
//
// What is sent twice: a request of which no backend has seen a byte goes to the
// next backend; one that met a kept connection that had died goes once more to
// the same backend, unless it is a poll or has a body. Nothing else.
//
// # State
//
// A request loads the proxy's state (rules, limits, time-outs: what a reload
// replaces) once and keeps it. It takes no lock that another request holds for
// longer than a few instructions; backends and pins are read from snapshots.
// There are no nested locks: those of connections, watched and h2Stream guard
// their own few fields and nothing is called under them but net.Conn.Close.
//
// # Subpackages
//
// http1 is the wire of HTTP/1, tunnel relays bytes after a 101, xconnect sets a
// switch of net/http. Rules and the table of sessions are in package affinity,
// backends and their health in package backend; those know nothing of this one.
package proxy
