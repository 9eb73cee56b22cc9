package endpoint

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/wire"
)

// stormy is a handler like that of a node. It counts who is present, and takes longer for
// some events than a loop has patience.
type stormy struct {
	*node
	present atomic.Int64
}

func (h *stormy) Opened(*session.Session) { h.present.Add(1) }
func (h *stormy) Closed(*session.Session) { h.present.Add(-1) }

func (h *stormy) Message(s *session.Session, m *message.Message) {
	switch {
	case strings.HasPrefix(m.Name, "stuck"):
		time.Sleep(2 * patience)
	case strings.HasPrefix(m.Name, "store"):
		s.Waits(func() { time.Sleep(patience / 4) })
	}
	h.node.Message(s, m)
}

// TestStorm: clients that come and go at once, in all the ways there are, get what is
// theirs, and nothing of them stays behind.
func TestStorm(t *testing.T) {
	for _, loops := range []int{1, 2, 8} {
		t.Run(fmt.Sprint(loops, " loops"), func(t *testing.T) {
			storm(t, loops, func(_ *entrance, i int, err error) {
				if err != nil {
					t.Errorf("client %d: %v", i, err)
				}
			})
		})
	}
}

// TestStormEnds: nothing of a storm stays behind either where all ends in its midst.
func TestStormEnds(t *testing.T) {
	const midst = 100
	for what, end := range map[string]func(e *entrance){
		"door":  func(e *entrance) { _ = e.door.Listener.Close() },
		"loops": func(e *entrance) { e.end(); e.ended.Wait(); _ = e.door.Listener.Close() },
		"sessions": func(e *entrance) {
			_ = e.door.Listener.Close()
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_ = e.socket.Sessions.Stop(ctx, session.CloseGoingAway, "")
			e.end()
		},
	} {
		t.Run(what, func(t *testing.T) {
			storm(t, 2, func(e *entrance, i int, _ error) {
				if i == midst {
					end(e)
				}
			})
		})
	}
}

// storm has clients visit a node, and calls then after each.
func storm(t *testing.T, loops int, then func(e *entrance, i int, err error)) {
	const clients, atOnce = 300, 50
	e := &entrance{node: startNode(t, 0)}
	h := &stormy{node: e.node}
	e.endpoint.Sessions = session.NewRegistry(e.loops.flusher, h)
	e.endpoint.Codec, e.endpoint.Text, e.endpoint.TextGrace = wire.Protobuf, e.endpoint.Limits, time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	e.end = cancel
	e.ended.Go(func() {
		if err := e.loops.Run(ctx, loops); err != nil {
			t.Error(err)
		}
	})
	defer e.ended.Wait()
	defer cancel()
	<-e.loops.begun
	list := e.loops.running()
	e.open(t, time.Second)
	before := descriptors(t)

	seed := rand.Uint64()
	t.Logf("the seed is %d", seed)
	var running sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i := range clients {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			then(e, i, visit(e.door.Listener.Addr(), rand.New(rand.NewPCG(seed, uint64(i)))))
		})
	}
	running.Wait()
	for what, left := range map[string]func() int{
		"sessions": e.socket.Sessions.Len,
		"logins":   e.socket.Sessions.LoggedIn,
		"presence": func() int { return int(h.present.Load()) },
		"guests":   func() int { return int(e.inside.Load()) },
		"newcomers": func() (n int) {
			for _, l := range list {
				n += int(l.newcomers.Load())
			}
			return n
		},
		"connections": func() (n int) {
			for _, l := range list {
				l.mu.Lock()
				n += len(l.conns)
				l.mu.Unlock()
			}
			return n
		},
	} {
		await(t, "the end of all "+what, func() bool { return left() == 0 })
	}
	await(t, "the descriptors to be closed", func() bool { return descriptors(t) <= before })
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// visitor is a client that does what chance tells it.
type visitor struct {
	*net.TCPConn
	*rand.Rand
	in     *bufio.Reader
	inside bool // the handshake is done
}

func (v *visitor) oneOf(n int) bool { return v.IntN(n) == 0 }

var errLeft = errors.New("visitor has left early")

// visit comes, does some things, and leaves.
func visit(addr net.Addr, r *rand.Rand) error {
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		return err
	}
	v := &visitor{conn.(*net.TCPConn), r, bufio.NewReader(conn), false}
	defer v.Close()
	_ = v.SetDeadline(time.Now().Add(20 * time.Second))
	if v.oneOf(3) {
		_ = v.SetLinger(0)
	}
	switch {
	case v.oneOf(50): // says nothing
		_, err = v.ReadByte()
	case v.oneOf(10):
		err = v.plain()
	default:
		err = v.converse()
	}
	if errors.Is(err, errLeft) || err == io.EOF && !v.inside {
		err = nil
	}
	return err
}

