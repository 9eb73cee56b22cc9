package topic

import (
	"encoding/binary"
	"fmt"
	"log/slog"

	"github.com/dsproxy/dsproxy/server/bus"
	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

// Cluster is what the topics know of the other nodes.
type Cluster struct {
	Bus      bus.Bus
	Interest interest.Registry
	Alone    bool // there are never any
	Log      *slog.Logger
}

// The first byte of what nodes send says what the rest is.
const (
	// FrameTopic is a message of a topic, see Pack.
	FrameTopic = 't'
	// FrameInterest is of package interest.
	FrameInterest = 'i'
)

// Publish brings a message to the nodes that want a name, if there are any.
func (c *Cluster) Publish(k interest.Kind, name string, m *message.Message) {
	if nodes := c.Interest.Others(k, name); len(nodes) > 0 {
		c.Send(nodes, m)
	}
}

// Send brings a message to the same topic on other nodes.
func (c *Cluster) Send(nodes []string, m *message.Message) {
	if err := c.Bus.Send(nodes, Pack(m)); err != nil {
		c.Log.Warn("message did not reach other nodes", "topic", m.Topic.String(), "nodes", len(nodes), "err", err)
	}
}

// Watcher tells the cluster which names of a hub are wanted here.
type Watcher struct {
	Registry interest.Registry
	Kind     interest.Kind
}

// First and Last implement hub.Watcher.
func (w Watcher) First(name string) { w.Registry.Add(w.Kind, name) }

// Last is called for the last subscription of a name.
func (w Watcher) Last(name string) { w.Registry.Remove(w.Kind, name) }

// Pack makes a message a frame that Unpack understands: its protobuf form and then
// what of it clients do not get, if there is any: Base and Sum in eight bytes each, and
// Full.
func Pack(m *message.Message) []byte {
	frame := wire.For(wire.Protobuf).Append([]byte{FrameTopic}, m)
	if m.Base == 0 && m.Sum == 0 && m.Full == "" {
		return frame
	}
	frame = binary.LittleEndian.AppendUint64(frame, m.Base)
	frame = binary.LittleEndian.AppendUint64(frame, m.Sum)
	return append(frame, m.Full...)
}

// Unpack reads what another node packed, without its first byte.
func Unpack(payload []byte) (message.Message, error) {
	var one first
	n, err := wire.DecodeFirst(payload, &one)
	if err != nil {
		return message.Message{}, fmt.Errorf("message of another node: %w", err)
	}
	switch rest := payload[n:]; {
	case len(rest) >= 16:
		one.m.Base, one.m.Sum = binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
		one.m.Full = string(rest[16:])
	case len(rest) > 0:
		return message.Message{}, fmt.Errorf("message of another node: %d bytes are left over", len(rest))
	}
	return one.m, nil
}

type first struct{ m message.Message }

func (f *first) Message(m *message.Message) error { f.m = *m; return nil }

func (f *first) Malformed(*message.Message) error { return fmt.Errorf("cannot be read") }
