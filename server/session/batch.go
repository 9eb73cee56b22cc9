package session

import "sync"

// Sizes of the outbox memory, in bytes. A message larger than shareFrom is not
// copied into each subscriber's outbox but referred to by all of them.
const (
	headroom   = 16
	smallChunk = 1 << 10
	largeChunk = 16 << 10
	shareFrom  = 2 << 10
)

type chunk struct {
	b    []byte
	pool *sync.Pool
}

var (
	smallChunks = newChunks(smallChunk)
	largeChunks = newChunks(largeChunk)
)

func newChunks(size int) *sync.Pool {
	p := new(sync.Pool)
	p.New = func() any { return &chunk{b: make([]byte, 0, size), pool: p} }
	return p
}

func (c *chunk) free() {
	c.b = c.b[:0]
	c.pool.Put(c)
}

// Batch is what waits for one client, in order: pieces of pooled memory and
// references to large encodings that other clients share.
type Batch struct {
	parts  [][]byte
	next   int // parts before it have been sent
	chunks []*chunk
	size   int
	// tail is the chunk that the last part lies in, nil after a shared part.
	tail *chunk
	// lone says that the only part is a small one that is shared.
	lone bool
}

// Size is the number of bytes in the batch that have not been sent.
func (b *Batch) Size() int { return b.size }

// Parts returns the bytes in order, for one write with gathering.
func (b *Batch) Parts() [][]byte { return b.parts[b.next:] }

// addShared adds bytes that do not change. They are copied only when others follow:
// a message to many clients, for whom nothing else waits, touches no memory of theirs.
// There is no room for a header in front of such a batch.
func (b *Batch) addShared(p []byte) {
	if len(b.parts) > 0 {
		b.add(p)
		return
	}
	b.size += len(p)
	b.parts = append(b.parts, p)
	b.lone = true
}

// add adds bytes, of which those longer than shareFrom may not change.
func (b *Batch) add(p []byte) {
	if b.lone {
		first := b.parts[0]
		b.parts, b.size, b.lone = b.parts[:0], 0, false
		b.add(first)
	}
	b.size += len(p)
	if b.tail != nil && len(b.tail.b)+len(p) <= cap(b.tail.b) {
		from := len(b.tail.b) - len(b.parts[len(b.parts)-1])
		b.tail.b = append(b.tail.b, p...)
		b.parts[len(b.parts)-1] = b.tail.b[from:]
		return
	}
	if len(p) > shareFrom && len(b.parts) > 0 {
		b.parts = append(b.parts, p)
		b.tail = nil
		return
	}
	var c *chunk
	if len(b.parts) == 0 {
		// The first part always has room for a frame header in front.
		c = smallChunks.Get().(*chunk)
		c.b = c.b[:headroom]
		b.chunks = append(b.chunks, c)
		if len(p) > cap(c.b)-headroom {
			b.parts = append(b.parts, c.b[headroom:])
			if len(p) > shareFrom {
				b.parts = append(b.parts, p)
				return
			}
			c = largeChunks.Get().(*chunk)
			b.chunks = append(b.chunks, c)
		}
	} else {
		c = largeChunks.Get().(*chunk)
		b.chunks = append(b.chunks, c)
	}
	from := len(c.b)
	c.b = append(c.b, p...)
	b.parts = append(b.parts, c.b[from:])
	b.tail = c
}

// Prepend puts a header of at most 16 bytes in front of a batch that is not
// empty. It may be called once, for clients of a protocol that joins messages.
func (b *Batch) Prepend(header []byte) {
	first := b.chunks[0].b
	copy(first[headroom-len(header):], header)
	b.parts[0] = first[headroom-len(header) : headroom+len(b.parts[0])]
	b.size += len(header)
}

// Advance drops the first n bytes, which have been sent.
func (b *Batch) Advance(n int) {
	b.size -= n
	for n > 0 {
		part := b.parts[b.next]
		if n < len(part) {
			b.parts[b.next] = part[n:]
			return
		}
		n -= len(part)
		b.next++
	}
}

// keepParts bounds what an empty batch keeps of a burst.
const keepParts = 8

// reset gives the memory back and leaves an empty batch.
func (b *Batch) reset() {
	for _, c := range b.chunks {
		c.free()
	}
	clear(b.parts)
	clear(b.chunks)
	if cap(b.parts) > keepParts {
		*b = Batch{}
		return
	}
	*b = Batch{parts: b.parts[:0], chunks: b.chunks[:0]}
}
