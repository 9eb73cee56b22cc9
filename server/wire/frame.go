package wire

import (
	"encoding/binary"

	"github.com/dsproxy/dsproxy/server/message"
)

// HeaderSpace is the most that AppendHeader can add.
const HeaderSpace = 10

// WebSocket opcodes of data frames (RFC 6455 section 5.2).
const (
	opText   = 1
	opBinary = 2
	// OpPong answers a ping of the WebSocket layer.
	OpPong = 10
	// OpClose ends the connection.
	OpClose = 8
)

// DataOpcode is the opcode of a data frame of this protocol.
func (t *Traits) DataOpcode() byte {
	if t.Binary {
		return opBinary
	}
	return opText
}

// AppendHeader adds the header of an unmasked, final WebSocket frame with n
// bytes of payload (RFC 6455 section 5.2).
func AppendHeader(dst []byte, opcode byte, n int) []byte {
	dst = append(dst, 0x80|opcode)
	switch {
	case n < 126:
		return append(dst, byte(n))
	case n < 1<<16:
		return append(dst, 126, byte(n>>8), byte(n))
	default:
		dst = append(dst, 127)
		return binary.BigEndian.AppendUint64(dst, uint64(n))
	}
}

// Encoded is one message in one protocol.
type Encoded struct {
	Payload []byte
	// Framed is Payload behind its WebSocket header, in the same memory.
	Framed []byte
}

// Empty says that the protocol has no words for the message.
func (e Encoded) Empty() bool { return len(e.Payload) == 0 }

// Encode encodes m into buf, which it grows as needed; the result shares the
// memory of buf.
func Encode(c Codec, buf []byte, m *message.Message) (Encoded, []byte) {
	buf = append(buf[:0], make([]byte, HeaderSpace)...)
	buf = c.Append(buf, m)
	payload := buf[HeaderSpace:]
	var header [HeaderSpace]byte
	h := AppendHeader(header[:0], c.Traits().DataOpcode(), len(payload))
	start := HeaderSpace - len(h)
	copy(buf[start:], h)
	return Encoded{Payload: payload, Framed: buf[start:]}, buf
}
