package proxy

import (
	"bufio"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Each limit is answered by its status, named in the body, and counted.
func TestLimits(t *testing.T) {
	ok := answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	silent := func(_ net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) }
	const short = 30 * time.Millisecond

	f := func(name string, edit func(*Config), backend backendFunc, send, want, cause, limit string) {
		t.Run(name, func(t *testing.T) {
			p := start(t, edit, rawBackend(t, backend))
			c, r := dial(t, p.Addr())
			io.WriteString(c, send)
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			contains(t, string(b), "HTTP/1.1 "+want, cause, "request id: ", "Connection: close\r\n")
			if p.metric(t, "dsproxy_limit_hits_total", "limit="+limit) != 1 {
				t.Errorf("limit %s was not counted once", limit)
			}
			eventually(t, "the log names the cause", func() bool { return strings.Contains(p.log.String(), "cause="+cause) })
		})
	}
	f("head too slow", func(c *Config) { c.Timeouts.Header = short }, ok,
		"GET / HTTP/1.1\r\nHost: x\r\n", "408 ", "head_timeout", limitHeaderTime)
	f("head too long", func(c *Config) { c.Limits.HeadBytes = 2048 }, ok,
		"GET / HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("a", 4096)+"\r\n\r\n", "431 ", "head_bytes", limitHead)
	f("too many lines", nil, ok,
		"GET / HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X: y\r\n", 101)+"\r\n", "431 ", "header_lines", limitHead)
	f("body too slow", func(c *Config) { c.Timeouts.Idle = short }, silent,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", "408 ", "body_timeout", limitIdleTime)
	big := func(c *Config) { c.Limits.BodyBytes = 8 }
	f("body too long by its length", big, silent,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", "413 ", "body_bytes", limitBodyBytes)
	f("body too long at once", big, silent,
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n", "413 ", "body_bytes", limitBodyBytes)
	f("body too long in the end", big, func(c net.Conn, r *bufio.Reader) {
		if readHead(r) != "" {
			io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
			io.Copy(io.Discard, r)
		}
	}, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"+strings.Repeat("1\r\n.\r\n", 9), "413 ", "body_bytes", limitBodyBytes)
	f("backend too slow", func(c *Config) { c.Timeouts.Response = short }, silent,
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "504 ", "backend_timeout", limitAnswerTime)
}

// A long poll may wait longer than other answers: one that began before a
// request that runs into the response time-out is still answered after it.
func TestLongPollOutlastsResponseTimeout(t *testing.T) {
	release := make(chan struct{})
	p := start(t, func(c *Config) { c.Timeouts.Response = 50 * time.Millisecond }, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			h := readHead(r)
			switch {
			case h == "":
				return
			case strings.Contains(h, "sid="):
				<-release
			case strings.HasPrefix(h, "GET /silent"):
				io.Copy(io.Discard, r)
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n"+pad(`0{"sid":"abc","pingInterval":25000,"pingTimeout":20000}`, 64))
		}
	}))
	eventually(t, "a handshake", func() bool { status, _, _ := get(t, p.url(polling)); return status == 200 })
	poll, r := dial(t, p.Addr())
	io.WriteString(poll, "GET "+polling+"&sid=abc HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "the poll waits at the backend", func() bool { return p.pool.Snapshot()[0].InFlight == 1 })
	if status, _, _ := get(t, p.url("/silent")); status != 504 {
		t.Errorf("another request was answered %d", status)
	}
	close(release)
	contains(t, readHead(r), "HTTP/1.1 200 OK\r\n")
}

func pad(s string, n int) string { return s + strings.Repeat(" ", n-len(s)) }

func TestConnectionLimits(t *testing.T) {
	f := func(name string, edit func(*Config), want, limit string) {
		t.Run(name, func(t *testing.T) {
			p := start(t, edit, rawBackend(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")))
			var held []*net.TCPConn
			for range 2 {
				c, r := dial(t, p.Addr())
				io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				contains(t, readHead(r), "200 OK")
				held = append(held, c)
			}
			contains(t, p.say(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), want, limit)
			if p.metric(t, "dsproxy_limit_hits_total", "limit="+limit) != 1 {
				t.Errorf("limit %s was not counted", limit)
			}
			held[0].Close()
			eventually(t, "a place is free again", func() bool { return p.conns.open.Load() == 1 })
			contains(t, p.say(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "200 OK")
		})
	}
	f("total", func(c *Config) { c.Limits.Connections = 2 }, "HTTP/1.1 503 ", limitConnections)
	f("per address", func(c *Config) { c.Limits.ConnectionsPerAddress = 2 }, "HTTP/1.1 429 ", limitPerAddress)
}

func TestRequestsPerBackend(t *testing.T) {
	arrived, release := make(chan struct{}, 4), make(chan struct{})
	p := start(t, func(c *Config) { c.Limits.RequestsPerBackend = 1 }, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		if readHead(r) != "" {
			arrived <- struct{}{}
			<-release
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}))
	c, r := dial(t, p.Addr())
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-arrived
	contains(t, p.say(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 503 ", "backend_busy", "Retry-After: 1\r\n")
	close(release)
	contains(t, readHead(r), "200 OK")
}

// TestCountersBeginAtZero: an alert on a rate has to see the first hit of a limit and
// the first failure of the table.
func TestCountersBeginAtZero(t *testing.T) {
	m := newMetrics()
	all, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, f := range all {
		series[f.GetName()] = len(f.Metric)
	}
	if n := series["dsproxy_limit_hits_total"]; n != len(limitNames) {
		t.Errorf("%d limits are counted, want %d", n, len(limitNames))
	}
	if n := series["dsproxy_table_errors_total"]; n != 4*3 {
		t.Errorf("%d failures of the table are counted, want 4 operations by 3 classes", n)
	}
}

// Clients may not take the last files: the admin listener and the backends need some.
func TestFilesAreSpared(t *testing.T) {
	tunnels := 0
	c := newConnections()
	c.files, c.tunnels = 4, func() int { return tunnels }
	admit := func() string { return c.admit(new(clientConn), Limits{Connections: 100}) }
	for i := range 3 {
		if limit := admit(); limit != "" {
			t.Fatalf("connection %d is refused: %s", i+1, limit)
		}
	}
	tunnels = 1 // one of them, which takes another file
	if limit := admit(); limit != limitSockets {
		t.Errorf("a fifth file is refused by %q", limit)
	}
	tunnels = 0
	if limit := admit(); limit != "" {
		t.Errorf("with a file left: %s", limit)
	}
	if may := clientFiles(); runtime.GOOS == "linux" && may <= 0 {
		t.Errorf("clients may take %d files", may)
	}
}

// outOfFiles is a listener that has no file left for a connection, and is closed then.
type outOfFiles struct {
	net.Listener
	asked int
}

func (l *outOfFiles) Accept() (net.Conn, error) {
	if l.asked++; l.asked > 1 {
		return nil, net.ErrClosed
	}
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
}

// A connection that is not accepted for want of files is counted, for the alert on it.
func TestConnectionsNotAcceptedAreCounted(t *testing.T) {
	p := start(t, nil, rawBackend(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")))
	p.accept(&listener{ln: &outOfFiles{Listener: p.listeners[0].ln}})
	if n := p.metric(t, "dsproxy_limit_hits_total", "limit="+limitSockets); n != 1 {
		t.Errorf("counted %v times", n)
	}
}
