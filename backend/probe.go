package backend

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// maxCheckHead bounds what is read of the answer to a check, in bytes.
const maxCheckHead = 32 << 10

// check finds out whether a backend serves: a connection, with TLS a handshake
// on it, and with Config.Path a GET whose answer has an expected status. Each
// check dials anew, because an idle connection tells nothing of a full accept
// queue or of a process that has been replaced.
func (p *Pool) check(ctx context.Context, b Backend, t *tls.Config, c *settings) error {
	if p.deps.Probe != nil {
		return p.deps.Probe(ctx, b)
	}
	err := probe(ctx, b, t, c)
	var late interface{ Timeout() bool }
	if errors.As(err, &late) && late.Timeout() {
		return fmt.Errorf("no success within %v: %w", c.Timeout, err)
	}
	return err
}

func probe(ctx context.Context, b Backend, t *tls.Config, c *settings) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", b.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if t != nil {
		secure := tls.Client(conn, t)
		if err := secure.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
		conn = secure
	}
	if c.Path == "" {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return get(conn, b, c)
}

// get requests the health page. Only the head of the answer is looked at.
func get(conn net.Conn, b Backend, c *settings) error {
	host := c.Host
	if host == "" {
		host = b.hostHeader()
	}
	_, err := fmt.Fprintf(conn,
		"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: dsproxy-check\r\nAccept: */*\r\nConnection: close\r\n\r\n", c.Path, host)
	if err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	in := bufio.NewReader(io.LimitReader(conn, maxCheckHead))
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		if resp.StatusCode < 200 {
			continue // an interim answer; the limit on bytes bounds their number
		}
		if !c.passes(resp.StatusCode) {
			return fmt.Errorf("status %d, want %s", resp.StatusCode, c.Status)
		}
		return nil
	}
}

// hostHeader is how a request addresses the backend itself.
func (b Backend) hostHeader() string {
	if b.ServerName == "" {
		return b.Addr
	}
	_, port, err := net.SplitHostPort(b.Addr)
	if err != nil || b.TLS && port == "443" || !b.TLS && port == "80" {
		return b.ServerName
	}
	return net.JoinHostPort(b.ServerName, port)
}

// briefly is an error of a check as a reason shows it: what happened, without
// the addresses that stand beside it anyway.
func briefly(err error) string {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err.Error()
	}
	inner := op.Err
	var sys *os.SyscallError
	if errors.As(inner, &sys) {
		inner = sys.Err
	}
	return strings.Replace(err.Error(), op.Error(), op.Op+": "+inner.Error(), 1)
}
