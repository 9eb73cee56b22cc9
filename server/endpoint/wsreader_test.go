package endpoint

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// clientFrame is a masked frame with the first byte as given.
func clientFrame(first byte, payload string) []byte {
	key := [4]byte{1, 2, 3, 4}
	f := []byte{first}
	switch n := len(payload); {
	case n < 126:
		f = append(f, 0x80|byte(n))
	default:
		f = append(f, 0x80|126, byte(n>>8), byte(n))
	}
	f = append(f, key[:]...)
	for i := range len(payload) {
		f = append(f, payload[i]^key[i%4])
	}
	return f
}

// TestReader: however the bytes are cut, the same messages and the same end come out.
func TestReader(t *testing.T) {
	f := func(want string, wire ...[]byte) {
		t.Helper()
		all := bytes.Join(wire, nil)
		for size := 1; size <= len(all); size++ {
			r := wsReader{max: 1000}
			var got strings.Builder
			for at := 0; at < len(all); at += size {
				piece := bytes.Clone(all[at:min(at+size, len(all))])
				err := r.feed(piece, func(opcode byte, p []byte) error {
					fmt.Fprintf(&got, "%d:%s ", opcode, p)
					return nil
				})
				var end *closed
				if errors.As(err, &end) {
					fmt.Fprintf(&got, "end %d", end.code)
					break
				}
			}
			if got.String() != want {
				t.Fatalf("in pieces of %d: %q, want %q", size, got.String(), want)
			}
		}
	}
	long := strings.Repeat("x", 700)
	f("2:hello 1:there ", clientFrame(0x82, "hello"), clientFrame(0x81, "there"))
	f("2:"+long+" ", clientFrame(0x82, long))
	f("9:p 2:abc ", clientFrame(0x02, "a"), clientFrame(0x00, "b"), clientFrame(0x89, "p"), clientFrame(0x80, "c"))
	f("2:ab 2:cd ", clientFrame(0x02, "a"), clientFrame(0x80, "b"), clientFrame(0x02, "c"), clientFrame(0x80, "d"))
	f("end 1009", clientFrame(0x02, long), clientFrame(0x80, long))
	f("2:a end 1000", clientFrame(0x82, "a"), clientFrame(0x88, "\x03\xe8"))
	f("end 1000", clientFrame(0x88, ""))
	f("end 1002", clientFrame(0x88, "\x03\xed"))
	f("end 1002", clientFrame(0xc2, "reserved"))
	f("end 1002", clientFrame(0x80, "of nothing"))
	f("end 1002", clientFrame(0x02, "a"), clientFrame(0x82, "b"))
	f("end 1002", clientFrame(0x83, "unknown"))
	f("end 1002", []byte{0x82, 1, 'a'})
}
