package traffic

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// Opcodes of RFC 6455 section 5.2.
const (
	Binary byte = 0x2
	Close  byte = 0x8
)

// MaxPayload is the longest frame payload both ends take, in bytes: what fits
// the two short forms of the length is enough here.
const MaxPayload = 1<<16 - 1

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// AppendSwitching appends the 101 answer to an upgrade with that
// Sec-WebSocket-Key (RFC 6455 section 4.2.2).
func AppendSwitching(dst, key []byte) []byte {
	var in [64 + len(acceptGUID)]byte
	n := copy(in[:64], key)
	n += copy(in[n:], acceptGUID)
	sum := sha1.Sum(in[:n])
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = base64.StdEncoding.AppendEncode(dst, sum[:])
	return append(dst, "\r\n\r\n"...)
}

// Accept is the Sec-WebSocket-Accept that UpgradeRequest must be answered with.
const Accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

// Accepted tells whether head is the 101 that belongs to UpgradeRequest.
func Accepted(head []byte) bool {
	value, ok := Header(head, "Sec-WebSocket-Accept")
	return ok && bytes.Equal(value, []byte(Accept))
}

// Frame is one frame at the start of a buffer.
type Frame struct {
	Opcode  byte
	Payload []byte // part of the buffer, unmasked in place
	Length  int    // of header and payload, in bytes
}

var (
	errFragment  = errors.New("websocket: a fragment or reserved bit")
	errLongFrame = errors.New("websocket: a frame over 64 KiB")
)

// ParseFrame finds the frame b starts with and removes its mask; ok is false
// while it is not whole yet. It must be called once for each whole frame.
func ParseFrame(b []byte) (f Frame, ok bool, err error) {
	if len(b) < 2 {
		return Frame{}, false, nil
	}
	if b[0]&0xf0 != 0x80 {
		return Frame{}, false, errFragment
	}
	head, length := 2, int(b[1]&0x7f)
	switch length {
	case 126:
		if len(b) < 4 {
			return Frame{}, false, nil
		}
		head, length = 4, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		return Frame{}, false, errLongFrame
	}
	masked := b[1]&0x80 != 0
	if masked {
		head += 4
	}
	if len(b) < head+length {
		return Frame{}, false, nil
	}
	f = Frame{Opcode: b[0] & 0x0f, Payload: b[head : head+length], Length: head + length}
	if masked {
		toggleMask(f.Payload, [4]byte(b[head-4:head]))
	}
	return f, true, nil
}

// AppendFrame appends a whole frame. From a client it is masked with key; a
// server's has a nil key.
func AppendFrame(dst []byte, opcode byte, key *[4]byte, payload []byte) []byte {
	var bit byte
	if key != nil {
		bit = 0x80
	}
	dst = append(dst, 0x80|opcode)
	if len(payload) < 126 {
		dst = append(dst, bit|byte(len(payload)))
	} else {
		dst = append(dst, bit|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(payload)))
	}
	if key != nil {
		dst = append(dst, key[:]...)
	}
	start := len(dst)
	dst = append(dst, payload...)
	if key != nil {
		toggleMask(dst[start:], *key)
	}
	return dst
}

func toggleMask(b []byte, key [4]byte) {
	word := uint64(binary.LittleEndian.Uint32(key[:]))
	word |= word << 32
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= key[i&3]
	}
}
