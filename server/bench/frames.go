package main

import (
	"encoding/binary"
	"errors"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// appendFrame adds a message as a client sends it: one masked frame.
func appendFrame(dst []byte, m *message.Message) []byte {
	return appendMasked(dst, 2, wire.For(wire.Protobuf).Append(nil, m))
}

func appendMasked(dst []byte, opcode byte, payload []byte) []byte {
	at := len(dst) + 1
	dst = wire.AppendHeader(dst, opcode, len(payload))
	dst[at] |= 0x80
	dst = append(dst, mask[:]...)
	for i, b := range payload {
		dst = append(dst, b^mask[i%4])
	}
	return dst
}

// frames finds the frames of a server in the order of their bytes.
type frames struct {
	rest []byte // the beginning of a frame that is not complete
}

var errControl = errors.New("server closed the connection or sent a frame that is not binary")

// feed calls on with the payload of each frame that p completes.
func (f *frames) feed(p []byte, on func(payload []byte) error) error {
	if len(f.rest) > 0 {
		f.rest = append(f.rest, p...)
		p = f.rest
	}
	for {
		payload, size := cut(p)
		if size == 0 {
			break
		}
		if p[0] != 0x82 {
			return errControl
		}
		if err := on(payload); err != nil {
			return err
		}
		p = p[size:]
	}
	f.rest = append(f.rest[:0], p...)
	return nil
}

// cut takes the first frame; size is 0 when it is not complete.
func cut(p []byte) (payload []byte, size int) {
	if len(p) < 2 {
		return nil, 0
	}
	head, n := 2, uint64(p[1]&0x7f)
	switch n {
	case 126:
		if head = 4; len(p) < head {
			return nil, 0
		}
		n = uint64(binary.BigEndian.Uint16(p[2:]))
	case 127:
		if head = 10; len(p) < head {
			return nil, 0
		}
		n = binary.BigEndian.Uint64(p[2:])
	}
	if n > uint64(len(p)-head) {
		return nil, 0
	}
	return p[head : head+int(n)], head + int(n)
}

// one is a sink that keeps the last message.
type one struct{ m message.Message }

func (o *one) Message(m *message.Message) error { o.m = *m; return nil }

func (o *one) Malformed(*message.Message) error { return errors.New("server sent no protobuf") }

func decode(payload []byte) (*message.Message, error) {
	var o one
	if err := wire.For(wire.Protobuf).Decode(payload, &o); err != nil {
		return nil, err
	}
	return &o.m, nil
}
