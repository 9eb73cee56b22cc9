package bus

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

const (
	// maxQueue bounds what may wait for all nodes together, in bytes.
	maxQueue = 64 << 20
	// maxJoined is where payloads are no longer joined into one message.
	maxJoined = 1 << 20
	// maxBatch is about how much is published at once. It keeps what a receiver
	// must take in one piece far below the output buffer that Redis grants a
	// subscriber (client-output-buffer-limit pubsub 32mb 8mb 60).
	maxBatch = 4 << 20
	// maxAge is how long a message is worth sending. What could not be sent for
	// longer is a gap to the receiver, which makes good more than that.
	maxAge = 3 * time.Second
	// maxSpare bounds the buffers that are kept for the next messages, in bytes.
	maxSpare = 2 << 20
)

// parcel is a message on its way to one address.
type parcel struct {
	to       string // address of the transport
	data     []byte
	number   uint64
	payloads int
	at       time.Time // when its first payload was queued
	stream   *stream   // nil: to all
	flags    byte      // of an announcement to all
}

// stream is what goes to one incarnation of a node.
type stream struct {
	node     string
	address  string
	receiver uint64
	number   uint64 // the last that was given

	queue  []parcel // from head on
	head   int
	open   bool // the last of queue may take more payloads
	listed bool // in outbox.ready
}

func (s *stream) waiting() []parcel { return s.queue[s.head:] }

func (s *stream) pop() parcel {
	p := s.queue[s.head]
	s.queue[s.head] = parcel{}
	s.head++
	if s.head == len(s.queue) {
		s.queue, s.head, s.open = s.queue[:0], 0, false
	}
	return p
}

// outbox holds what waits to be published, for each node in its order.
type outbox struct {
	self        string
	incarnation uint64
	address     func(node string) string
	wake        chan struct{}

	mu      sync.Mutex
	closed  bool               // guarded by mu
	streams map[string]*stream // guarded by mu
	ready   []*stream          // guarded by mu: those with a queue
	bytes   int                // guarded by mu: queued or being published
	begun   uint64             // guarded by mu: streams so far
	due     bool               // guarded by mu: an announcement is wanted
	flags   byte               // guarded by mu: of the next announcement
	spare   [][]byte           // guarded by mu
	spared  int                // guarded by mu: capacity of spare
	stats   Stats              // guarded by mu: what is counted on the way out
}

