package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dsproxy/dsproxy/server/message"
)

// turn is one server doing one work.
type turn struct {
	*options
	addr    netip.AddrPort // of most clients
	from    netip.AddrPort // of the publisher
	servers []*process
	redis   *redisServer // of a cluster
	loop    *loop
	opened  atomic.Int64
	// began is called when the measured time begins.
	began func()
}

// warmUp is how long a work is done before it is measured.
const warmUp = time.Second

func (t *turn) play(ctx context.Context, name string) (sample, error) {
	var err error
	if t.loop, err = newLoop(); err != nil {
		return sample{}, err
	}
	defer t.loop.close()
	switch name {
	case saturated:
		return t.saturated(ctx)
	case fixed:
		return t.fixed(ctx)
	case pairs:
		return t.pairs(ctx)
	case patch:
		return t.patch(ctx)
	case calls:
		return t.calls(ctx)
	case logins:
		return t.logins(ctx)
	case idle:
		return t.idle(ctx)
	case clusterSaturated:
		return t.saturated(ctx)
	case clusterFixed:
		return t.fixed(ctx)
	default:
		return t.alone(ctx)
	}
}

// crowd opens n clients, several at a time, and has each say something.
func (t *turn) crowd(ctx context.Context, n int, hello func(c *client, i int) error) ([]*client, error) {
	list := make([]*client, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(loginsAt)
	for i := range n {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			c, err := login(t.addr, int(t.opened.Add(1)))
			if err != nil {
				return err
			}
			list[i] = c
			return hello(c, i)
		})
	}
	err := g.Wait()
	if err != nil {
		for _, c := range list {
			if c != nil {
				c.close()
			}
		}
	}
	return list, err
}

func silent(*client, int) error { return nil }

func subscribe(name func(i int) string) func(c *client, i int) error {
	return func(c *client, i int) error {
		err := c.send(&message.Message{Topic: message.Event, Action: message.EventSubscribe, Names: []string{name(i)}, CorrelationID: "1"})
		if err != nil {
			return err
		}
		return c.expect(message.Event, message.EventSubscribe)
	}
}

func emit(name string) []byte {
	return appendFrame(nil, &message.Message{Topic: message.Event, Action: message.EventEmit, Name: name, Data: eventData})
}

// measure warms up and then measures for a while; pump sends what is due and says
// when it wants to be called again at the latest.
func (t *turn) measure(ctx context.Context, ops *int64, pump func() (time.Time, error)) (sample, error) {
	work := func(d time.Duration) error {
		for end := time.Now().Add(d); time.Now().Before(end); {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			next, err := pump()
			if err != nil {
				return err
			}
			if next.IsZero() || next.After(end) {
				next = end
			}
			if err := t.loop.turn(next); err != nil {
				return err
			}
		}
		return nil
	}
	if err := work(warmUp); err != nil {
		return sample{}, err
	}
	m, err := t.begin(*ops)
	if err != nil {
		return sample{}, err
	}
	if err := work(t.duration); err != nil {
		return sample{}, err
	}
	return m.end(*ops)
}

// meter measures from begin to end.
type meter struct {
	turn *turn
	at   time.Time
	cpu  time.Duration
	ops  int64
}

func (t *turn) begin(ops int64) (meter, error) {
	if t.began != nil {
		t.began()
	}
	cpu, err := t.cpu()
	return meter{t, time.Now(), cpu, ops}, err
}

// cpu is the CPU time of all servers.
func (t *turn) cpu() (sum time.Duration, err error) {
	for _, p := range t.servers {
		cpu, err := p.cpu()
		if err != nil {
			return 0, err
		}
		sum += cpu
	}
	return sum, nil
}

var errNothing = errors.New("nothing arrived in the measured time")

func (m meter) end(ops int64) (sample, error) {
	cpu, err := m.turn.cpu()
	if err != nil {
		return sample{}, err
	}
	done := float64(ops - m.ops)
	if done <= 0 {
		return sample{}, errNothing
	}
	return sample{cost: float64((cpu - m.cpu).Nanoseconds()) / 1e3 / done, rate: done / time.Since(m.at).Seconds()}, nil
}

