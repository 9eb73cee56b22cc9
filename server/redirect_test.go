package server

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/session"
)

// TestRedirect: clients of a node that stops and sends its clients elsewhere are
// closed, find it again, and are sent elsewhere then; after that the port is closed.
func TestRedirect(t *testing.T) {
	c := Defaults()
	c.Addr, c.AdminAddr, c.RedirectURL = "127.0.0.1:0", "", "ws://other.example/deepstream-v3"
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	url := "ws://" + s.Addr().String() + "/deepstream-v3"
	login := func() *websocket.Conn {
		ws, _, err := websocket.DefaultDialer.Dial(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ws.Close() })
		if err := ws.WriteMessage(websocket.TextMessage, []byte(unbar("C|CHR|x")+"\x1e"+unbar("A|REQ|{}")+"\x1e")); err != nil {
			t.Fatal(err)
		}
		return ws
	}
	// hear returns all until a text, or until the end where that is "".
	hear := func(ws *websocket.Conn, until string) (said string, err error) {
		_ = ws.SetReadDeadline(time.Now().Add(10 * time.Second))
		for until == "" || !strings.Contains(said, until) {
			_, p, err := ws.ReadMessage()
			if err != nil {
				return said, err
			}
			said += bars(string(p))
		}
		return said, nil
	}
	ws := login()
	if said, err := hear(ws, "A|A+"); err != nil {
		t.Fatalf("%v after %s", err, said)
	}
	stop()
	if said, err := hear(ws, ""); !websocket.IsCloseError(err, session.CloseGoingAway) || strings.Contains(said, "RED") {
		t.Errorf("a client that is logged in heard %s, then %v", said, err)
	}
	if said, err := hear(login(), ""); !websocket.IsCloseError(err, session.CloseGoingAway) ||
		!strings.Contains(said, "C|RED|"+c.RedirectURL+"+") || strings.Contains(said, "A|A") {
		t.Errorf("a client that is back heard %s, then %v", said, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if ws, _, err := websocket.DefaultDialer.Dial(url, nil); err == nil {
		_ = ws.Close()
		t.Error("the port is open after the end")
	}
}
