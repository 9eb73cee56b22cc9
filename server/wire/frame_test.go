package wire

import (
	"bytes"
	"testing"

	"github.com/dsproxy/dsproxy/server/message"
)

func TestEncodeFrames(t *testing.T) {
	f := func(size int, header ...byte) {
		t.Helper()
		m := message.Message{Topic: message.Parser, Action: message.ParserUnknownTopic, Raw: string(make([]byte, size-len("X|E|UNKNOWN_TOPIC|+")))}
		e, _ := Encode(For(TextG1), nil, &m)
		if len(e.Payload) != size || !bytes.HasPrefix(e.Framed, header) || len(e.Framed) != size+len(header) {
			t.Errorf("%d bytes: framed as % x..., %d bytes", size, e.Framed[:10], len(e.Framed))
		}
	}
	f(125, 0x81, 125)
	f(126, 0x81, 126, 0, 126)
	f(65535, 0x81, 126, 0xff, 0xff)
	f(65536, 0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0)
}