// spread adds subscribers to the loop and returns the publisher's client.
func (t *turn) spread(ctx context.Context, hello func(c *client, i int) error, on func(c *client) error) (*client, error) {
	list, err := t.crowd(ctx, fanout, hello)
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if err := t.loop.add(c, func([]byte) error { return on(c) }); err != nil {
			return nil, err
		}
	}
	pub, err := login(t.from, int(t.opened.Add(1)))
	if err != nil {
		return nil, err
	}
	if t.from != t.addr {
		if err := t.introduce(ctx, pub); err != nil {
			return nil, err
		}
	}
	return pub, t.loop.add(pub, func(payload []byte) error {
		m, err := decode(payload)
		if err != nil {
			return err
		}
		return fmt.Errorf("publisher got %s %s", m.Topic, message.ActionName(m.Topic, m.Action))
	})
}

func (t *turn) saturated(ctx context.Context) (sample, error) {
	var got, sent int64
	pub, err := t.spread(ctx, subscribe(func(int) string { return eventName }), func(*client) error { got++; return nil })
	if err != nil {
		return sample{}, err
	}
	frame := emit(eventName)
	return t.measure(ctx, &got, func() (time.Time, error) {
		var out []byte
		for ; sent < got/fanout+window; sent++ {
			out = append(out, frame...)
		}
		return time.Time{}, pub.write(out)
	})
}

func (t *turn) fixed(ctx context.Context) (sample, error) {
	const interval = time.Second * fanout / perSecond
	var got int64
	var sent []time.Time
	var took []time.Duration
	pub, err := t.spread(ctx, subscribe(func(int) string { return eventName }), func(c *client) error {
		took = append(took, time.Since(sent[c.got]))
		c.got++
		got++
		return nil
	})
	if err != nil {
		return sample{}, err
	}
	frame := emit(eventName)
	next := time.Now()
	t.began = also(t.began, func() { took = took[:0] })
	s, err := t.measure(ctx, &got, func() (time.Time, error) {
		if time.Now().Before(next) {
			return next, nil
		}
		next = next.Add(interval)
		sent = append(sent, time.Now())
		return next, pub.write(frame)
	})
	s.p50, s.p99 = percentile(took, 0.50), percentile(took, 0.99)
	return s, err
}

func also(first, then func()) func() {
	return func() {
		if first != nil {
			first()
		}
		then()
	}
}

func (t *turn) pairs(ctx context.Context) (sample, error) {
	name := func(i int) string { return fmt.Sprintf("pair/%d", i) }
	subs, err := t.crowd(ctx, pairCount, subscribe(name))
	if err != nil {
		return sample{}, err
	}
	pubs, err := t.crowd(ctx, pairCount, silent)
	if err != nil {
		return sample{}, err
	}
	var got int64
	for i, c := range subs {
		frame, pub := emit(name(i)), pubs[i]
		if err := t.loop.add(pub, func([]byte) error { return errors.New("publisher got a message") }); err != nil {
			return sample{}, err
		}
		again := func([]byte) error { got++; return pub.write(frame) }
		if err := t.loop.add(c, again); err != nil {
			return sample{}, err
		}
		if err := pub.write(frame); err != nil {
			return sample{}, err
		}
	}
	return t.measure(ctx, &got, func() (time.Time, error) { return time.Time{}, nil })
}

func (t *turn) patch(ctx context.Context) (sample, error) {
	read := func(c *client, _ int) error {
		err := c.send(&message.Message{Topic: message.Record, Action: message.RecordSubscribeCreateAndRead, Names: []string{recordName}, CorrelationID: "1"})
		if err != nil {
			return err
		}
		return c.expect(message.Record, message.RecordReadResponse)
	}
	var got, sent int64
	pub, err := t.spread(ctx, read, func(*client) error { got++; return nil })
	if err != nil {
		return sample{}, err
	}
	return t.measure(ctx, &got, func() (time.Time, error) {
		var out []byte
		for sent < got/fanout+window {
			sent++
			out = appendFrame(out, &message.Message{
				Topic: message.Record, Action: message.RecordPatch, Name: recordName,
				Path: "temperature", Data: fmt.Sprintf("%d", sent), Version: sent, HasVersion: true,
			})
		}
		return time.Time{}, pub.write(out)
	})
}

