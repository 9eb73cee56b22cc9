package server

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/message"
)

// TestInvalidUTF8: text that is not UTF-8 ends the connection that it came on, and
// no other client gets it.
func TestInvalidUTF8(t *testing.T) {
	s := startNode(t, nil)
	base := "ws://" + s.Addr().String()
	f := func(path string, frames ...string) {
		t.Helper()
		ws, _, err := websocket.DefaultDialer.Dial(base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		for _, frame := range frames {
			if err := ws.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
				t.Fatal(err)
			}
		}
		_ = ws.SetReadDeadline(time.Now().Add(10 * time.Second))
		for {
			_, b, err := ws.ReadMessage()
			if strings.Contains(string(b), "\xff") {
				t.Errorf("%s: heard %q", path, b)
			}
			if err == nil {
				continue
			}
			var closed *websocket.CloseError
			if !errors.As(err, &closed) || closed.Code != websocket.CloseInvalidFramePayloadData {
				t.Errorf("%s %q: ended with %v", path, frames, err)
			}
			return
		}
	}
	f("/deepstream-v3", "C\x1fCHR\x1fx\x1e", "A\x1fREQ\x1f{\"username\":\"\xff\"}\x1e")
	f("/deepstream-json", `{"topic":2,"action":5,"url":"`+"\xff"+`"}`)
	f("/deepstream/?EIO=3&transport=websocket", "4C\x1fCHR\x1f\xff\x1e")
	f("/deepstream/?EIO=3&transport=websocket", "2\xff") // the answer to a ping repeats it

	// The protobuf protocol is one of bytes: the message is refused.
	p := dial(t, s, "al")
	p.send(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: "n", Data: "\"\xff\""})
	p.expect(message.Parser, message.ParserUnknownTopic)

	for _, query := range []string{"&b64=1", ""} {
		e := newEIO(t, s)
		e.open(query)
		body, contentType := "\x00\x09\xff4C\x1fCHR\x1f\xff\x1e", "application/octet-stream"
		if query != "" {
			body, contentType = "9:4C\x1fCHR\x1f\u00ff\x1e", "text/plain;charset=UTF-8"
		}
		e.do("POST", "&transport=polling&sid="+e.sid+query, contentType, body)
		waitFor(t, "the end of the socket", func() bool {
			code, _, _ := e.do("GET", "&transport=polling&sid="+e.sid+query, "", "")
			return code == 400
		})
	}
}
