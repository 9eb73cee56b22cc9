package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/dsproxy/dsproxy/affinity"
	"github.com/dsproxy/dsproxy/backend"
	"github.com/dsproxy/dsproxy/proxy/http1"
	"github.com/dsproxy/dsproxy/proxy/tunnel"
)

// dialUpgrade connects to a backend for an upgrade: by the relay, where that will
// tunnel between the two sockets itself.
func (ex *exchange) dialUpgrade(ctx context.Context, us *upstream) (*http1.Conn, error) {
	if us.direct.IsValid() && ex.down.bare() {
		cfg := &ex.p.upstreams.cfg
		nc, err := ex.p.relay.Dial(ctx, us.direct, tunnel.DialOptions{
			Timeout: cfg.Timeouts.Dial, MaxSilence: cfg.Upstream.MaxSilence,
		})
		if err == nil {
			return http1.NewConn(nc), nil
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return nil, &http1.DialError{Addr: us.addr, Err: err}
		}
	}
	return us.pool.Dial(ctx)
}

// upgrade asks a backend, over a fresh connection, to leave HTTP (RFC 9110
// section 7.8). On a 101 both connections become a tunnel; any other answer is
// relayed as the answer it is.
func (ex *exchange) upgrade(ctx context.Context, m *backend.Member, up *http1.Conn) outcome {
	up.SetWriteTimeout(ex.now, ex.st.cfg.Timeouts.Idle)
	up.SetOut(ex.appendRequestHead(up.Reserve(ex.req.HeadBytes+addedHead), true))
	upl, err := ex.sendBody(up)
	if err == nil {
		err = ex.awaitUpgrade(up, upl)
	}
	if err != nil {
		up.Abort()
		upl.stop(ex.down)
		up.Close()
		if errors.Is(err, io.EOF) && ex.searchesFurther() {
			return outcome{unseen: true}
		}
		ex.upgradeRefused()
		if errors.Is(err, io.EOF) && ex.match.HasKey && !ex.down.gone() {
			// Old engine.io servers close without a word on an unknown session.
			return outcome{refusal: &refusal{status: 400, cause: "upgrade_refused", detail: err.Error()}}
		}
		if isTimeout(err) && upl.refusal() == nil {
			return outcome{refusal: refuseUpgradeTime.with(err)}
		}
		return ex.answerFailed(m, upl, err)
	}
	ex.reportAnswer(m)
	if ex.searchesOn(upl) {
		up.Close()
		return outcome{unseen: true}
	}
	if ex.resp.Status != 101 {
		ex.upgradeRefused()
		keep, _ := ex.relay(ctx, up, upl)
		uploaded := upl.stop(ex.down)
		up.Close()
		return outcome{done: true, keep: keep && uploaded}
	}
	if !upl.finished() {
		// What is left of the body would be taken for the new protocol's bytes.
		upl.stop(ex.down)
		up.Close()
		return outcome{refusal: refuseBadAnswer.with(errEarlySwitch)}
	}
	ex.learn(ctx, up.Body())
	ex.status = 101
	ex.stats.upgraded.Inc()
	if err := ex.down.switchProtocols(ex, up); err != nil {
		ex.p.log.Debug("tunnel not started", "err", err, "id", string(ex.id))
	}
	return outcome{done: true}
}

var errEarlySwitch = errors.New("101 before the request's body had ended")

// awaitUpgrade reads the answer to an upgrade, which has a time-out of its own.
func (ex *exchange) awaitUpgrade(up *http1.Conn, upl *upload) error {
	for range maxInterim {
		up.SetReadTimeout(time.Now(), ex.st.cfg.Timeouts.Upgrade)
		if err := awaitAnswer(up, upl); err != nil {
			return err
		}
		if err := up.ReadResponse(&ex.resp, ex.req.Method, ex.st.wire); err != nil {
			return err
		}
		if !ex.resp.Interim() {
			return nil
		}
	}
	return errTooManyInterim
}

// upgradeRefused counts an upgrade that failed. A session that was polling
// goes on polling then, without anybody noticing but this metric.
func (ex *exchange) upgradeRefused() {
	ex.stats.refused.Inc()
	if ex.match.HasKey && ex.match.Phase == affinity.Session {
		ex.stats.stuck.Inc()
	}
}

// startTunnel hands both sides to the relay; ended is called when it is over,
// also if it could not start. The session's pin is held while the tunnel is
// open, and stays for its life afterwards: some protocols come back with the
// same id after their WebSocket has dropped.
func (p *Proxy) startTunnel(ex *exchange, client net.Conn, fromClient []byte, up *http1.Conn, ended func()) error {
	m, unhold := ex.member, func() {}
	if ex.match.HasKey {
		unhold = p.pins.Hold(ex.match.Key)
	}
	m.OpenSession()
	backendConn, fromBackend := up.Detach()
	p.tunneling.Add(1)
	done := func(s tunnel.Stats) {
		p.metrics.tunnelEnds.WithLabelValues(s.Reason.String()).Inc()
		if s.Reason == tunnel.Idle {
			p.metrics.limits.WithLabelValues(limitTunnelIdle).Inc()
		}
		unhold()
		m.CloseSession()
		ended()
		p.tunneling.Done()
	}
	_, err := p.relay.Start(client, backendConn, fromClient, fromBackend, tunnel.Options{
		IdleTimeout: ex.st.cfg.Timeouts.TunnelIdle,
		KeepAlive:   ex.st.cfg.Upstream.KeepAlive,
	}, done)
	if err != nil {
		done(tunnel.Stats{Reason: tunnel.Stopped})
	}
	return err
}
