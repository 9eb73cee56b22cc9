package http1

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scriptConn is a net.Conn whose peer sends the pieces one a read and then
// end, io.EOF unless set. What is written to it gathers in sent.
type scriptConn struct {
	pieces    [][]byte
	end       error
	sent      []byte
	writes    int
	maxWrite  int // a longer write fails with io.ErrShortWrite
	deadlines []string
	closed    bool
}

func (s *scriptConn) Read(p []byte) (int, error) {
	for len(s.pieces) > 0 && len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	if len(s.pieces) == 0 {
		if s.end != nil {
			return 0, s.end
		}
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	s.pieces[0] = s.pieces[0][n:]
	return n, nil
}

func (s *scriptConn) Write(p []byte) (int, error) {
	if s.maxWrite > 0 && len(p) > s.maxWrite {
		return 0, io.ErrShortWrite
	}
	s.writes++
	s.sent = append(s.sent, p...)
	return len(p), nil
}

func (s *scriptConn) Close() error                       { s.closed = true; return nil }
func (s *scriptConn) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (s *scriptConn) RemoteAddr() net.Addr               { return &net.TCPAddr{} }
func (s *scriptConn) SetDeadline(t time.Time) error      { return s.note("both", t) }
func (s *scriptConn) SetReadDeadline(t time.Time) error  { return s.note("read", t) }
func (s *scriptConn) SetWriteDeadline(t time.Time) error { return s.note("write", t) }

func (s *scriptConn) note(what string, t time.Time) error {
	if t.IsZero() {
		s.deadlines = append(s.deadlines, what+" none")
	} else {
		s.deadlines = append(s.deadlines, what+" "+t.UTC().Format("05.000"))
	}
	return nil
}

// scripted returns a Conn that reads the pieces.
func scripted(pieces ...string) *Conn {
	s := &scriptConn{}
	for _, p := range pieces {
		s.pieces = append(s.pieces, []byte(p))
	}
	return NewConn(s)
}

// splits returns the ways in which a test delivers in: whole, byte by byte,
// and in two pieces cut at every point (at some points if it is long).
func splits(in string) [][]string {
	ways := [][]string{{in}, strings.Split(in, "")}
	if strings.IndexFunc(in, func(r rune) bool { return r >= 0x80 }) >= 0 {
		ways[1] = nil
		for i := range len(in) {
			ways[1] = append(ways[1], in[i:i+1])
		}
	}
	step := 1 + len(in)/500
	for i := 1; i < len(in); i += step {
		ways = append(ways, []string{in[:i], in[i:]})
	}
	return ways
}

// socketPair returns two connected Unix sockets.
func socketPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	conns := [2]net.Conn{}
	for i, fd := range fds {
		syscall.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "socketpair")
		conns[i], err = net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conns[i].Close() })
	}
	return conns[0], conns[1]
}

// readRequests renders every request on c up to the end, one a line.
func readRequests(c *Conn, lim Limits) string {
	var lines []string
	var req Request
	for {
		err := c.ReadRequest(&req, lim)
		if err != nil {
			lines = append(lines, ending(err))
			if again := c.ReadRequest(&req, lim); again != err {
				lines = append(lines, fmt.Sprintf("then %v", again))
			}
			break
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s %s", req.Method, req.AppendTarget(nil))
		if req.Host != nil {
			fmt.Fprintf(&b, " @%s", req.Host)
		}
		if req.Minor == 0 {
			b.WriteString(" 1.0")
		}
		if !req.KeepAlive {
			b.WriteString(" close")
		}
		if req.Expect100 {
			b.WriteString(" expect")
		}
		if req.Upgrade != nil {
			fmt.Fprintf(&b, " upgrade=%s", req.Upgrade)
		}
		renderFields(&b, req.Fields)
		err = renderBody(&b, c, req.Framing)
		lines = append(lines, b.String())
		if err != nil {
			lines = append(lines, ending(err))
			if again := c.ReadRequest(&req, lim); again != err && again != ErrBodyUnread {
				lines = append(lines, fmt.Sprintf("then %v", again))
			}
			break
		}
	}
	return strings.TrimSuffix(strings.Join(lines, "\n"), "\nEOF")
}

// readResponses renders every response on c up to the end; all of them answer
// a request with the method.
func readResponses(c *Conn, method string, lim Limits) string {
	var lines []string
	var resp Response
	for {
		err := c.ReadResponse(&resp, []byte(method), lim)
		if err != nil {
			lines = append(lines, ending(err))
			if again := c.ReadResponse(&resp, []byte(method), lim); again != err {
				lines = append(lines, fmt.Sprintf("then %v", again))
			}
			break
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%d", resp.Status)
		if len(resp.Reason) > 0 {
			fmt.Fprintf(&b, " %s", resp.Reason)
		}
		if resp.Minor == 0 {
			b.WriteString(" 1.0")
		}
		if !resp.KeepAlive {
			b.WriteString(" close")
		}
		if resp.Declared >= 0 && resp.Framing.Kind != Length {
			fmt.Fprintf(&b, " declared=%d", resp.Declared)
		}
		if resp.Upgrade != nil {
			fmt.Fprintf(&b, " upgrade=%s", resp.Upgrade)
		}
		renderFields(&b, resp.Fields)
		err = renderBody(&b, c, resp.Framing)
		lines = append(lines, b.String())
		if err != nil {
			lines = append(lines, ending(err))
			break
		}
		if resp.Status == 101 {
			nc, pending := c.Detach()
			rest, _ := io.ReadAll(nc)
			lines = append(lines, fmt.Sprintf("rest %q", append(pending, rest...)))
			break
		}
	}
	return strings.TrimSuffix(strings.Join(lines, "\n"), "\nEOF")
}

// renderFields writes the fields that the rest of the rendering does not show.
func renderFields(b *strings.Builder, fields []Field) {
	for _, f := range fields {
		switch f.Kind {
		case KindHost, KindContentLength, KindTransferEncoding, KindConnection, KindExpect:
			continue
		}
		fmt.Fprintf(b, " %s=%s", f.Name, f.Value)
		if f.Named {
			b.WriteString("(named)")
		}
	}
}

func renderBody(b *strings.Builder, c *Conn, f Framing) error {
	if f.Kind == None {
		return nil
	}
	fmt.Fprintf(b, " %v", f.Kind)
	if f.Kind == Length {
		fmt.Fprintf(b, "=%d", f.Length)
	}
	body, err := io.ReadAll(c.Body())
	if len(body) > 40 {
		fmt.Fprintf(b, " %q... %d bytes", body[:8], len(body))
	} else {
		fmt.Fprintf(b, " %q", body)
	}
	for _, t := range c.Body().Trailers() {
		fmt.Fprintf(b, " {%s=%s}", t.Name, t.Value)
	}
	return err
}

func ending(err error) string {
	switch e := err.(type) {
	case *Error:
		return fmt.Sprintf("!%d %s", e.Status, e.Cause)
	}
	if err == io.ErrUnexpectedEOF {
		return "!cut"
	}
	return err.Error()
}
