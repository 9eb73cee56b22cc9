package main

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

// serverFrame is a frame as servers send it, without a mask.
func serverFrame(opcode byte, payload string) []byte {
	return append(wire.AppendHeader(nil, opcode, len(payload)), payload...)
}

// TestFeed: however a stream is cut, its frames come out whole and in order; all
// three ways to write a length are among them.
func TestFeed(t *testing.T) {
	var want []string
	var stream []byte
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 3} {
		payload := strings.Repeat(string(rune('a'+len(want))), n)
		want = append(want, payload)
		stream = append(stream, serverFrame(2, payload)...)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var f frames
		var got []string
		for rest := stream; len(rest) > 0; {
			n := 1 + random.IntN(min(len(rest), 1+random.IntN(70000)))
			piece := slices.Clone(rest[:n]) // whoever reads reuses its buffer
			if err := f.feed(piece, func(p []byte) error { got = append(got, string(p)); return nil }); err != nil {
				t.Fatal(err)
			}
			clear(piece)
			rest = rest[n:]
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%d frames came out, want %d, or other ones", len(got), len(want))
		}
	}
}

// TestFeedEnds: a frame of another kind ends the connection, and so does a fault of
// the one who is given the frames.
func TestFeedEnds(t *testing.T) {
	taken := 0
	take := func([]byte) error { taken++; return nil }
	for _, opcode := range []byte{wire.OpClose, 1, 9} {
		var f frames
		err := f.feed(append(serverFrame(2, "a"), serverFrame(opcode, "")...), take)
		if !errors.Is(err, errControl) {
			t.Errorf("opcode %d: %v", opcode, err)
		}
	}
	if taken != 3 {
		t.Errorf("of the frames before, %d were taken, want 3", taken)
	}
	var f frames
	fault := errors.New("fault")
	if err := f.feed(serverFrame(2, "a"), func([]byte) error { return fault }); !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
}

// TestAppendFrame: what is sent is a masked frame that reads as the message.
func TestAppendFrame(t *testing.T) {
	want := message.Message{Topic: message.Event, Action: message.EventEmit, Name: eventName, Data: strings.Repeat(eventData, 3)}
	p := appendFrame([]byte("before"), &want)[len("before"):]
	if p[0] != 0x82 || p[1]&0x80 == 0 {
		t.Fatalf("the header is % x, want a final binary frame with a mask", p[:2])
	}
	// Without the bit and the key of the mask it is a server's frame.
	payload, size := cut(append(slices.Clone(p[:4]), p[8:]...))
	if size != len(p)-4 {
		t.Fatalf("a frame of %d bytes, with the length of %d", len(p), size)
	}
	for i := range payload {
		payload[i] ^= p[4+i%4]
	}
	got, err := decode(payload)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("it reads otherwise (-want +got):\n%s", diff)
	}
	if _, err := decode([]byte("no protobuf")); err == nil {
		t.Error("what is no protobuf can be read")
	}
}
