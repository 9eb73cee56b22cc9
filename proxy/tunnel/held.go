package tunnel

import "sync"

// Buffers come in three sizes, so that a tail of a few hundred bytes does not
// pin 64 KiB.
const (
	smallBlock  = 2 << 10
	middleBlock = 16 << 10
	largeBlock  = 64 << 10
)

var smallBlocks, middleBlocks, largeBlocks sync.Pool

// block is a pooled buffer.
type block struct {
	b    []byte
	pool *sync.Pool // nil for one made to measure
}

// newBlock returns a block of at least n bytes.
func newBlock(n int) *block {
	pool, size := &largeBlocks, largeBlock
	switch {
	case n <= smallBlock:
		pool, size = &smallBlocks, smallBlock
	case n <= middleBlock:
		pool, size = &middleBlocks, middleBlock
	case n > largeBlock:
		pool, size = nil, n
	}
	if pool != nil {
		if b, ok := pool.Get().(*block); ok {
			return b
		}
	}
	return &block{b: make([]byte, size), pool: pool}
}

func (b *block) free() {
	if b.pool != nil {
		b.pool.Put(b)
	}
}

// held is what was read from one side and not yet taken by the other. Empty,
// it has no buffer.
type held struct {
	rest  []byte
	block *block
}

// keep stores a copy of p. It is called when nothing is held.
func (h *held) keep(p []byte) {
	b := newBlock(len(p))
	h.rest = b.b[:copy(b.b, p)]
	h.block = b
}

// taken drops the first n bytes, and the buffer with the last of them.
func (h *held) taken(n int) {
	h.rest = h.rest[n:]
	if len(h.rest) == 0 && h.block != nil {
		h.block.free()
		*h = held{}
	}
}
