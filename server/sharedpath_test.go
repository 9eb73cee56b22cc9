package server

import (
	"testing"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

// TestSharedPath: clients of all generations on one path are told apart by what
// they do first. Query strings change nothing.
func TestSharedPath(t *testing.T) {
	s := startNode(t, func(c *Config) { c.Text.Path = c.Binary.Path })
	const path = "/deepstream?a=b"
	connect := func(t *testing.T) *websocket.Conn {
		t.Helper()
		ws, _, err := websocket.DefaultDialer.Dial("ws://"+s.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ws.Close() })
		return ws
	}
	hear := func(t *testing.T, ws *websocket.Conn, want string) {
		t.Helper()
		got := ""
		for len(got) < len(want) { // messages may come in one frame or in several
			kind, frame, err := ws.ReadMessage()
			if err != nil || kind != websocket.TextMessage {
				t.Fatalf("heard frame of kind %d, %v; want %s", kind, err, want)
			}
			got += bars(string(frame))
		}
		if got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	}
	say := func(t *testing.T, ws *websocket.Conn, text string) {
		t.Helper()
		if err := ws.WriteMessage(websocket.TextMessage, []byte(unbar(text)+"\x1e")); err != nil {
			t.Fatal(err)
		}
	}
	connections := func(protocol string) (count int) {
		s.sessions.Connections(func(p string, n int) {
			if p == protocol {
				count = n
			}
		})
		return count
	}

	t.Run("binary first", func(t *testing.T) {
		p := &peer{t, connect(t)}
		p.send(&message.Message{Topic: message.Connection, Action: message.ConnectionChallenge})
		p.expect(message.Connection, message.ConnectionAccept)
		p.send(&message.Message{Topic: message.Auth, Action: message.AuthRequest, Data: `{}`})
		p.expect(message.Auth, message.AuthSuccessful)
		if n := connections("protobuf"); n != 1 {
			t.Errorf("%d clients speak protobuf", n)
		}
	})
	t.Run("silent", func(t *testing.T) {
		ws := connect(t)
		hear(t, ws, "C|CH+")
		say(t, ws, "C|CHR|ws://host")
		hear(t, ws, "C|A+")
		say(t, ws, "A|REQ|{}")
		hear(t, ws, "A|A+C|PI+")
		// From then on it is a text client, whatever it sends.
		if err := ws.WriteMessage(websocket.BinaryMessage, []byte(unbar("E|S|x")+"\x1e")); err != nil {
			t.Fatal(err)
		}
		hear(t, ws, "E|A|S|x+")
	})
	t.Run("text first", func(t *testing.T) {
		ws := connect(t)
		say(t, ws, "C|CHR|ws://host")
		hear(t, ws, "C|CH+C|A+")
	})
	t.Run("gone in silence", func(t *testing.T) {
		waitFor(t, "the end of the others", func() bool { return s.sessions.Len() == 0 })
		_ = connect(t).Close()
		hear(t, connect(t), "C|CH+") // of one that came later
		if n := s.sessions.Len(); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
	t.Run("engine.io", func(t *testing.T) {
		e := newEIO(t, s)
		e.base = "http://" + s.Addr().String() + "/deepstream?EIO=3"
		if header, body := e.open("&b64=1"); header.Get("Set-Cookie") != "io="+e.sid {
			t.Errorf("answered %v %s", header, body)
		}
	})
}

// TestQueryStrings: every path takes one.
func TestQueryStrings(t *testing.T) {
	s := startNode(t, nil)
	for path, codec := range map[string]wire.ID{
		"/deepstream?jwt=x": wire.Protobuf, "/deepstream-v3?jwt=x": wire.TextG2, "/deepstream-json?jwt=x": wire.JSON,
	} {
		ws, _, err := websocket.DefaultDialer.Dial("ws://"+s.Addr().String()+path, nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		waitFor(t, "a session of "+path, func() bool {
			found := false
			s.sessions.Connections(func(p string, n int) { found = found || n == 1 && p == wire.For(codec).Traits().Name })
			return found
		})
		_ = ws.Close()
		waitFor(t, "its end", func() bool { return s.sessions.Len() == 0 })
	}
}
