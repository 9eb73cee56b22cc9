// Command bench compares dsproxy with nginx, HAProxy and a plain
// httputil.ReverseProxy in one run on the same work, and prints CPU time per
// operation, rate, latency, memory and the ratios as a Markdown table:
//
//	go run ./proxy/bench
//
// # How it measures
//
// For each work the proxies take turns, A B C D A B C D, so that a machine that
// becomes slower or faster in between spoils no comparison; medians are over the
// rounds. Every turn has fresh processes: a backend that plays two servers
// ([github.com/dsproxy/dsproxy/proxy/bench/backend]), the proxy, and a load
// generator ([github.com/dsproxy/dsproxy/proxy/bench/load]) that opens its
// connections, warms up, and then does a fixed number of operations in a closed
// loop. The first two are this same program started with another word, so that
// what they cost is not charged to the proxy. They use raw epoll and
// preformatted bytes; what they cost is printed under the table.
//
// CPU time is user and system time from /proc/PID/stat of the proxy and all its
// descendants, threads included, from before the first measured operation to
// after the last. Memory is from smaps_rollup. nginx has two workers, HAProxy
// two threads, dsproxy and the httputil peer as many as Go gives them.
//
// Sticky polls are honest for dsproxy only: it learns each session id from its
// handshake and must send every poll to the backend that made it. nginx
// (hash $arg_sid consistent), HAProxy (balance url_param sid) and the peer hash
// the id, which no handshake can agree with; the backend answers what arrives at
// the wrong place all the same, and counts it.
//
// CPU time per operation is the figure to trust: rate and latency depend on how
// the load generator, the backend and the proxy share the machine's cores.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
