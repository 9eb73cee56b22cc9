// Package wire turns bytes into messages and messages into bytes, once for each
// protocol generation: protobuf (deepstream 4 to 10), JSON, and the two dialects
// of the text protocol (deepstream 1; deepstream 2 and 3).
//
// A frame arrives from an endpoint; Codec.Decode splits it into messages and
// hands each to a Sink, which is the session. What cannot be read becomes the
// answer that the protocol has for it and goes to Sink.Malformed: one piece of
// garbage does not hide the messages after it, and never ends another
// connection. On the way out a Message is encoded once per codec by Encode,
// which also lays the WebSocket frame header in front, so that a published
// message costs each further subscriber one copy.
package wire

import (
	"errors"

	"github.com/dsproxy/dsproxy/server/message"
)

// ID numbers the codecs, so that a publisher can keep one encoding of each.
type ID uint8

// The codecs.
const (
	Protobuf    ID = iota
	OldProtobuf    // without PATCH_MULTI, for JavaScript clients before 7.1
	TextG1         // deepstream 1
	TextG2         // deepstream 2 and 3
	JSON
	Codecs // how many there are
)

// Traits are the facts about a protocol that the layers above ask for.
type Traits struct {
	ID   ID
	Name string
	// Binary says that the WebSocket frames are binary ones.
	Binary bool
	// Joins says that several messages may share one frame.
	Joins bool
	// PerName says that every name of a subscription is answered on its own,
	// with the protocol's error in place of an acknowledgement.
	PerName bool
	// ServerFirst says that the server opens the conversation.
	ServerFirst bool
	// ServerPings says that the heartbeat is the server's task; Heartbeat that
	// the protocol has one at all.
	ServerPings bool
	Heartbeat   bool
}

// Sink takes what a frame held, in order. An error ends the decoding.
type Sink interface {
	// Message gets a message that is valid until it returns.
	Message(m *message.Message) error
	// Malformed gets the answer owed to something that is not a message.
	Malformed(reply *message.Message) error
}

// ErrUTF8 ends the connection of a client whose text is not UTF-8 (RFC 6455 section
// 8.1): others that got it would have to hang up.
var ErrUTF8 = errors.New("text is not UTF-8")

// Codec is one protocol. It has no state and is safe for concurrent use.
type Codec interface {
	Traits() *Traits
	// Decode reads all messages of a frame; the frame may be reused after it
	// returns. An error means that the connection cannot go on.
	Decode(frame []byte, to Sink) error
	// Append adds the encoding of m to dst. A message that the protocol has no
	// words for adds nothing.
	Append(dst []byte, m *message.Message) []byte
}

var codecs = [Codecs]Codec{
	Protobuf:    protobuf{&protobufTraits},
	OldProtobuf: protobuf{&oldProtobufTraits},
	TextG1:      newText(g1),
	TextG2:      newText(g2),
	JSON:        jsonCodec{},
}

// For returns the codec of an id.
func For(id ID) Codec { return codecs[id] }