func newOutbox(self string, incarnation uint64, address func(node string) string) *outbox {
	return &outbox{self: self, incarnation: incarnation, address: address,
		wake: make(chan struct{}, 1), streams: make(map[string]*stream)}
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// begin opens the way to a node that is heard, in place of one that there was.
func (o *outbox) begin(node string, receiver uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropLocked(node)
	o.begun++
	o.streams[node] = &stream{node: node, address: o.address(node), receiver: receiver, number: o.begun << streamBits}
}

// drop forgets a node and what waits for it.
func (o *outbox) drop(node string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropLocked(node)
}

func (o *outbox) dropLocked(node string) {
	s := o.streams[node]
	if s == nil {
		return
	}
	delete(o.streams, node)
	for _, p := range s.waiting() {
		o.bytes -= len(p.data)
	}
	s.queue, s.head, s.open = nil, 0, false
}

// send queues a payload for nodes.
func (o *outbox) send(nodes []string, payload []byte) error {
	if len(payload) > maxPayload {
		return fmt.Errorf("bus: a payload has %d bytes; at most %d can be sent", len(payload), maxPayload)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, node := range nodes {
		if s := o.streams[node]; s != nil && !o.closed {
			o.put(s, payload)
		}
	}
	return nil
}

func (o *outbox) put(s *stream, payload []byte) {
	if o.bytes+len(payload) > maxQueue {
		// The number is spent: the receiver sees that something is missing.
		o.stats.Dropped++
		s.number++
		s.open = false
		return
	}
	if s.open && len(s.queue[len(s.queue)-1].data)+len(payload) > maxJoined {
		s.open = false
	}
	if !s.open {
		s.number++
		data := appendSender(o.buffer(len(payload)), kindData, o.self, o.incarnation)
		data = binary.LittleEndian.AppendUint64(data, s.receiver)
		data = binary.AppendUvarint(data, s.number)
		o.push(s, parcel{to: s.address, data: data, number: s.number, at: time.Now(), stream: s})
		s.open = true
	}
	p := &s.queue[len(s.queue)-1]
	before := len(p.data)
	p.data = binary.AppendUvarint(p.data, uint64(len(payload)))
	p.data = append(p.data, payload...)
	p.payloads++
	o.bytes += len(p.data) - before
}

func (o *outbox) push(s *stream, p parcel) {
	s.queue = append(s.queue, p)
	o.bytes += len(p.data)
	if !s.listed {
		s.listed = true
		o.ready = append(o.ready, s)
	}
	o.signal()
}

// answer queues an announcement for one node, behind what was sent to it.
func (o *outbox) answer(node string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.streams[node]
	if s == nil || o.closed {
		return
	}
	s.open = false
	data := append(appendSender(o.buffer(0), kindAnnounce, o.self, o.incarnation), flagInOrder)
	data = binary.LittleEndian.AppendUint64(data, s.receiver)
	data = binary.AppendUvarint(data, s.number)
	o.push(s, parcel{to: s.address, data: data, number: s.number + 1, at: time.Now(), stream: s})
}

// announce asks for an announcement to all.
func (o *outbox) announce(flags byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.due = true
	o.flags |= flags
	o.signal()
}

// close has everything that is sent from now on go nowhere.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}

// announcement returns the one that is due. It lists only what was published before,
// for it goes another way than that and may overtake it.
func (o *outbox) announcement() (p parcel, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.due {
		return parcel{}, false
	}
	flags := o.flags
	o.due, o.flags = false, 0
	data := append(appendSender(o.buffer(0), kindAnnounce, o.self, o.incarnation), flags)
	for _, s := range o.streams {
		last := s.number
		if w := s.waiting(); len(w) > 0 {
			last = w[0].number - 1
		}
		data = binary.LittleEndian.AppendUint64(data, s.receiver)
		data = binary.AppendUvarint(data, last)
	}
	o.bytes += len(data)
	return parcel{to: o.address(""), data: data, flags: flags, at: time.Now()}, true
}

// take moves messages into batch, a round of one for each node after the other, until
// nothing waits or the batch is full.
func (o *outbox) take(batch []parcel) []parcel {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, size, i := time.Now(), 0, 0
	for len(o.ready) > 0 {
		if i >= len(o.ready) {
			i = 0
		}
		s := o.ready[i]
		if len(s.waiting()) == 0 {
			s.listed = false
			last := len(o.ready) - 1
			o.ready[i] = o.ready[last]
			o.ready[last] = nil
			o.ready = o.ready[:last]
			continue
		}
		if n := len(s.waiting()[0].data); size > 0 && size+n > maxBatch {
			break
		}
		p := s.pop()
		if now.Sub(p.at) > maxAge {
			o.lost(p)
			o.release(p)
		} else {
			batch = append(batch, p)
			size += len(p.data)
		}
		i++
	}
	return batch
}

// expire removes from a batch that could not be published what is too old by now.
func (o *outbox) expire(batch []parcel) []parcel {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, kept := time.Now(), batch[:0]
	for _, p := range batch {
		if now.Sub(p.at) <= maxAge && o.streams[p.stream.node] == p.stream {
			kept = append(kept, p)
			continue
		}
		o.lost(p)
		o.release(p)
	}
	clear(batch[len(kept):])
	return kept
}

// unannounced keeps what an announcement that failed was to say for the next one, and
// reports whether that is to follow at once: a node that leaves has no other.
func (o *outbox) unannounced(p parcel) (again bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.release(p)
	o.flags |= p.flags
	o.due = o.due || p.flags&flagLeave != 0
	return p.flags&flagLeave != 0
}

func (o *outbox) lost(p parcel) { o.stats.Dropped += uint64(p.payloads) }

// published counts a batch and takes its buffers back.
func (o *outbox) published(batch []parcel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stats.Batches++
	for _, p := range batch {
		o.stats.Published++
		o.stats.MessagesSent += uint64(p.payloads)
		o.stats.BytesSent += uint64(len(p.data))
		o.release(p)
	}
	clear(batch)
}

func (o *outbox) release(p parcel) {
	o.bytes -= len(p.data)
	if c := cap(p.data); o.spared+c <= maxSpare {
		o.spare = append(o.spare, p.data[:0])
		o.spared += c
	}
}

// buffer returns a buffer for a message of about n bytes.
func (o *outbox) buffer(n int) []byte {
	if last := len(o.spare) - 1; last >= 0 {
		b := o.spare[last]
		o.spare[last] = nil
		o.spare = o.spare[:last]
		o.spared -= cap(b)
		return b
	}
	return make([]byte, 0, max(512, n+len(o.self)+64))
}
