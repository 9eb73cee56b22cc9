// Package sock is the thin layer between the benchmark's two ends and the
// kernel: non-blocking IPv4 sockets on loopback and an edge-triggered epoll.
//
// The ends do not use package net, because a goroutine switch and a poller
// round for every message cost as much as the proxies under test.
package sock
