// Package demo shows a whole fleet on one machine: a Redis, two deepstream nodes,
// two replicas of dsproxy, before them a balancer that gives each request to the
// next of them, and a page on which two people share a record, talk and call each
// other while parts of the fleet are drained, killed and started again.
//
// Nodes and proxies are processes of their own, so that a kill is a kill: Fleet
// starts this same program with the hidden command demo-node (Node) and with the
// command run, reads from their logs where they listen, and asks their
// administration how they are. They find each other by gossip on loopback. The
// balancer, the page and the embedded Redis live in this process.
//
// Lock order: fleet.drains, member.mu, fleet.mu.
package demo
