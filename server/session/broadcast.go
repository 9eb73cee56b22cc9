package session

import (
	"sync"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

// Broadcast sends one message to many sessions and encodes it once for each
// protocol among them.
type Broadcast struct {
	m   *message.Message
	to  *Registry        // of the receivers
	n   uint64           // of them
	of  [wire.Codecs]int // of them, by protocol
	enc [wire.Codecs]wire.Encoded
	buf [wire.Codecs]*encoding
}

var broadcasts = sync.Pool{New: func() any { return new(Broadcast) }}

// NewBroadcast starts a broadcast of m, which must not change before Release.
func NewBroadcast(m *message.Message) *Broadcast {
	b := broadcasts.Get().(*Broadcast)
	b.m = m
	return b
}

// SendTo queues the message for one session.
func (b *Broadcast) SendTo(s *Session) {
	b.to = s.sweeper
	b.n++
	id := s.traits.ID
	if b.of[id] == 0 {
		e := encodings.Get().(*encoding)
		b.enc[id], e.buf = wire.Encode(s.codec, e.buf, b.m)
		b.buf[id] = e
	}
	b.of[id]++
	s.sendEncoded(b.enc[id], b.shared(id))
}

// manyCopies is how many clients get a copy; if there are more, they share the
// encoding, whose buffer is not used again then.
const manyCopies = 8

func (b *Broadcast) shared(id wire.ID) bool { return b.of[id] > manyCopies }

// Release ends the broadcast.
func (b *Broadcast) Release() {
	if b.to != nil {
		b.to.stats.Out.Add(b.m.Topic, b.m.Action, b.n)
	}
	for id, e := range b.buf {
		if e != nil {
			e.release(b.enc[id], b.shared(wire.ID(id)))
		}
	}
	*b = Broadcast{}
	broadcasts.Put(b)
}
