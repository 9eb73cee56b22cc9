package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// listener is one open address.
type listener struct {
	cfg  Listener
	ln   net.Listener
	port string       // of ln, for X-Forwarded-Port
	cert *certificate // nil: plain
	tls  *tls.Config  // nil: plain
}

// open binds every address, or none.
func (p *Proxy) open() error {
	for _, cfg := range p.cfg.Listen {
		l := &listener{cfg: cfg}
		if cfg.TLS != nil {
			cert, err := newCertificate(*cfg.TLS, p.log)
			if err != nil {
				p.closeListeners()
				return err
			}
			l.cert, l.tls = cert, cert.config()
		}
		// Every wait here has a time-out, so keep-alive probes would only cost
		// four system calls a connection; upstream.keepalive has them for tunnels.
		lc := net.ListenConfig{KeepAlive: -1}
		ln, err := lc.Listen(context.Background(), "tcp", cfg.Address)
		if err != nil {
			p.closeListeners()
			return fmt.Errorf("listen on %s: %w", cfg.Address, err)
		}
		l.ln, l.port = ln, portOf(ln.Addr())
		p.listeners = append(p.listeners, l)
		name := "http"
		if l.tls != nil {
			name = "https"
		}
		p.log.Info("listening", "name", name, "addr", ln.Addr().String())
	}
	return nil
}

func (p *Proxy) closeListeners() {
	for _, l := range p.listeners {
		l.ln.Close()
	}
}

// accept takes connections until the listener is closed.
func (p *Proxy) accept(l *listener) {
	accepted := p.metrics.connections.WithLabelValues(l.ln.Addr().String())
	backoff := 5 * time.Millisecond
	for {
		nc, err := l.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of files, most likely: waiting lets some close, giving up would stop the service.
			if isOurs(err) {
				p.metrics.limits.WithLabelValues(limitSockets).Inc()
			}
			p.log.Error("connection not accepted", "listener", l.cfg.Address, "err", err)
			select {
			case <-p.stopping:
			case <-time.After(backoff):
			}
			backoff = min(backoff*2, time.Second)
			continue
		}
		backoff = 5 * time.Millisecond
		accepted.Inc()
		p.handOver(newcomer{l, nc})
	}
}

// serve brings a fresh connection to the server of its protocol: what comes
// before HTTP (a PROXY header, TLS) is dealt with here.
func (p *Proxy) serve(l *listener, nc net.Conn) {
	st := p.state.Load()
	cc := &clientConn{nc: nc, peer: peerAddr(nc.RemoteAddr()), listener: l, secure: l.tls != nil}
	if l.cfg.ProxyProtocol {
		if err := cc.readProxyHeader(st); err != nil {
			p.log.Warn("connection refused", "listener", l.cfg.Address, "peer", cc.peer, "err", err)
			nc.Close()
			return
		}
	}
	if limit := p.conns.admit(cc, st.cfg.Limits); limit != "" {
		p.refuse(cc, limit)
		return
	}
	if l.tls == nil {
		p.serveHTTP(cc)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), st.cfg.Timeouts.Header)
	if len(cc.pending) > 0 {
		nc, cc.pending = &replayConn{Conn: nc, pending: cc.pending}, nil
	}
	tc := tls.Server(nc, l.tls)
	err := tc.HandshakeContext(ctx)
	cancel()
	if err != nil {
		p.log.Debug("TLS handshake failed", "peer", cc.peer, "err", err)
		nc.Close()
		p.conns.release(cc)
		return
	}
	cc.setConn(tc)
	if tc.ConnectionState().NegotiatedProtocol == "h2" {
		p.h2.take(cc)
		return
	}
	p.serveHTTP(cc)
}

// refuse answers a connection that is one too many. Over TLS it is closed
// without a word: a handshake would cost more than the request.
func (p *Proxy) refuse(cc *clientConn, limit string) {
	p.metrics.limits.WithLabelValues(limit).Inc()
	p.refusalLog.warn(p.log, "connection refused", limit, "peer", cc.peer)
	if !cc.secure {
		cc.nc.SetDeadline(time.Now().Add(time.Second))
		status := "503 Service Unavailable"
		if limit == limitPerAddress {
			status = "429 Too Many Requests"
		}
		body := "limit reached: " + limit + "\n"
		fmt.Fprintf(cc.nc, "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nRetry-After: 1\r\nConnection: close\r\n\r\n%s", status, len(body), body)
	}
	cc.nc.Close()
}

// Addr is the address of the first listener, as it was bound.
func (p *Proxy) Addr() string { return p.listeners[0].ln.Addr().String() }

// AdminAddr is the address of the admin listener, or empty.
func (p *Proxy) AdminAddr() string {
	if p.admin.ln == nil {
		return ""
	}
	return p.admin.ln.Addr().String()
}
