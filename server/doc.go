// Package server is a realtime node that clients of deepstream 1 to 10 use: events,
// records, calls and presence over the protocol of each generation, on one port.
// COMPATIBILITY.md says what equals the original.
//
// The packages below it are layers, and imports go one way:
//
//	endpoint   connections: WebSocket, engine.io
//	session    one client: challenge, login, open, closed; its outbox
//	topic      what messages mean: event, record, rpc, presence, listen
//	hub        who on this node wants a name
//	interest   which nodes want a name; bus, the way to them
//	store      records: cache, storage, both as tiers
//	auth       who a client is
//	wire       bytes to messages and back, for each protocol
//	message    the vocabulary
//	socket     system calls that do not wait
//
// # The life of a message
//
// An endpoint reads a frame and gives it to its Session, which decodes it with the
// codec of the client's generation and, once the client is logged in, hands each
// message to the router of this package. The router checks that the data is JSON
// and calls the topic. A topic answers with Session.Send and publishes with
// hub.Publish, which encodes the message once for each protocol among the
// subscribers and appends it to their outboxes, and with Cluster.Publish, which
// sends it to the nodes that want the name. The Flusher writes what has gathered in
// an outbox with one system call and never waits; a client that cannot keep up is
// closed at a limit.
//
// # The life of a node
//
// New makes the topics over the stores of the Config, Listen opens the ports and Run
// serves until its context ends. Then the node takes no more clients, is not ready
// any more, tells its clients where to go, sends what waits for them, closes the
// connections and at last the stores. Config.DrainTimeout bounds what clients can
// make it wait, Overtime what the storage can; what hangs beyond that is named in the
// log and left.
//
// # Lock order
//
// A session's recv, then the locks of topics (listen.Registry, rpc.Handler,
// presence.Handler), then interest, then the hub's shards, then outboxes, then those
// of connections. The packages name theirs.
package server
