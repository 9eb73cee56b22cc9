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

// FuzzReader: whatever bytes a client sends, cut wherever, the same comes out; no
// message is larger than allowed, and all of them together are no more than was sent.
func FuzzReader(f *testing.F) {
	f.Add(clientFrame(0x82, "hello"), uint8(3))
	f.Add(bytes.Join([][]byte{clientFrame(0x02, "a"), clientFrame(0x89, "p"), clientFrame(0x80, "b"), clientFrame(0x88, "\x03\xe8")}, nil), uint8(1))
	f.Add([]byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, uint8(5))
	f.Fuzz(func(t *testing.T, all []byte, cut uint8) {
		const largest = 200
		read := func(size int) string {
			r := wsReader{max: largest}
			var got strings.Builder
			for at := 0; at < len(all); at += size {
				err := r.feed(bytes.Clone(all[at:min(at+size, len(all))]), func(opcode byte, p []byte) error {
					if len(p) > largest {
						t.Errorf("message of %d bytes", len(p))
					}
					fmt.Fprintf(&got, "%d:%q ", opcode, p)
					return nil
				})
				if err != nil {
					fmt.Fprintf(&got, "end: %v", err)
					break
				}
				if len(r.rest)+len(r.message) > len(all) {
					t.Fatalf("%d bytes are held of %d", len(r.rest)+len(r.message), len(all))
				}
			}
			return got.String()
		}
		whole := read(max(len(all), 1))
		if pieces := read(int(cut)%16 + 1); pieces != whole {
			t.Errorf("in pieces %s, at once %s", pieces, whole)
		}
	})
}
