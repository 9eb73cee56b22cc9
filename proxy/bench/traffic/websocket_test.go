package traffic

import (
	"bytes"
	"testing"
)

func TestSwitching(t *testing.T) {
	request, _ := ParseRequest(UpgradeRequest)
	got := AppendSwitching([]byte("x"), request.Key)
	want := "xHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	if string(got) != want {
		t.Errorf("got %q", got)
	}
	if !Accepted(got) {
		t.Error("the right accept value is refused")
	}
	if Accepted(AppendSwitching(nil, []byte("another"))) || Accepted([]byte("HTTP/1.1 101 x\r\n\r\n")) {
		t.Error("a wrong or missing accept value is taken")
	}
}

func TestFrames(t *testing.T) {
	key := [4]byte{1, 2, 3, 4}
	f := func(opcode byte, key *[4]byte, size, header int) {
		t.Helper()
		payload := bytes.Repeat([]byte("payload!x"), size/9+1)[:size]
		b := AppendFrame(nil, opcode, key, payload)
		if len(b) != header+size {
			t.Fatalf("a frame of %d bytes for a payload of %d", len(b), size)
		}
		for cut := range b {
			if fr, ok, err := ParseFrame(bytes.Clone(b[:cut])); ok || err != nil {
				t.Fatalf("the first %d of %d bytes: %+v, %v", cut, len(b), fr, err)
			}
		}
		fr, ok, err := ParseFrame(append(b, "rest"...))
		if err != nil || !ok || fr.Opcode != opcode || fr.Length != header+size || !bytes.Equal(fr.Payload, payload) {
			t.Errorf("payload of %d, masked %v: opcode %x, length %d, ok %v, error %v", size, key != nil, fr.Opcode, fr.Length, ok, err)
		}
	}
	f(Binary, nil, 0, 2)
	f(Binary, nil, 64, 2)
	f(Binary, &key, 64, 6)
	f(Binary, &key, 61, 6)
	f(Binary, nil, 126, 4)
	f(Binary, &key, 300, 8)
	f(Close, &key, 2, 6)
}

// The masked example of RFC 6455 section 5.7.
func TestFrameOfTheRFC(t *testing.T) {
	b := []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}
	f, ok, err := ParseFrame(b)
	if err != nil || !ok || f.Opcode != 1 || string(f.Payload) != "Hello" {
		t.Errorf("%+v, %v, %v", f, ok, err)
	}
}

func TestParseFrameRefuses(t *testing.T) {
	for _, b := range [][]byte{{0x02, 0}, {0xc2, 0}, {0x82, 127, 0, 0, 0, 0, 0, 0, 0, 0}} {
		if _, _, err := ParseFrame(b); err == nil {
			t.Errorf("% x is taken", b)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add([]byte{0x82, 0x02, 1, 2})
	f.Add([]byte{0x82, 0xfe, 0, 1, 9, 9, 9, 9, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		original := bytes.Clone(b)
		fr, ok, err := ParseFrame(b)
		if !ok {
			return
		}
		if err != nil || fr.Length > len(b) || len(fr.Payload) > fr.Length {
			t.Fatalf("%+v, error %v from %d bytes", fr, err, len(b))
		}
		var key *[4]byte
		if original[1]&0x80 != 0 {
			header := fr.Length - len(fr.Payload)
			key = (*[4]byte)(original[header-4:])
		}
		again := AppendFrame(nil, fr.Opcode, key, fr.Payload)
		if second, ok, _ := ParseFrame(again); !ok || !bytes.Equal(second.Payload, fr.Payload) {
			t.Errorf("% x does not survive: % x", original, again)
		}
	})
}
