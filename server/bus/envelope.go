package bus

import (
	"encoding/binary"
	"errors"
)

// What nodes send each other begins the same way:
//
//	0xd5 kind | length of name, name | incarnation of the sender (8)
//
// and goes on, where it is data for one node,
//
//	incarnation of the receiver (8) | number | { length, payload }...
//
// and where it is an announcement
//
//	flags | { incarnation of a receiver (8) | last number sent to it }...
//
// Lengths and numbers are unsigned varints, incarnations are little-endian.
const (
	magic        = 0xd5
	kindData     = 1
	kindAnnounce = 2

	// flagHello asks those who hear it to announce themselves at once.
	flagHello = 1
	// flagLeave is the last that a node says.
	flagLeave = 2
	// flagInOrder says that an announcement came behind the messages it counts.
	flagInOrder = 4
)

const (
	// maxName bounds the name of a node, in bytes.
	maxName = 255
	// maxPayload bounds a payload, in bytes: a little less than the output buffer
	// that Redis grants a subscriber.
	maxPayload = 31 << 20
)

var errMalformed = errors.New("no message of a node")

// envelope is a message as it was received. Its slices are parts of the message.
type envelope struct {
	kind byte
	name []byte
	from uint64

	// of data
	to       uint64
	number   uint64
	payloads []byte

	// of an announcement
	flags byte
	marks []byte
}

// decode reads all of a message, so that what it accepts can be read to the end.
func (e *envelope) decode(data []byte) error {
	if len(data) < 2 || data[0] != magic {
		return errMalformed
	}
	*e = envelope{kind: data[1]}
	var ok bool
	if e.name, data, ok = cutBytes(data[2:], maxName); !ok || len(e.name) == 0 {
		return errMalformed
	}
	if e.from, data, ok = cutIncarnation(data); !ok {
		return errMalformed
	}
	switch e.kind {
	case kindData:
		if e.to, data, ok = cutIncarnation(data); !ok {
			return errMalformed
		}
		if e.number, data, ok = cutNumber(data); !ok {
			return errMalformed
		}
		e.payloads = data
		for len(data) > 0 {
			if _, data, ok = cutBytes(data, maxPayload); !ok {
				return errMalformed
			}
		}
	case kindAnnounce:
		if len(data) == 0 {
			return errMalformed
		}
		e.flags, e.marks = data[0], data[1:]
		for data = e.marks; len(data) > 0; {
			if _, data, ok = cutIncarnation(data); !ok {
				return errMalformed
			}
			if _, data, ok = cutNumber(data); !ok {
				return errMalformed
			}
		}
	default:
		return errMalformed
	}
	return nil
}

// mark returns the last number that was sent to a receiver.
func (e *envelope) mark(receiver uint64) (number uint64, ok bool) {
	for data := e.marks; len(data) > 0; {
		var to uint64
		to, data, _ = cutIncarnation(data)
		number, data, _ = cutNumber(data)
		if to == receiver {
			return number, true
		}
	}
	return 0, false
}

func cutBytes(data []byte, limit uint64) (b, rest []byte, ok bool) {
	n, k := binary.Uvarint(data)
	if k <= 0 || n > limit || n > uint64(len(data)-k) {
		return nil, nil, false
	}
	return data[k : k+int(n)], data[k+int(n):], true
}

func cutIncarnation(data []byte) (n uint64, rest []byte, ok bool) {
	if len(data) < 8 {
		return 0, nil, false
	}
	n = binary.LittleEndian.Uint64(data)
	return n, data[8:], n != 0
}

func cutNumber(data []byte) (n uint64, rest []byte, ok bool) {
	n, k := binary.Uvarint(data)
	if k <= 0 || n > maxNumber {
		return 0, nil, false
	}
	return n, data[k:], true
}

func appendSender(dst []byte, kind byte, name string, incarnation uint64) []byte {
	dst = append(dst, magic, kind)
	dst = binary.AppendUvarint(dst, uint64(len(name)))
	dst = append(dst, name...)
	return binary.LittleEndian.AppendUint64(dst, incarnation)
}

// The numbers of a stream count its messages in the low bits, beginning with 1; the
// high bits count the streams that the sender began. So what is sent to a node that
// was given up in between is never taken for what follows.
const (
	streamBits = 40
	maxNumber  = 1<<63 - 1
)
