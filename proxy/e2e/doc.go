// Package e2e runs dsproxy as its operators do and talks to it as their users
// do: real servers and real clients of realtime protocols, in Node and in a
// browser, through two replicas of the real program that share a real Redis.
//
// Everything is behind the build tag e2e, since the tests need npm packages:
//
//	cd proxy/e2e && npm ci
//	go test -race -tags e2e ./proxy/e2e/...
//
// They also need node, redis-server and Chromium or Chrome (named by the
// variable CHROME where it is not in a usual place), and fail without them.
// TestPartition makes hosts of network namespaces: it needs Linux, root and the
// command ip, and is skipped without them.
//
// # How the parts fit
//
//	node/clients/x.js  ->  splitter  ->  dsproxy x 2  ->  node/servers/x.js x 3
//	                                          \->  redis-server
//
// The splitter stands in for a load balancer that knows nothing of sessions: it
// gives each request, not each connection, to the next replica. No client has
// cookies to help. A server is one process a backend and names itself in every
// answer; a client runs some sessions at once and finds a session failed when an
// answer is missing, is wrong or comes from another backend than the one before.
//
// # What a test shows
//
// Each scenario runs twice on the same backends: first through replicas whose
// configuration has affinity off, where sessions that need it must be seen to
// fail, then through replicas with affinity, where none may. With the flag
// -without-proxy the same scenarios run with no dsproxy at all, once from the
// splitter straight to the backends and once to a single backend: this tests the
// tests.
//
// Every server listens on a port that it was given by the system. Nothing waits
// for time to pass; what takes time is awaited, up to a limit.
package e2e
