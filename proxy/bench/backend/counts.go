// Package backend is the server behind the proxies: one thread and one epoll
// that play any number of backends, each on its own port.
//
// The life of a request: the socket is read once, [traffic.ParseRequest] finds
// the request, and preformatted bytes go back. A handshake gets a session id
// that names the backend; a poll that arrives at another one is a misroute. It
// is answered all the same, so that proxies that cannot pin sessions do the
// same work, and counted. After an upgrade the connection echoes frames; a
// close frame is answered and the connection closed, as RFC 6455 section 7.1.1
// wants it from a server.
package backend

// Counts is what the backends saw since they started.
type Counts struct {
	Requests   int64 `json:"requests"`
	Handshakes int64 `json:"handshakes"`
	Polls      int64 `json:"polls"`
	Misroutes  int64 `json:"misroutes"`
	Upgrades   int64 `json:"upgrades"`
	Frames     int64 `json:"frames"`
	Unknown    int64 `json:"unknown"` // requests answered 404
	Failed     int64 `json:"failed"`  // connections given up for an error, resets excluded
}

// Hello is the first line a backend process writes.
type Hello struct {
	Addrs []string `json:"addrs"`
}
