package endpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/wire"
)

// wsReader takes the bytes of a client apart into WebSocket messages (RFC 6455
// section 5). It holds no memory between messages.
type wsReader struct {
	// max bounds a message, in bytes; 0 means no limit.
	max  int64
	rest []byte // the beginning of a frame that is not complete
	// kind and message are the fragments so far of a message in several frames.
	kind    byte
	message []byte
}

// closed is the end of the reading: a close frame of the client, or a fault that
// is to be answered with one.
type closed struct {
	code  int
	text  string
	fault bool // of the client, who may not have ended
}

func (e *closed) Error() string { return fmt.Sprintf("connection ends with %d: %s", e.code, e.text) }

func faulty(text string) error { return &closed{session.CloseProtocol, text, true} }

var errTooBig = &closed{session.CloseTooBig, "message is too big", true}

// header is what comes before a frame's payload.
type header struct {
	opcode byte
	final  bool
	size   int // of the header
	length int // of the payload
	mask   uint32
}

func (h *header) control() bool { return h.opcode&0x8 != 0 }

// parse reads a header; a size of 0 means that it is not complete.
func (r *wsReader) parse(p []byte) (h header, err error) {
	if len(p) < 2 {
		return h, nil
	}
	h.opcode, h.final = p[0]&0xf, p[0]&0x80 != 0
	switch {
	case p[0]&0x70 != 0:
		return h, faulty("reserved bits are set")
	case p[1]&0x80 == 0:
		return h, faulty("frame is not masked")
	case h.control() && (!h.final || p[1]&0x7f > 125):
		return h, faulty("control frame is too long or in pieces")
	}
	size, length := 2, uint64(p[1]&0x7f)
	switch length {
	case 126:
		if size = 4; len(p) < size {
			return h, nil
		}
		length = uint64(binary.BigEndian.Uint16(p[2:]))
	case 127:
		if size = 10; len(p) < size {
			return h, nil
		}
		length = binary.BigEndian.Uint64(p[2:])
	}
	if length >= 1<<62 || !h.control() && r.max > 0 && length > uint64(r.max)-uint64(len(r.message)) {
		return h, errTooBig
	}
	if len(p) < size+4 {
		return h, nil
	}
	h.mask = binary.LittleEndian.Uint32(p[size:])
	h.size, h.length = size+4, int(length)
	return h, nil
}

// feed calls on with each message and control frame that p completes; a payload is
// valid until on returns. It changes p. After an error, which is of on or a
// *closed, there is nothing more to read.
func (r *wsReader) feed(p []byte, on func(opcode byte, payload []byte) error) error {
	kept := len(r.rest) > 0
	if kept {
		r.rest = append(r.rest, p...)
		p = r.rest
	}
	for len(p) > 0 {
		h, err := r.parse(p)
		if err != nil {
			return err
		}
		if h.size == 0 || len(p)-h.size < h.length {
			break
		}
		payload := p[h.size : h.size+h.length : h.size+h.length]
		unmask(payload, h.mask)
		p = p[h.size+h.length:]
		if err := r.frame(h, payload, on); err != nil {
			return err
		}
	}
	switch {
	case len(p) == 0:
		r.rest = nil
	case kept:
		r.rest = r.rest[:copy(r.rest, p)]
	default:
		r.rest = append([]byte(nil), p...)
	}
	return nil
}

func (r *wsReader) frame(h header, payload []byte, on func(opcode byte, payload []byte) error) error {
	switch h.opcode {
	case wire.OpClose:
		return closeFrame(payload)
	case websocket.PingMessage, websocket.PongMessage:
		return on(h.opcode, payload)
	case websocket.TextMessage, websocket.BinaryMessage:
		if r.kind != 0 {
			return faulty("message begins within another")
		}
		if h.final {
			return on(h.opcode, payload)
		}
		r.kind = h.opcode
		r.message = append(r.message, payload...)
		return nil
	case 0:
		if r.kind == 0 {
			return faulty("continuation of nothing")
		}
		r.message = append(r.message, payload...)
		if !h.final {
			return nil
		}
		kind, message := r.kind, r.message
		r.kind, r.message = 0, nil
		return on(kind, message)
	}
	return faulty("unknown opcode")
}

// closeFrame answers a close frame with its own code, where that may be sent.
func closeFrame(payload []byte) error {
	if len(payload) == 0 {
		return &closed{code: session.CloseNormal, text: "client said so"}
	}
	if len(payload) == 1 {
		return faulty("close frame of one byte")
	}
	code := int(binary.BigEndian.Uint16(payload))
	defined := code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006
	if !defined && (code < 3000 || code > 4999) || !utf8.Valid(payload[2:]) {
		return faulty("close frame without meaning")
	}
	return &closed{code: code, text: "client said so"}
}

// unmask undoes the client's mask (section 5.3), eight bytes at a time.
func unmask(p []byte, mask uint32) {
	wide := uint64(mask)<<32 | uint64(mask)
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(mask >> (8 * (i & 3)))
	}
}

// closeCode answers the end of the reading.
func closeCode(err error) int {
	var c *closed
	if errors.As(err, &c) {
		return c.code
	}
	return session.CloseNormal
}
