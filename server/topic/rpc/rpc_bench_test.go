package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/dsproxy/dsproxy/server/bus"
	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/topic"
	"github.com/dsproxy/dsproxy/server/wire"
)

// sink is a connection that takes everything, and nobody is its handler.
type sink struct{}

func (sink) TryWrite(b *session.Batch) (bool, error) { b.Advance(b.Size()); return true, nil }
func (sink) Finish(*session.Batch) error             { return nil }
func (sink) Close(int, string)                       {}
func (sink) RemoteAddr() string                      { return "192.0.2.1" }

func (sink) Login(*session.Session, *session.Handshake, string) session.Verdict {
	return session.Verdict{OK: true}
}
func (sink) Opened(*session.Session)                    {}
func (sink) Closed(*session.Session)                    {}
func (sink) Message(*session.Session, *message.Message) {}

// BenchmarkReject is one rejection of a call that all providers reject. What it
// costs must not grow with their number as that does.
func BenchmarkReject(b *testing.B) {
	for _, providers := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(providers), func(b *testing.B) {
			flusher := session.NewFlusher(1)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { defer close(done); _ = flusher.Run(ctx) }()
			defer func() { cancel(); <-done }()
			registry := session.NewRegistry(flusher, sink{})
			connect := func() *session.Session {
				s, err := registry.New(sink{}, wire.Protobuf, &session.Limits{OutboxBytes: 64 << 20}, &session.Handshake{})
				if err != nil {
					b.Fatal(err)
				}
				return s
			}
			h := New(&topic.Cluster{Bus: bus.NewNetwork().Join("node"), Interest: interest.NewMemory().Node("node"), Log: slog.New(slog.DiscardHandler)},
				Options{AckTimeout: time.Minute, ResponseTimeout: time.Minute})
			defer h.Close()
			requester := connect()
			for range providers {
				h.Handle(connect(), &message.Message{Topic: message.RPC, Action: message.RPCProvide, Names: []string{"p"}, CorrelationID: "1"})
			}
			request := &message.Message{Topic: message.RPC, Action: message.RPCRequest, Name: "p", CorrelationID: "c"}
			reject := &message.Message{Topic: message.RPC, Action: message.RPCReject, Name: "p", CorrelationID: "c"}
			rejects := 0
			for b.Loop() {
				if len(h.asked) == 0 {
					h.Handle(requester, request)
				}
				for p := range h.asked { // the one that is asked
					h.reply(p, reject)
				}
				rejects++
			}
			if got := h.Calls(); got > 1 {
				b.Errorf("%d calls are under way after %d rejections", got, rejects)
			}
		})
	}
}
