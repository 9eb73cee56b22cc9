// Command bench compares the node with the original server, @deepstream/server
// from npm, in one run on the same bytes, and prints CPU time per operation,
// rate, latency, memory and the ratios as a Markdown table:
//
//	go run ./server/bench
//
// # How it measures
//
// For each work the two servers take turns, so that a machine that becomes slower
// or faster in between spoils no comparison; medians are over the rounds. Every
// turn has a fresh server process: cmd/deepstream built from the source, or Node.js
// with the packages of the folder original, which npm ci installs when they are
// missing. Both read original/config.yml. The clients are in this process: raw
// sockets, one epoll loop, the protobuf protocol in masked frames. A turn opens
// and logs in its clients, warms up, and then works for a fixed time.
//
// CPU time is that of all threads of the server process, from its CPU clock
// (clock_getcpuclockid(3)); what the kernel does in a system call of the server,
// the delivery over the loopback included, is in it. It is the figure to trust:
// rate and latency depend on how the clients and the server share the cores.
// Memory is resident memory after the clients have logged in less that before,
// for each client.
//
// The works of a cluster,
//
//	go run ./server/bench -works cluster-saturated,cluster-fixed,cluster-alone
//
// have two servers, joined by a redis-server of their own, as original/cluster.yml
// says; the publisher is a client of one and the subscribers are clients of the
// other, and CPU time is that of both servers. In the last work all are clients of
// one server, and what is counted is what Redis is asked to publish.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