// calls has as many providers as callers, each with a procedure of its own; a
// provider accepts and answers in one write.
func (t *turn) calls(ctx context.Context) (sample, error) {
	name := func(i int) string { return fmt.Sprintf("add-two/%d", i) }
	providers, err := t.crowd(ctx, callers, func(c *client, i int) error {
		err := c.send(&message.Message{Topic: message.RPC, Action: message.RPCProvide, Names: []string{name(i)}, CorrelationID: "1"})
		if err != nil {
			return err
		}
		return c.expect(message.RPC, message.RPCProvide)
	})
	if err != nil {
		return sample{}, err
	}
	requestors, err := t.crowd(ctx, callers, silent)
	if err != nil {
		return sample{}, err
	}
	var got int64
	for i, p := range providers {
		if err := t.loop.add(p, func(payload []byte) error { return answer(p, payload) }); err != nil {
			return sample{}, err
		}
		r := requestors[i]
		number := 0
		request := func() error {
			number++
			return r.send(&message.Message{
				Topic: message.RPC, Action: message.RPCRequest, Name: name(i),
				CorrelationID: fmt.Sprintf("%d-%d", i, number), Data: eventData,
			})
		}
		done := func(payload []byte) error {
			m, err := decode(payload)
			switch {
			case err != nil:
				return err
			case m.Action == message.RPCAccept:
				return nil
			case m.Action != message.RPCResponse || m.Data != eventData:
				return fmt.Errorf("call was answered %s", message.ActionName(m.Topic, m.Action))
			}
			got++
			return request()
		}
		if err := t.loop.add(r, done); err != nil {
			return sample{}, err
		}
		if err := request(); err != nil {
			return sample{}, err
		}
	}
	return t.measure(ctx, &got, func() (time.Time, error) { return time.Time{}, nil })
}

func answer(p *client, payload []byte) error {
	m, err := decode(payload)
	if err != nil || m.Action != message.RPCRequest {
		return errors.Join(err, errors.New("provider got no request"))
	}
	out := appendFrame(nil, &message.Message{Topic: message.RPC, Action: message.RPCAccept, Name: m.Name, CorrelationID: m.CorrelationID})
	out = appendFrame(out, &message.Message{
		Topic: message.RPC, Action: message.RPCResponse, Name: m.Name, CorrelationID: m.CorrelationID, Data: m.Data,
	})
	return p.write(out)
}

func (t *turn) logins(ctx context.Context) (sample, error) {
	var done atomic.Int64
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, inner := errgroup.WithContext(ctx)
	for range loginsAt {
		g.Go(func() error {
			for inner.Err() == nil {
				c, err := login(t.addr, int(t.opened.Add(1)))
				if err != nil {
					return err
				}
				if err := c.leave(); err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		})
	}
	pause(inner, warmUp)
	m, err := t.begin(done.Load())
	if err == nil {
		pause(inner, t.duration)
	}
	var s sample
	if err == nil {
		s, err = m.end(done.Load())
	}
	stop()
	return s, errors.Join(g.Wait(), err)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// idle logs a few clients in before it takes the memory without clients.
func (t *turn) idle(ctx context.Context) (sample, error) {
	first, err := t.crowd(ctx, loginsAt, silent)
	if err != nil {
		return sample{}, err
	}
	var g sync.WaitGroup
	for _, c := range first {
		g.Go(func() { _ = c.leave() })
	}
	g.Wait()
	before, err := t.servers[0].resident()
	if err != nil {
		return sample{}, err
	}
	if t.began != nil {
		t.began()
	}
	list, err := t.crowd(ctx, t.options.idle, silent)
	if err != nil {
		return sample{}, err
	}
	for _, c := range list {
		defer c.close()
	}
	pause(ctx, t.settle)
	after, err := t.servers[0].resident()
	return sample{cost: float64(after-before) / float64(len(list)), rate: float64(len(list))}, err
}