func (v *visitor) ReadByte() (byte, error) { return v.in.ReadByte() }

// plain asks for what net/http answers.
func (v *visitor) plain() error {
	for range 1 + v.IntN(3) {
		if err := v.say("GET /other HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(v.in, nil)
		if err != nil {
			return fmt.Errorf("plain HTTP: %w", err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusUpgradeRequired {
			return fmt.Errorf("plain HTTP is answered %s, %w", resp.Status, err)
		}
	}
	return v.leave()
}

// converse logs in and talks.
func (v *visitor) converse() error {
	if v.oneOf(20) { // breaks off
		if err := v.say(hello()[:1+v.IntN(len(hello())-5)]); err != nil {
			return err
		}
		return v.leave()
	}
	if err := v.say(hello()); err != nil {
		return err
	}
	resp, err := http.ReadResponse(v.in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("handshake: %v, %w", resp, err)
	}
	v.inside = true
	said := [][2]string{{frame("C|CHR|x+"), "C|A+"}, {frame("A|REQ|{}+"), "A|A+"}}
	if v.oneOf(2) {
		said = [][2]string{{said[0][0] + said[1][0], "A|A+"}}
	}
	if v.oneOf(3) { // waits for the server to speak
		said = append([][2]string{{"", "C|CH+"}}, said...)
	}
	for range v.IntN(6) {
		said = append(said, v.events())
	}
	for _, s := range said {
		if err := v.ask(s[0], s[1]); err != nil {
			return err
		}
	}
	return v.leave()
}

// events returns some and their answer.
func (v *visitor) events() (said [2]string) {
	kind := "e"
	if v.oneOf(10) {
		kind = [...]string{"stuck", "store", "store"}[v.IntN(3)]
	}
	for range 1 + v.IntN(3) { // another loop may read the last ones
		text := event(fmt.Sprint(kind, v.Uint32()))
		said[0] += frame(text)
		said[1] += text
	}
	if v.oneOf(4) {
		said[0] += "\x89\x80\x00\x00\x00\x00" // a ping
	}
	return said
}

// ask says something and hears the answer, if it does not leave.
func (v *visitor) ask(text, answer string) error {
	if v.oneOf(12) {
		return v.leave()
	}
	if err := v.say(text); err != nil {
		return err
	}
	if v.oneOf(12) {
		return v.leave()
	}
	return v.hear(answer)
}

// say sends text, in pieces perhaps.
func (v *visitor) say(text string) error {
	for text != "" {
		n := len(text)
		if v.oneOf(3) {
			n = 1 + v.IntN(n)
		}
		if _, err := io.WriteString(v.TCPConn, text[:n]); err != nil {
			return err
		}
		text = text[n:]
		runtime.Gosched()
	}
	return nil
}

// hear awaits text, whatever comes before it.
func (v *visitor) hear(text string) error {
	text = marks.Replace(text)
	for got := ""; !strings.HasSuffix(got, text); {
		head := make([]byte, 2)
		if _, err := io.ReadFull(v.in, head); err != nil {
			return fmt.Errorf("%w; got %q, want %q", err, got, text)
		}
		payload := make([]byte, head[1])
		if _, err := io.ReadFull(v.in, payload); err != nil {
			return err
		}
		switch head[0] & 0xf {
		case websocket.TextMessage:
			got += string(payload)
		case wire.OpClose:
			return fmt.Errorf("closed with %q; got %q, want %q", payload, got, text)
		}
	}
	return nil
}

// leave ends the connection in one way or another.
func (v *visitor) leave() error {
	switch how := v.IntN(3); {
	case how == 0:
		_ = v.CloseWrite()
		_, _ = io.Copy(io.Discard, v.in)
	case how == 1 && v.inside:
		_, _ = io.WriteString(v.TCPConn, "\x88\x80\x00\x00\x00\x00")
		_, _ = io.Copy(io.Discard, v.in)
	}
	_ = v.Close()
	return errLeft
}

// frame is one of a client, whose mask changes nothing.
func frame(text string) string {
	text = marks.Replace(text)
	return string([]byte{0x80 | websocket.TextMessage, 0x80 | byte(len(text)), 0, 0, 0, 0}) + text
}
