package http1

import "sync"

// Two sizes of buffers are pooled. Nearly every head with its small body fits
// the small one; heads up to the default limit and body streams use the large.
// A stream relayed through buffers of 64 or 128 KiB takes a tenth less CPU, of
// 16 KiB a third more.
const (
	smallSize = 4 << 10
	largeSize = 32 << 10
)

var (
	smallPool = sync.Pool{New: func() any { return new([smallSize]byte) }}
	largePool = sync.Pool{New: func() any { return new([largeSize]byte) }}
)

// getBuffer returns a buffer of at least size bytes, its length equal to its
// capacity.
func getBuffer(size int) []byte {
	switch {
	case size <= smallSize:
		return smallPool.Get().(*[smallSize]byte)[:]
	case size <= largeSize:
		return largePool.Get().(*[largeSize]byte)[:]
	}
	return make([]byte, size)
}

// putBuffer gives b back, whatever its length; one that did not come from a
// pool is left to the collector.
func putBuffer(b []byte) {
	switch cap(b) {
	case smallSize:
		smallPool.Put((*[smallSize]byte)(b[:smallSize]))
	case largeSize:
		largePool.Put((*[largeSize]byte)(b[:largeSize]))
	}
}
