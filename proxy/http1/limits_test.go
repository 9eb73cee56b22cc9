package http1

import (
	"os"
	"strings"
	"testing"
)

// TestLimits finds every limit exact: what is within passes, one byte or line
// more is rejected.
func TestLimits(t *testing.T) {
	lim := Limits{HeadBytes: 200, LineBytes: 60, Lines: 5, ChunkLineBytes: 10, TrailerBytes: 30}
	pad := func(s string, n int, tail string) string { return s + strings.Repeat("a", n-len(s)-len(tail)) + tail }
	for _, row := range []struct{ name, within, over, want string }{
		{"request line", pad("GET /", 60, " HTTP/1.1") + "\r\nHost: h\r\n\r\n", pad("GET /", 61, " HTTP/1.1") + "\r\nHost: h\r\n\r\n", "!414 target_bytes"},
		{"head", pad(get11+"A: ", 200, "\r\n\r\n"), pad(get11+"A: ", 201, "\r\n\r\n"), "!431 head_bytes"},
		{"lines", get11 + strings.Repeat("A: b\r\n", 4) + "\r\n", get11 + strings.Repeat("A: b\r\n", 5) + "\r\n", "!431 header_lines"},
		{"chunk line", te + "1;aaaaaaaa\r\nx\r\n0\r\n\r\n", te + "1;aaaaaaaaa\r\nx\r\n0\r\n\r\n", "!400 chunk_bytes"},
		{"trailer bytes", te + "0\r\n" + pad("A: ", 30, "\r\n") + "\r\n", te + "0\r\n" + pad("A: ", 31, "\r\n") + "\r\n", "!431 trailer"},
		{"trailer bytes together", te + "0\r\nA: bbbbbbbbbb\r\nA: bbbbbbbbbb\r\n\r\n", te + "0\r\nA: bbbbbbbbbb\r\nA: bbbbbbbbbbb\r\n\r\n", "!431 trailer"},
		{"trailer lines", te + "0\r\n" + strings.Repeat("A:\r\n", 5) + "\r\n", te + "0\r\n" + strings.Repeat("A:\r\n", 6) + "\r\n", "!431 trailer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, pieces := range splits(row.within) {
				if got := readRequests(scripted(pieces...), lim); strings.Contains(got, "!") || got == "" {
					t.Fatalf("within, in %d pieces: %s", len(pieces), got)
				}
			}
			for _, pieces := range splits(row.over) {
				if got := readRequests(scripted(pieces...), lim); !strings.HasSuffix(got, row.want) {
					t.Fatalf("over, in %d pieces: got %s, want %s", len(pieces), got, row.want)
				}
			}
		})
	}
}

// TestLimitsWithoutEnd: what has reached a limit without its end is rejected at
// once, however long the peer keeps the rest back.
func TestLimitsWithoutEnd(t *testing.T) {
	lim := Limits{HeadBytes: 200, LineBytes: 60, ChunkLineBytes: 10, TrailerBytes: 30}
	pad := func(s string, n int) string { return s + strings.Repeat("a", n-len(s)) }
	for _, row := range []struct{ name, in, want string }{
		{"request line", pad("GET /", 62), "!414 target_bytes"},
		{"head", pad(get11+"A: ", 200), "!431 head_bytes"},
		{"chunk line", te + pad("1;", 12), "!400 chunk_bytes"},
		{"trailer", te + "0\r\n" + pad("A: ", 32), "!431 trailer"},
		{"garbage", "\x16\x03", "!400 method"},
	} {
		for _, pieces := range splits(row.in) {
			c := scripted(pieces...)
			c.NetConn().(*scriptConn).end = os.ErrDeadlineExceeded
			if got := readRequests(c, lim); !strings.HasSuffix(got, row.want) {
				t.Fatalf("%s in %d pieces: got %s, want %s", row.name, len(pieces), got, row.want)
			}
		}
	}
}

// TestLargeHead: heads that outgrow the small buffer, and the large one.
func TestLargeHead(t *testing.T) {
	for _, size := range []int{3 << 10, 4095, 4096, 4097, 20 << 10, 31 << 10, 100 << 10} {
		line := "A: " + strings.Repeat("b", 1000) + "\r\n"
		in := get11 + strings.Repeat(line, size/len(line)) + "\r\n"
		lim := Limits{HeadBytes: 128 << 10, Lines: 200}
		want := "GET / @h" + strings.Repeat(" A="+strings.Repeat("b", 1000), size/len(line)) + "\nGET /next @h"
		for _, pieces := range [][]string{{in + next}, strings.SplitAfter(in+next, "\n"), {in[:1000], in[1000:], next}} {
			if got := readRequests(scripted(pieces...), lim); got != want {
				t.Fatalf("head of %d bytes in %d pieces: got %.100s... (%d bytes)", size, len(pieces), got, len(got))
			}
		}
	}
}

// TestLimitsDefaults: a zero Limits is the default, and a line is never
// allowed to be longer than the head.
func TestLimitsDefaults(t *testing.T) {
	var l Limits
	l.fill()
	want := DefaultLimits()
	want.HeadTimeout = 0
	if l != want {
		t.Errorf("filled %+v, want %+v", l, want)
	}
	l = Limits{HeadBytes: 100, LineBytes: 1000}
	l.fill()
	if l.LineBytes != 96 {
		t.Errorf("line of %d bytes in a head of %d", l.LineBytes, l.HeadBytes)
	}
}
