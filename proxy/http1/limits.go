package http1

import "time"

// Limits bound what a peer can make a Conn hold or scan. A zero field takes
// its default.
type Limits struct {
	HeadBytes      int           // whole head with its end, default 32768
	LineBytes      int           // request or status line without CRLF, default 16384
	Lines          int           // field lines in a head, and in trailers, default 100
	ChunkLineBytes int           // chunk size line without CRLF, extensions included, default 256
	TrailerBytes   int           // all trailer lines of a body, default 4096
	HeadTimeout    time.Duration // from the first byte of a head to its end, default none; see ReadRequest
}

// DefaultLimits returns the default of every limit; HeadTimeout is 10 s.
func DefaultLimits() Limits {
	return Limits{
		HeadBytes:      32 << 10,
		LineBytes:      16 << 10,
		Lines:          100,
		ChunkLineBytes: 256,
		TrailerBytes:   4 << 10,
		HeadTimeout:    10 * time.Second,
	}
}

func (l *Limits) fill() {
	d := DefaultLimits()
	if l.HeadBytes <= 0 {
		l.HeadBytes = d.HeadBytes
	}
	if l.LineBytes <= 0 {
		l.LineBytes = d.LineBytes
	}
	l.LineBytes = min(l.LineBytes, max(l.HeadBytes-4, 1))
	if l.Lines <= 0 {
		l.Lines = d.Lines
	}
	if l.ChunkLineBytes <= 0 {
		l.ChunkLineBytes = d.ChunkLineBytes
	}
	if l.TrailerBytes <= 0 {
		l.TrailerBytes = d.TrailerBytes
	}
}
