package interest

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Nodes say to each other, each frame beginning with its first byte:
//
//	r nonce                 asks for all that the receiver wants
//	b nonce acked           begins the answer; acked as in a
//	n {change}...           is a part of it: names, as changes that add them
//	e number                ends it; the changes from this number on follow
//	d ack number {change}   are changes, the first of which has this number
//	a number                says that all changes before this number are applied
//
// A nonce has 8 bytes, numbers are unsigned varints; ack is a byte, 1 if the receiver
// is to answer with an a. A change is a byte, twice the kind and one more if it adds,
// the length of the name as an unsigned varint, and the name. Kinds that a node does
// not know, being older, are passed over. Numbers begin with 1, so an acked of 0 says
// that nothing is applied yet.
//
// A node asks whenever what it knows of another is in doubt, and takes no changes
// until the answer is whole. The answer may already contain some of the changes that
// follow; to apply them again does no harm.
const (
	frameRequest = 'r'
	frameBegin   = 'b'
	frameNames   = 'n'
	frameEnd     = 'e'
	frameChanges = 'd'
	frameAck     = 'a'
)

const (
	// maxFrame is the size of a frame in bytes; one with a single name may have more.
	maxFrame = 64 << 10
	// maxName is the longest name, in bytes, that other nodes are told of. It is
	// beyond what clients may send, and well below what the bus carries.
	maxName = 16 << 20
)

var errMalformed = errors.New("malformed frame")

// change is a name that is wanted now, or not any more.
type change struct {
	kind Kind
	add  bool
	name string
}

// size is at least what the change adds to a frame.
func (c *change) size() int { return 1 + binary.MaxVarintLen32 + len(c.name) }

func (c *change) append(b []byte) []byte {
	head := byte(c.kind) << 1
	if c.add {
		head |= 1
	}
	b = binary.AppendUvarint(append(b, head), uint64(len(c.name)))
	return append(b, c.name...)
}

// cutChange reads the first change of s. The name is a part of s.
func cutChange(s string) (c change, rest string, err error) {
	if s == "" {
		return c, "", errMalformed
	}
	c.kind, c.add = Kind(s[0]>>1), s[0]&1 == 1
	size, rest, err := cutUvarint(s[1:])
	switch {
	case err != nil:
		return c, "", err
	case size > maxName:
		return c, "", fmt.Errorf("a name has %d bytes; at most %d are possible", size, maxName)
	case size > uint64(len(rest)):
		return c, "", errMalformed
	}
	c.name = rest[:size]
	return c, rest[size:], nil
}

// countChanges reads all of s, so that what it accepts can be read to the end.
func countChanges(s string) (n uint64, err error) {
	for s != "" {
		if _, s, err = cutChange(s); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

func cutUvarint(s string) (v uint64, rest string, err error) {
	for i := 0; i < len(s) && i < binary.MaxVarintLen64; i++ {
		b := s[i]
		if i == binary.MaxVarintLen64-1 && b > 1 {
			break
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return v, s[i+1:], nil
		}
	}
	return 0, "", errMalformed
}

// frame is one that was received. Its changes can be read without error.
type frame struct {
	kind    byte
	nonce   uint64
	number  uint64
	ack     bool
	changes string
	count   uint64 // of changes
}

func decode(payload string) (f frame, err error) {
	if payload == "" {
		return f, errMalformed
	}
	f.kind = payload[0]
	rest := payload[1:]
	if f.kind == frameRequest || f.kind == frameBegin {
		if len(rest) < 8 {
			return f, errMalformed
		}
		f.nonce, rest = binary.LittleEndian.Uint64([]byte(rest[:8])), rest[8:]
	}
	if f.kind == frameChanges {
		if rest == "" || rest[0] > 1 {
			return f, errMalformed
		}
		f.ack, rest = rest[0] == 1, rest[1:]
	}
	switch f.kind {
	case frameBegin, frameEnd, frameChanges, frameAck:
		if f.number, rest, err = cutUvarint(rest); err != nil {
			return f, err
		}
	case frameRequest, frameNames:
	default:
		return f, fmt.Errorf("unknown kind of frame %#x", f.kind)
	}
	if f.kind == frameNames || f.kind == frameChanges {
		f.changes = rest
		f.count, err = countChanges(rest)
		return f, err
	}
	if rest != "" {
		return f, errMalformed
	}
	return f, nil
}

func appendRequest(b []byte, nonce uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, frameRequest), nonce)
}

func appendBegin(b []byte, nonce, acked uint64) []byte {
	return binary.AppendUvarint(binary.LittleEndian.AppendUint64(append(b, frameBegin), nonce), acked)
}

func appendEnd(b []byte, number uint64) []byte {
	return binary.AppendUvarint(append(b, frameEnd), number)
}

func appendAck(b []byte, number uint64) []byte {
	return binary.AppendUvarint(append(b, frameAck), number)
}

// appendChanges is the head of a frame of changes.
func appendChanges(b []byte, ack bool, number uint64) []byte {
	b = append(b, frameChanges, 0)
	if ack {
		b[len(b)-1] = 1
	}
	return binary.AppendUvarint(b, number)
}
